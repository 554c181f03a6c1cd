"""Fusion against sums worked out by hand, on videos in shuffled orders."""

import io
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.fileio import dump

from artnet_mm.compat import prediction_of
from artnet_mm.evaluation.dumps import read_dump, write_arrays
from artnet_mm.evaluation.fusion import accuracy, fuse, read_scores, write_scores

from ..helpers import labelled, run_tool

RGB = {'x/a': ([2, 0, 1], 0), 'x/b': ([0, 1, 0], 2), 'y/c': ([1, 2, 0], 1)}
FLOW = {'y/c': ([2, 1, 0], 1), 'x/a': ([0, 2, 0], 0), 'x/b': ([1, 0, 3], 2)}
# RGB is right about a and c, flow about b, and 1 : 1.5 about b alone
FUSED = {'x/a': [2, 3, 1], 'x/b': [1.5, 1, 4.5], 'y/c': [4, 3.5, 0]}


def scores_of(stream: dict) -> dict:
    return {video: (np.array(values, float), label) for video, (values, label) in stream.items()}


def sample_of(values: list, label: int, **names: str) -> dict:
    """What DumpResults keeps of a tested video, under this mmaction2's names."""
    sample = labelled(label)
    sample.set_metainfo(names)
    set_scores = getattr(sample, 'set_pred_score', None) or sample.set_pred_scores
    set_scores(torch.tensor(values).float())
    return sample.to_dict()


def write_dump(file, stream: dict):
    samples = [sample_of(*pair, video_id=video) for video, pair in stream.items()]
    dump(samples, str(file))
    return file


def check(scores: dict, expected: dict) -> None:
    assert list(scores) == list(expected)
    for video, values in expected.items():
        np.testing.assert_allclose(scores[video][0], values, rtol=1e-12, err_msg=video)


def test_scores_are_summed_video_by_video_whatever_their_order():
    fused = fuse({'rgb': scores_of(RGB), 'flow': scores_of(FLOW)}, [1, 1.5])
    check(fused, FUSED)
    assert [label for _, label in fused.values()] == [0, 2, 1]
    figures = accuracy(fused)
    assert figures['top1'] == figures['mean1'] == 1 / 3
    assert figures['top5'] == 1
    assert figures['avg'] == 2 / 3
    assert figures['evaluated'] == 3


def test_three_streams_are_summed():
    streams = {'rgb': scores_of(RGB), 'flow': scores_of(FLOW), 'again': scores_of(RGB)}
    check(fuse(streams, [1, 1.5, 2]), {'x/a': [6, 3, 3], 'x/b': [1.5, 3, 4.5], 'y/c': [6, 7.5, 0]})


def test_fused_probabilities_are_the_weighted_mean_in_logarithms():
    # Scores before the softmax are logarithms of probabilities but for a constant.
    streams = {
        'rgb': {'a': (np.log([0.5, 0.25, 0.25]) + 7, 0), 'b': (np.log([0.1, 0.1, 0.8]) - 900, 2)},
        'flow': {'b': (np.log([0.3, 0.5, 0.2]), 2), 'a': (np.log([0.25, 0.25, 0.5]) + 900, 0)},
    }
    expected = {'a': np.log([0.3125, 0.25, 0.4375]), 'b': np.log([0.25, 0.4, 0.35])}
    for weights in ([1, 3], [0.2, 0.6]):
        fused = fuse(streams, weights, of='probabilities')
        check(fused, expected)
        nll = -(np.log(0.3125) + np.log(0.35)) / 2
        np.testing.assert_allclose(accuracy(fused)['nll'], nll, rtol=1e-12)


def test_a_stream_of_weight_0_has_no_say():
    streams = {'rgb': scores_of(RGB), 'flow': scores_of(FLOW)}
    check(fuse(streams, [1, 0]), {video: values for video, (values, _) in RGB.items()})
    e = np.e
    probabilities = np.array([e**2, 1, e]) / (e**2 + 1 + e)
    fused = fuse(streams, [2, 0], of='probabilities')
    np.testing.assert_allclose(fused['x/a'][0], np.log(probabilities), rtol=1e-12)
    streams['flow']['x/a'] = np.full(3, np.nan), streams['flow']['x/a'][1]  # not to be read
    check(fuse(streams, [1, 0]), {video: values for video, (values, _) in RGB.items()})


@pytest.mark.parametrize(
    'weights', [[1], [1, 1, 1], [1, -0.5], [0, 0], [1, np.nan], [np.inf, 1], []]
)
def test_weights_that_do_not_fit_are_refused(weights):
    streams = {'rgb': scores_of(RGB), 'flow': scores_of(FLOW)}
    with pytest.raises(ValueError, match='weights must be 2 finite numbers'):
        fuse(streams, weights)


