"""Conversion of the authors' released weights, against an evaluation of their layers."""

import functools
import hashlib
import itertools
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from artnet_mm.zoo.convert import Conversion, convert

from ..helpers import ROOT, run_tool
from .caffe_files import (
    BGR_MEAN,
    Row,
    blob_message,
    blob_shapes,
    evaluate,
    field,
    messages,
    mutations,
    random_blobs,
    released_layers,
    varint,
)

SMART = {'c3d_r18_kinetics': False, 'artnet_r18_d_kinetics': True}
CLASSES = 7


def clips(seed: int, number: int) -> torch.Tensor:
    """uint8 (N, 3, T, H, W) whose channels are far from alike."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 128, (number, 3, 16, 56, 56), generator=generator)
    return (noise + torch.tensor([0, 60, 120])[:, None, None, None]).to(torch.uint8)


def to_caffe(rgb: torch.Tensor) -> torch.Tensor:
    return rgb.flip(1) - torch.tensor(BGR_MEAN, dtype=torch.float64)[:, None, None, None]


@functools.cache
def network(name: str) -> tuple[list[Row], dict]:
    """Layers with 8 base channels, and weights with the statistics they lead to."""
    rows = list(released_layers(SMART[name], 8, CLASSES))
    blobs = random_blobs(rows, seed=0)
    evaluate(rows, blobs, to_caffe(clips(0, 4)), settle=True)
    return rows, blobs


@functools.cache
def small(name: str) -> tuple[list[Row], dict]:
    """Layers with 2 base channels and weights, for what is not evaluated."""
    rows = list(released_layers(SMART[name], 2, CLASSES))
    return rows, random_blobs(rows, seed=1)


def write(path, rows: list[Row], blobs: dict, **kwargs):
    path.write_bytes(b''.join(messages(rows, blobs, **kwargs)))
    return path


def model_of(conversion: Conversion, width: int) -> torch.nn.Module:
    """The model of the config that the conversion names, with its weights in float64."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{conversion.meta["config"]}.py')
    cfg.model.backbone.base_channels = width
    cfg.model.cls_head.update(in_channels=8 * width, num_classes=conversion.meta['num_classes'])
    model = MODELS.build(cfg.model).double().eval()
    model.load_state_dict(conversion.state_dict, strict=True)
    return model


def scores_of(model: torch.nn.Module, rgb: torch.Tensor) -> torch.Tensor:
    data = dict(inputs=list(rgb[:, None]), data_samples=[None] * len(rgb))
    inputs = model.data_preprocessor(data)['inputs']
    with torch.no_grad():
        return model(inputs.double(), stage='head', mode='tensor')


@pytest.mark.parametrize(
    ('old', 'vector'),
    [(False, (-1,)), (False, (1, -1, 1, 1, 1)), (True, (1, -1, 1, 1))],
    ids=['layer, C', 'layer, 1 C 1 1 1', 'layers, 1 C 1 1'],
)
@pytest.mark.parametrize(
    # What remains in float32 is the rounding of the weights in the file, which are evaluated
    # as they are there, and of the running means that the biases went into.
    ('dtype', 'tolerance'),
    [(np.float32, 1e-5), (np.float64, 1e-10)],
)
@pytest.mark.parametrize('name', SMART)
def test_scores_are_those_of_the_released_layers(name, dtype, tolerance, old, vector, tmp_path):
    rows, blobs = network(name)
    blobs = {name: [b.astype(dtype) for b in own] for name, own in blobs.items()}
    norms = {layer: own for layer, own in blobs.items() if layer.endswith('_bn')}
    shaped = {layer: [b.reshape(vector) for b in own] for layer, own in norms.items()}
    file = write(tmp_path / 'net', rows, blobs | shaped, old=old, dtype=dtype)
    rgb = clips(1, 2)
    expected = evaluate(rows, blobs, to_caffe(rgb))
    conversion = convert(file)
    kinds = {tensor.dtype for tensor in conversion.state_dict.values()}
    assert kinds == {torch.from_numpy(np.zeros(0, dtype)).dtype, torch.int64}
    scores = scores_of(model_of(conversion, 8), rgb)
    assert scores.shape == (2, CLASSES)
    assert (scores - expected).abs().max() <= tolerance * expected.abs().max()
    # not of dead units: they tell the clips apart, and colours
    assert (expected[0] - expected[1]).abs().max() > 1e-2 * expected.abs().max()
    swapped = evaluate(rows, blobs, to_caffe(rgb.flip(1)))
    assert (expected - swapped).abs().max() > 1e-2 * expected.abs().max()


