"""tools/predict.py and tools/publish_checkpoint.py on real videos and checkpoints."""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import decord
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from artnet_mm.checkpoints import load, load_whole
from artnet_mm.data_making.motion_clips import CLASSES
from artnet_mm.zoo import hub
from artnet_mm.zoo.card import settings_of

from ..helpers import ROOT, run_tool, settled_toy, tiny_config
from ..servers import FileServer

TOY = ROOT / 'configs/artnet_r18_d_toy.py'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """The toy with 2 x 10 views per video, for time's sake."""
    path = tmp_path_factory.mktemp('config') / 'toy.py'
    path.write_text(
        f"_base_ = ['{TOY}']\n"
        'test_pipeline = [\n'
        '    {**step, "num_clips": 2} if "num_clips" in step else step\n'
        '    for step in _base_.test_pipeline\n'
        ']\n'
    )
    return path


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint as a run writes it: weights, names of classes, and much besides."""
    model = settled_toy()
    meta = dict(dataset_meta=dict(classes=list(CLASSES)), trained_on=[('toy', '1')], cfg='x' * 999)
    path = tmp_path_factory.mktemp('checkpoint') / 'iter_800.pth'
    state = {'optimizer': {'state': torch.zeros(10**6)}, 'message_hub': {}, 'param_schedulers': []}
    torch.save({'state_dict': model.state_dict(), 'meta': meta, **state}, path)
    return path


def videos(clips, *numbers):
    return [sorted((clips / 'videos_val').iterdir())[number] for number in numbers]


def answers(output):
    """Percentage, bar and class of every line of an answer."""
    return re.findall(r'^ +([\d.]+)% (█*) +(.+?) *$', output, re.MULTILINE)


def test_answers_are_printed_by_name_with_bars_and_written_to_a_csv(
    clips, config, checkpoint, tmp_path
):
    asked = videos(clips, 0, 3)
    result = run_tool('predict.py', config, checkpoint, *asked, '--csv', tmp_path / 'a/out.csv')
    printed = answers(result.stdout)
    with (tmp_path / 'a/out.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['video'] for row in rows] == [str(video) for video in asked for _ in range(5)]
    assert [row['rank'] for row in rows] == list('12345' * 2)
    for (percent, bar, name), row in zip(printed, rows, strict=True):
        assert name == row['class'] in CLASSES
        assert float(percent) == pytest.approx(100 * float(row['probability']), abs=0.051)
        assert len(bar) == round(30 * float(row['probability']))
    for start in (0, 5):
        probabilities = [float(row['probability']) for row in rows[start : start + 5]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1


def test_a_broken_video_is_said_and_the_others_are_answered(clips, config, checkpoint, tmp_path):
    (tmp_path / 'bad.mp4').write_text('not a video')
    (good,) = videos(clips, 1)
    command = ['predict.py', config, checkpoint, tmp_path / 'bad.mp4', good]
    result = run_tool(*command, '--csv', tmp_path / 'out.csv', check=False)
    assert result.returncode == 1
    assert result.stderr.endswith('error: 1 of 2 videos could not be read\n')
    assert 'bad.mp4: no answer: ' in result.stdout.replace('\n', '')
    with (tmp_path / 'out.csv').open(newline='') as file:
        assert {row['video'] for row in csv.DictReader(file)} == {str(good)}


def test_scores_out_of_all_proportion_are_said_and_a_limit_mends_them(
    clips, config, checkpoint, tmp_path
):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    state['backbone.stages.2.1.conv2.relation_norm.weight'] *= 1e4
    torch.save({'state_dict': state}, tmp_path / 'wild.pth')
    command = ['predict.py', config, tmp_path / 'wild.pth', *videos(clips, 0)]
    unbounded = 'model.backbone.max_response=None'
    assert 'out of all proportion' in run_tool(*command, '--cfg-options', unbounded).stdout
    result = run_tool(*command, '--cfg-options', 'model.backbone.max_response=3')
    assert 'out of all proportion' not in result.stdout
    assert len(answers(result.stdout)) == 5


def test_names_of_classes_may_come_from_a_file(clips, config, checkpoint, tmp_path):
    (tmp_path / 'classes.txt').write_text('\n'.join(f'<{name}>' for name in CLASSES))
    command = ['predict.py', config, checkpoint, *videos(clips, 0), '--classes']
    named = answers(run_tool(*command, tmp_path / 'classes.txt').stdout)
    assert len(named) == 5
    assert all(name.startswith('<') for *_, name in named)
    (tmp_path / 'classes.txt').write_text('one\ntwo\n')
    result = run_tool(*command, tmp_path / 'classes.txt', check=False)
    expected = f'error: {tmp_path}/classes.txt names 2 classes, but the model has 10\n'
    assert result.stderr == expected


def test_an_annotated_copy_has_every_frame_with_text_on_it(clips, config, checkpoint, tmp_path):
    (video,) = videos(clips, 2)
    run_tool('predict.py', config, checkpoint, video, '--out-dir', tmp_path)
    (copy,) = tmp_path.iterdir()
    assert copy.name == f'{video.stem}_answer.mp4'
    before, after = (decord.VideoReader(str(path)) for path in (video, copy))
    assert len(before) == len(after) == 24
    for source, annotated in zip(before, after):
        difference = cv2.absdiff(source.asnumpy(), annotated.asnumpy()).max(axis=2)
        assert np.mean(difference[:, :40] > 60) > 0.05  # the text, on the left


def test_two_copies_of_one_name_are_refused_before_anything_starts(clips, tmp_path):
    same = [clips / 'videos_val/up_00000.mp4'] * 2
    result = run_tool('predict.py', TOY, 'x.pth', *same, '--out-dir', tmp_path, check=False)
    assert (
        result.stderr == f'error: {tmp_path}/up_00000_answer.mp4 would be the copy of two videos\n'
    )


def test_a_checkpoint_of_another_model_is_refused(clips, checkpoint):
    other = ROOT / 'configs/artnet_r18_d_kinetics.py'
    result = run_tool('predict.py', other, checkpoint, *videos(clips, 0), check=False)
    assert result.returncode == 1
    assert result.stderr.startswith('error: The model and loaded state dict do not match exactly')


def test_a_published_checkpoint_keeps_weights_and_names_under_the_hash_of_its_file(
    clips, config, checkpoint, tmp_path
):
    result = run_tool('publish_checkpoint.py', checkpoint, 'artnet_toy', '--out-dir', tmp_path)
    (published,) = tmp_path.glob('*.pth')
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert published.name == f'artnet_toy-{digest[:8]}.pth'
    assert f'artnet://{published.stem}' in result.stdout
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, published))
    assert set(after) == {'state_dict', 'meta'}
    assert after['meta'] == {key: before['meta'][key] for key in ('dataset_meta', 'trained_on')}
    assert before['state_dict'].keys() == after['state_dict'].keys()
    for name, weight in before['state_dict'].items():
        assert torch.equal(weight, after['state_dict'][name])
    asked = videos(clips, 0)
    first, second = (
        answers(run_tool('predict.py', config, c, *asked).stdout) for c in (checkpoint, published)
    )
    assert first == second
    assert len(first) == 5

    same = load(published.with_suffix('.safetensors'))
    assert same['meta'] == json.loads(json.dumps(after['meta']))
    assert same['state_dict'].keys() == after['state_dict'].keys()
    assert all(torch.equal(same['state_dict'][k], w) for k, w in after['state_dict'].items())
    third = run_tool('predict.py', config, published.with_suffix('.safetensors'), *asked)
    assert answers(third.stdout) == first
    card = published.with_suffix('.md').read_text()
    assert not published.with_suffix('.py').exists()  # it came without a config
    assert published.name in card and '0. up\n1. down\n' in card


def test_the_card_and_the_config_of_a_run_say_how_to_load_it(clips, tmp_path):
    cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path / 'run', 1)
    cfg.merge_from_dict({'train_cfg.max_iters': 2, 'train_cfg.val_interval': 1})
    cfg.custom_hooks = [dict(type='RestartHook')]
    Runner.from_cfg(cfg).train()
    zoo = tmp_path / 'zoo'
    zoo.mkdir()
    for own in ('mine.py', 'mine.md'):
        (zoo / own).write_text('of the user')
    run_tool('publish_checkpoint.py', tmp_path / 'run/iter_2.pth', 'mine', '--out-dir', zoo)
    assert {(zoo / own).read_text() for own in ('mine.py', 'mine.md')} == {'of the user'}
    (published,) = zoo.glob('*.pth')
    card = published.with_suffix('.md').read_text()
    assert '| network | arch=artnet_d, base_channels=8, depth=18, max_response=10' in card
    assert '| iterations | 2 |' in card
    # of the iteration before, unless the last validation was the best
    iteration, top1 = re.search(r'at iteration (\d), .* top-1 ([\d.]+)%, top-5', card).groups()
    log = (tmp_path / 'run').rglob('scalars.json')
    seen = [json.loads(line) for path in log for line in path.read_text().splitlines()]
    seen = {record['step']: record['acc/top1'] for record in seen if 'acc/top1' in record}
    assert iteration == ('2' if seen[2] > seen[1] else '1')
    assert float(top1) == pytest.approx(100 * seen[int(iteration)], abs=0.06)
    code = card.split('```python\n')[1].split('```')[0]
    (zoo / 'load.py').write_text(f'{code}print(type(model).__name__)\n')
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, 'load.py']
    result = subprocess.run(command, cwd=zoo, env=env, capture_output=True, text=True)
    assert result.stdout.endswith('ClipRecognizer3D\n'), result.stderr


def test_settings_are_read_from_the_text_of_a_config_and_nothing_is_executed(tmp_path):
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py', format_python_code=False)
    expected = json.loads(json.dumps(cfg.to_dict()))  # tuples as lists
    assert json.loads(json.dumps(settings_of(cfg.pretty_text))) == expected
    harmful = f'a = open({str(tmp_path / "x")!r}, "w")'
    others = ['import os', 'x = dict(**y)', 'x' * 9, 'a = [1 for _ in x]', 'a =', 'a.b = 1']
    for text in (harmful, 'a = dict(b=dict.fromkeys("ab"))', *others):
        with pytest.raises(ValueError, match=r'no (setting|plain data)|cannot be read|malformed'):
            settings_of(text)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('cut.safetensors', b'\x08\0\0\0\0\0\0\0{}', 'is no safetensors file'),
        ('text.safetensors', b'not at all', 'is no safetensors file'),
        ('empty.safetensors', b'', 'is no safetensors file'),
    ],
)
def test_broken_safetensors_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    for read in (load, load_whole):
        with pytest.raises(RuntimeError, match=message):
            read(tmp_path / name)


def test_checkpoints_of_hugging_face_are_loaded_by_name(checkpoint, tmp_path, monkeypatch):
    pytest.importorskip('huggingface_hub')
    data = Path(checkpoint).read_bytes()
    code = (
        'import sys, artnet_mm\n'
        'from mmengine.runner.checkpoint import CheckpointLoader\n'
        'print(len(CheckpointLoader.load_checkpoint(sys.argv[1])["state_dict"]))\n'
    )
    with FileServer() as server:
        server.files['me/nets/resolve/main/deep/net.pth'] = data
        server.files['me/nets/resolve/v1/net.pth'] = data
        server.headers = {'X-Repo-Commit': 'a' * 40}
        env = {
            **os.environ, 'HF_ENDPOINT': server.url, 'HF_HOME': str(tmp_path / 'cache'),
            'PYTHONPATH': str(ROOT), 'HF_HUB_DISABLE_XET': '1',
        }  # fmt: skip

        def load_by_name(name):
            command = [sys.executable, '-c', code, name]
            return subprocess.run(command, env=env, capture_output=True, text=True)

        expected = str(len(torch.load(checkpoint, weights_only=True)['state_dict']))
        for name in ('hf://me/nets/deep/net.pth', 'hf://me/nets@v1/net.pth'):
            result = load_by_name(name)
            assert result.stdout.split()[-1:] == [expected], result.stderr
        result = load_by_name('hf://me/nets/other.pth')
        assert 'ConnectionError: hf://me/nets/other.pth gave no checkpoint: ' in result.stderr
    result = load_by_name('hf://me/nets/deep/net.pth')  # the server is gone
    assert result.stdout.split()[-1:] == [expected], result.stderr


@pytest.mark.parametrize('name', ['me', 'me/nets', 'me/nets/../x.pth', '/a/b/c', 'me/nets/a b.pth'])
def test_other_names_of_hugging_face_are_refused(name):
    with pytest.raises(ValueError, match=r'expected hf://OWNER/REPOSITORY'):
        hub.local(f'hf://{name}')


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('../up', {'state_dict': {'a': torch.zeros(1)}}, "'../up' is no name of letters"),
        ('fine', {'model': 1}, 'holds no state_dict'),
    ],
)
def test_what_cannot_be_published_is_said(tmp_path, name, content, message):
    torch.save(content, tmp_path / 'in.pth')
    arguments = [tmp_path / 'in.pth', name, '--out-dir', tmp_path / 'zoo']
    result = run_tool('publish_checkpoint.py', *arguments, check=False)
    assert result.returncode == 1
    assert message in result.stderr
    assert not list((tmp_path / 'zoo').glob('*'))
