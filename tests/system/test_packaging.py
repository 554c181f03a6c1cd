"""What is installed, and that documents and requirements agree with the code."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import mmaction.registry
import pytest
import torch
from mmaction.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import Registry
from mmengine.runner import Runner
from packaging.requirements import Requirement

from artnet_mm import ROOT as INSTALLED_ROOT
from artnet_mm.checks.config import check_dataloader
from artnet_mm.data_making.motion_clips import CLASSES, motion_clip, write_video
from artnet_mm.evaluation.scalars import read_scalars
from artnet_mm.version import REQUIREMENTS

from ..helpers import PAGES, ROOT, all_pages, example, settled_toy, tiny_config


def requirements(name: str) -> dict[str, Requirement]:
    lines = (ROOT / f'requirements/{name}.txt').read_text().splitlines()
    stated = map(Requirement, lines)
    return {r.name: r for r in stated if not r.marker or r.marker.evaluate()}


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    """Folder with the wheel, built from the source archive, and nothing else."""
    folder = tmp_path_factory.mktemp('site')
    pip = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']
    source = folder / 'source'
    subprocess.run(['git', 'clone', '--quiet', ROOT, source], check=True)
    subprocess.run([sys.executable, 'setup.py', '--quiet', 'sdist'], cwd=source, check=True)
    (archive,) = source.glob('dist/*.tar.gz')
    wheel = [*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', folder, archive]
    subprocess.run(wheel, check=True)
    (built,) = folder.glob('artnet_mm-*.whl')
    subprocess.run([*pip, 'install', '--no-deps', '-t', folder / 'lib', built], check=True)
    return folder / 'lib'


def test_checkout_finds_its_own_configs_and_tools():
    assert INSTALLED_ROOT == ROOT


def test_wheel_brings_configs_and_tools_that_run(site, tmp_path):
    code = 'import artnet_mm; print(artnet_mm.ROOT)'
    env = {'PYTHONPATH': str(site), 'PATH': '/usr/bin:/bin'}
    found = subprocess.run(
        [sys.executable, '-c', code],
        env=env,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    root = Path(found.stdout.strip())
    assert root.is_relative_to(site)
    assert [*root.parent.glob('zoo/weights/artnet_r18_d_toy-*.pth')]
    assert {p.name for p in (root / 'configs').glob('*.py')} == {
        p.name for p in (ROOT / 'configs').glob('*.py')
    }
    tool = [sys.executable, root / 'tools/train.py', root / 'configs/artnet_r18_d_kinetics.py']
    result = subprocess.run(tool, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert 'kinetics400_train_list_videos.txt does not exist' in result.stderr
    assert (root / 'tools/dist_train.sh').stat().st_mode & 0o111
    assert all((root / name).exists() for name in load(root / 'model-index.yml')['Import'])


def test_ranges_are_stated_alike_and_hold_the_tested_set():
    stated = {**requirements('runtime'), **requirements('mminstall')}
    locked = requirements('lock')
    readme = (ROOT / 'README.md').read_text()
    for package, (distributions, bounds) in REQUIREMENTS.items():
        assert stated[package].specifier == Requirement(f'{package}{bounds}').specifier
        (pinned,) = (locked[name] for name in distributions if name in locked)
        (pin,) = pinned.specifier
        assert stated[package].specifier.contains(pin.version)
        row = next(line for line in readme.splitlines() if line.startswith(f'| {package} '))
        assert bounds in row
        assert pin.version in row
    assert set(stated) - {'mmcv'} <= set(locked)


def test_example_of_a_start_from_images_names_what_is_there(tmp_path):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'mine.py').write_text(example('inflated'))
    cfg = Config.fromfile(tmp_path / 'mine.py')
    cfg.model.backbone.base_channels = 8
    backbone = MODELS.build(cfg.model.backbone)
    with pytest.raises(FileNotFoundError, match=r'resnetv2_50\.pth'):
        backbone.init_weights()


@pytest.mark.parametrize('name', ['compose', 'table'])
def test_config_example_builds_and_runs(name, tmp_path):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'mine.py').write_text(example(name))
    cfg = Config.fromfile(tmp_path / 'mine.py')
    cfg.model.backbone.base_channels = 8
    cfg.model.cls_head.in_channels = 64
    model = MODELS.build(cfg.model)
    units = {type(module).__name__ for module in model.backbone.modules()}
    assert 'SMARTConv3d' in units
    scores = model.eval()(torch.rand(1, 1, 3, 16, 112, 112), stage='head', mode='tensor')
    assert scores.shape == (1, 400)


def test_example_of_own_videos_reads_them(clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/videos').symlink_to(clips / 'videos_train')
    for split in ('train', 'val'):
        (tmp_path / f'mine/{split}.txt').write_text('turning_00005.mp4 11\n')
    (tmp_path / 'mine.py').write_text(example('own'))
    cfg = Config.fromfile('mine.py')
    for split in ('train', 'val', 'test'):
        check_dataloader(cfg, f'{split}_dataloader')
        sample = DATASETS.build(cfg[f'{split}_dataloader'].dataset)[0]
        if split == 'test':
            assert sample['inputs']['clips'].shape == (25, 16)
        else:
            assert sample['inputs'].shape == (1, 3, 16, 112, 112)
        assert sample['data_samples'].filename == 'mine/videos/turning_00005.mp4'
    assert METRICS.build(cfg.test_evaluator).num_videos is None
    backbone = MODELS.build(cfg.model).backbone
    assert backbone.stages[1][0].shortcut.kernel_size == (3, 3, 3)
    assert [s.type for s in cfg.param_scheduler] == ['CosineAnnealingLR']


def test_example_of_tensorboard_writes_what_is_logged(clips, tmp_path):
    events = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'mine.py').write_text(example('tensorboard'))
    few = {'train_cfg.max_iters': 3, 'train_cfg.val_interval': 3}
    cfg = tiny_config('artnet_r18_d_kinetics', clips, tmp_path / 'run', num_clips=1, **few)
    cfg.visualizer = Config.fromfile(tmp_path / 'mine.py').visualizer
    cfg.default_hooks.logger.interval = 1
    cfg.experiment_name = 'tensorboard'
    Runner.from_cfg(cfg).train()
    (folder,) = {path.parent for path in tmp_path.glob('run/*/vis_data/events*')}
    written = events.EventAccumulator(str(folder)).Reload()
    (text,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    text.write_text(text.read_text() + '{"loss": 2.3, "st')  # the disk was full
    logged = read_scalars(tmp_path / 'run')
    losses = [record['loss'] for record in logged if 'loss' in record]
    assert [round(e.value, 4) for e in written.Scalars('loss')] == [round(x, 4) for x in losses]
    assert [event.step for event in written.Scalars('acc/top1')] == [3]


def test_example_of_the_plateau_schedule_reads(tmp_path):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'mine.py').write_text(example('plateau'))
    assert Config.fromfile(tmp_path / 'mine.py').param_scheduler[0].type == 'ReduceOnPlateauLR'


def anchors(page: Path) -> set[str]:
    """What links to the headings of a page end in, as GitHub makes it."""
    text = re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL)
    headings = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
    return {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES)
def test_documents_name_tools_configs_and_pages_that_are_there(page):
    text = (ROOT / page).read_text()
    for link in re.findall(r'\]\(([^)\s]+)\)', text):
        if not link.startswith('http'):
            path, _, anchor = link.partition('#')
            target = (ROOT / page).parent / path if path else ROOT / page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link
    for path in re.findall(r'(?<!_)(?:tools|configs)/[\w/]+\.(?:py|sh)\b', text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r'for name in ([^;]+);', text):
        for word in name.split():
            assert any(
                (ROOT / f'configs/{word}{e}.py').exists() for e in ('', '_kinetics', '_ucf101')
            )


def test_every_example_that_is_marked_has_a_test():
    tests = '\n'.join(path.read_text() for path in (ROOT / 'tests').rglob('test_*.py'))
    names = re.findall('<!-- test: (.*) -->', all_pages())
    assert len(names) > 9
    for name in names:
        assert f"'{name}'" in tests, name


@pytest.fixture
def after_demo(tmp_path) -> Path:
    """A folder as ``make demo`` leaves it, as far as the examples need it."""
    for folder in ('configs', 'tools'):
        (tmp_path / folder).symlink_to(ROOT / folder)
    checkpoint = tmp_path / 'work_dirs/demo/artnet_r18_d_toy/seed0/iter_700.pth'
    video = tmp_path / 'data/toy/videos_val/zoom_in_00003.mp4'
    for path in (checkpoint, video):
        path.parent.mkdir(parents=True)
    write_video(video, motion_clip(label=3, seed=0))
    model = settled_toy()
    meta = dict(dataset_meta=dict(classes=list(CLASSES)))
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, checkpoint)
    return tmp_path


def run_example(folder: Path, *command: str) -> str:
    path = f'{Path(sys.executable).parent}:/usr/bin:/bin'
    env = {'PYTHONPATH': str(ROOT), 'PATH': path, 'ARTNET_MM_HOME': str(folder / 'cache')}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_inference_example_runs(after_demo):
    code = example('inference')
    if version('mmaction2') >= '1.2':  # as the example's comment says
        code = code.replace('pred_scores.item', 'pred_score')
    label, probability = run_example(after_demo, sys.executable, '-c', code).split()[-2:]
    assert 0 <= int(label) < 10
    assert 0.1 <= float(probability) <= 1


def test_example_of_a_zoo_of_ones_own_runs(after_demo):
    output = run_example(after_demo, 'bash', '-e', '-c', example('publish'))
    assert 'videos_val/zoom_in_00003.mp4' in output
    assert any(f' {name}\n' in output for name in CLASSES)
    (published,) = (after_demo / 'zoo').glob('*.pth')
    assert (after_demo / 'cache' / published.name).exists()


def test_documents_say_of_everything_registered_why_it_is_there():
    registries = [r for r in vars(mmaction.registry).values() if isinstance(r, Registry)]
    registries += [r.parent for r in registries if r.parent]
    own = {
        name
        for registry in registries
        for name, cls in registry.module_dict.items()
        if cls.__module__.startswith('artnet_mm.')
    }
    assert len(own) > 25
    text = (ROOT / 'CONTRIBUTING.md').read_text() + (ROOT / 'README.md').read_text()
    assert {name for name in own if f'`{name}`' not in text} == set()
