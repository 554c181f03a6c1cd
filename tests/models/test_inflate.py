"""Networks started from images: on still videos they are the 2D networks, here transcribed."""

import time

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import Tensor

from artnet_mm.models import ARTNet, SMARTConv3d
from artnet_mm.models.inflate import Inflated2d

from ..helpers import ROOT

WIDTH = 8
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class Images:
    """Weights of a 2D network, made as they are asked for, and a step of it."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}
        torch.manual_seed(0)

    def conv(self, name: str, x: Tensor, out: int, kernel: int, stride: int = 1) -> Tensor:
        shape = (out, x.shape[1], kernel, kernel)
        weight = self.state.setdefault(f'{name}.weight', torch.randn(shape) * shape[1] ** -0.5 / 3)
        return F.conv2d(x, weight.double(), None, stride, kernel // 2)

    def norm(self, name: str, x: Tensor) -> Tensor:
        values = []
        for key in ('running_mean', 'running_var', 'weight', 'bias'):
            value = torch.rand(x.shape[1]) + (0.5 if key in ('running_var', 'weight') else -0.5)
            values.append(self.state.setdefault(f'{name}.{key}', value).double())
        self.state[f'{name}.num_batches_tracked'] = torch.tensor(7)
        return F.batch_norm(x, *values, False, 0.0, 1e-5)


def resnet_v2(net: Images, x: Tensor, depth: int) -> Tensor:
    """timm's resnetv2_18 or _50, without the max pooling behind the stem."""
    raw = net.conv('stem.conv', x, WIDTH, 7, 2)
    for stage, number in enumerate(BLOCKS[depth]):
        for block in range(number):
            name, width = f'stages.{stage}.blocks.{block}', WIDTH * 2**stage
            stride = 2 if stage and not block else 1
            activated = F.relu(net.norm(f'{name}.norm1', raw))
            shortcut, out = raw, width * (4 if depth == 50 else 1)
            if not block and (stage or depth == 50):
                shortcut = net.conv(f'{name}.downsample.conv', activated, out, 1, stride)
            if depth == 50:
                y = net.conv(f'{name}.conv1', activated, width, 1)
                y = net.conv(
                    f'{name}.conv2', F.relu(net.norm(f'{name}.norm2', y)), width, 3, stride
                )
                y = net.conv(f'{name}.conv3', F.relu(net.norm(f'{name}.norm3', y)), out, 1)
            else:
                y = net.conv(f'{name}.conv1', activated, width, 3, stride)
                y = net.conv(f'{name}.conv2', F.relu(net.norm(f'{name}.norm2', y)), width, 3)
            raw = y + shortcut
    return F.relu(net.norm('norm', raw))


def resnet(net: Images, x: Tensor) -> Tensor:
    """torchvision's resnet50."""
    x = F.relu(net.norm('bn1', net.conv('conv1', x, WIDTH, 7, 2)))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, number in enumerate(BLOCKS[50]):
        for block in range(number):
            name, width = f'layer{stage + 1}.{block}', WIDTH * 2**stage
            stride, shortcut = 2 if stage and not block else 1, x
            if not block:
                shortcut = net.conv(f'{name}.downsample.0', x, 4 * width, 1, stride)
                shortcut = net.norm(f'{name}.downsample.1', shortcut)
            y = F.relu(net.norm(f'{name}.bn1', net.conv(f'{name}.conv1', x, width, 1)))
            y = F.relu(net.norm(f'{name}.bn2', net.conv(f'{name}.conv2', y, width, 3, stride)))
            x = F.relu(
                net.norm(f'{name}.bn3', net.conv(f'{name}.conv3', y, 4 * width, 1)) + shortcut
            )
    return x


def still(image: Tensor, frames: int = 16) -> Tensor:
    """(N, C, H, W) as a video in which nothing moves."""
    return image.unsqueeze(2).repeat(1, 1, frames, 1, 1)


