"""What tests of configs and tools share: a real config on tiny data, and a subprocess."""

import atexit
import multiprocessing
import os
import random
import re
import runpy
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

from artnet_mm.data_making.motion_clips import motion_clip
from artnet_mm.selections import select

ROOT = Path(__file__).parents[1]
PAGES = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'model_zoo.md']
PAGES += [f'docs/{page.name}' for page in sorted((ROOT / 'docs').glob('*.md'))]


def all_pages() -> str:
    return '\n'.join((ROOT / page).read_text() for page in PAGES)


def example(name: str) -> str:
    """The code block of the documents that is marked with a name."""
    block = rf'<!-- test: {name} -->\n```(?:python|shell)\n(.*?)```'
    (found,) = re.findall(block, all_pages(), re.DOTALL)
    return found


def let_a_cpu_take(monkeypatch, number: int) -> None:
    """Have so many views of 16 x 56 x 56 in a forward pass at most."""
    places = number * 16 * 56 * 56 // torch.get_num_threads()
    monkeypatch.setattr('artnet_mm.models.recognizers.CPU_PLACES', places)


# Channels of the features with 8 base channels, where they are not 64.
BOTTLENECKS = ('i3d_r50', 'c2d_r50_lstm', 'artnet_r50_d', 'artnet_r101_d')
FEATURES = {f'{name}_kinetics': 256 for name in BOTTLENECKS}
# Leaves, by the beginnings of their names, whose networks have no such option.
FULL_SIZE = ('c3d_vgg11', 'c3d_bn', 'tsn_', 'two_stream', 'i3d_inceptionv1', 'ltc')
# Side of the crops, of 86 x 64 frames and clips of 16, where they are large.
SMALL_CROPS = {'i3d_inceptionv1': 64, 'ltc': 40}


# Packages that networks or pipelines of leaves need beyond the project's own.
NEEDED = {'tsn_r50_imagenet_kinetics': 'mmpretrain', 'artnet_r18_d_today_kinetics': 'torchvision'}


def tiny_options(clips: Path, name: str = 'artnet_r18_d_toy', num_clips: int = 25) -> dict:
    """Overrides that leave a config as it is apart from sizes and paths.

    ``clips`` is the folder of the fixture of that name, of ``flow_clips`` for flow
    configs, or of ``image_clips`` for Jester's.
    """
    options: dict = {}
    if name.startswith(FULL_SIZE):
        options['model.data_preprocessor.num_places'] = 1  # two crops
    else:
        options['model.cls_head.in_channels'] = FEATURES.get(name, 64)
        options['model.backbone.base_channels'] = 8
    images = name.endswith(('_flow', '_jester'))
    for loader, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        key = f'{loader}_dataloader'
        options |= {
            f'{key}.num_workers': 0,
            f'{key}.persistent_workers': False,
            f'{key}.dataset.ann_file': str(clips / f'{split}_list_videos.txt'),
            f'{key}.dataset.data_prefix.{"img" if images else "video"}': str(
                clips / f'videos_{split}'
            ),
        }
    options['train_dataloader.batch_size'] = 2
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    place = cfg.test_pipeline.index(step_of(cfg.test_pipeline, 'UniformClipSampler'))
    options[f'test_dataloader.dataset.pipeline.{place}.num_clips'] = num_clips
    for family, side in SMALL_CROPS.items():
        if name.startswith(family):
            options |= small_crops(cfg, side)
    return options


def small_crops(cfg: Config, side: int) -> dict:
    """Overrides that give a config 86 x 64 frames, crops of a side, and clips of 16 frames."""
    sizes = {
        'clip_len': 16, 'crop_size': side, 'input_size': side,
        'ClipDecode': (86, 64), 'ClipResize': (86, 64), 'Resize': (side, side),
    }  # fmt: skip
    options = {'model.data_preprocessor.crop_size': side}
    options |= {f'model.backbone.{k}': sizes[k] for k in sizes if k in cfg.model.backbone}
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for place, step in enumerate(cfg[loader].dataset.pipeline):
            for key in step.keys() & {*sizes, 'scale'}:
                value = sizes[step['type'] if key == 'scale' else key]
                options[f'{loader}.dataset.pipeline.{place}.{key}'] = value
    return options


def step_of(pipeline: list[dict], kind: str) -> dict:
    """The step of a type."""
    (step,) = (step for step in pipeline if step['type'] == kind)
    return step


