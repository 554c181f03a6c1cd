"""Weights that others have published, in this project's form."""

import hashlib
from pathlib import Path

import torch

from ..files import whole_file


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex digits."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_checkpoint(checkpoint: dict, path: Path) -> None:
    """Write a checkpoint of tensors and plain data, whole or not at all.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
    with whole_file(path) as place, place.open('wb') as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(f'{path} cannot be written: {error.__context__ or error}') from None
