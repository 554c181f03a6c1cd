"""Train, kill, resume, test, ask: the way a user goes, with real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pickle import UnpicklingError
from threading import Thread

import pytest
import torch
from mmaction.apis import inference_recognizer, init_recognizer
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.runner.checkpoint import CheckpointLoader

from artnet_mm.compat import prediction_of

from ..helpers import ROOT, as_arguments, run_tool, step_of, tiny_options

TOY = ROOT / 'configs/artnet_r18_d_toy.py'


@pytest.fixture(scope='module')
def arguments(clips) -> list[str]:
    """A run of 8 iterations with a checkpoint and a validation every second one."""
    short = {
        'train_cfg.max_iters': 8,
        'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.logger.interval': 1,
    }
    return ['--cfg-options', *as_arguments({**tiny_options(clips, num_clips=2), **short})]


@pytest.fixture(scope='module')
def killed_and_resumed(arguments, tmp_path_factory):
    """Work dir and output of a run killed after its first checkpoint and resumed."""
    work_dir = tmp_path_factory.mktemp('run')
    command = [sys.executable, ROOT / 'tools/train.py', TOY, '--work-dir', work_dir, *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    deadline = time.monotonic() + 240
    pointer = work_dir / 'last_checkpoint'
    while not (pointer.exists() and pointer.read_text()) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = int(pointer.read_text().strip()[:-4].rpartition('_')[2])
    result = run_tool('train.py', TOY, '--resume', '--work-dir', work_dir, *arguments)
    return work_dir, reached, result.stdout


def test_resumed_run_goes_on_from_the_checkpoint(killed_and_resumed):
    _, reached, output = killed_and_resumed
    assert f'resumed epoch: 0, iter: {reached}' in output
    assert f'Iter(train) [{reached + 1}/8]' in output
    assert f'Iter(train) [{reached}/8]' not in output
    assert 'Iter(train) [8/8]' in output


def test_three_checkpoints_and_the_best_are_kept(killed_and_resumed):
    work_dir, _, _ = killed_and_resumed
    assert {p.name for p in work_dir.glob('iter_*.pth')} == {
        'iter_4.pth',
        'iter_6.pth',
        'iter_8.pth',
    }
    (best,) = work_dir.glob('best_acc_avg_iter_*.pth')
    scalars = [
        json.loads(line)
        for file in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in file.read_text().splitlines()
    ]
    averages = {r['step']: r['acc/avg'] for r in scalars if 'acc/avg' in r}
    assert {4, 6, 8} <= averages.keys() <= {2, 4, 6, 8}  # killed before or after validating
    assert averages[int(best.stem.rpartition('_')[2])] == max(averages.values())


def test_tested_and_asked_alike(killed_and_resumed, arguments, clips, tmp_path):
    """tools/test.py and init_recognizer give the same scores to the same videos."""
    work_dir, _, _ = killed_and_resumed
    checkpoint, dump = work_dir / 'iter_8.pth', tmp_path / 'scores.pkl'
    result = run_tool(
        'test.py', TOY, checkpoint, '--dump', dump, '--work-dir', tmp_path, *arguments
    )
    assert 'acc/evaluated: 10  acc/expected: 10' in result.stdout
    dumped = {r['filename']: prediction_of(r)[0] for r in load(dump)}
    assert len(dumped) == 10

    cfg = Config.fromfile(TOY)
    step_of(cfg.test_pipeline, 'UniformClipSampler').num_clips = 2
    model = init_recognizer(cfg, str(checkpoint), device='cpu')
    for video in sorted((clips / 'videos_val').iterdir())[:2]:
        scores, _ = prediction_of(inference_recognizer(model, str(video)).to_dict())
        torch.testing.assert_close(scores, dumped[str(video)], rtol=1e-4, atol=1e-4, equal_nan=True)


def test_hostile_and_cut_checkpoints_are_refused_by_the_tools(
    killed_and_resumed, arguments, tmp_path
):
    work_dir, _, _ = killed_and_resumed
    cut = tmp_path / 'cut.pth'
    cut.write_bytes((work_dir / 'iter_8.pth').read_bytes()[:100_000])
    canary = tmp_path / 'canary'
    hostile = tmp_path / 'hostile.pth'
    torch.save({'state_dict': _Hostile(f'touch {canary}')}, hostile)
    for checkpoint in (cut, hostile):
        result = run_tool(
            'test.py', TOY, checkpoint, '--work-dir', tmp_path, *arguments, check=False
        )
        assert result.returncode == 1
        assert f'checkpoint {checkpoint} is cut short, or holds more than' in result.stderr
    assert not canary.exists()


def test_hostile_checkpoint_behind_a_url_is_refused(tmp_path, monkeypatch):
    canary = tmp_path / 'canary'
    torch.save({'state_dict': _Hostile(f'touch {canary}')}, tmp_path / 'hostile.pth')
    torch.save({'state_dict': {'weight': torch.ones(1)}}, tmp_path / 'plain.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}'
        loaded = CheckpointLoader.load_checkpoint(f'{url}/plain.pth', map_location='cpu')
        assert loaded['state_dict']['weight'].item() == 1
        with pytest.raises(UnpicklingError, match='system'):
            CheckpointLoader.load_checkpoint(f'{url}/hostile.pth', map_location='cpu')
        server.shutdown()
    assert not canary.exists()


class _Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_demo_prints_its_table_and_draws_its_pictures(arguments, tmp_path):
    """The whole of ``make demo`` after the installation, at a size of seconds."""
    config = tmp_path / 'toy.py'
    config.write_text(
        f"_base_ = ['{TOY}']\n"
        f"own = dict(dataset=dict(data_root='{tmp_path}/data/'))\n"
        'train_dataloader = val_dataloader = test_dataloader = own\n'
    )
    options = [option for option in arguments[1:] if '.ann_file' not in option]
    options = [option for option in options if '.data_prefix.' not in option]
    seed = tmp_path / 'demo/toy/seed0'
    seed.mkdir(parents=True)
    for name in ('last_checkpoint', 'iter_9.pth', 'best_acc_avg_iter_9.pth'):
        (seed / name).write_text('of an earlier demo')
    result = run_tool(
        'demo.py', '--config', config, '--work-dir', tmp_path / 'demo', '--clips', 20, 10,
        '--cfg-options', *options,
    )  # fmt: skip
    for word in ('top-1', 'Avg', 'chance', '10 held-out clips', 'held-out clip', 'minutes'):
        assert word in result.stdout
    (line,) = (tmp_path / 'demo/results.jsonl').read_text().splitlines()
    kept = json.loads(line)
    assert (kept['config'], kept['threads'], kept['seed']) == ('toy', 1, 0)
    assert f'{kept["top1"]:.1f}' in result.stdout and kept['cross_entropy'] > 0
    for name in ('training', 'confusion', 'clips'):
        assert (seed / f'{name}.png').read_bytes().startswith(b'\x89PNG')