@pytest.fixture
def image():
    return torch.rand(2, 3, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def saved(state: dict, path, prefix: str = '', **others: Tensor) -> str:
    torch.save({'state_dict': {**{prefix + k: v for k, v in state.items()}, **others}}, path)
    return str(path)


@pytest.mark.parametrize(
    'arch, depth', [('c2d', 18), ('c3d', 18), ('c2d', 50), ('c3d', 50), ('artnet_d', 50)]
)
def test_on_a_still_video_it_is_the_2d_network(arch, depth, image, tmp_path):
    net = Images()
    expected = resnet_v2(net, image, depth)
    head = {'head.fc.weight': torch.zeros(10, 4)}
    file = saved(net.state, tmp_path / 'timm.pth', **head)
    init = dict(type='Inflated2d', checkpoint=file)
    model = ARTNet(depth, arch, base_channels=WIDTH, init_cfg=init, zero_init_residual=True)
    model.init_weights()
    features = model.double().eval()(still(image))
    torch.testing.assert_close(features, still(expected, features.shape[2]))


def test_at_depth_18_smart_units_start_as_the_rectified_2d_layer(image, tmp_path):
    net = Images()
    resnet_v2(net, image, 18)
    Inflated2d(saved(net.state, tmp_path / 'timm.pth'))(model := ARTNet(base_channels=WIDTH))
    for name in ('stem', 'stages.0.1.conv2'):
        unit = model.double().eval().get_submodule(name)
        assert isinstance(unit, SMARTConv3d)
        old = name.replace('0.1', '0.blocks.1') if 'stages' in name else 'stem.conv'
        x = torch.randn(2, unit.in_channels, 12, 12).double()
        out = net.conv(old, x, unit.out_channels, unit.kernel_size[1], unit.stride[1]).relu()
        video = unit(torch.randn(2, unit.in_channels, 4, 12, 12).double())
        torch.testing.assert_close(unit(still(x, 4)), still(out, 4 // unit.stride[0]))
        assert video.isfinite().all()


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
@pytest.mark.parametrize('unit', ['SMARTConv3d', 'RelationConv3d'])
def test_resnet3d_with_units_takes_weights_of_torchvision_and_mmpretrain(
    prefix, unit, image, tmp_path
):
    net = Images()
    expected = resnet(net, image)
    cfg = dict(
        type='ResNet3d', depth=50, base_channels=WIDTH, conv_cfg=dict(type=unit), norm_eval=False,
        pretrained=saved(net.state, tmp_path / '2d.pth', prefix), pretrained2d=True,
        conv1_kernel=(3, 7, 7), conv1_stride_t=1, pool1_stride_t=1, inflate=(1, 1, 1, 1),
        inflate_style='3x3x3',
    )  # fmt: skip
    init_default_scope('mmaction')
    model = MODELS.build(cfg)
    model.init_weights()
    model.double().eval()  # which gives None
    features = model(still(image, 4))
    assert features.isfinite().all()
    if unit == 'SMARTConv3d':
        torch.testing.assert_close(features, still(expected, features.shape[2]))


def test_resnet3d_with_units_is_mmpretrains_own_resnet_on_still_videos(image, tmp_path):
    pytest.importorskip('mmpretrain')
    net = Images()
    resnet(net, image)
    options = dict(depth=50, base_channels=WIDTH)
    images = MODELS.build(
        dict(type='mmpretrain.ResNet', stem_channels=WIDTH, out_indices=(3,), **options)
    )
    images.load_state_dict(net.state)
    images.double().eval()  # which gives None
    (expected,) = images(image)
    model = MODELS.build(
        dict(
            type='ResNet3d', conv_cfg=dict(type='SMARTConv3d'), norm_eval=False, conv1_stride_t=1,
            pretrained=saved(images.state_dict(), tmp_path / '2d.pth', 'backbone.'),
            pretrained2d=True, conv1_kernel=(3, 7, 7), pool1_stride_t=1, inflate=(1, 1, 1, 1),
            inflate_style='3x3x3', **options,
        )
    )  # fmt: skip
    model.init_weights()
    model.double().eval()
    features = model(still(image, 4))
    torch.testing.assert_close(features, still(expected, features.shape[2]))


def test_artnet_takes_convolutions_of_a_resnet_and_the_norms_behind_them(image, tmp_path):
    net = Images()
    resnet(net, image)
    model = ARTNet(50, 'c3d', base_channels=WIDTH)
    Inflated2d(saved(net.state, tmp_path / '2d.pth', 'backbone.'))(model)
    block, old = model.stages[2][1], 'layer3.1'
    for n in (1, 2):
        weight = getattr(block, f'conv{n}').weight
        assert torch.equal(weight[:, :, weight.shape[2] // 2], net.state[f'{old}.conv{n}.weight'])
        norm = getattr(block, f'norm{n + 1}')
        assert torch.equal(norm.running_var, net.state[f'{old}.bn{n}.running_var'])
    scale = net.state[f'{old}.bn3.weight'] / (net.state[f'{old}.bn3.running_var'] + 1e-5).sqrt()
    last = net.state[f'{old}.conv3.weight'] * scale.view(-1, 1, 1, 1)
    torch.testing.assert_close(block.conv3.weight.squeeze(2), last)


@pytest.mark.parametrize('time', ['centre', 'mean'])
def test_frames_of_an_inflated_kernel_sum_up_to_the_2d_one(time, image, tmp_path):
    net = Images()
    resnet_v2(net, image, 18)
    model = ARTNet(arch='c3d', base_channels=WIDTH)
    Inflated2d(saved(net.state, tmp_path / 'timm.pth'), time=time)(model)
    weight, expected = model.stages[1][0].conv1.weight, net.state['stages.1.blocks.0.conv1.weight']
    torch.testing.assert_close(weight.sum(2), expected)
    shares = weight[:, :, 0] / expected
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / 3 if time == 'mean' else 0))


def test_relation_starts_from_nothing_and_learns(image, tmp_path):
    net = Images()
    resnet_v2(net, image, 50)
    Inflated2d(saved(net.state, tmp_path / 'timm.pth'))(model := ARTNet(50, base_channels=WIDTH))
    unit = model.stages[1][1].conv2
    reduction = unit.reduction.weight.flatten(1)
    assert torch.equal(reduction[:, : unit.out_channels], torch.eye(unit.out_channels))
    assert not reduction[:, unit.out_channels :].any()
    model.train()(torch.rand(2, 3, 8, 32, 32)).square().mean().backward()
    assert unit.reduction.weight.grad.flatten(1)[:, unit.out_channels :].any()


def test_flow_reads_the_mean_over_colours(image, tmp_path):
    net = Images()
    resnet_v2(net, image, 18)
    model = ARTNet(arch='c2d', base_channels=WIDTH, in_channels=2)
    Inflated2d(saved(net.state, tmp_path / 'timm.pth'))(model)
    mean = net.state['stem.conv.weight'].mean(1)
    for channel in range(2):
        torch.testing.assert_close(model.stem.weight[:, channel, 0], mean)


@pytest.mark.parametrize(
    'state, message',
    [
        ({'blocks.0.attn.weight': torch.ones(1)}, 'begin with blocks.0.attn.weight'),
        ({}, 'of no network that Inflated2d knows'),
        ({'stem.conv.weight': torch.ones(3, 3, 7, 7)}, 'has no BN: of BiT'),
        (
            {'stem.conv.weight': torch.ones(3, 3, 7, 7), 'norm.running_mean': torch.ones(3)},
            'nothing of it fits',
        ),
    ],
)
def test_what_does_not_fit_is_refused(state, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Inflated2d(saved(state, tmp_path / 'x.pth'))(ARTNet(base_channels=WIDTH))
    with pytest.raises(ValueError, match="time must be 'centre' or 'mean', got 'max'"):
        Inflated2d('x.pth', time='max')
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        Inflated2d(str(tmp_path / 'none.pth'))(ARTNet(base_channels=WIDTH))


def test_a_network_without_bn_is_refused(tmp_path):
    net = Images()
    resnet_v2(net, torch.rand(1, 3, 32, 32).double(), 18)
    file = saved(net.state, tmp_path / 'timm.pth')
    for norm_cfg in (dict(type='GN', num_groups=2), dict(type='BN3d', affine=False)):
        with pytest.raises(ValueError, match=r'takes networks with BN, and stem\.relation_norm is'):
            Inflated2d(file)(ARTNet(base_channels=WIDTH, norm_cfg=norm_cfg))


def test_a_config_starts_from_images_and_says_in_one_line_what_it_took(image, tmp_path):
    MMLogger.get_instance(f'inflate{time.time_ns()}', log_file=str(tmp_path / 'run.log'))
    net = Images()
    resnet_v2(net, image, 50)
    file = saved(net.state, tmp_path / 'timm.pth', **{'head.fc.bias': torch.zeros(3)})
    cfg = Config.fromfile(ROOT / 'configs/artnet_r50_d_kinetics.py').model
    cfg.backbone.update(base_channels=WIDTH, init_cfg=dict(type='Inflated2d', checkpoint=file))
    cfg.cls_head.in_channels = 32 * WIDTH
    model = MODELS.build(cfg)
    model.init_weights()
    lines = (tmp_path / 'run.log').read_text().splitlines()
    (said,) = [line for line in lines if '2D tensors taken' in line]
    counted = sum(not key.endswith('tracked') for key in net.state)
    assert f'{counted} of {counted + 1} 2D tensors taken' in said
    assert said.endswith('not used: head.fc.bias')
