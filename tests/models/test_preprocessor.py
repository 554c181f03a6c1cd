"""The data preprocessor: arithmetic on uint8 clips, stacking, and refused batches."""

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner import Runner
from torch import Tensor

from artnet_mm.models import ClipPreprocessor

from ..helpers import labelled, tiny_config

MEAN, STD = [104.0, 117.0, 123.0], [2.0, 4.0, 8.0]


def some_clips(*shape: int) -> Tensor:
    """Random uint8 clips (M, C, T, H, W) with the extremes in them."""
    torch.manual_seed(0)
    values = torch.randint(0, 256, shape, dtype=torch.uint8)
    values.view(-1)[:2] = torch.tensor([0, 255])
    return values


def process(preprocessor: ClipPreprocessor, inputs: list, training: bool = False) -> Tensor:
    return preprocessor(dict(inputs=inputs, data_samples=[None] * len(inputs)), training)['inputs']


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('to_rgb', [True, False])
@pytest.mark.parametrize('std', [None, STD])
def test_clips_are_stacked_reordered_shifted_and_divided(std, to_rgb, training):
    samples = [some_clips(2, 3, 4, 5, 6), some_clips(2, 3, 4, 5, 6).flip(-1)]
    out = process(ClipPreprocessor(MEAN, std, to_rgb=to_rgb), samples, training)
    assert out.dtype == torch.float32
    assert out.shape == (2, 2, 3, 4, 5, 6)
    for sample, result in zip(samples, out):
        for channel in range(3):
            values = sample[:, 2 - channel if to_rgb else channel].to(torch.float32)
            expected = (values - MEAN[channel]) / (std[channel] if std else 1)
            assert torch.equal(result[:, channel], expected)


def test_two_channel_flow_is_centred():
    flow = torch.full((1, 2, 4, 3, 3), 128, dtype=torch.uint8)
    flow[:, 1] = 0
    out = process(ClipPreprocessor([128, 100]), [flow])
    assert (out[:, :, 0] == 0).all() and (out[:, :, 1] == -100).all()


def test_samples_and_inputs_are_left_as_they_were():
    sample, markers = some_clips(1, 3, 2, 4, 4), [object()]
    before = sample.clone()
    result = ClipPreprocessor(MEAN, to_rgb=True)(dict(inputs=[sample], data_samples=markers))
    assert torch.equal(sample, before)
    assert result['data_samples'][0] is markers[0]


def test_preprocessor_builds_from_a_config_and_stays_out_of_checkpoints():
    preprocessor = MODELS.build(dict(type='ClipPreprocessor', mean=MEAN))
    assert isinstance(preprocessor, ClipPreprocessor)
    assert not preprocessor.state_dict()


@pytest.mark.parametrize('other', [(1, 3, 4, 5, 6), (2, 3, 8, 5, 6), (2, 3, 4, 6, 5)])
def test_samples_of_unequal_shape_are_refused(other):
    shape = (2, 3, 4, 5, 6)
    with pytest.raises(ValueError, match='differ in shape') as error:
        process(ClipPreprocessor(MEAN), [some_clips(*shape), some_clips(*other)])
    assert str(shape) in str(error.value) and str(other) in str(error.value)


@pytest.mark.parametrize('shape', [(1, 2, 4, 5, 6), (1, 1, 4, 5, 6), (4, 3, 5, 6), (1, 4, 3, 5, 6)])
def test_clips_without_a_channel_per_mean_are_refused(shape):
    with pytest.raises(ValueError, match=r'expected clips of \(M, 3, T, H, W\)') as error:
        process(ClipPreprocessor(MEAN), [some_clips(*shape)])
    assert f'got {shape}' in str(error.value)


def test_reversing_other_than_three_channels_is_an_error():
    with pytest.raises(ValueError, match='to_rgb reverses three channels, but mean has 2'):
        ClipPreprocessor(mean=[128, 128], to_rgb=True)


@pytest.mark.parametrize('std', [[1, 1], [1, 0, 1]])
def test_a_std_that_is_short_or_zero_is_an_error(std):
    with pytest.raises(ValueError, match='std must have a divisor for each of 3 channels'):
        ClipPreprocessor(mean=[0, 0, 0], std=std)


def soft_label_of(sample) -> Tensor:
    return sample.gt_label if 'gt_label' in sample else sample.gt_labels.item  # mmaction2 1.2, 1.1


def test_clips_of_two_segments_are_mixed_with_their_labels_in_training_alone():
    preprocessor = ClipPreprocessor(MEAN, blending=dict(type='MixupBlending', num_classes=5))
    plain = ClipPreprocessor(MEAN)
    inputs = [some_clips(2, 3, 4, 6, 6).roll(shift, -1) for shift in range(3)]
    samples = [labelled(label) for label in (4, 0, 2)]
    still = plain(dict(inputs=inputs, data_samples=samples))['inputs']
    tested = preprocessor(dict(inputs=inputs, data_samples=samples))
    assert torch.equal(tested['inputs'], still)
    torch.manual_seed(1)
    share, others = preprocessor.blending.beta.sample(), torch.randperm(3)
    torch.manual_seed(1)
    mixed = preprocessor(dict(inputs=inputs, data_samples=samples), training=True)
    for index, other in enumerate(others.tolist()):
        expected = share * still[index] + (1 - share) * still[other]
        torch.testing.assert_close(mixed['inputs'][index], expected)
        label = torch.zeros(5)
        label[[4, 0, 2][index]] += share
        label[[4, 0, 2][other]] += 1 - share
        torch.testing.assert_close(soft_label_of(mixed['data_samples'][index]), label)


@pytest.mark.parametrize(
    'blending',
    [
        dict(type='CutmixBlending', num_classes=400),
        dict(
            type='RandomBatchAugment',
            augments=[
                dict(type='MixupBlending', alpha=0.8, num_classes=400),
                dict(type='CutmixBlending', alpha=1, num_classes=400),
            ],
            probs=None,
        ),
    ],
    ids=lambda blending: blending['type'],
)
def test_mixed_clips_of_two_segments_are_trained_on(blending, clips, tmp_path):
    cfg = tiny_config('artnet_r18_d_tsn_kinetics', clips, tmp_path, num_clips=1)
    cfg.merge_from_dict({'train_cfg.max_iters': 2, 'train_cfg.val_interval': 10})
    cfg.model.data_preprocessor.blending = blending
    cfg.experiment_name = tmp_path.name
    runner = Runner.from_cfg(cfg)
    runner.train()
    logged = runner.message_hub.log_scalars['train/loss_cls'].data[0]
    assert len(logged) == 2 and np.isfinite(logged).all()
