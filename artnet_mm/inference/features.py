"""Features of videos: pooled per video or clip, or the maps of a layer."""

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ..datasets.video import Video
from ..models.deploy import switch_to_deploy
from ..models.preprocessor import Views
from ..models.recognizers import parts_of
from .recognizer import load_recognizer
from .windows import ClipInput, frames_in, slide

AT_A_TIME = 8
"""Windows that are taken together."""


class FeatureExtractor:
    """The backbone of a recognizer, and what is kept of what it gives.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`.
        kind (str): 'video', for one vector; 'clip', for one of each clip; or 'maps', for the
            maps of each clip, not pooled. Defaults to 'video'.
        layer (str, optional): Name of a module in the backbone, such as 'stem' or 'stages.2' of
            ``ARTNet`` and 'layer3' of MMAction2's. Defaults to what the backbone gives.
        window, step (str, optional): Windows that slide over the whole video, each of
            which is seen as one centre crop, in frames ('64') or seconds ('2.5s'); ``step``
            defaults to ``window``. Without them the video is seen as in the config's test: its
            clips, and the mean over its crops.

    Raises:
        ValueError: If there is no such kind or layer, or the config has no windows.
    """

    def __init__(
        self,
        model: Any,
        kind: str = 'video',
        layer: str | None = None,
        window: str | None = None,
        step: str | None = None,
    ) -> None:
        if kind not in ('video', 'clip', 'maps'):
            raise ValueError(f"kind must be 'video', 'clip' or 'maps', got {kind!r}")
        if (step or kind == 'maps') and not window:
            raise ValueError(f'{"a step" if step else "maps"} need a window that slides')
        backbone: nn.Module = model.backbone
        layers = {name for name, _ in backbone.named_modules() if name}
        if layer and layer not in layers:
            upper = ', '.join(sorted(name for name in layers if name.count('.') < 2))
            raise ValueError(
                f'the backbone has no layer {layer!r}; it has {upper}, and within them'
            )
        if len(model.data_preprocessor.mean) != 3:
            raise ValueError('features are made of videos, not of the flow images of this config')
        self.model, self.kind, self.layer = model, kind, layer
        self.window, self.step = window, step or window
        if layer:
            self._try_layer()
        if window:
            self._input = ClipInput.of(model.cfg)
            frames_in(window, 25), frames_in(self.step or window, 25)  # before any video
        else:
            init_default_scope(model.cfg.get('default_scope', 'mmaction'))
            self._pipeline = Compose(model.cfg.test_pipeline)

    @torch.inference_mode()
    def __call__(self, path: str | Path) -> np.ndarray:
        """Features of a video.

        Returns:
            np.ndarray: float32 (C,), (clips, C), or for maps (clips, C, T, H, W), or
            (clips, C, H, W) of a 2D network; a clip for each window, where there are some.

        Raises:
            ValueError: If the video cannot be read.
        """
        views, crops, places = self._sliding(path) if self.window else self._tested(path)
        features = torch.cat([self._features_of(part).float().cpu() for part in views])
        by_clip = features[places].unflatten(0, (crops, -1)).mean(0)
        return (by_clip.mean(0) if self.kind == 'video' else by_clip).numpy()

    def _features_of(self, views: Tensor) -> Tensor:
        """(n, C, T, h, w), normalised, to (n, C), or to maps."""
        seen: list[Tensor] = []
        module = self.model.backbone.get_submodule(self.layer) if self.layer else None
        hook = module and module.register_forward_hook(lambda *call: seen.append(_copy(call[-1])))
        try:
            maps = self.model(views.unsqueeze(1), stage='backbone', mode='tensor')
        finally:
            if hook:
                hook.remove()
        if hook and not (seen and isinstance(seen[-1], Tensor) and seen[-1].ndim > 2):
            raise ValueError(f'layer {self.layer!r} gives no maps (n, C, ...): name one that does')
        maps = seen[-1] if hook else maps
        maps = maps[-1] if isinstance(maps, tuple | list) else maps
        return maps if self.kind == 'maps' else maps.flatten(2).mean(2)

    def _try_layer(self) -> None:
        """Raise the error of a layer that gives no maps before any video is read."""
        size = (self.model.cfg['model']['data_preprocessor'].get('crop_size') or 224,) * 2
        clip_len = next((s['clip_len'] for s in self.model.cfg.test_pipeline if 'clip_len' in s), 1)
        zeros = torch.zeros(1, 3, clip_len, *size, device=next(self.model.parameters()).device)
        with torch.inference_mode():
            self._features_of(zeros)

    def _sliding(self, path: str | Path) -> tuple[Iterator[Tensor], int, slice]:
        """Views, crops of each clip, and where the views are among those that are asked for."""
        video, seen = Video(str(path)), self._input
        lengths = [frames_in(str(length), video.rate) for length in (self.window, self.step)]
        windows = slide(seen.walk(video), seen.clip_len, *lengths)
        device = next(self.model.parameters()).device

        def views() -> Iterator[Tensor]:
            while clips := [seen.view(window.clip) for window in islice(windows, AT_A_TIME)]:
                frames = torch.stack(clips).to(device)
                yield from parts_of(self.model.data_preprocessor.normalise(frames), AT_A_TIME)

        return views(), 1, slice(None)

    def _tested(self, path: str | Path) -> tuple[Iterator[Tensor], int, slice | Tensor]:
        info = dict(filename=str(path), label=-1, start_index=0, modality='RGB')
        batch = pseudo_collate([self._pipeline(info)])
        inputs = self.model.data_preprocessor(batch, training=False)['inputs']
        (views,) = inputs
        num_clips = next(s.num_clips for s in self._pipeline.transforms if hasattr(s, 'num_clips'))
        crops = len(views) // num_clips
        places: slice | Tensor = slice(None)
        if isinstance(views, Views):
            views, again = views.distinct()
            places = again.cpu()
        parts = parts_of(views, (self.model.test_cfg or {}).get('max_testing_views'))
        return iter(parts), crops, places


