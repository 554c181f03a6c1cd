"""Splits: which of them a run uses, and which of them weights have seen."""

from collections.abc import Iterator

from mmengine.config import Config


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