def test_something_else_to_fuse_is_refused():
    with pytest.raises(ValueError, match="of must be 'scores' or 'probabilities', got 'logits'"):
        fuse({'rgb': scores_of(RGB)}, [1], of='logits')


def test_videos_that_a_stream_lacks_are_listed():
    rgb, flow = scores_of(RGB), scores_of(FLOW)
    more = {f'z/{number:02d}': (np.zeros(3), 0) for number in range(12)}
    del rgb['x/b']
    with pytest.raises(ValueError) as error:
        fuse({'rgb.pkl': rgb, 'flow.pkl': {**more, **flow}}, [1, 1.5])
    lost = ', '.join(['x/b', *(f'z/{number:02d}' for number in range(9))])
    assert str(error.value) == (
        f'the streams differ in their videos: rgb.pkl lacks 13 videos ({lost}, ...)'
    )
    del flow['x/a']
    with pytest.raises(ValueError) as error:
        fuse({'rgb.pkl': rgb, 'flow.pkl': flow}, [1, 1.5])
    assert str(error.value) == (
        'the streams differ in their videos: rgb.pkl lacks 1 videos (x/b); '
        'flow.pkl lacks 1 videos (x/a)'
    )


def test_missing_videos_are_left_out_on_demand_unless_none_is_left():
    rgb, flow = scores_of(RGB), scores_of(FLOW)
    del flow['x/a']
    streams = {'rgb': rgb, 'flow': flow}
    left = {video: FUSED[video] for video in ('x/b', 'y/c')}
    check(fuse(streams, [1, 1.5], allow_missing=True), left)
    streams = {'rgb': {'x/a': rgb['x/a']}, 'flow': flow}
    with pytest.raises(ValueError, match='the streams have no video in common'):
        fuse(streams, [1, 1.5], allow_missing=True)


def test_labels_that_differ_are_listed():
    other = {**scores_of(FLOW), 'x/b': (np.zeros(3), 1), 'x/a': (np.zeros(3), -1)}
    with pytest.raises(ValueError, match=r'the labels of 2 videos \(x/a, x/b\)'):
        fuse({'rgb': scores_of(RGB), 'flow': other}, [1, 1.5])


def test_streams_of_other_classes_are_refused():
    other = {video: (np.zeros(4), label) for video, (_, label) in FLOW.items()}
    with pytest.raises(ValueError, match=r"number of classes: \{'rgb': 3, 'flow': 4\}"):
        fuse({'rgb': scores_of(RGB), 'flow': other}, [1, 1.5])


def test_accuracy_is_of_the_videos_with_a_label():
    scores = scores_of({**RGB, 'z': ([1, 0, 0], -1)})
    figures = accuracy(scores)
    assert (figures['evaluated'], figures['top1']) == (3, 2 / 3)
    assert accuracy({'z': scores['z']}) == {}


def test_a_dump_is_read_in_double_precision(tmp_path):
    scores = read_scores(write_dump(tmp_path / 'rgb.pkl', {**RGB, 'z': ([0, 0.1, 0], -1)}))
    assert [label for _, label in scores.values()] == [0, 2, 1, -1]
    assert {values.dtype for values, _ in scores.values()} == {np.dtype('float64')}
    check(scores, {**{v: s for v, (s, _) in RGB.items()}, 'z': [0, np.float32(0.1), 0]})


def test_both_versions_of_mmaction2_are_read(tmp_path):
    scores, label = torch.tensor([0.0, 1.0]), torch.tensor([1])
    named = [
        dict(pred_scores=dict(item=scores), gt_labels=dict(item=label), video_id='old'),
        dict(pred_score=scores, gt_label=label, video_id='new'),
    ]
    dump(named, tmp_path / 'both.pkl')
    assert {video: label for video, (_, label) in read_scores(tmp_path / 'both.pkl').items()} == {
        'old': 1, 'new': 1
    }  # fmt: skip


def test_without_ids_videos_are_called_by_their_files(tmp_path):
    samples = [
        sample_of([0, 1], 0, filename='videos/x/v.first.mp4'),
        sample_of([0, 1], 0, frame_dir='flow/v.second'),
        sample_of([0, 1], 0, filename='videos/x/b.mp4', video_id='x/b'),
    ]
    dump(samples, tmp_path / 'stock.pkl')
    assert list(read_scores(tmp_path / 'stock.pkl')) == ['v.first', 'v.second', 'x/b']


def test_a_video_that_could_not_be_read_is_wrong_alone_and_fused(tmp_path):
    nan = float('nan')
    samples = [sample_of([0, 1], 1, video_id='a'), sample_of([nan, nan], 1, video_id='b')]
    dump(samples, tmp_path / 'counted.pkl')
    scores = read_scores(tmp_path / 'counted.pkl')
    for result in (scores, fuse({'x': scores, 'y': scores}, [1, 2], of='probabilities')):
        assert {key: accuracy(result)[key] for key in ('top1', 'top5', 'evaluated')} == {
            'top1': 0.5,
            'top5': 0.5,
            'evaluated': 1,
        }


