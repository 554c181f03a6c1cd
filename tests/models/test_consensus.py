"""Consensus on features: against transcriptions, through head and recognizer, by crops in tests."""

import math

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from artnet_mm.compat import prediction_of
from artnet_mm.models import AttentionConsensus, LSTMConsensus, TSNClipHead
from artnet_mm.models.preprocessor import Views
from artnet_mm.views import Crops

from ..helpers import ROOT, labelled

CLASSES = 5


def lstm_by_hand(state: dict, x: Tensor) -> Tensor:
    """(K, C_in) -> (C_out), number by number, the gates in torch's order i, f, g, o."""
    w, u = state['lstm.weight_ih_l0'].tolist(), state['lstm.weight_hh_l0'].tolist()
    b = (state['lstm.bias_ih_l0'] + state['lstm.bias_hh_l0']).tolist()
    size = len(u[0])
    h, c, outputs = [0.0] * size, [0.0] * size, []

    def sigmoid(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    for clip in x.tolist():
        z = [
            b[row]
            + sum(w[row][k] * value for k, value in enumerate(clip))
            + sum(u[row][k] * value for k, value in enumerate(h))
            for row in range(4 * size)
        ]
        i, f, g, o = (z[n * size : (n + 1) * size] for n in range(4))
        c = [sigmoid(f[k]) * c[k] + sigmoid(i[k]) * math.tanh(g[k]) for k in range(size)]
        h = [sigmoid(o[k]) * math.tanh(c[k]) for k in range(size)]
        outputs.append(h)
    return torch.tensor(outputs, dtype=torch.float64).mean(0)


@pytest.mark.parametrize('clips', [1, 2, 7])
def test_lstm_is_the_mean_of_what_it_says_after_each_clip(clips):
    torch.manual_seed(0)
    consensus = LSTMConsensus(3, hidden_channels=4).double()
    x = torch.randn(2, clips, 3, dtype=torch.float64)
    expected = torch.stack([lstm_by_hand(consensus.state_dict(), video) for video in x])
    torch.testing.assert_close(consensus(x), expected)


@pytest.mark.parametrize('clips', [1, 2, 7])
def test_attention_is_a_weighted_mean(clips):
    torch.manual_seed(0)
    consensus = AttentionConsensus(3, hidden_channels=4).double()
    x = torch.randn(2, clips, 3, dtype=torch.float64)
    torch.testing.assert_close(consensus(x), x.mean(1))  # at the start
    nn.init.normal_(consensus.logit.weight)
    state = {name: value.tolist() for name, value in consensus.state_dict().items()}
    for video, joined in zip(x.tolist(), consensus(x).tolist()):
        logits = []
        for clip in video:
            rows = zip(state['hidden.weight'], state['hidden.bias'], state['logit.weight'][0])
            hidden = [
                weight * math.tanh(bias + sum(v * f for v, f in zip(row, clip)))
                for row, bias, weight in rows
            ]
            logits.append(math.exp(sum(hidden)))
        expected = [
            sum(logit * clip[channel] for logit, clip in zip(logits, video)) / sum(logits)
            for channel in range(3)
        ]
        assert joined == pytest.approx(expected)


def head(kind: str, **kwargs) -> TSNClipHead:
    torch.manual_seed(0)
    consensus = dict(type=kind, hidden_channels=4)
    return TSNClipHead(CLASSES, in_channels=6, dropout_ratio=0, consensus=consensus, **kwargs)


@pytest.mark.parametrize('kind', ['LSTMConsensus', 'AttentionConsensus'])
@pytest.mark.parametrize('segments', [1, 2, 8])
def test_the_loss_is_of_what_the_segments_say_together(kind, segments):
    layer = head(kind).double()
    x = torch.randn(3 * segments, 6, 2, 2, 2, dtype=torch.float64)
    features = layer(x)
    torch.testing.assert_close(features, x.mean((2, 3, 4)))
    scores = layer.fc_cls(layer.consensus(features.view(3, segments, 6)))
    loss = layer.loss_by_feat(features, [labelled(label) for label in (1, 0, 4)])['loss_cls']
    expected = nn.functional.cross_entropy(scores, torch.tensor([1, 0, 4]))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    # What comes before a weight of 0 learns from the second step on, and one clip has no others.
    silent = ('hidden',) if segments > 1 else ('hidden', 'logit', 'weight_hh')
    for name, parameter in layer.named_parameters():
        learns = (kind == 'LSTMConsensus' and segments > 1) or not any(s in name for s in silent)
        assert parameter.grad is not None and parameter.grad.any() == learns, name


@pytest.mark.parametrize('kind', ['LSTMConsensus', 'AttentionConsensus'])
@pytest.mark.parametrize('average', ['score', 'prob'])
def test_in_tests_the_clips_of_each_crop_are_joined_and_the_crops_averaged(kind, average):
    layer = head(kind, average_clips=average).eval()
    if kind == 'AttentionConsensus':
        nn.init.normal_(layer.consensus.logit.weight)
    features = torch.randn(2, 3, 4, 6)  # videos, crops, clips
    samples = layer.predict_by_feat(features.view(24, 6), [labelled(0), labelled(1)], num_crops=3)
    scores = torch.stack([prediction_of(sample.to_dict())[0] for sample in samples])
    by_crop = layer.fc_cls(layer.consensus(features.flatten(0, 1))).view(2, 3, CLASSES)
    expected = by_crop.softmax(-1) if average == 'prob' else by_crop
    torch.testing.assert_close(scores, expected.mean(1))


@pytest.mark.parametrize('stated', [True, False])
def test_crops_of_a_pipeline_are_joined_by_themselves_where_the_number_of_clips_is_known(stated):
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_lstm_kinetics.py').model
    cfg.backbone.update(base_channels=8, max_response=1)
    cfg.cls_head.in_channels = 64
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    views = torch.randn(2, 6, 3, 8, 32, 32)  # 2 clips of each of 3 crops, of 2 videos
    samples = [labelled(0), labelled(1)]
    for sample in samples if stated else ():
        sample.set_metainfo(dict(num_clips=2))
    with torch.no_grad():
        tested = model.predict(views, samples)
        for video, sample in zip(views, tested):
            features = model.backbone(video).mean((2, 3, 4)).unflatten(0, (3 if stated else 1, -1))
            expected = model.cls_head.classify(features).mean(0)
            scores = prediction_of(sample.to_dict())[0]
            torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['artnet_r18_d_lstm_kinetics', 'c2d_r50_lstm_kinetics'])