def tiny_config(
    name: str,
    clips: Path,
    work_dir: Path,
    num_clips: int = 25,
    split: str | None = None,
    frames: bool = False,
    **options: object,
) -> Config:
    """The config of that name on the clips of the ``clips`` fixture."""
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    path = ROOT / 'configs' / f'{name}.py'
    cfg = select(Config.fromfile(path, format_python_code=False), split, frames)  # yapf is slow
    tiny = tiny_options(clips, name, num_clips)
    if name == 'tsn_r50_imagenet_kinetics':
        tiny['model.backbone.init_cfg'] = None  # a download
    cfg.merge_from_dict({**tiny, 'work_dir': str(work_dir), 'load_from': None, **options})
    return cfg


def settle_running_statistics(model: torch.nn.Module, clips: torch.Tensor) -> None:
    """Set the statistics of all BN layers from clips (N, C, T, H, W), normalised.

    At the start, and after one step at rate 0.1, they are far behind the weights,
    and in eval mode the units square what is off, layer after layer.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model.train().extract_feat(clips.unsqueeze(1), stage='backbone')


def settled_toy() -> torch.nn.Module:
    """The toy network, untrained, whose scores of motion clips are finite."""
    init_default_scope('mmaction')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').model)
    clips = [motion_clip(n % 10, seed=n, num_frames=16, size=(56, 56)) for n in range(20)]
    seen = torch.from_numpy(np.stack(clips)).float().permute(0, 4, 1, 2, 3)
    settle_running_statistics(model, seen - torch.tensor([123, 117, 104]).view(3, 1, 1, 1))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_var *= 4  # what is twice as large as these clips, squared seven times
    return model


def labelled(label: int) -> ActionDataSample:
    """A data sample with a label; mmaction2 1.2 and 1.1 name the method differently."""
    sample = ActionDataSample()
    return (getattr(sample, 'set_gt_label', None) or sample.set_gt_labels)(label)


def as_arguments(options: dict) -> list[str]:
    """Overrides as words after ``--cfg-options``."""
    return [f'{key}={value}' for key, value in options.items()]


def free_port() -> str:
    """A port at which the processes of a run can meet."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


def _start(words: list[str], env: dict[str, str], outputs: tuple[str, str]) -> None:
    """What a forked process does: a Python script with arguments, as the interpreter would."""
    for descriptor, path in zip((1, 2), outputs):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(env)
    torch.set_num_threads(int(env['OMP_NUM_THREADS']))
    random.seed(), np.random.seed(), torch.seed()  # not those of all that are forked
    sys.argv, sys.path[0] = words, str(Path(words[0]).parent)
    try:
        runpy.run_path(words[0], run_name='__main__')
    finally:
        atexit._run_exitfuncs()


def _run_forked(words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
    """Run a script in a process that has imported the project already, which takes seconds."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['artnet_mm.checks'])
    with tempfile.TemporaryDirectory() as folder:
        outputs = f'{folder}/out', f'{folder}/err'
        process = context.Process(target=_start, args=(words, env, outputs))
        process.start()
        process.join(900)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(words)
        out, err = (Path(path).read_text() for path in outputs)
    return subprocess.CompletedProcess(words, process.exitcode, out, err)


def run_tool(*command: object, check: bool = True, **env: str) -> subprocess.CompletedProcess:
    """Run a tool of the checkout in a process of its own; with variables ``env``.

    A new interpreter takes seconds to import the project, so scripts are forked from one that has
    done so, but where a variable is for the interpreter or for what it imports, and beside a GPU,
    which a forked process cannot use.
    """
    words = [str(word) for word in command]
    words[0] = str(ROOT / 'tools' / words[0])
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    packages = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
    own = {'OMP_NUM_THREADS': '1', 'PYTHONPATH': packages, 'PATH': path, 'PORT': free_port()}
    anew = any(name.startswith(('PYTHON', 'OMP_', 'ONEDNN_', 'ATEN_')) for name in env)
    anew = anew or torch.cuda.is_available()
    env = {**os.environ, **own, **env}
    if words[0].endswith('.py') and not anew:
        result = _run_forked(words, env)
    else:
        if words[0].endswith('.py'):
            words.insert(0, sys.executable)
        result = subprocess.run(words, env=env, capture_output=True, text=True, timeout=900)
    if check and result.returncode:
        raise AssertionError(f'{words} failed:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}')
    return result