@pytest.mark.parametrize(
    # with the projection shortcuts of 3 x 3 x 3, 4.47 M more than in Table 1
    ('name', 'millions', 'biases', 'layers'),
    [('c3d_r18_kinetics', 37.84, 20, 38), ('artnet_r18_d_kinetics', 39.67, 23, 73)],
)
def test_released_layers_at_full_width_are_the_model_of_the_config(name, millions, biases, layers):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}_released.py')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    ours = Counter(tuple(p.shape) for p in model.parameters())
    shapes = {
        layer: own
        for layer, own in blob_shapes(list(released_layers(SMART[name]))).items()
        if not layer.startswith('pooling') or layer.endswith('_bn')
    }
    learned = [own[:2] if layer.endswith('_bn') else own[:1] for layer, own in shapes.items()]
    theirs = Counter(itertools.chain(*learned, shapes['fc8'][1:]))
    assert ours == theirs
    assert round(sum(map(math.prod, theirs.elements())) / 1e6, 2) == millions
    folded = [layer for layer, own in shapes.items() if len(own) == 2 and layer != 'fc8']
    assert (len(folded), len(shapes)) == (biases, layers)


@pytest.mark.parametrize(
    ('file', 'named', 'config'),
    [
        ('112_c3d_resnet_18_kinetics', 'net', 'c3d_r18_kinetics'),
        ('112_artnet_resnet_18_kinetics', 'net', 'artnet_r18_d_kinetics'),
        ('112_artnet_tsn_resnet_18_kinetics', 'net', 'artnet_r18_d_tsn_kinetics'),
        ('downloaded', 'ARTNet-TSN', 'artnet_r18_d_tsn_kinetics'),
        ('112_artnet_resnet_18_kinetics', 'ARTNet-TSN', 'artnet_r18_d_kinetics'),
    ],
)
def test_the_config_is_told_from_the_layers_and_tsn_from_names(file, named, config, tmp_path):
    rows, blobs = small(config.replace('_tsn', ''))
    source = write(tmp_path / f'{file}.caffemodel', rows, blobs, name=named)
    meta = convert(source).meta
    assert meta == dict(
        converted_from=source.name,
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        config=f'{config}_released',
        num_classes=CLASSES,
    )


SAID = {
    '112_c3d_resnet_18_kinetics': [
        'C3D-ResNet18 with 2 base channels and 7 classes: configs/c3d_r18_kinetics_released.py',
        '38 layers with 110 blobs read, none left over',
        '20 convolution biases folded into the running means of 17 BN layers',
        'input channels of conv1 reordered from BGR to RGB',
    ],
    '112_artnet_tsn_resnet_18_kinetics': [
        'ARTNet-ResNet18 (d) with 2 base channels and 7 classes: '
        'configs/artnet_r18_d_tsn_kinetics_released.py',
        '80 layers with 218 blobs read, none left over',
        '23 convolution biases folded into the running means of 20 BN layers',
        'input channels of conv1 and conv1_t reordered from BGR to RGB',
        'pooling weights of 7 units are 0.5, as in ours',
        'trained with TSN to go by the names of file and network: the layers are the same',
    ],
}


