"""The head: segments and views are averaged before the softmax, sample by sample."""

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from artnet_mm.compat import prediction_of
from artnet_mm.models import TSNClipHead

from ..helpers import labelled

CLASSES = 7


@MODELS.register_module()
class LargestScore(nn.Module):
    """Consensus that keeps the largest score of each class, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x.amax(dim=1, keepdim=True)


def head(**kwargs) -> TSNClipHead:
    return TSNClipHead(CLASSES, in_channels=4, dropout_ratio=0, **kwargs)


def batch(num_samples: int, num_views: int) -> tuple[Tensor, list, list]:
    """Scores (N * V, classes), the labels, and samples that carry them."""
    torch.manual_seed(0)
    labels = [(3 * i + 2) % CLASSES for i in range(num_samples)]
    samples = [labelled(label) for label in labels]
    return 3 * torch.randn(num_samples * num_views, CLASSES), labels, samples


def mean_scores(scores: Tensor, num_views: int) -> list[Tensor]:
    """Mean score of each sample, whose views lie one after the other."""
    starts = range(0, len(scores), num_views)
    return [sum(scores[start : start + num_views]) / num_views for start in starts]


def cross_entropy(scores: list[Tensor], labels: list[int]) -> Tensor:
    """Mean of log sum exp minus the score of the label."""
    terms = [score.exp().sum().log() - score[label] for score, label in zip(scores, labels)]
    return sum(terms) / len(terms)


BATCHES = pytest.mark.parametrize(
    ('num_samples', 'num_views'), [(3, 2), (4, 1), (1, 2), (1, 1), (2, 250), (CLASSES, 3)]
)


@BATCHES
def test_loss_is_cross_entropy_of_the_mean_score(num_samples, num_views):
    scores, labels, samples = batch(num_samples, num_views)
    means = mean_scores(scores, num_views)
    losses = head().loss_by_feat(scores, samples)
    torch.testing.assert_close(losses['loss_cls'], cross_entropy(means, labels))
    hits = [mean.argmax().item() == label for mean, label in zip(means, labels)]
    assert losses['top1_acc'] == pytest.approx(sum(hits) / num_samples)


def test_gradient_is_shared_by_the_segments_of_a_sample():
    scores, labels, samples = batch(3, 2)
    scores.requires_grad_()
    head().loss_by_feat(scores, samples)['loss_cls'].backward()
    means = torch.stack(mean_scores(scores.detach(), 2))
    per_sample = (means.softmax(1) - nn.functional.one_hot(torch.tensor(labels), CLASSES)) / 3
    torch.testing.assert_close(scores.grad, per_sample.repeat_interleave(2, dim=0) / 2)


def test_features_are_pooled_and_classified_before_the_consensus():
    _, labels, samples = batch(2, 3)
    layer, features = head(), torch.randn(2 * 3, 4, 2, 3, 5)
    scores = features.mean((2, 3, 4)) @ layer.fc_cls.weight.T + layer.fc_cls.bias
    expected = cross_entropy(mean_scores(scores, 3), labels)
    torch.testing.assert_close(layer.loss(features, samples)['loss_cls'], expected)
    predicted = torch.stack(
        [prediction_of(s.to_dict())[0] for s in layer.predict(features, samples)]
    )
    torch.testing.assert_close(predicted, torch.stack(mean_scores(scores, 3)))


@BATCHES
@pytest.mark.parametrize('average', [{}, dict(average_clips='score'), dict(average_clips='prob')])
def test_prediction_joins_the_views_of_a_sample(num_samples, num_views, average):
    scores, _, samples = batch(num_samples, num_views)
    of_each_view = scores.softmax(1) if average == dict(average_clips='prob') else scores
    expected = mean_scores(of_each_view, num_views)
    results = head(**average).predict_by_feat(scores, samples)
    assert len(results) == num_samples
    for result, score in zip(results, expected):
        torch.testing.assert_close(prediction_of(result.to_dict())[0], score)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_scores_are_averaged_in_float32(dtype):
    scores, labels, samples = batch(2, 5)
    scores = (100 * scores).to(dtype)
    means = mean_scores(scores.float(), 5)
    loss = head().loss_by_feat(scores, samples)['loss_cls']
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, nn.functional.cross_entropy(torch.stack(means), torch.tensor(labels))
    )
    for result, mean in zip(head().predict_by_feat(scores, samples), means):
        torch.testing.assert_close(prediction_of(result.to_dict())[0], mean)


def test_registered_module_can_be_the_consensus():
    scores, labels, samples = batch(3, 2)
    config = dict(type='LargestScore', factor=0.5)
    loss = head(consensus=config).loss_by_feat(scores, samples)['loss_cls']
    largest = [0.5 * torch.maximum(*scores[start : start + 2]) for start in (0, 2, 4)]
    torch.testing.assert_close(loss, cross_entropy(largest, labels))
    assert config == dict(type='LargestScore', factor=0.5), 'the config is left as it was'


def test_head_builds_from_a_config_with_the_stock_consensus():
    config = dict(type='TSNClipHead', num_classes=CLASSES, in_channels=4)
    scores, _, samples = batch(2, 2)
    consensus = dict(type='AvgConsensus', dim=1)
    stock = MODELS.build(dict(config, consensus=consensus))
    assert consensus == dict(type='AvgConsensus', dim=1), 'the config is left as it was'
    plain = MODELS.build(config)
    assert plain.loss_by_feat(scores, samples) == stock.loss_by_feat(scores, samples)


@pytest.mark.parametrize(('num_scores', 'num_samples'), [(5, 2), (1, 2), (4, 0), (0, 0)])
@pytest.mark.parametrize('method', ['loss_by_feat', 'predict_by_feat'])
def test_views_that_do_not_divide_among_the_samples_are_refused(method, num_scores, num_samples):
    samples = batch(num_samples, 1)[2]
    message = f'{num_scores} views cannot be divided among {num_samples} samples'
    with pytest.raises(ValueError, match=message):
        getattr(head(), method)(torch.rand(num_scores, CLASSES), samples)


def test_topk_may_be_a_list_as_on_the_command_line():
    scores, _, samples = batch(2, 1)
    figures = [head(topk=topk).loss_by_feat(scores, samples) for topk in ([1, 3], (1, 3))]
    assert figures[0].keys() == figures[1].keys() >= {'top1_acc', 'top3_acc'}


def test_a_loss_with_weights_for_other_classes_is_refused():
    loss = dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match=r'class_weight has 2 weights for 7 classes'):
        head(loss_cls=loss)
    head(loss_cls={**loss, 'class_weight': CLASSES * [0.5]})


def test_a_head_for_other_channels_than_the_backbone_gives_is_refused():
    backbone = dict(type='ARTNet', base_channels=8)
    cfg = dict(type='ClipRecognizer3D', backbone=backbone)
    head = dict(type='TSNClipHead', num_classes=CLASSES, in_channels=512)
    with pytest.raises(ValueError, match='in_channels is 512, but the backbone gives 64'):
        MODELS.build(dict(**cfg, cls_head=head))
    MODELS.build(dict(**cfg, cls_head=dict(head, in_channels=64)))
