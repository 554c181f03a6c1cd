"""The networks that the authors released for Caffe: layers, weights, files, class scores.

Written from the released network definitions and Caffe's format, not from the code under test.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BGR_MEAN = (104, 117, 123)
ONE = (1, 1, 1)


class Row(NamedTuple):
    """A layer of the definition."""

    name: str
    type: str
    inputs: str
    output: str
    channels: int | None = None
    kernel: tuple | None = None
    stride: tuple | None = None
    padding: tuple | None = None
    groups: int | None = None
    bias: bool | None = None


def _conv(name, source, channels, kernel, stride, bias, groups=None):
    padding = tuple(size // 2 for size in kernel)
    return Row(
        name, 'Convolution', source, name, channels, kernel, (stride,) * 3, padding, groups, bias
    )


def _norm(source, relu=None):
    """BN, and a ReLU in its place."""
    norm = f'{source}_bn'
    yield Row(norm, 'BN', source, norm)
    if relu:
        yield Row(relu, 'ReLU', norm, norm)


def _smart(number, name, source, channels, kernel, stride, bias):
    yield _conv(name, source, channels, (1, *kernel[1:]), stride, bias)._replace(
        padding=(0, kernel[1] // 2, kernel[2] // 2)
    )
    yield from _norm(name)
    yield _conv(f'{name}_t', source, channels, kernel, stride, bias)
    yield from _norm(f'{name}_t')
    yield Row(f'energy{number}', 'Power', f'{name}_t_bn', f'energy{number}')
    half = channels // 2
    yield _conv(f'pooling{number}', f'energy{number}', half, ONE, 1, False, groups=half)
    yield from _norm(f'pooling{number}')
    concat = f'concat{number}'
    yield Row(concat, 'Concat', f'{name}_bn,pooling{number}_bn', concat)
    yield Row(f'{concat}_relu', 'ReLU', concat, concat)
    yield _conv(f'redu{number}', concat, channels, ONE, 1, bias)


def released_layers(smart: bool, width: int = 64, classes: int = 400) -> Iterator[Row]:
    """Layers of ARTNet-ResNet18 (d), or of C3D-ResNet18, in the order of the definitions."""
    cube = (3, 3, 3)
    if smart:
        yield from _smart(1, 'conv1', 'data', width, (3, 7, 7), 2, False)
        yield from _norm('redu1', 'redu1_relu')
        raw, numbers = 'redu1', itertools.count(2)
    else:
        yield _conv('conv1', 'data', width, (3, 7, 7), 2, True)
        yield from _norm('conv1', 'relu1')
        raw = 'conv1'
    for stage, letter in itertools.product((2, 3, 4, 5), 'ab'):
        block, channels = f'res{stage}{letter}', width * 2 ** (stage - 2)
        projects = stage > 2 and letter == 'a'
        bias = not smart or stage > 2
        yield _conv(f'{block}_1', f'{raw}_bn', channels, cube, 1 + projects, bias)
        yield from _norm(f'{block}_1', f'{block}_1_relu')
        if smart and stage < 5:
            number = next(numbers)
            yield from _smart(number, f'{block}_2', f'{block}_1_bn', channels, cube, 1, bias)
            branch = f'redu{number}'
        else:
            yield _conv(f'{block}_2', f'{block}_1_bn', channels, cube, 1, bias)
            branch = f'{block}_2'
        shortcut = f'{block}_down' if projects else raw
        if projects:
            yield _conv(shortcut, f'{raw}_bn', channels, cube, 2, bias)
        yield Row(block, 'Eltwise', f'{branch},{shortcut}', block)
        yield from _norm(block, f'{block}_relu')
        raw = block
    yield Row('global_pool', 'Pooling', 'res5b_bn', 'global_pool')
    yield Row('global_pool_reshape', 'Reshape', 'global_pool', 'global_pool_reshape')
    yield Row('dropout', 'Dropout', 'global_pool_reshape', 'global_pool_reshape')
    yield Row('fc8', 'InnerProduct', 'global_pool_reshape', 'fc-action', classes, bias=True)


def blob_shapes(rows: list[Row]) -> dict[str, list[tuple]]:
    """Shapes of the weights of every layer that has some."""
    channels, shapes = {'data': 3}, {}
    for row in rows:
        inputs = [channels[name] for name in row.inputs.split(',')]
        channels[row.output] = sum(inputs) if row.type == 'Concat' else row.channels or inputs[0]
        if row.type == 'BN':
            shapes[row.name] = [(inputs[0],)] * 4
        elif row.channels:
            kernel = row.kernel or ()
            weight = (row.channels, inputs[0] // (row.groups or 1), *kernel)
            shapes[row.name] = [weight, *[(row.channels,)] * row.bias]
    return shapes


def random_blobs(rows: list[Row], seed: int) -> dict[str, list[np.ndarray]]:
    """Weights, biases as large as what they are added to, and statistics yet to be settled."""
    rng = np.random.default_rng(seed)
    blobs = {}
    for name, shapes in blob_shapes(rows).items():
        if name.endswith('_bn'):
            scale, shift, mean, variance = (rng.uniform(0.5, 1.5, shape) for shape in shapes)
            blobs[name] = [scale, shift - 1, mean, variance]
        elif name.startswith('pooling'):
            blobs[name] = [np.full(shapes[0], 0.5)]
        else:
            fan_in = math.prod(shapes[0][1:])
            weight = rng.normal(0, (2 / fan_in) ** 0.5, shapes[0])
            blobs[name] = [weight, *(rng.normal(0, 1, shape) for shape in shapes[1:])]
    return blobs


def evaluate(rows: list[Row], blobs: dict, clips: Tensor, settle: bool = False) -> Tensor:
    """Class scores of clips (N, 3, T, H, W), BGR less its mean, layer by layer in float64.

    With ``settle`` the running statistics become those of these clips.
    """
    values = {'data': clips.double()}
    for row in rows:
        inputs = [values[name] for name in row.inputs.split(',')]
        x = inputs[0]
        own = [torch.from_numpy(blob).double() for blob in blobs.get(row.name, ())]
        match row.type:
            case 'Convolution':
                bias = own[1] if row.bias else None
                x = F.conv3d(x, own[0], bias, row.stride, row.padding, 1, row.groups or 1)
            case 'BN':
                if settle:
                    own[2:] = x.mean((0, 2, 3, 4)), x.var((0, 2, 3, 4), unbiased=False)
                    blobs[row.name][2:] = [statistic.numpy() for statistic in own[2:]]
                scale, shift, mean, variance = (blob[:, None, None, None] for blob in own)
                x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
            case 'Power':
                x = x**2
            case 'Concat':
                x = torch.cat(inputs, dim=1)
            case 'ReLU':
                x = x.clamp(min=0)
            case 'Eltwise':
                x = inputs[0] + inputs[1]
            case 'Pooling':
                x = x.mean((2, 3, 4), keepdim=True)
            case 'Reshape':
                x = x.flatten(1)
            case 'InnerProduct':
                x = x @ own[0].T + own[1]
        values[row.output] = x
    return values['fc-action']


def varint(value: int) -> bytes:
    """A number as protobuf writes it; a negative one as its two's complement in 64 bits."""
    value %= 2**64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes | int) -> bytes:
    """A field of a message."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob_message(values: np.ndarray, shape: tuple | None = None, legacy: bool = False) -> bytes:
    """A BlobProto of float32 or float64, in its shape or as said; a legacy one has four sizes."""
    shape = values.shape if shape is None else shape
    number, kind = (8, '<f8') if values.dtype == np.float64 else (5, '<f4')
    content = field(number, values.astype(kind).tobytes())
    if legacy:
        return b''.join(itertools.starmap(field, enumerate(shape, 1))) + content
    return content + field(7, field(1, b''.join(map(varint, shape))))


def layer_message(row: Row, blobs: list[np.ndarray], old: bool) -> bytes:
    """A field ``layer`` of NetParameter, or one of the old ``layers``."""
    content = b''
    for blob in blobs:
        shape, legacy = blob.shape, old and blob.ndim < 5
        if legacy:
            shape = (*(1,) * (4 - blob.ndim), *blob.shape)
        content += field(6 if old else 7, blob_message(blob, shape, legacy))
    names = [(2 if old else 3, name) for name in row.inputs.split(',')]
    names += [(3 if old else 4, row.output), (4 if old else 1, row.name)]
    head = b''.join(field(number, name.encode()) for number, name in names)
    head += field(5, 4) if old else field(2, row.type.encode())
    head += varint((35 if old else 5) << 3 | 5) + bytes(4)  # loss_weight, a float
    return field(2 if old else 100, head + content)


def messages(
    rows: list[Row], blobs: dict, name: str = 'net', old: bool = False, dtype: type = np.float32
) -> list[bytes]:
    """A file's top-level fields: the name, a data layer, and the layers with their weights."""
    rows = [Row('data', 'VideoData', 'list', 'data'), *rows]
    layers = [
        layer_message(row, [b.astype(dtype) for b in blobs.get(row.name, ())], old) for row in rows
    ]
    double = varint(99 << 3 | 1) + bytes(8)  # of some fork's own
    return [field(1, name.encode()), double, *layers]


def mutations(parts: list[bytes], seed: int) -> Iterator[bytes]:
    """A file, broken in every which way, half of the time near the beginning of a field."""
    data = b''.join(parts)
    starts = list(itertools.accumulate(map(len, parts[:-1]), initial=0))
    rng = np.random.default_rng(seed)
    extremes = [b'\xff' * 9 + b'\x01', b'\x80' * 12, b'\0', b'\x7f', b'\xff\xff\xff\xff\x0f']

    def place() -> int:
        near = int(rng.choice(starts) + rng.integers(100))
        return near if near < len(data) and rng.random() < 0.5 else int(rng.integers(len(data)))

    while True:
        broken = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at, size = place(), int(rng.geometric(0.1))
            match rng.integers(7):
                case 0 | 1:
                    broken[at % max(len(broken), 1)] ^= 1 << rng.integers(8)
                case 2:
                    broken[at : at + size] = rng.bytes(size)
                case 3:
                    del broken[at : at + size]
                case 4:
                    other = place()
                    broken[at:at] = data[other : other + size]
                case 5:
                    some = extremes[rng.integers(len(extremes))]
                    broken[at : at + len(some)] = some
                case 6 if rng.random() < 0.3:
                    del broken[at:]
        yield bytes(broken)
