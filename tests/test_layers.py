"""Parts of the package: lower ones never import higher ones, and nothing imports the tools."""

import ast
from pathlib import Path

import pytest

from .helpers import ROOT

PACKAGE = ROOT / 'artnet_mm'
LAYERS = [
    {'version', 'files', 'pages', 'views'},
    {'compat', 'checkpoints', 'selections'},
    {'models', 'datasets'},
    {'evaluation', 'zoo'},
    {'engine'},
    {'checks'},
    {'data_making'},
    {'inference'},
    {'study', 'benchmark'},
]
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
NEED_TORCH_ALONE = ['units', 'blocks', 'artnet', 'square_pool', 'fused', 'deploy']
FILES = sorted(PACKAGE.rglob('*.py'))


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imported(path: Path) -> list[str]:
    """Modules that a file imports, whole names."""
    package = ['artnet_mm', *path.relative_to(PACKAGE).parts[:-1]]
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base += [node.module] if node.module else []
            names += ['.'.join([*base, alias.name]) for alias in node.names]
    return names


def test_every_package_has_its_place():
    assert {package_of(path) for path in FILES} - {'__init__'} == HEIGHT.keys()


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_package_imports_none_above_it(path):
    names = imported(path)
    assert not [name for name in names if name.split('.')[0] in ('tools', 'tests')]
    if package_of(path) == '__init__':
        return
    used = {name.split('.')[1] for name in names if name.startswith('artnet_mm.')}
    assert used <= HEIGHT.keys(), 'what the package itself defines is for its users'
    own = package_of(path)
    above = {name for name in used if HEIGHT[name] > HEIGHT[own]}
    beside = {name for name in used if HEIGHT[name] == HEIGHT[own] and name != own}
    if HEIGHT[own] < 2:  # files of one layer may use one another
        beside = set()
    assert not above | beside


@pytest.mark.parametrize('name', NEED_TORCH_ALONE)
def test_units_and_backbone_import_torch_and_one_another(name):
    found = {module.split('.')[0] for module in imported(PACKAGE / f'models/{name}.py')}
    standard = {'collections', 'contextlib', 'functools', 'inspect', 'typing'}
    # build_norm asks MMCV for what only MMCV's configs name
    assert found - standard <= {'torch', 'artnet_mm'} | ({'mmcv'} if name == 'units' else set())


def test_videos_are_opened_in_one_place():
    """Others compare with decord, or write."""
    modules = ('datasets/packets', 'datasets/backends', 'datasets/stream', 'data_making/misread')
    readers = {f'{module}.py' for module in modules}
    found = set()
    copied = ROOT / 'tools/run_onnx.py'  # which has nothing of the project
    for path in {*FILES, *(ROOT / 'tools').rglob('*.py')} - {copied}:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            call, words = ast.unparse(node.func), [ast.unparse(argument) for argument in node.args]
            if (call == 'av.open' and "'w'" not in words) or call.endswith(
                ('VideoReader', 'VideoDecoder', 'VideoCapture')
            ):
                found.add(str(path).split('artnet_mm/')[-1])
    assert found == readers
