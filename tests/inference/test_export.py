"""Exported networks: any number of clips, the network's own scores, and no stack to run them."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from artnet_mm.data_making.motion_clips import CLASSES
from artnet_mm.datasets.video import Video
from artnet_mm.inference.export import (
    TOLERANCE,
    FramesToScores,
    difference,
    export,
    run_exported,
)
from artnet_mm.inference.recognizer import load_recognizer

from ..datasets.numbered import turn, write
from ..datasets.test_video import TURNS
from ..helpers import ROOT, run_tool, tiny_config

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

TOY, WEIGHTS = ROOT / 'configs/artnet_r18_d_toy.py', 'artnet://artnet_r18_d_toy'


@pytest.fixture(scope='module')
def videos(clips):
    return sorted((clips / 'videos_val').glob('*.mp4'))[:3]


@pytest.fixture(scope='module')
def onnx(videos, tmp_path_factory):
    file = tmp_path_factory.mktemp('onnx') / 'toy.onnx'
    result = run_tool('export.py', TOY, WEIGHTS, file, '--frames', '86x64', '--check', *videos)
    assert 'its scores of 3 videos are those of the network' in result.stdout
    return file


@pytest.mark.parametrize('suffix', ['.onnx', '.pt2'])
def test_scores_are_those_of_the_plain_network_by_hand(suffix, tmp_path):
    model, names = load_recognizer(TOY, WEIGHTS, 'cpu')
    frames = np.random.RandomState(0).randint(0, 256, (5, 16, 64, 86, 3), np.uint8)
    crop = torch.from_numpy(frames[:, :, 4:60, 15:71].astype(np.float32))
    views = (crop - torch.tensor([123.0, 117, 104])).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        expected = model(views.unsqueeze(1), stage='head', mode='tensor').numpy()
    network = FramesToScores(model, (86, 64))
    file = export(network, names, tmp_path / f'toy{suffix}')
    for number in (1, 2, 5):
        found = run_exported(file, frames[:number])
        np.testing.assert_allclose(found, expected[:number], rtol=1e-3, atol=1e-3)
        assert difference(network, file, frames[:number]) < TOLERANCE


@pytest.mark.parametrize(
    'name',
    ['artnet_r50_d_kinetics', 'tsn_r50_kinetics', 'r2plus1d_r34_kinetics',
     'artnet_r18_d_attention_kinetics', 'artnet_r18_d_lstm_kinetics'],
)  # fmt: skip
def test_networks_of_all_kinds_can_be_exported(name, clips, tmp_path):
    cfg = tiny_config(name, clips, tmp_path)
    if name.startswith('artnet'):  # untrained, and of noise
        cfg.model.backbone.max_response = 10
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'w.pth')
    model, names = load_recognizer(cfg, str(tmp_path / 'w.pth'), 'cpu')
    network = FramesToScores(model)
    file = export(network, names, tmp_path / 'network.onnx')
    assert difference(network, file, network.example(3).numpy()) < TOLERANCE


def test_what_is_not_the_network_is_refused(onnx):
    model, _ = load_recognizer(TOY, WEIGHTS, 'cpu')
    network = FramesToScores(model, (86, 64))
    with torch.no_grad():
        network.model.cls_head.fc_cls.bias[3] += 5
    with pytest.raises(ValueError, match=r'differs from the network by \d'):
        difference(network, onnx, network.example(2).numpy())


def packages_alone(folder: Path, *names: str) -> Path:
    """A folder with these installed packages and no others."""
    for name in names:
        package = Path(importlib.util.find_spec(name).origin).parent
        for place in (package, package.with_name(f'{name}.libs')):
            if place.exists():
                (folder / place.name).symlink_to(place)
    return folder


def test_a_script_without_the_stack_reads_a_video_and_answers(onnx, videos, tmp_path):
    path = packages_alone(tmp_path, 'numpy', 'av', 'onnxruntime')
    script = tmp_path / 'mine.py'
    script.write_text((ROOT / 'tools/run_onnx.py').read_text())
    env = {**os.environ, 'PYTHONPATH': str(path), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-S']

    def run(*words):
        return subprocess.run([*command, *words], env=env, capture_output=True, text=True)

    for package in ('torch', 'mmaction', 'cv2'):
        assert 'ModuleNotFoundError' in run('-c', f'import {package}').stderr
    for video in videos:
        result = run(script, onnx, video)
        assert result.returncode == 0, result.stderr
        # 24 frames, clips of 16: ten of them start from 0 to 8
        reader = Video(str(video))
        starts = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
        frames = np.stack([reader.frames(range(start, start + 16)) for start in starts])
        mean = torch.from_numpy(run_exported(onnx, frames)).mean(0)
        shares, labels = (100 * mean.softmax(0)).topk(5)
        lines = [line.split('%') for line in result.stdout.splitlines()]
        assert [CLASSES[label] for label in labels] == [name.strip() for _, name in lines]
        assert [float(share) for share, _ in lines] == pytest.approx(shares.tolist(), abs=0.1)


@pytest.mark.parametrize('name', ['to the right', 'to the left', 'upside down'])
def test_the_script_holds_phones_upright(name, tmp_path):
    run_onnx = importlib.util.spec_from_file_location('run_onnx', ROOT / 'tools/run_onnx.py')
    script = importlib.util.module_from_spec(run_onnx)
    run_onnx.loader.exec_module(script)
    path = str(turn(write(tmp_path / 'plain.mp4', 'libx264', range(3)), TURNS[name]))
    size, frames = Video(path).size, Video(path).walk()
    for frame, expected in zip(script.decode(path), frames, strict=True):
        found = script.upright(frame, *size)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 2


def test_the_tool_says_what_is_missing(tmp_path):
    result = run_tool('export.py', TOY, WEIGHTS, tmp_path / 'a.onnx', check=False)
    assert 'an export needs their size (--frames WxH)' in result.stderr
    result = run_tool('export.py', TOY, WEIGHTS, tmp_path / 'a.engine', check=False)
    assert 'ends in .onnx or .pt2' in result.stderr
    arguments = ('--frames', '40x40')
    result = run_tool('export.py', TOY, WEIGHTS, tmp_path / 'a.pt2', *arguments, check=False)
    assert 'crop_size 56x56 (w, h) is larger than the 40x40 frames' in result.stderr
    assert not [*tmp_path.iterdir()]
