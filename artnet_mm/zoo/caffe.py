"""Layers and blobs of a ``.caffemodel``: a protobuf message of the type ``NetParameter``.

A file may come from anywhere: every length is checked against what is there before
anything is read or allocated.
"""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_Field = descriptor_pb2.FieldDescriptorProto
# Of caffe.proto what is needed: name, number, type, whether there may be many of it. Strings
# are bytes (other bytes than UTF-8 break no error message), and so is the shape: eight bytes
# of memory for each of a file's should not be spent before its length is known.
_MESSAGES = {
    'BlobShape': [('dim', 1, _Field.TYPE_INT64, True)],
    'BlobProto': [
        *((name, number, _Field.TYPE_INT32, False)
          for number, name in enumerate(('num', 'channels', 'height', 'width'), 1)),
        ('data', 5, _Field.TYPE_FLOAT, True),
        ('shape', 7, _Field.TYPE_BYTES, False),
        ('double_data', 8, _Field.TYPE_DOUBLE, True),
    ],
    'LayerParameter': [
        ('name', 1, _Field.TYPE_BYTES, False),
        ('type', 2, _Field.TYPE_BYTES, False),
        ('blobs', 7, 'BlobProto', True),
    ],
    'V1LayerParameter': [('name', 4, _Field.TYPE_BYTES, False), ('blobs', 6, 'BlobProto', True)],
}  # fmt: skip
_NAME, _OLD_LAYERS, _LAYERS = 1, 2, 100  # fields of NetParameter
_MAX_FIELDS = 1000  # of a message; the released networks have 130 layers
_MAX_BLOBS = 4  # of a layer; BN has them
_MAX_SHAPE = 320  # bytes: Caffe's 32 dimensions, of at most ten bytes each


class Layer(NamedTuple):
    """A layer that holds weights."""

    type: str | None
    """As 'Convolution'; None in the old form of file, which has numbers for it."""
    blobs: list[np.ndarray]
    """Of float32, or float64 where the file has doubles."""


class Network(NamedTuple):
    """What a file holds."""

    name: str
    layers: dict[str, Layer]


def _message_classes() -> dict[str, type]:
    """Protobuf's classes for ``_MESSAGES``, in a pool of their own beside any caffe_pb2."""
    file = descriptor_pb2.FileDescriptorProto(name='artnet_mm/caffe.proto', syntax='proto2')
    for message, fields in _MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            field = descriptor.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f'.{kind}'
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in _MESSAGES
    }


_CLASSES: dict[str, Any] = _message_classes()


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError('the file ends within a number: it is truncated')
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError(f'a number before byte {file.tell()} is longer than ten bytes')


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Number and length of the fields of a message that have a length.

    The file stands at the value when a field is yielded.
    """
    for _ in range(_MAX_FIELDS):
        start = file.tell()
        if start == end:
            return
        number, wire_type = divmod(_varint(file), 8)
        if wire_type == 0:
            _varint(file)
            continue
        if wire_type not in (1, 2, 5):
            raise ValueError(f'no field of a network starts at byte {start}')
        length = {1: 8, 5: 4}[wire_type] if wire_type != 2 else _varint(file)
        value = file.tell()
        if length > end - value:
            raise ValueError(
                f'a field at byte {start} should have {length} bytes, but {end - value} are left: '
                'the file is truncated or broken'
            )
        if wire_type == 2:
            yield number, length
        file.seek(value + length)
    raise ValueError(f'more than {_MAX_FIELDS} fields in a message: no network of ours')


def _array(blob: Any) -> np.ndarray:
    """The values of a BlobProto in its shape, which is not believed."""
    if len(blob.data) and len(blob.double_data):
        raise ValueError('floats and doubles at once')
    if len(blob.double_data):
        values = np.array(blob.double_data, np.float64)
    else:
        values = np.array(blob.data, np.float32)
    shape = (blob.num, blob.channels, blob.height, blob.width)  # before shapes had any length
    if blob.HasField('shape'):
        if len(blob.shape) > _MAX_SHAPE:
            raise ValueError(f'a shape of {len(blob.shape)} bytes')
        shape = tuple(_CLASSES['BlobShape'].FromString(blob.shape).dim)
    if any(size < 1 for size in shape) or math.prod(shape) != values.size:
        raise ValueError(f'a shape of {shape} for {values.size} values')
    return values.reshape(shape)


def _layer(kind: str, data: bytes) -> tuple[str, Layer]:
    for _ in _fields(io.BytesIO(data), len(data)):
        pass  # an empty blob has two bytes in the file and fifty in memory: so many, but no more
    message = _CLASSES[kind].FromString(data)
    name = message.name.decode(errors='replace')[:100]
    if len(message.blobs) > _MAX_BLOBS:
        count = len(message.blobs)
        raise ValueError(f'layer {name!r} has {count} blobs, expected {_MAX_BLOBS} at most')
    blobs = []
    for number, blob in enumerate(message.blobs):
        try:
            blobs.append(_array(blob))
        except (ValueError, DecodeError) as error:
            raise ValueError(f'layer {name!r}: blob {number} has {error}') from None
    of_type = None if kind == 'V1LayerParameter' else message.type.decode(errors='replace')[:100]
    return name, Layer(of_type, blobs)


def read_network(path: Path) -> Network:
    """Read the layers that hold weights, one at a time.

    At any time the memory holds the values read so far, and once more or twice
    those of the layer being read.

    Args:
        path (Path): A ``.caffemodel``; layers in the field ``layer`` or, as old
            files have them, in ``layers``.

    Returns:
        Network: Its name and its layers by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ``.caffemodel`` or a broken one.
    """
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist')
    if not path.is_file():
        raise ValueError(f'{path} is not a file')
    kinds = {_LAYERS: 'LayerParameter', _OLD_LAYERS: 'V1LayerParameter'}
    name, layers = '', {}
    try:
        with path.open('rb') as file:
            for number, length in _fields(file, path.stat().st_size):
                if number == _NAME:
                    name = file.read(length).decode(errors='replace')
                elif number in kinds:
                    layer, content = _layer(kinds[number], file.read(length))
                    if layer in layers and content.blobs:
                        raise ValueError(f'layer {layer!r} holds weights twice')
                    if content.blobs:  # data, activations and pooling hold none
                        layers[layer] = content
    except (ValueError, DecodeError) as error:
        raise ValueError(f'{path}: {error}') from None
    return Network(name, layers)