def test_a_recognizer_joins_the_clips_of_a_crop_whatever_the_chunks(name):
    cfg = Config.fromfile(ROOT / f'configs/{name}.py').model
    cfg.backbone.update(base_channels=8, max_response=1)  # of untrained weights
    cfg.cls_head.in_channels = 8 * cfg.cls_head.in_channels // 64
    cfg.data_preprocessor.crop_size = 32
    torch.manual_seed(0)
    length = 1 if 'c2d' in name else 8
    frames = torch.randint(0, 256, (20, 36, 48, 3), dtype=torch.uint8)
    clips = torch.stack([torch.arange(length) + start for start in (0, 5, 9)])
    results = []
    for size in (2, 7, 100):
        torch.manual_seed(0)
        model = MODELS.build({**cfg, 'test_cfg': dict(max_testing_views=size)}).eval()
        views = Views(frames, clips, Crops((32, 32)), model.data_preprocessor.normalise)
        with torch.no_grad():
            (sample,) = model.predict([views], [labelled(0)])
        results.append(prediction_of(sample.to_dict())[0])
        if size == 100:
            every = torch.cat(list(views.split(100)))
            with torch.no_grad():
                features = model.backbone(every).mean((2, 3, 4)).view(10, 3, -1)
                expected = model.cls_head.fc_cls(model.cls_head.consensus(features)).mean(0)
    for scores in results:
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)
