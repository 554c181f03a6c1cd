"""What is selected of a config by arguments, and the splits of a data set that weights have seen.

A config offers ``selections = dict(split={'1': overrides, ...}, frames=overrides)``, the
latter for folders of images; as it stands it is of the first split and of videos. Views of any size
and clips of any length can be had of every config whose network takes them, and whose steps name
their sizes: those of the toy network do not.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmengine.config import Config

DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
OFFICIAL_SPLITS = ('1', '2', '3')
"""Those of UCF101 and HMDB51."""


SIZES = {'scale', 'input_size', 'crop_size'}
"""Arguments of steps, in pixels."""


def _datasets(cfg: Config, dataloaders: Iterable[str]) -> Iterator[dict]:
    """Configs of the data sets of data loaders, wrappers and those inside them."""
    nested = [(cfg.get(key) or {}).get('dataset') or {} for key in dataloaders]
    while nested:
        dataset = nested.pop(0)
        nested += [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets', ())
        yield dataset


def _steps(cfg: Config) -> Iterator[dict]:
    """The steps of all pipelines: of the data loaders, and those that stand alone."""
    pipelines = [value for key, value in cfg.items() if key.endswith('_pipeline')]
    pipelines += [dataset.get('pipeline') or () for dataset in _datasets(cfg, DATALOADERS)]
    return (step for pipeline in pipelines for step in pipeline)


def _resize(cfg: Config, size: int) -> None:
    """Views of another size, cut from frames that are larger by the same factor."""
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
    if not (before := preprocessor.get('crop_size')):
        raise ValueError(f'--size {size}: model.data_preprocessor has no crop_size')
    preprocessor['crop_size'] = size
    if 'crop_size' in cfg.model.backbone:  # a network made for it
        cfg.model.backbone.crop_size = size
    for step in _steps(cfg):
        for key in SIZES & step.keys():
            value = step[key]
            sides = [value] if isinstance(value, int) else value
            if not isinstance(sides, Sequence) or not all(isinstance(s, int) for s in sides):
                raise ValueError(
                    f'--size {size}: {step["type"]} has {key}={value}, which is no size in pixels '
                    'that could be changed alike'
                )
            sides = [s if s < 0 else round(s * size / before) for s in sides]
            step[key] = sides[0] if isinstance(value, int) else tuple(sides)


def _lengthen(cfg: Config, clip_len: int) -> None:
    """Clips of another length."""
    if (cfg.get('model') or {}).get('type') == 'ClipRecognizer2D':
        raise ValueError(
            f'--clip-len {clip_len}: this network takes single frames, or stacks of so many'
        )
    if 'clip_len' in cfg.model.backbone:  # a network made for it
        cfg.model.backbone.clip_len = clip_len
    for step in _steps(cfg):
        if 'clip_len' in step:
            step['clip_len'] = clip_len


def select(
    cfg: Config,
    split: str | None = None,
    frames: bool = False,
    size: int | None = None,
    clip_len: int | None = None,
) -> Config:
    """Lay what was selected over a config.

    Args:
        cfg (Config): Config, which is changed.
        split (str, optional): Name of a split. Defaults to that of the config.
        frames (bool): Take folders of images. Defaults to False.
        size (int, optional): Side of the views, in pixels. Defaults to that of the config.
        clip_len (int, optional): Frames of a clip. Defaults to that of the config.

    Returns:
        Config: The same; its ``variant`` says of which size and length it is, if another.

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
    if size is not None:
        _resize(cfg, size)
    if clip_len is not None:
        _lengthen(cfg, clip_len)
    words = dict(size=size, len=clip_len)
    if variant := '_'.join(f'{word}{n}' for word, n in words.items() if n is not None):
        cfg.variant = variant  # which is no experiment of the catalogue
    return cfg


def splits_of(cfg: Config, *dataloaders: str) -> Iterator[tuple[str, str]]:
    """(data set, split) of data loaders, where their ``metainfo`` says it."""
    for dataset in _datasets(cfg, dataloaders):
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
