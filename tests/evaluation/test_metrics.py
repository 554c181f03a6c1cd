"""VideoAccuracy against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger

from artnet_mm.evaluation.metrics import out_of_proportion

from ..helpers import labelled

# Probabilities in 25ths and the label: three videos of class 0, one each of 1 and 2.
VIDEOS = [
    ([10, 5, 4, 3, 2, 1], 0),  # first
    ([5, 10, 4, 3, 2, 1], 0),  # second
    ([1, 10, 5, 4, 3, 2], 0),  # sixth
    ([1, 10, 5, 4, 3, 2], 1),  # first
    ([10, 5, 4, 3, 2, 1], 2),  # third
]
# top-1 2/5, top-5 4/5, classes 1/3, 1 and 0, and ln(2.5 * 5 * 25 * 2.5 * 6.25) / 5
EXPECTED = {
    'acc/top1': 0.4,
    'acc/top5': 0.8,
    'acc/avg': 0.6,
    'acc/mean1': 4 / 9,
    'acc/nll': 1.6986953,
    'acc/evaluated': 5,
    'acc/expected': 5,
}


def sample(scores, label):
    return labelled(label).set_pred_score(torch.as_tensor(scores))


def from_probabilities(videos):
    return [sample(torch.tensor(weights).log() + 3, label) for weights, label in videos]


def evaluate(samples, size=None, **kwargs):
    """What a Runner's test loop does, in batches of two."""
    evaluator = Evaluator(dict(type='VideoAccuracy', **kwargs))
    for start in range(0, len(samples), 2):
        evaluator.process(data_samples=samples[start : start + 2])
    return evaluator.evaluate(size or len(samples))


def test_metrics_of_scores_before_the_softmax():
    assert evaluate(from_probabilities(VIDEOS)) == pytest.approx(EXPECTED, rel=1e-6)


def test_metrics_do_not_depend_on_a_constant_added_to_the_scores():
    samples = [sample(torch.tensor(w).double().log() - 1e4, label) for w, label in VIDEOS]
    assert evaluate(samples) == pytest.approx(EXPECTED, rel=1e-6)


def test_large_scores_do_not_overflow():
    scores = [1e4, 0.0, -1e4, -2e4, -3e4, -4e4]
    metrics = evaluate([sample(scores, 0), sample(scores, 1), sample(scores, 5)])
    assert metrics['acc/nll'] == (0 + 1e4 + 5e4) / 3


def test_a_sure_and_a_guessing_network():
    assert evaluate([sample([0.0] * 400, 3)])['acc/nll'] == pytest.approx(math.log(400))
    metrics = evaluate([sample([0.0, 50.0], 1)])
    assert metrics['acc/top1'] == metrics['acc/top5'] == metrics['acc/avg'] == 1
    assert metrics['acc/nll'] == pytest.approx(0, abs=1e-9)


def test_videos_without_a_label_count_as_not_evaluated():
    unlabeled = [sample([0.0, 1, 2, 3, 4, 5], -1)] * 2
    samples = unlabeled[:1] + from_probabilities(VIDEOS) + unlabeled[1:]
    assert evaluate(samples) == pytest.approx({**EXPECTED, 'acc/expected': 7}, rel=1e-6)


def test_without_any_label_there_are_only_counts():
    metrics = evaluate([sample([0.0, 1.0], -1)] * 3, num_videos=4)
    assert metrics == {'acc/evaluated': 0, 'acc/expected': 4}


@pytest.mark.parametrize('num_videos, expected', [(None, 5), (5, 5), (19796, 19796)])
def test_expected_is_the_official_number_where_given(num_videos, expected, log):
    metrics = evaluate(from_probabilities(VIDEOS), num_videos=num_videos)
    assert metrics['acc/evaluated'] == 5
    assert metrics['acc/expected'] == expected
    assert ('5 of 19796 videos were evaluated' in log.text) == (expected != 5)


def test_videos_that_fill_the_last_distributed_batch_do_not_count():
    padded = from_probabilities(VIDEOS + VIDEOS[:1])
    assert evaluate(padded, size=5) == pytest.approx(EXPECTED, rel=1e-6)


def test_an_evaluator_can_be_used_again():
    evaluator = Evaluator(dict(type='VideoAccuracy'))
    for _ in range(2):  # validation after validation
        evaluator.process(data_samples=from_probabilities(VIDEOS))
        assert evaluator.evaluate(5) == pytest.approx(EXPECTED, rel=1e-6)


def test_scores_that_are_not_finite_count_as_wrong_and_are_said(log):
    unread = [sample([float('nan')] * 6, 5), sample([0.0, math.inf, 0, 0, 0, 0], 1)]
    metrics = evaluate(from_probabilities(VIDEOS) + unread)
    assert 'the scores of 2 of 7 videos are not finite' in log.text
    wrong = {'acc/top1': 2 / 7, 'acc/top5': 4 / 7, 'acc/avg': 3 / 7, 'acc/expected': 7}
    wrong['acc/mean1'] = (1 / 3 + 1 / 2 + 0 + 0) / 4  # classes 0, 1, 2 and 5
    assert metrics == pytest.approx({**EXPECTED, **wrong}, rel=1e-6)
    nothing = evaluate([sample([float('nan')] * 6, 5)])
    assert nothing['acc/top1'] == nothing['acc/top5'] == nothing['acc/evaluated'] == 0
    assert math.isnan(nothing['acc/nll'])


def test_of_one_class_a_video_that_could_not_be_read_is_wrong():
    metrics = evaluate([sample([float('nan')], 0), sample([1.0], 0)])
    assert (metrics['acc/top1'], metrics['acc/top5'], metrics['acc/mean1']) == (0.5, 0.5, 0.5)
    assert metrics['acc/avg'] == 0.5


def test_with_few_classes_a_video_that_could_not_be_read_is_among_no_first_five():
    metrics = evaluate([sample([float('nan')] * 3, 1), sample([1.0, 0, 0], 0)])
    assert (metrics['acc/top1'], metrics['acc/top5'], metrics['acc/avg']) == (0.5, 0.5, 0.5)


@pytest.fixture
def log(caplog):
    """What MMEngine's logger says."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def named(scores, label, name):
    named = sample(scores, label)
    named.set_metainfo(dict(filename=name))
    return named


def test_videos_whose_scores_are_out_of_all_proportion_are_named_with_the_remedy(log):
    videos = [named([9.0, -3, 1, 0, 2, 4], 0, f'{n}.mp4') for n in range(9)]
    wild = named([9e5, -3, 1, 0, 2, 4], 0, 'wild.mp4')
    evaluate([*videos, wild, named([float('nan')] * 6, 0, 'broken.mp4')])
    (line,) = [r.getMessage() for r in log.records if 'out of all proportion' in r.getMessage()]
    assert line.startswith('the scores of 1 of 10 videos are') and line.endswith(': wild.mp4')
    assert '--cfg-options model.backbone.max_response=10' in line


@pytest.mark.parametrize('scale', [0, 1e-9, 0.1, 10, 80])
def test_scores_of_a_healthy_network_are_not_called_out_of_proportion(scale, log):
    torch.manual_seed(0)
    scores = torch.randn(500, 400) * torch.rand(500, 1) * scale  # some certain, some guessing
    evaluate([named(row.tolist(), 0, 'a.mp4') for row in scores])
    assert 'out of all proportion' not in log.text


def test_of_a_single_video_only_what_no_trained_network_says_is_out_of_proportion():
    assert not out_of_proportion(np.array([[80.0, -80.0]]))[0]
    assert out_of_proportion(np.array([[1e4, 0.0]]))[0]
