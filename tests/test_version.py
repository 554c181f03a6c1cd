"""The stack is checked before anything of it is imported."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import packaging
import pytest

from artnet_mm.version import REQUIREMENTS, check_versions

from .helpers import ROOT

TORCH = f'torch {importlib.metadata.version("torch")}'  # its own version names CUDA's too


def test_the_installed_stack_is_supported():
    check_versions()


@pytest.mark.parametrize(
    'distributions, bounds, problem, install',
    [
        (('no-such', 'no-such-lite'), '>=1,<2', 'is not installed', 'no-such-lite>=1,<2'),
        (('torch',), '<2', f'{TORCH} is installed', 'torch<2'),
        (('no-such', 'torch'), '>=99', f'{TORCH} is installed', 'torch>=99'),
    ],
    ids=['missing', 'too new', 'too old'],
)
def test_a_version_that_cannot_work_is_an_error_with_the_command_that_helps(
    monkeypatch, distributions, bounds, problem, install
):
    monkeypatch.setitem(REQUIREMENTS, 'torch', (distributions, bounds))
    with pytest.raises(ImportError) as error:
        check_versions()
    for part in (f'needs torch{bounds}', problem, f'pip install "{install}"'):
        assert part in str(error.value)


def test_local_builds_and_either_name_of_mmcv_are_accepted(monkeypatch):
    versions = {'torch': '2.6.0+cu124', 'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmaction2': '1.2.0'}

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, 'version', version)
    check_versions()
    versions['mmaction2'] = '1.1.0'  # a full mmcv is never replaced by mmcv-lite
    with pytest.raises(
        ImportError, match=r'mmcv 2\.1\.0 is installed: pip install "mmcv>=.*<2\.1"'
    ):
        check_versions()
    versions['mmaction2'] = '1.2.0'
    versions['mmcv-lite'] = versions.pop('mmcv')
    check_versions()
    versions['mmaction2'] = '1.1.0'
    with pytest.raises(ImportError, match=r'mmcv>=2\.0\.1,<2\.1, but mmcv 2\.1\.0 is installed'):
        check_versions()
    versions |= {'mmaction2': '1.2.0', 'mmcv-lite': '2.2.0'}
    with pytest.raises(ImportError, match=r'mmcv 2\.2\.0 is installed: pip install "mmcv-lite>='):
        check_versions()


def test_without_torch_the_import_says_what_to_install(tmp_path):
    """In an interpreter that has nothing but what finds versions."""
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site/packaging').symlink_to(Path(packaging.__file__).parent)
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'env'], check=True)
    result = subprocess.run(
        [tmp_path / 'env/bin/python', '-c', 'import artnet_mm'],
        env={'PYTHONPATH': f'{ROOT}:{tmp_path / "site"}'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        'ImportError: artnet_mm needs torch>=2.6,<3, but torch is not installed: '
        'pip install "torch>=2.6,<3"'
    )