@pytest.mark.parametrize('file', SAID)
def test_tool_writes_a_checkpoint_and_says_what_it_did(file, tmp_path):
    rows, blobs = small('artnet_r18_d_kinetics' if 'artnet' in file else 'c3d_r18_kinetics')
    source = write(tmp_path / f'{file}.caffemodel', rows, blobs)
    out = tmp_path / 'new' / 'out.pth'
    result = run_tool('convert_caffe.py', source, out)
    assert result.stdout.splitlines() == [*SAID[file], f'written to {out}']
    assert os.listdir(out.parent) == ['out.pth']
    checkpoint, conversion = torch.load(out, weights_only=True), convert(source)
    assert checkpoint.keys() == {'state_dict', 'meta'}
    assert checkpoint['meta'] == conversion.meta
    same = dict(rtol=0, atol=0)
    torch.testing.assert_close(checkpoint['state_dict'], conversion.state_dict, **same)


def test_tool_leaves_an_earlier_checkpoint_where_the_file_is_broken(tmp_path):
    source, out = tmp_path / 'net.caffemodel', tmp_path / 'out.pth'
    source.write_bytes(b''.join(messages(*small('c3d_r18_kinetics')))[:-9])
    out.write_text('earlier')
    result = run_tool('convert_caffe.py', source, out, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f'error: {source}: a field at byte ')
    assert result.stderr.endswith(' are left: the file is truncated or broken\n')
    assert result.stderr.count('\n') == 1
    assert out.read_text() == 'earlier'
    assert sorted(os.listdir(tmp_path)) == ['net.caffemodel', 'out.pth']


@pytest.mark.skipif(os.name != 'posix', reason='limits the size of files as bash does')
def test_tool_leaves_an_earlier_checkpoint_where_the_disk_is_full(tmp_path):
    source = write(tmp_path / 'net.caffemodel', *small('c3d_r18_kinetics'))
    out = tmp_path / 'out.pth'
    out.write_text('earlier')
    tool = ROOT / 'tools/convert_caffe.py'
    result = subprocess.run(
        ['bash', '-c', 'ulimit -f 64; exec "$@"', 'bash', sys.executable, tool, source, out],
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == f'error: {out} cannot be written: [Errno 27] File too large\n'
    assert out.read_text() == 'earlier'
    assert sorted(os.listdir(tmp_path)) == ['net.caffemodel', 'out.pth']


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.caffemodel does not exist'):
        convert(tmp_path / 'gone.caffemodel')
    with pytest.raises(ValueError, match='is not a file'):
        convert(str(tmp_path))


def changed(layer: str, number: int, value: float):
    """An edit: the last value of a blob."""

    def edit(rows, blobs):
        blobs[layer][number].flat[-1] = value

    return edit


def reshaped(layer: str, number: int, *shape: int):
    def edit(rows, blobs):
        blobs[layer][number] = np.resize(blobs[layer][number], shape)

    return edit


def without(layer: str, number: int | None = None):
    def edit(rows, blobs):
        if number is None:
            del blobs[layer]
        else:
            del blobs[layer][number]

    return edit


def extra(layer: str, kind: str = 'Convolution'):
    def edit(rows, blobs):
        if all(row.name != layer for row in rows):
            rows.append(Row(layer, kind, 'data', layer))
        blobs.setdefault(layer, []).append(np.ones(2))

    return edit


def of_type(layer: str, kind: str):
    def edit(rows, blobs):
        at = next(index for index, row in enumerate(rows) if row.name == layer)
        rows[at] = rows[at]._replace(type=kind)

    return edit


def twice(layer: str):
    def edit(rows, blobs):
        rows.append(next(row for row in rows if row.name == layer))

    return edit


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (without('res3a_2_t_bn'), 'layer res3a_2_t_bn is missing'),
        (without('conv1_bn'), 'layer conv1_bn is missing'),
        (without('redu1'), 'layer redu1 is missing'),
        (without('fc8'), 'layer fc8 is missing'),
        (without('res4a_1', 1), 'layer res4a_1 has 1 blobs, expected 2'),
        (without('res5b_bn', 3), 'layer res5b_bn has 3 blobs, expected 4'),
        (without('fc8', 1), r'layer fc8 has 1 blobs, expected 2'),
        (extra('res2a_1'), 'layer res2a_1 has 2 blobs, expected 1'),
        (extra('res5b_bn'), "layer 'res5b_bn' has 5 blobs, expected 4 at most"),
        (extra('pooling4'), 'layer pooling4 has 2 blobs, expected 1'),
        (extra('res2c_1'), "1 layers with weights are left over: 'res2c_1'"),
        (extra('scale', 'Scale'), "1 layers with weights are left over: 'scale'"),
        (extra('concat3'), "1 layers with weights are left over: 'concat3'"),
        (twice('redu5'), "layer 'redu5' holds weights twice"),
        (of_type('res2b_bn', 'BatchNorm'), "layer res2b_bn is a 'BatchNorm', expected a 'BN'"),
        (of_type('fc8', 'BN'), "layer fc8 is a 'BN', expected a 'InnerProduct'"),
        (
            reshaped('res2b_2', 0, 2, 2, 3, 3, 1),
            r'layer res2b_2: blob 0 has the shape \(2, 2, 3, 3, 1\), expected \(2, 2, 1, 3, 3\)',
        ),
        (
            reshaped('res3a_down', 0, 4, 2, 1, 1, 1),
            r'layer res3a_down: blob 0 has the shape \(4, 2, 1, 1, 1\), expected \(4, 2, 3, 3, 3\)',
        ),
        (reshaped('conv1', 0, 2, 2, 1, 7, 7), r'layer conv1: blob 0 has the shape \(2, 2, 1, 7'),
        (reshaped('res4b_bn', 2, 9), r'layer res4b_bn: blob 2 has the shape .*, expected \(8,\)'),
        (reshaped('redu4', 1, 5), r'layer redu4: blob 1 has the shape \(5,\), expected \(4,\)'),
        (reshaped('fc8', 0, 16, 7), r'layer fc8: blob 0 has the shape \(16, 7\), expected \(7, 16'),
        (changed('redu3', 0, np.nan), 'layer redu3 has values that are not finite'),
        (changed('res5b_2', 1, -np.inf), 'layer res5b_2 has values that are not finite'),
        (changed('fc8', 1, np.inf), 'layer fc8 has values that are not finite'),
        (changed('res3b_bn', 3, -1e-3), 'layer res3b_bn has a running variance below 0'),
        (changed('pooling4', 0, 0.25), 'layer pooling4 has other weights than 0.5'),
    ],
)
def test_every_blob_is_accounted_for_and_a_wrong_one_names_its_layer(edit, message, tmp_path):
    rows, blobs = small('artnet_r18_d_kinetics')
    rows, blobs = [*rows], {name: [b.copy() for b in own] for name, own in blobs.items()}
    edit(rows, blobs)
    file = write(tmp_path / 'net.caffemodel', rows, blobs)
    with pytest.raises(ValueError, match=f'net.caffemodel: {message}'):
        convert(file)


