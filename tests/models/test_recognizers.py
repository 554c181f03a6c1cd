"""What recognizers give their networks, images and stacks of flow frames, and ask of them."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from artnet_mm.models import ClipPreprocessor

from ..helpers import ROOT


class Keep(nn.Module):
    """Keeps the images it is given."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x.new_zeros(len(x), 1, 1, 1)


MODELS.register_module(name='KeepImages', module=Keep, force=True)
MODELS.register_module(name='Neck', module=nn.Identity, force=True)


def test_a_head_behind_a_neck_reads_the_channels_of_the_neck():
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').model
    cfg.cls_head.in_channels = 4
    with pytest.raises(ValueError, match='in_channels is 4, but the backbone gives 64'):
        MODELS.build(cfg)
    assert MODELS.build({**cfg, 'neck': dict(type='Neck')}).with_neck


def recognizer():
    return MODELS.build(
        dict(
            type='ClipRecognizer2D',
            backbone=dict(type='KeepImages'),
            cls_head=dict(type='TSNHead', num_classes=2, in_channels=1),
            data_preprocessor=dict(type='ClipPreprocessor', mean=[128, 128], crop_size=2),
        )
    )


def test_a_head_that_takes_one_output_is_given_one():
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').model
    cfg.backbone.out_indices = (0, 3)
    with pytest.raises(ValueError, match=r'gives 2 outputs .*, and TSNClipHead takes one'):
        MODELS.build(cfg)


def test_a_stack_of_flow_has_x_and_y_of_one_frame_after_the_other():
    model = recognizer()
    # (N, M, C, T, H, W): x is 10, 11, 12 and y 20, 21, 22 in the three frames of the first clip
    x, y = torch.arange(10.0, 13), torch.arange(20.0, 23)
    clips = torch.stack([x, y]).view(1, 1, 2, 3, 1, 1).expand(2, 2, 2, 3, 2, 2).clone()
    clips[1] += 100
    model.extract_feat(clips, stage='backbone')
    assert model.backbone.seen.shape == (4, 6, 2, 2)
    stack = [10, 20, 11, 21, 12, 22]
    expected = [stack, stack, [v + 100 for v in stack], [v + 100 for v in stack]]
    assert model.backbone.seen[:, :, 1, 0].tolist() == expected


def test_single_frames_and_images_are_given_as_they_are():
    model, frames = recognizer(), torch.rand(2, 3, 3, 4, 4)
    for inputs in (frames, frames.unsqueeze(3)):
        model.extract_feat(inputs, stage='backbone')
        assert torch.equal(model.backbone.seen, frames.flatten(0, 1))


def test_mirrored_views_of_a_stack_negate_x_in_every_frame():
    model = recognizer()
    frames = torch.tensor([[[[100, 90], [130, 120]]] * 2] * 5, dtype=torch.uint8)  # (M, H, W, C)
    assert frames.shape == (5, 2, 2, 2)
    batch = dict(inputs=dict(imgs=[frames], clips=[torch.arange(5)[None]]), data_samples=[None])
    (views,) = model.data_preprocessor(batch)['inputs']
    assert isinstance(model.data_preprocessor, ClipPreprocessor)
    plain, mirrored = next(iter(views.split(2)))
    model.extract_feat(torch.stack([plain, mirrored]).unsqueeze(1), stage='backbone')
    plain, mirrored = model.backbone.seen[:, :, 0]
    left, right = [100 - 128, 90 - 128], [130 - 128, 120 - 128]
    assert plain.tolist() == [[left[c], right[c]] for c in (0, 1)] * 5
    mirrored_x = [255 - 130 - 128, 255 - 100 - 128]
    assert mirrored.tolist() == [mirrored_x, [right[1], left[1]]] * 5