@pytest.mark.parametrize(
    'samples, error',
    [
        ([], 'is not a dump of scores'),
        ({'a': 1}, 'is not a dump of scores'),
        (['a', 'b'], 'entry 1 lacks scores, a label or a name'),
        ([sample_of([0, 1], 0)], 'entry 1 lacks scores, a label or a name .video_id, filename'),
        ([{'video_id': 'a'}], 'entry 1 lacks scores'),
        ([sample_of([0, 1], [0, 1], video_id='a')], 'entry 1 lacks scores, a label'),
        ([sample_of([0, 1], 0, video_id='a')] * 2, 'video a occurs twice'),
        (
            [sample_of([0, 1], 0, video_id='a'), sample_of([0, 1, 2], 0, video_id='b')],
            r'video b has scores of shape \(3,\), not \(2,\)',
        ),
        ([sample_of([0, np.nan], 0, video_id='a')], 'video a has scores that are not finite'),
        ([sample_of([0, np.inf], 0, video_id='a')], 'video a has scores that are not finite'),
        ([sample_of([0, 1], 2, video_id='a')], 'video a has label 2 of 2 classes'),
    ],
)
def test_what_is_no_dump_of_scores_is_refused_by_name(samples, error, tmp_path):
    dump(samples, tmp_path / 'bad.pkl')
    with pytest.raises(ValueError, match=rf'bad\.pkl.* {error}'):
        read_scores(tmp_path / 'bad.pkl')