def _copy(given: Any) -> Any:
    """Of the maps of a layer, which the next one may change in place."""
    given = given[-1] if isinstance(given, tuple | list) and given else given
    return given.clone() if isinstance(given, Tensor) else given


def digest_of(model: Any) -> str:
    """What tells a network, its weights and its test from others, in hex digits."""
    parts = {key: model.cfg[key] for key in ('model', 'test_pipeline')}
    digest = sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for weights in model.state_dict().values():
        digest.update(weights.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def gpu_of(process: int, gpus: int) -> str | None:
    """The GPU that a process takes by its id, which count up as workers start; None of none."""
    return f'cuda:{process % gpus}' if gpus else None


@lru_cache(maxsize=1)
def _extractor(
    config: str, checkpoint: str, device: str | None, deploy: bool, digest: str, what: str
) -> FeatureExtractor:
    """Loaded once in each process."""
    torch.set_num_threads(1)  # there are several such processes
    arguments = json.loads(what)
    options = arguments.pop('options')
    device = device or gpu_of(os.getpid(), torch.cuda.device_count())
    model, _ = load_recognizer(config, checkpoint, device, options)
    if digest_of(model) != digest:
        raise ValueError(f'{checkpoint} or {config} has changed since the run began')
    if deploy:
        switch_to_deploy(model)
    return FeatureExtractor(model, **arguments)


def write_features(
    video: Path,
    result: Path,
    config: str,
    checkpoint: str,
    device: str | None,
    deploy: bool,
    digest: str,
    **what,
) -> None:
    """Write the features of a video to an ``.npy`` file.

    Args:
        video, result (Path): The video and the file.
        config, checkpoint, device, deploy: As for :func:`load_recognizer`, but that processes
            take the GPUs in turn where no device is given.
        digest (str): Of the model, by :func:`digest_of`.
        what: Its ``options``, and arguments of :class:`FeatureExtractor`.
    """
    features = _extractor(config, checkpoint, device, deploy, digest, json.dumps(what))(video)
    if not np.isfinite(features).all():
        raise ValueError('the features are not finite: were the weights loaded?')
    np.save(result, features)


def num_rows(result: Path) -> int:
    """Clips whose features are in an ``.npy`` file; 1 for those of a whole video."""
    features = np.load(result, mmap_mode='r')
    return len(features) if features.ndim > 1 else 1
