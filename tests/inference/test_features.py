"""Features of real videos, against the network called by hand."""

import json
import os.path as osp
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors.numpy import load_file

from artnet_mm.datasets.video import Video
from artnet_mm.inference.features import FeatureExtractor, gpu_of
from artnet_mm.inference.probe import probe
from artnet_mm.inference.recognizer import load_recognizer

from ..helpers import ROOT, let_a_cpu_take, run_tool, settled_toy

TOY = ROOT / 'configs/artnet_r18_d_toy.py'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'toy.pth'
    torch.save(dict(state_dict=settled_toy().state_dict(), meta={}), path)
    return str(path)


@pytest.fixture(scope='module')
def model(weights):
    return load_recognizer(TOY, weights, 'cpu')[0]


@pytest.fixture(scope='module')
def video(clips):
    return clips / 'videos_val' / (clips / 'val_list_videos.txt').read_text().split()[0]


def said(*command, check=True):
    result = run_tool(*command, check=check, COLUMNS='120')
    assert check or result.returncode == 1
    return ' '.join((result.stdout + result.stderr).replace('│', ' ').split())


def by_hand(model, frames, layer=None):
    """Pooled features of clips (n, T, H, W, C) of whole frames, of one centre crop."""
    size = model.data_preprocessor.crops.size[0]
    height, width = frames.shape[2:4]
    top, left = (height - size) // 2, (width - size) // 2
    crop = torch.tensor(frames[:, :, top : top + size, left : left + size]).float()
    crop = (crop - torch.tensor([123.0, 117, 104])).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        out = model.backbone.stem(crop)
        for name, stage in enumerate(model.backbone.stages):
            out = stage(out)
            if layer == f'stages.{name}':
                return out
        return model.backbone.norm(out).relu()


def test_windows_are_seen_as_centre_crops(model, video):
    reader = Video(str(video))
    frames = reader.frames(range(len(reader)), model.cfg.decode.scale)
    length = len(frames)
    firsts = [0, 5, length - 16]
    clips = np.stack([frames[first : first + 16] for first in firsts])
    got = FeatureExtractor(model, 'clip', window='16', step='5')(video)
    np.testing.assert_allclose(got, by_hand(model, clips).mean((2, 3, 4)), rtol=1e-4, atol=1e-5)
    whole = FeatureExtractor(model, 'video', window='16', step='5')(video)
    np.testing.assert_allclose(whole, got.mean(0), rtol=1e-5, atol=1e-6)
    maps = FeatureExtractor(model, 'maps', 'stages.2', window='16', step='5')(video)
    expected = by_hand(model, clips, 'stages.2')
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert maps.ndim == 5


def test_without_a_window_a_video_is_seen_as_in_the_test(model, video):
    """Scores are linear in the mean of features over all views."""
    from mmaction.apis import inference_recognizer

    from artnet_mm.compat import prediction_of

    features = FeatureExtractor(model)(video)
    scores, _ = prediction_of(inference_recognizer(model, str(video)).to_dict())
    fc = model.cls_head.fc_cls
    expected = fc.weight.detach().numpy() @ features + fc.bias.detach().numpy()
    np.testing.assert_allclose(scores.cpu(), expected, rtol=1e-3, atol=1e-3)
    by_clip = FeatureExtractor(model, 'clip')(video)
    clips = next(s for s in model.cfg.test_pipeline if 'num_clips' in s).num_clips
    assert by_clip.shape == (clips, 64)
    np.testing.assert_allclose(by_clip.mean(0), features, rtol=1e-5, atol=1e-6)


def test_a_cpu_takes_few_windows_and_views_at_a_time(model, video, monkeypatch):
    asked, seen = (dict(), dict(kind='clip', window='16', step='1')), []
    before = [FeatureExtractor(model, **options)(video) for options in asked]
    let_a_cpu_take(monkeypatch, 2)
    hook = model.backbone.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    for options, features in zip(asked, before):
        seen.clear()
        after = FeatureExtractor(model, **options)(video)
        assert max(seen) == 2
        np.testing.assert_allclose(after, features, rtol=1e-4, atol=1e-5)
    hook.remove()


def test_a_2d_network_of_mmaction2_has_features_and_maps_too(clips, video, tmp_path):
    cfg = Config.fromfile(ROOT / 'configs/tsn_r50_kinetics.py', format_python_code=False)
    cfg.test_pipeline[1].num_clips = 3
    from mmaction.registry import MODELS

    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'tsn.pth')
    model, names = load_recognizer(cfg, str(tmp_path / 'tsn.pth'), 'cpu')
    assert names[:2] == ['class 0', 'class 1'] and len(names) == 400
    assert FeatureExtractor(model, 'clip')(video).shape == (3, 2048)
    maps = FeatureExtractor(model, 'maps', 'layer3', window='12', step='12')(video)
    assert maps.shape == (2, 1024, 7, 7)


@pytest.mark.parametrize(
    'what, reason',
    [
        (dict(kind='all'), "kind must be 'video', 'clip' or 'maps'"),
        (dict(layer='stages.9'), r"no layer 'stages.9'; it has .*stages\.0"),
        (dict(layer='stages'), r"layer 'stages' gives no maps"),
        (dict(step='4'), 'a step need a window|needs? a window'),
        (dict(kind='maps'), 'maps need a window'),
        (dict(window='3 s'), 'neither a number of frames'),
    ],
)
def test_what_cannot_be_made_is_refused_before_any_video(what, reason, model):
    with pytest.raises(ValueError, match=reason):
        FeatureExtractor(model, **what)