@pytest.mark.filterwarnings('error')
def test_values_beyond_float32_are_refused_in_doubles_and_in_running_means(tmp_path):
    rows, blobs = small('c3d_r18_kinetics')
    blobs = {name: [b.copy() for b in own] for name, own in blobs.items()}
    blobs['res2a_1'][0].flat[5] = 1e39
    with pytest.raises(ValueError, match='layer res2a_1 has values that are not finite'):
        convert(write(tmp_path / 'net', rows, blobs, dtype=np.float64))
    blobs['res2a_1'] = [blobs['res2a_1'][0] * 0, np.full(2, 3e38)]
    blobs['res2a_1_bn'][2] = np.full(2, -3e38)
    with pytest.raises(ValueError, match='layer res2a_1_bn has values that are not finite'):
        convert(write(tmp_path / 'net', rows, blobs))


NUMBER = field(7, field(5, b'\0' * 8))


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'neither ARTNet-ResNet18'),
        (b'<!DOCTYPE html><html><body>404</body></html>', 'no field of a network starts at byte 0'),
        (varint(100 << 3 | 2) + varint(2**40) + b'abc', 'should have 1099511627776 bytes, but 3'),
        (varint(100 << 3 | 2) + varint(2**63), 'should have 9223372036854775808 bytes, but 0'),
        (b'\xff' * 100, 'longer than ten bytes'),
        (b'\xa2', 'ends within a number'),
        (b'\x0b' * 100_000, 'no field of a network starts at byte 0'),
        (field(100, b'\x0b' * 100_000), 'no field of a network starts at byte 0'),
        (field(100, field(7, b'\x0b' * 100_000)), 'Error parsing message'),
        (field(2, field(6, b'\x0b' * 100_000)), 'Error parsing message'),
        (field(100, field(7, field(7, b'\x0b' * 300))), 'blob 0 has Error parsing message'),
        (field(100, field(7, field(5, bytes(8)) + field(8, bytes(16)))), 'floats and doubles'),
        (field(3, b'') * 1001, 'more than 1000 fields'),
        (field(100, field(7, b'') * 1001), 'more than 1000 fields'),
        (field(100, field(1, b'\xff\0') + NUMBER), r"layer '�\\x00': blob 0 has a shape"),
    ],
)
def test_bytes_that_are_no_network_are_refused(data, message, tmp_path):
    file = tmp_path / 'net.caffemodel'
    file.write_bytes(data)
    with pytest.raises(ValueError, match=f'net.caffemodel: .*{message}'):
        convert(file)


