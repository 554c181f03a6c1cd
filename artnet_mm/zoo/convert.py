"""The networks that the authors released for Caffe, as state dicts of this project's models."""

import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from ..files import sha256_of
from ..models.square_pool import POOLING_WEIGHT
from .caffe import Layer, read_network

_RELEASED_ARTNET = re.compile(r'112_artnet_(tsn_)?resnet_18_kinetics\.caffemodel')
_READ_CLIP = ('conv1', 'conv1_t')
"""Layers whose input is the clip, BGR in Caffe and RGB here."""


@dataclass
class Conversion:
    """A released network in this project's form.

    Attributes:
        state_dict (dict[str, Tensor]): Every tensor of the model of the config.
        meta (dict): File it was converted from, its SHA-256, name of the config,
            number of classes.
        notes (list[str]): What was found and done, in words.
    """

    state_dict: dict[str, torch.Tensor]
    meta: dict
    notes: list[str]


class _Converter:
    """Takes layers of a network, puts them into a state dict, and knows which are left."""

    def __init__(self, layers: dict[str, Layer]) -> None:
        self.left = dict(layers)
        self.state: dict[str, torch.Tensor] = {}
        self.biases = self.shifted = self.poolings = 0

    def take(self, name: str, kind: str, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """The blobs of a layer, which must be of these shapes.

        Only a convolution's are taken literally: dimensions of 1 move no values
        elsewhere, and Caffe has a vector as (C), (1, C, 1, 1, 1) or (1, 1, 1, C).
        """
        layer = self.left.pop(name, None)
        if layer is None:
            raise ValueError(f'layer {name} is missing')
        if layer.type not in (kind, None):
            raise ValueError(f'layer {name} is a {layer.type!r}, expected a {kind!r}')
        if len(layer.blobs) != len(shapes):
            raise ValueError(f'layer {name} has {len(layer.blobs)} blobs, expected {len(shapes)}')
        for number, (blob, shape) in enumerate(zip(layer.blobs, shapes)):
            found, wanted = (
                s if len(shape) == 5 else tuple(size for size in s if size > 1)
                for s in (blob.shape, shape)
            )
            if found != wanted:
                raise ValueError(
                    f'layer {name}: blob {number} has the shape {blob.shape}, expected {shape}'
                )
            _check_finite(name, blob)
        return [blob.reshape(shape) for blob, shape in zip(layer.blobs, shapes)]

    def put(self, key: str, value: np.ndarray) -> None:
        self.state[key] = torch.from_numpy(value)

    def conv(self, name: str, key: str, shape: tuple[int, ...], bias: bool) -> np.ndarray | float:
        """Convert the weight of a convolution and return its bias, 0 for none."""
        weight, *biases = self.take(name, 'Convolution', shape, *[shape[:1]] * bias)
        if name in _READ_CLIP:
            weight = np.ascontiguousarray(weight[:, ::-1])
        self.put(f'backbone.{key}.weight', weight)
        self.biases += bias
        return biases[0].astype(np.float64) if bias else 0.0

    def norm(self, name: str, key: str, channels: int, bias: np.ndarray | float = 0.0) -> None:
        """Convert a BN layer whose input lacks, in our model, a bias that it has in theirs."""
        scale, shift, mean, variance = self.take(name, 'BN', *[(channels,)] * 4)
        if variance.min() < 0:
            raise ValueError(f'layer {name} has a running variance below 0')
        with np.errstate(over='ignore'):
            folded = (mean - bias).astype(mean.dtype)
        _check_finite(name, folded)
        self.shifted += np.ndim(bias)
        tensors = dict(weight=scale, bias=shift, running_mean=folded, running_var=variance)
        for kind, value in tensors.items():
            self.put(f'backbone.{key}.{kind}', value)
        self.put(f'backbone.{key}.num_batches_tracked', np.array(0))

    def unit(self, name: str, key: str, shape: tuple[int, ...], bias: bool) -> np.ndarray | float:
        """Convert a SMART unit, in the place of a convolution of that shape.

        Its branches are named after that convolution, the rest is numbered.
        """
        channels, inputs, _, *frame = shape
        self.poolings += 1
        number, pairs = self.poolings, channels // 2
        own = self.conv(name, f'{key}.appearance_conv', (channels, inputs, 1, *frame), bias)
        self.norm(f'{name}_bn', f'{key}.appearance_norm', channels, own)
        own = self.conv(f'{name}_t', f'{key}.relation_conv', shape, bias)
        self.norm(f'{name}_t_bn', f'{key}.relation_norm', channels, own)
        # As many groups of two hidden units as there are codes: code k reads 2k and 2k + 1.
        (pooling,) = self.take(f'pooling{number}', 'Convolution', (pairs, 2, 1, 1, 1))
        if (pooling != POOLING_WEIGHT).any():
            raise ValueError(f'layer pooling{number} has other weights than {POOLING_WEIGHT}')
        self.norm(f'pooling{number}_bn', f'{key}.pool_norm', pairs)
        reduction = (channels, channels + pairs, 1, 1, 1)
        return self.conv(f'redu{number}', f'{key}.reduction', reduction, bias)


def _check_finite(name: str, blob: np.ndarray) -> None:
    """Refuse what no float32 model can hold; NaN compares as False."""
    if not (np.abs(blob) <= np.finfo(np.float32).max).all():
        raise ValueError(f'layer {name} has values that are not finite')


def _backbone(net: _Converter, width: int, smart: bool) -> None:
    """Walk through the released network (Sec. 3.3) and convert layer after layer.

    Our convolutions have no bias. A bias of theirs shifts what the next BN reads
    and nothing else: in a block the second BN, or those within a SMART unit; on the
    raw stream the first BN of every block up to that of the next projection
    shortcut, which reads what is activated and starts a stream of its own; in the
    end the last BN.
    """
    stem, first = (net.unit, 'redu1_bn') if smart else (net.conv, 'conv1_bn')
    stream = stem('conv1', 'stem', (width, 3, 3, 7, 7), not smart)
    channels = width
    for stage, block in product(range(4), range(2)):
        name, key = f'res{stage + 2}{"ab"[block]}', f'stages.{stage}.{block}'
        inputs, channels = channels, width * 2**stage
        bias = not smart or stage > 0
        shape, square = (channels, inputs, 3, 3, 3), (channels, channels, 3, 3, 3)
        net.norm(first, f'{key}.norm1', inputs, stream)
        if inputs != channels:
            stream = net.conv(f'{name}_down', f'{key}.shortcut', shape, bias)
        own = net.conv(f'{name}_1', f'{key}.conv1', shape, bias)
        net.norm(f'{name}_1_bn', f'{key}.norm2', channels, own)
        second = net.unit if smart and stage < 3 else net.conv
        stream = stream + second(f'{name}_2', f'{key}.conv2', square, bias)
        first = f'{name}_bn'
    net.norm(first, 'norm', channels, stream)


def _size(layers: dict[str, Layer], name: str) -> int:
    """Channels that the last blob of a layer has one value for each of."""
    if name not in layers:
        raise ValueError(f'layer {name} is missing')
    return layers[name].blobs[-1].size


def _convert(path: Path, name: str, layers: dict[str, Layer]) -> Conversion:
    smart = any(layer.startswith('redu') for layer in layers)
    if not smart and not any(layer.startswith('res2a_') for layer in layers):
        raise ValueError(
            'neither ARTNet-ResNet18 (d) nor C3D-ResNet18: it has no layer redu1 and no res2a_1'
        )
    net = _Converter(layers)
    width, classes = _size(layers, 'conv1_bn'), _size(layers, 'fc8')
    _backbone(net, width, smart)
    weight, bias = net.take('fc8', 'InnerProduct', (classes, 8 * width), (classes,))
    net.put('cls_head.fc_cls.weight', weight)
    net.put('cls_head.fc_cls.bias', bias)
    if net.left:
        some = ', '.join(map(repr, list(net.left)[:4]))
        raise ValueError(f'{len(net.left)} layers with weights are left over: {some}')

    network, config = 'C3D-ResNet18', 'c3d_r18_kinetics_released'
    released = _RELEASED_ARTNET.match(path.name)
    tsn = bool(released[1]) if released else 'tsn' in f'{path.name} {name}'.lower()
    if smart:
        network = 'ARTNet-ResNet18 (d)'
        config = f'artnet_r18_d_{"tsn_" if tsn else ""}kinetics_released'
    clip = ' and '.join(layer for layer in _READ_CLIP if layer in layers)
    blobs = sum(len(layer.blobs) for layer in layers.values())
    notes = [
        f'{network} with {width} base channels and {classes} classes: configs/{config}.py',
        f'{len(layers)} layers with {blobs} blobs read, none left over',
        f'{net.biases} convolution biases folded into the running means of {net.shifted} BN layers',
        f'input channels of {clip} reordered from BGR to RGB',
    ]
    if smart:
        notes += [
            f'pooling weights of {net.poolings} units are {POOLING_WEIGHT}, as in ours',
            f'trained {"with" if tsn else "without"} TSN to go by the names of file and network: '
            'the layers are the same',
        ]
    meta = dict(
        converted_from=path.name, sha256=sha256_of(path), config=config, num_classes=classes
    )
    return Conversion(net.state, meta, notes)


def convert(path: str | Path) -> Conversion:
    """Convert a released ``.caffemodel``: C3D-ResNet18 or ARTNet-ResNet18 (d).

    Every blob is converted or checked. Convolution biases become part of running
    means, exactly but for the rounding of those; the input channels of the first
    convolutions are reordered from BGR to RGB.

    Args:
        path (str | Path): A file as the authors released it, with any number of
            base channels and of classes.

    Returns:
        Conversion: State dict, plain metadata, and what was done.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken, holds another network, or a layer of it
            is missing, left over, of a wrong shape or not finite.
    """
    path = Path(path)
    name, layers = read_network(path)
    try:
        return _convert(path, name, layers)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