def test_what_the_next_layer_changes_in_place_is_kept_as_it_was(model, video):
    found = FeatureExtractor(model, 'maps', 'norm', window='16')(video)
    plain = FeatureExtractor(model, 'maps', window='16')(video)
    assert found.min() < 0
    assert np.array_equal(found.clip(0), plain)


def test_the_tool_makes_what_is_not_there_and_a_probe_reads_it(clips, weights, tmp_path):
    lists = [clips / 'train_list_videos.txt']
    arguments = (TOY, weights, *lists, '--videos', clips / 'videos_train', '--out-dir', tmp_path)
    arguments += ('--processes', 2, '--device', 'cpu', '--window', '0.5s')
    result = said('extract_features.py', *arguments, '--safetensors', tmp_path / 'all.st')
    assert '20 done, 0 already there, 0 failed' in result
    lines = (tmp_path / 'train_list_videos.txt').read_text().splitlines()
    made = [tmp_path / 'videos_train' / line.split()[0] for line in lines]
    # 24 frames at 25 per second, windows of 12: two each
    assert {np.load(path).shape for path in made} == {(2, 64)}
    assert all(line.split()[1] == '2' for line in lines)
    joined = load_file(tmp_path / 'all.st')
    assert len(joined) == 20
    for path in made:
        name = str(path.relative_to(tmp_path / 'videos_train').with_suffix(''))
        assert np.array_equal(joined[name], np.load(path))
    assert json.loads((tmp_path / 'settings.json').read_text())['window'] == '0.5s'

    other = tmp_path / 'other' / 'videos_train'
    other.mkdir(parents=True)
    for path in (clips / 'videos_train').iterdir():
        (other / path.name).symlink_to(path)
    elsewhere = [other if word == clips / 'videos_train' else word for word in arguments]
    (tmp_path / 'all.st').write_text('kept')
    text = said(
        'extract_features.py', *elsewhere, '--safetensors', tmp_path / 'all.st', check=False
    )
    assert f'was made of {clips}/videos_train (now {other})' in text
    assert (tmp_path / 'all.st').read_text() == 'kept'

    made[3].unlink()
    moved = [osp.relpath(word) if word == weights else word for word in arguments]
    assert '1 done, 19 already there, 0 failed' in said('extract_features.py', *moved)
    other = said('extract_features.py', *arguments, '--step', '4', check=False)
    assert 'was made with step None (now 4): give another --out-dir' in other
    retrained = tmp_path / 'retrained.pth'
    state = torch.load(weights)
    retrained.write_bytes(Path(weights).read_bytes())
    with_retrained = [str(retrained) if word == weights else word for word in arguments]
    with_retrained[with_retrained.index('--out-dir') + 1] = tmp_path / 'again'
    assert '20 done' in said('extract_features.py', *with_retrained)
    state['state_dict']['backbone.norm.weight'] += 1
    torch.save(state, retrained)
    text = said('extract_features.py', *with_retrained, check=False)
    assert 'was made with digest' in text

    list_file = tmp_path / 'train_list_videos.txt'
    table = said('probe_features.py', list_file, list_file, '--features', tmp_path / 'videos_train')
    assert '20 videos to learn from, 20 to test on' in table
    assert 'linear classifier 100.0' in table


def test_processes_take_the_gpus_in_turn():
    assert [gpu_of(4000 + n, 3) for n in range(6)] == [f'cuda:{n}' for n in (1, 2, 0, 1, 2, 0)]
    assert gpu_of(4000, 0) is None


def test_the_tool_takes_folders_and_videos_and_names_what_it_cannot_read(
    clips, weights, video, tmp_path
):
    folder = tmp_path / 'mine' / 'deep'
    folder.mkdir(parents=True)
    (folder / 'two words.mp4').write_bytes(video.read_bytes())
    (folder / 'broken.avi').write_bytes(b'no video')
    (folder / 'notes.csv').write_text('no video either')
    arguments = (TOY, weights, tmp_path / 'mine', '--out-dir', tmp_path / 'out')
    arguments += ('--processes', 1, '--device', 'cpu', '--window', '16', '--deploy')
    text = said('extract_features.py', *arguments, check=False)
    assert '1 done, 0 already there, 1 failed' in text
    assert 'broken.avi' in text and 'cannot be opened as a video' in text
    assert [p.name for p in (tmp_path / 'out').rglob('*.npy')] == ['two words.npy']

    arguments = (TOY, weights, video, '--out-dir', tmp_path / 'one', '--device', 'cpu')
    said('extract_features.py', *arguments, '--processes', 1, '--window', '16')
    (made,) = (tmp_path / 'one').rglob('*.npy')
    assert made.stem == video.stem and np.load(made).shape == (2, 64)


def test_probes_of_features_that_tell_classes_apart_and_of_noise():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    means = 3 * rng.normal(size=(4, 16))
    good = means[labels] + rng.normal(size=(200, 16))
    figures = probe((good[:100], labels[:100]), (good[100:], labels[100:]))
    assert figures['most frequent class'] == 25
    assert figures['20 nearest neighbours'] > 90 and figures['linear classifier'] > 90
    noise = rng.normal(size=(200, 16))
    figures = probe((noise[:100], labels[:100]), (noise[100:], labels[100:]))
    assert max(figures.values()) < 50
    with pytest.raises(ValueError, match='16 features in training, but 8 in the test'):
        probe((noise, labels), (noise[:, :8], labels))
