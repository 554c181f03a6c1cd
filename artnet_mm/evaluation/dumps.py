"""Dumps of scores: plain arrays, or MMEngine's pickles, read without executing what they say."""

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..compat import prediction, prediction_of
from ..files import whole_file


def _load_storage(data: bytes) -> object:
    """What ``torch.storage._load_from_bytes`` does, for tensors' values alone."""
    try:
        return torch.load(io.BytesIO(data), map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:  # torch's whole text advises weights_only=False
        named = re.search(r'GLOBAL (\S+)', str(error))
        raise pickle.UnpicklingError(_refusal(named[1] if named else 'more')) from None


def _encode(text: str, encoding: str) -> bytes:
    """What pickles of protocol 2 make bytes with."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'it has bytes in {encoding!r}')
    return text.encode('latin1')


def _refusal(name: str) -> str:
    return f'it names {name}, and may hold tensors, arrays and plain data only'


_of_numpy: tuple[Any, Any] = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
ALLOWED: dict[tuple[str, str], Callable] = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): _encode,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _load_storage,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    **{
        (f'numpy.{core}.multiarray', function.__name__): function  # of NumPy 1 and 2
        for core in ('core', '_core')
        for function in _of_numpy
    },
}
"""All that a dump may name: tensors, arrays, and the plain containers that need no name."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, if it is allowed."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(_refusal(f'{module}.{name}'))
        return ALLOWED[module, name]


NAMES = ('video_id', 'filename', 'frame_dir')
"""What names a video in a sample."""


def write_arrays(samples: list[dict], file: str | Path) -> None:
    """Write samples as arrays of numbers and text, for NumPy, which has no need of pickles.

    ``scores`` (N, num_classes), ``labels`` (N,), and the names of the N videos under those
    of ``NAMES`` that the samples have, empty where one has not.
    """
    scores, labels = zip(*map(prediction_of, samples))
    arrays: dict[str, Any] = dict(scores=torch.stack(scores).numpy(), labels=np.array(labels))
    for name in NAMES:
        names = [sample.get(name) or '' for sample in samples]
        if any(names):
            arrays[name] = np.array(names)
    with whole_file(file) as place:
        np.savez(place, **arrays)


def _read_arrays(data: bytes) -> list[dict]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        scores, labels = torch.from_numpy(arrays['scores']), arrays['labels'].tolist()
        samples = [prediction(*sample) for sample in zip(scores, labels)]
        for name in set(NAMES) & set(arrays):
            for sample, video in zip(samples, arrays[name].tolist()):
                sample |= {name: video} if video else {}
    return samples


def read_dump(file: str | Path) -> list[dict]:
    """Read the samples that ``tools/test.py --dump`` wrote; nothing in the file is executed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no list of samples, or holds more than tensors, arrays and plain data.
    """
    data = Path(file).read_bytes()
    try:
        zipped = data.startswith(b'PK')
        samples = _read_arrays(data) if zipped else _Unpickler(io.BytesIO(data)).load()
    except Exception as error:  # unpickling strange bytes raises nearly anything
        raise ValueError(f'{file} is not a dump of scores: {error}') from None
    if not isinstance(samples, list) or not samples:
        raise ValueError(f'{file} is not a dump of scores: no list of videos, or an empty one')
    return samples
