"""Splits of a data set: which of them a config offers, a run uses, and weights have seen.

A config offers them as ``selections = dict(split={'1': overrides, ...}, frames=overrides)``, the
latter for folders of images; as it stands it is of the first split and of videos.
"""

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

OFFICIAL_SPLITS = ('1', '2', '3')
"""Those of UCF101 and HMDB51."""


def select(cfg: Config, split: str | None = None, frames: bool = False) -> Config:
    """Lay what was selected over a config.

    Args:
        cfg (Config): Config, which is changed.
        split (str, optional): Name of a split. Defaults to that of the config.
        frames (bool): Take folders of images. Defaults to False.

    Returns:
        Config: The same.

    Raises:
        ValueError: If the config does not offer it, with what it offers.
    """
    # Not in the config of the run, whose text MMEngine takes seconds to format.
    offered, name = cfg.pop('selections', None) or {}, Path(cfg.filename or 'the config').name
    if split is not None:
        if 'split' not in offered:
            raise ValueError(f'--split {split}: the data set of {name} is not divided into splits')
        if split not in offered['split']:
            known = ', '.join(offered['split'])
            raise ValueError(f'--split {split}: {name} has the splits {known}')
        cfg.merge_from_dict(offered['split'][split].to_dict())
    if frames:
        if 'frames' not in offered:
            raise ValueError(f'--frames: {name} has one form of its data only')
        cfg.merge_from_dict(offered['frames'].to_dict())
    return cfg


def splits_of(cfg: Config, *dataloaders: str) -> Iterator[tuple[str, str]]:
    """(data set, split) of data loaders, where their ``metainfo`` says it."""
    nested = [(cfg.get(key) or {}).get('dataset') or {} for key in dataloaders]
    while nested:
        dataset = nested.pop(0)
        nested += [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets', ())
        if split := (dataset.get('metainfo') or {}).get('split'):
            name, number = split
            yield str(name), str(number)


def refuse_other_splits(meta: dict, cfg: Config) -> None:
    """Refuse weights that have seen test videos of a run's own split.

    Args:
        meta (dict): ``meta`` of the checkpoint.
        cfg (Config): Config of the run.

    Raises:
        ValueError: If the checkpoint was trained on another split of its data set.
    """
    for name, split in splits_of(cfg, 'train_dataloader', 'test_dataloader'):
        others = sorted({s for n, s in trained_on(meta) if n == name and s != split})
        if others:
            raise ValueError(
                f'the checkpoint was trained on split {", ".join(others)} of {name}, which '
                f'holds test videos of split {split}: start from weights that saw no {name}'
            )


def trained_on(meta: dict) -> list[tuple[str, str]]:
    """(data set, split) of all that a checkpoint was trained on, oldest first."""
    return [(str(name), str(split)) for name, split in meta.get('trained_on', ())]
