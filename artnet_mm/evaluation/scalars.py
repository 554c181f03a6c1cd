"""Scalars that a training run has logged."""

import json
from contextlib import suppress
from pathlib import Path


def read_scalars(work_dir: Path) -> list[dict]:
    """Records that a run logged in all its sessions, in order.

    Where sessions overlap (a resumed or repeated run), the later one counts.

    Returns:
        list[dict]: With ``step``, and ``loss`` in training, ``acc/top1`` and others in
        validation.

    Raises:
        FileNotFoundError: If the folder holds none.
    """
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    records = []
    for line in (line for file in files for line in file.read_text().splitlines()):
        with suppress(ValueError):  # cut off with the machine, or by a full disk
            records.append(json.loads(line))
    if not records:
        raise FileNotFoundError(f'no scalars.json of a training run under {work_dir}')
    kept = {(record['step'], 'loss' in record): record for record in records}
    return sorted(kept.values(), key=lambda record: record['step'])