@pytest.mark.parametrize(
    ('shape', 'values', 'message'),
    [
        ((2**62, 4), 0, r'a shape of \(4611686018427387904, 4\) for 0 values'),
        ((2**32, 2**32), 0, 'for 0 values'),
        ((-1, -1), 1, r'a shape of \(-1, -1\) for 1 values'),
        ((0,), 0, r'a shape of \(0,\) for 0 values'),
        ((2, 3), 5, r'a shape of \(2, 3\) for 5 values'),
        ((1,) * 65, 1, 'dimension'),
        ((1,) * 1000, 1, 'a shape of 1003 bytes'),
    ],
)
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_shape_that_the_values_do_not_have_is_refused(shape, values, message, dtype, tmp_path):
    file = tmp_path / 'net.caffemodel'
    blob = field(7, blob_message(np.zeros(values, dtype), shape))
    file.write_bytes(field(100, field(1, b'res2a_1') + blob))
    with pytest.raises(ValueError, match=f"layer 'res2a_1': blob 0 has .*{message}"):
        convert(file)


MEASURE = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import caffe

def peak():  # not ru_maxrss, which a process takes over from the one that started it
    return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])

before = peak()
try:
    caffe.read_network(Path(sys.argv[2]))
except ValueError:
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize(
    'flood',
    [
        field(100, field(7, b'') * 10_000_000),
        field(100, field(7, field(7, field(1, b'\1' * 20_000_000)))),
        field(100, field(7, field(5, b'\1' * 20_000_000))),
    ],
    ids=['empty blobs', 'dimensions', 'values without a shape'],
)
def test_a_flood_of_small_things_takes_little_memory(flood, tmp_path):
    file = tmp_path / 'net.caffemodel'
    file.write_bytes(flood)
    result = subprocess.run(
        [sys.executable, '-c', MEASURE, ROOT / 'artnet_mm/zoo', file],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(flood) / 2 < 1024 * int(result.stdout) < 4 * len(flood)


def broken_files_that_convert(file: Path, name: str, old: bool, number: int, seed: int) -> int:
    """How many of so many broken files convert: none but to every tensor, the rest are refused."""
    parts = messages(*small(name), old=old)
    file.write_bytes(b''.join(parts))
    whole = convert(file).state_dict
    converted = 0
    for data in itertools.islice(mutations(parts, seed), number):
        file.write_bytes(data)
        try:
            state = convert(file).state_dict
        except ValueError:
            continue
        converted += 1
        assert state.keys() == whole.keys()
        for key, value in state.items():
            assert value.shape == whole[key].shape and value.dtype == whole[key].dtype, key
            assert value.isfinite().all(), key
    return converted


@pytest.mark.parametrize('old', [False, True], ids=['layer', 'layers'])
@pytest.mark.parametrize('name', SMART)
def test_a_broken_file_is_refused_or_converts_as_a_whole(name, old, tmp_path):
    converted = broken_files_that_convert(tmp_path / 'net', name, old, number=750, seed=0)
    assert 50 < converted < 700
