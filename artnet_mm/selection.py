"""Selections: the split of the data, and images instead of videos, where a config offers them.

A config offers them as ``selections = dict(split={'1': overrides, ...}, frames=overrides)``;
as it stands it is of the first split and of videos.
"""

from pathlib import Path

from mmengine.config import Config


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
    offered, name = cfg.get('selections') or {}, Path(cfg.filename or 'the config').name
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
