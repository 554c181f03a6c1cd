"""The data preprocessor: arithmetic on uint8 clips, stacking, and refused batches."""

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor

from artnet_mm.models import ClipPreprocessor

MEAN, STD = [104.0, 117.0, 123.0], [2.0, 4.0, 8.0]


def clips(*shape: int) -> Tensor:
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
    samples = [clips(2, 3, 4, 5, 6), clips(2, 3, 4, 5, 6).flip(-1)]
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
    sample, markers = clips(1, 3, 2, 4, 4), [object()]
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
        process(ClipPreprocessor(MEAN), [clips(*shape), clips(*other)])
    assert str(shape) in str(error.value) and str(other) in str(error.value)


@pytest.mark.parametrize('shape', [(1, 2, 4, 5, 6), (1, 1, 4, 5, 6), (4, 3, 5, 6), (1, 4, 3, 5, 6)])
def test_clips_without_a_channel_per_mean_are_refused(shape):
    with pytest.raises(ValueError, match=r'expected clips of \(M, 3, T, H, W\)') as error:
        process(ClipPreprocessor(MEAN), [clips(*shape)])
    assert f'got {shape}' in str(error.value)


def test_reversing_other_than_three_channels_is_an_error():
    with pytest.raises(ValueError, match='to_rgb reverses three channels, but mean has 2'):
        ClipPreprocessor(mean=[128, 128], to_rgb=True)


@pytest.mark.parametrize('std', [[1, 1], [1, 0, 1]])
def test_a_std_that_is_short_or_zero_is_an_error(std):
    with pytest.raises(ValueError, match='std must have a divisor for each of 3 channels'):
        ClipPreprocessor(mean=[0, 0, 0], std=std)
