"""Checkpoints: read safely, written whole, and found again by a run that was killed."""

import io
import json
import logging
import os.path as osp
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from mmengine.logging import print_log

from .files import identity_of, whole_file

_kept: dict[tuple, dict] = {}  # what a check has read and the run will ask for; at most one


def load(filename: str | Path, map_location: object = None) -> dict:
    """Load a checkpoint file into the memory of the CPU; nothing in it is ever executed.

    Args:
        filename (str | Path): Path of the file.
        map_location (object): Accepted for MMEngine, which moves the tensors itself.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If it is cut short, no checkpoint, or holds more than
            tensors and plain data.
    """
    path = osp.expanduser(str(filename))
    if not osp.isfile(path):
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    if (found := _kept.get(identity_of(path))) is not None:
        return dict(found)
    return _parse(path, path)


def _parse(path: str | Path, source: str | io.BytesIO) -> dict:
    if str(path).endswith('.safetensors'):
        return _parse_safetensors(path, source)
    try:
        loaded = torch.load(source, map_location='cpu', weights_only=True)
        if not isinstance(loaded, dict):
            raise TypeError(f'it holds a {type(loaded).__name__}, not a dict')
    except Exception as error:  # unpickling strange bytes raises nearly anything
        # Not torch's whole text: it advises weights_only=False.
        lines = str(error).split('Check the documentation')[0].strip().splitlines()
        reason = lines[-1] if lines else type(error).__name__
        raise RuntimeError(
            f'checkpoint {path} is cut short, or holds more than tensors and plain data, '
            f'and was not loaded: {reason}'
        ) from None
    return loaded


def _parse_safetensors(path: str | Path, source: str | io.BytesIO) -> dict:
    """Weights, and the meta that :func:`save_safetensors` has put beside them."""
    data = Path(source).read_bytes() if isinstance(source, str) else source.getvalue()
    try:
        weights = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], 'little')])
        meta = json.loads((header.get('__metadata__') or {}).get('meta', '{}'))
    except (safetensors.SafetensorError, ValueError) as error:
        raise RuntimeError(f'checkpoint {path} is no safetensors file: {error}') from None
    return dict(state_dict=weights, meta=meta)


def save_safetensors(state_dict: Mapping[str, torch.Tensor], meta: dict, path: Path) -> None:
    """Write weights, and plain data beside them, to a file that other software reads too.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
    weights = {key: value.contiguous() for key, value in state_dict.items()}
    with whole_file(path) as place:
        notes = {'format': 'pt', 'meta': json.dumps(meta, default=str)}
        place.write_bytes(safetensors.torch.save(weights, notes))


def forget() -> None:
    """Drop the checkpoint that was kept."""
    _kept.clear()


def load_whole(path: Path) -> dict:
    """Load a checkpoint of which every byte is what was written, and keep it for the run.

    Whoever loads the same file next gets what was read, until :func:`forget`.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If it cannot be loaded, or is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    if (found := _kept.get(identity_of(path))) is not None:
        return dict(found)
    data = path.read_bytes()
    checkpoint = _parse(path, io.BytesIO(data))
    if zipfile.is_zipfile(io.BytesIO(data)):  # torch compares no checksums
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                damaged = file.testzip()
        except zipfile.BadZipFile as error:
            damaged = str(error)
        if damaged:
            raise RuntimeError(f'checkpoint {path} is damaged: {damaged}')
    _kept.clear()
    _kept[identity_of(path)] = checkpoint
    return dict(checkpoint)


def save(checkpoint: dict, path: Path) -> None:
    """Write a checkpoint of tensors and plain data, whole or not at all.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
    with whole_file(path) as place, place.open('wb') as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(f'{path} cannot be written: {error.__context__ or error}') from None


def check_resumable(path: str | Path) -> None:
    """Check that a checkpoint is one that a run can go on from.

    Args:
        path (str | Path): Its path; remote ones are not looked at.

    Raises:
        FileNotFoundError: If it is missing.
        RuntimeError: If it cannot be loaded, or is damaged.
        ValueError: If it has weights only, as the best checkpoints of a run have.
    """
    if '://' not in str(path) and 'optimizer' not in load_whole(Path(path)):
        raise ValueError(
            f'{path} holds no state of the optimizer, so that no run can go on from it: resume an '
            'iter_*.pth, or start a new run from its weights (load_from)'
        )


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The last checkpoint of a run that is whole.

    Those that are cut short or damaged, as a machine leaves them that loses its power,
    are named and passed over.

    Args:
        work_dir (str | Path): Work dir of the run.

    Returns:
        Path: The checkpoint; None if there are none at all.

    Raises:
        RuntimeError: If none of them can be loaded, or they are gone.
    """
    marker = Path(work_dir, 'last_checkpoint')
    text = marker.read_text(errors='replace').strip() if marker.is_file() else ''
    named = Path(text)
    # A work dir may have been moved; checkpoints may be elsewhere (CheckpointHook's out_dir).
    places = (Path(work_dir), named.parent)
    folder = next((place for place in places if osp.isfile(place / named.name)), places[0])
    numbered: dict[int, Path] = {}
    form = re.fullmatch(r'(.*?)\d+(\D*)', named.name)  # filename_tmpl of CheckpointHook
    forms = [re.escape(form[1]) + r'(\d+)' + re.escape(form[2])] if form else []
    for pattern in (*forms, r'(?:iter|epoch)_(\d+)\.pth'):
        if numbered or not folder.is_dir():
            break
        for path in folder.iterdir():
            if found := re.fullmatch(pattern, path.name):
                numbered[int(found[1])] = path
    # Those beyond the one that is named are of an earlier run.
    last = next((number for number, path in numbered.items() if path.name == named.name), None)
    candidates = [numbered[n] for n in sorted(numbered, reverse=True) if last is None or n <= last]
    for path in candidates:
        try:
            load_whole(path)
        except RuntimeError as error:
            print_log(f'{error}; trying the checkpoint before it', level=logging.WARNING)
        else:
            return path
    if candidates:
        raise RuntimeError(
            f'no checkpoint of {work_dir} can be loaded: remove them, or name another work dir, '
            'to start anew'
        )
    if text:
        raise RuntimeError(
            f'{marker} names {text[:200]!r}, but there is no checkpoint: remove it to start anew'
        )
    return None