def test_what_is_no_pickle_is_refused_by_name(tmp_path):
    whole = write_dump(tmp_path / 'whole.pkl', RGB).read_bytes()
    for content in (b'', b'a,b\n1,2\n', whole[: len(whole) // 2]):
        (tmp_path / 'bad.pkl').write_bytes(content)
        with pytest.raises(ValueError, match=r'bad\.pkl is not a dump of scores'):
            read_scores(tmp_path / 'bad.pkl')
    with pytest.raises(FileNotFoundError, match=r'none\.pkl'):
        read_scores(tmp_path / 'none.pkl')


class Hostile:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def stored(payload: Hostile) -> Hostile:
    """In the place of a tensor's storage, which torch would unpickle itself."""
    file = io.BytesIO()
    torch.save(payload, file)
    return Hostile(torch.storage._load_from_bytes, file.getvalue())


@pytest.mark.parametrize('hidden', [lambda x: x, lambda x: [dict(pred_score=x)], stored])
def test_a_dump_that_would_execute_something_is_refused_by_name(hidden, tmp_path):
    canary, file = tmp_path / 'canary', tmp_path / 'hostile.pkl'
    file.write_bytes(pickle.dumps([hidden(Hostile(os.system, f'touch {canary}'))]))
    with pytest.raises(ValueError, match=r'hostile\.pkl is not a dump of scores: .*system'):
        read_scores(file)
    assert not canary.exists()
    pickle.loads(file.read_bytes())  # it is as hostile as it claims to be
    assert canary.exists()


@pytest.mark.parametrize('suffix', ['.pkl', '.npz'])
def test_written_scores_are_a_dump_again(tmp_path, suffix):
    out = tmp_path / f'out{suffix}'
    scores = {**scores_of(RGB), 'z': (np.array([0.1, 0.2, 0.3]), -1)}
    write_scores(scores, out)
    again = read_scores(out)
    check(again, {video: values for video, (values, _) in scores.items()})
    assert [label for _, label in again.values()] == [0, 2, 1, -1]
    first = read_dump(out)[0]
    assert first.keys() == sample_of([0, 1], 0, video_id='a').keys()
    assert prediction_of(first)[0].tolist() == [2, 0, 1]
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_arrays_of_samples_that_lack_a_label_or_a_name(tmp_path):
    samples = [sample_of([0, 1], 1, filename='a.mp4'), sample_of([2, 1], 0, frame_dir='b')]
    for key in ('gt_label', 'gt_labels'):
        samples[1].pop(key, None)
    write_arrays(samples, tmp_path / 'out.npz')
    first, second = read_dump(tmp_path / 'out.npz')
    assert (first['filename'], second['frame_dir']) == ('a.mp4', 'b')
    assert 'frame_dir' not in first and 'filename' not in second
    assert [prediction_of(sample)[1] for sample in (first, second)] == [1, -1]


def test_arrays_hold_numbers_and_text_alone(tmp_path):
    """They can be read where pickles are not allowed, and pickles in them are refused."""
    write_scores(scores_of(RGB), tmp_path / 'out.npz')
    with np.load(tmp_path / 'out.npz', allow_pickle=False) as arrays:
        assert {name: array.dtype.kind for name, array in arrays.items()} == {
            'video_id': 'U', 'scores': 'f', 'labels': 'i'
        }  # fmt: skip
    np.savez(tmp_path / 'bad.npz', scores=np.array([[1.0]]), labels=np.array([{}]))
    for name in ('bad.npz', 'none.npz'):
        np.savez(tmp_path / 'none.npz', other=np.zeros(1))
        with pytest.raises(ValueError, match=rf'{name} is not a dump of scores'):
            read_scores(tmp_path / name)


@pytest.fixture
def dumps(tmp_path):
    return [write_dump(tmp_path / f'{n}.pkl', s) for n, s in (('rgb', RGB), ('flow', FLOW))]


def cells(output: str) -> dict:
    """Rows of printed tables, by their first cell."""
    rows = [[cell.strip() for cell in line.split('│')[1:-1]] for line in output.splitlines()]
    return {row[0]: row[1:] for row in rows if row}


def test_tool_prints_each_stream_the_fusion_and_a_sweep(dumps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_tool(
        'fuse_scores.py', 'rgb.pkl', 'flow.pkl', '--sweep', '--out', 'new/fused.pkl'
    )  # fmt: skip
    assert 'the custom of TSN; the paper states no weights' in result.stdout
    rows = cells(result.stdout)
    assert rows['rgb.pkl'] == ['66.7', '100.0', '83.3', '66.7', '3']
    assert rows['flow.pkl'] == ['33.3', '100.0', '66.7', '33.3', '3']
    assert rows['1 : 1.5, scores'] == ['33.3', '100.0', '66.7', '33.3', '3']
    # With weight w, b is right above 1/3 (3w > 1), a and c below 1 (2 > 2w, 2 + w > 1 + 2w).
    weights = [f'{weight / 4:.2f}' for weight in range(13)]
    assert [row for row in rows if row in weights] == weights
    assert {weight: rows[weight][0] for weight in ('0.00', '0.25', '0.50', '0.75', '1.25')} == {
        '0.00': '66.7', '0.25': '66.7', '0.50': '100.0', '0.75': '100.0', '1.25': '33.3',
    }  # fmt: skip
    assert 'Best Avg at 1 : 0.5; that weight was chosen on the videos' in result.stdout
    check(read_scores('new/fused.pkl'), FUSED)


def test_tool_says_how_many_videos_it_leaves_out(dumps, monkeypatch):
    monkeypatch.chdir(dumps[0].parent)
    write_dump(dumps[1], {video: FLOW[video] for video in ('y/c', 'x/b')})
    result = run_tool('fuse_scores.py', 'rgb.pkl', 'flow.pkl', check=False)
    assert result.returncode == 1
    assert result.stderr == (
        'error: the streams differ in their videos: flow.pkl lacks 1 videos (x/a)\n'
    )
    result = run_tool(
        'fuse_scores.py', 'rgb.pkl', 'flow.pkl', '--allow-missing',
        '--weights', 2.5, 1, '--of', 'probabilities'
    )  # fmt: skip
    assert '2 of 3 videos are in every dump' in result.stdout
    assert 'TSN' not in result.stdout
    rows = cells(result.stdout)
    # Of b and c. b is wrong: 2.5 * 0.576 + 0.042 > 2.5 * 0.212 + 0.844, though 2.5 * 1 < 3.
    for name in ('rgb.pkl', 'flow.pkl', '2.5 : 1, probabilities'):
        assert [*rows[name][:3], rows[name][4]] == ['50.0', '100.0', '75.0', '2']


def test_tool_fuses_unlabeled_videos_only_to_keep_them(dumps):
    for file, stream in zip(dumps, (RGB, FLOW)):
        write_dump(file, {video: (values, -1) for video, (values, _) in stream.items()})
    result = run_tool('fuse_scores.py', *dumps, check=False)
    assert result.returncode == 1
    assert result.stderr == 'error: the dumps have no labels: all that can be done is --out\n'
    out = dumps[0].with_name('fused.pkl')
    result = run_tool('fuse_scores.py', *dumps, '--out', out)
    assert '│' not in result.stdout
    check(read_scores(out), FUSED)


@pytest.mark.parametrize(
    'words, error',
    [
        ('a.pkl a.pkl', 'two or more different dumps'),
        ('a.pkl b.pkl c.pkl', 'more than two dumps need --weights'),
        ('a.pkl b.pkl c.pkl --weights 1 1 1 --sweep', 'have no --sweep'),
        ('a.pkl b.pkl --out fused.csv', '.npz, .pkl, .pickle file, not fused.csv'),
    ],
)
def test_tool_refuses_what_it_cannot_do(words, error):
    result = run_tool('fuse_scores.py', *words.split(), check=False)
    assert result.returncode == 2
    assert error in result.stderr
