"""A trained recognizer, ready to be used, and the names of its classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmaction.apis import init_recognizer
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from torch import Tensor

from ..datasets.lists import read_classes
from ..engine.launch import override, read_config
from ..models.deploy import switch_to_deploy


def default_device() -> str:
    """The first GPU, or else the CPU."""
    return 'cuda:0' if torch.cuda.is_available() else 'cpu'


def load_recognizer(
    config: str | Path | Config,
    checkpoint: str,
    device: str | None = None,
    options: Mapping | None = None,
    classes: str | Path | None = None,
    deploy: bool = False,
) -> tuple[Any, list[str]]:
    """The recognizer of a config with the weights of a checkpoint, in eval mode.

    Args:
        config (str | Path | Config): Config, or its file.
        checkpoint (str): File, URL, or artnet:// name.
        device (str, optional): Defaults to the first GPU, or else the CPU.
        options (Mapping, optional): What ``--cfg-options`` overrides.
        classes (str | Path, optional): File with a class name per line, where the checkpoint has
            none.
        deploy (bool): Bring the network into its deploy form. Defaults to False.

    Returns:
        tuple[Recognizer, list[str]]: The model, whose ``cfg`` is the config, and the names of
        its classes, ``class 0`` and so on where they are not known.

    Raises:
        RuntimeError: If the checkpoint is not one of the config's model.
        ValueError: If the config cannot be read, there is not a name for each of its classes, or
            no such device.
    """
    cfg = read_config(config) if isinstance(config, str | Path) else config
    override(cfg, options or {})
    device = device or default_device()
    if torch.device(device).type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device {device}: torch sees no GPU')
    model = init_recognizer(cfg, device=device)
    loaded = load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    num_classes = model.cls_head.num_classes
    names = loaded.get('meta', {}).get('dataset_meta', {}).get('classes')
    if classes:
        names = read_classes(classes)
    names = list(names or [f'class {label}' for label in range(num_classes)])
    if len(names) != num_classes:
        raise ValueError(
            f'{classes or checkpoint} names {len(names)} classes, but the model has {num_classes}'
        )
    if deploy:
        switch_to_deploy(model)
    return model, names


def scores_of(model: Any, views: Tensor) -> Tensor:
    """Scores of views, each by itself, also of a head that joins the features of several.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`.
        views (Tensor): (n, C, T, H, W), normalised.

    Returns:
        Tensor: (n, num_classes).
    """
    return of_each_view(model.cls_head, model(views.unsqueeze(1), stage='head', mode='tensor'))


def of_each_view(head: Any, given: Tensor) -> Tensor:
    """Scores (n, num_classes) of what a head gives for n views: these, or features."""
    return head.classify(given.unsqueeze(1)) if getattr(head, 'joins_features', False) else given
