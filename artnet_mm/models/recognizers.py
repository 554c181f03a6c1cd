"""Recognizers that test any number of videos in a bounded number of views at a time."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from mmaction.models.recognizers import Recognizer2D, Recognizer3D
from mmaction.registry import MODELS
from torch import Tensor

from .loading import take_form
from .memory_format import FastestFormat
from .preprocessor import Views
from .tsn_clip_head import TSNClipHead

MEMORY_FORMATS = ('contiguous', 'channels_last', 'auto')
CPU_PLACES = 2 * 16 * 112 * 112
"""Places T x H x W of the views that a thread of a CPU takes at a time.

Memory of more is given back to the system and mapped anew, layer by layer (docs/benchmarks.md,
*Test views*).
"""


def parts_of(views: Tensor | Views, most: int | None) -> Iterable[Tensor]:
    """Views (V, C, T, H, W) as parts for one forward pass each.

    Args:
        views (Tensor | Views): On any device; also (V, C, H, W).
        most (int, optional): Views of a part; on a CPU fewer where they have more than
            :data:`CPU_PLACES` a thread. Without it all stay together.

    Returns:
        Iterable[Tensor]: Parts (n, C, T, H, W) in the order of the views.
    """
    if most and views.device.type == 'cpu':
        places = CPU_PLACES * torch.get_num_threads()
        most = min(most, max(places // math.prod(views.shape[2:]), 1))
    return views.split(most or max(len(views), 1))


class _Chunked:
    """Mixin: testing by ``test_cfg.max_testing_views`` views per forward pass, or fewer on a CPU.

    Beside a stock recognizer, of which it uses ``test_cfg``, ``cls_head`` and the forward pass.
    The stock recognizers hold all views of a video at once, or those of one video only.
    """

    test_cfg: dict | None
    cls_head: Any
    __call__: Callable[..., Any]

    def predict(self, inputs: Tensor | list[Views], data_samples: list, **kwargs: object) -> list:
        """Class scores of N videos.

        Args:
            inputs (Tensor | list[Views]): Views (N, M, C, T, H, W), or those of
                each video.
            data_samples (list[ActionDataSample]): N of them.

        Returns:
            list[ActionDataSample]: The same, with scores.
        """
        videos = [inputs.flatten(0, 1)] if isinstance(inputs, Tensor) else inputs
        scores = []
        for video in videos:
            if isinstance(video, Views):
                video, places = video.distinct()
                scores.append(self._scores(video)[places])
            else:
                scores.append(self._scores(video))
        crops = {}
        if getattr(self.cls_head, 'joins_features', False):
            first, stated = videos[0], data_samples[0].metainfo.get('num_clips')
            if isinstance(first, Views):
                crops['num_crops'] = len(first.crops)
            elif stated:  # crops that the pipeline has made
                crops['num_crops'] = len(first) // len(data_samples) // stated
        return self.cls_head.predict_by_feat(torch.cat(scores), data_samples, **crops)

    def _scores(self, views: Tensor | Views) -> Tensor:
        """What the head makes of each of V views, (V, ...)."""
        parts = parts_of(views, (self.test_cfg or {}).get('max_testing_views'))
        scores = (self(part.unsqueeze(1), stage='head', mode='tensor') for part in parts)
        return torch.cat([*scores])


@MODELS.register_module()
class ClipRecognizer3D(_Chunked, Recognizer3D):
    """Stock ``Recognizer3D`` that tests any batch of videos in bounded memory.

    Weights of the deploy form bring it into that form; what of a checkpoint it does not take, it
    says in one line. ``test_cfg=dict(max_testing_views=V)`` bounds the views of a forward pass;
    the stock one takes it for a batch of one video only.

    Args:
        memory_format (str): 'contiguous'; 'channels_last', in which the weights of the backbone
            are kept, and which its activations take over; or 'auto', by which each stage gets the
            faster one, timed at the first clips (:class:`FastestFormat`, docs/benchmarks.md): the
            same function to rounding, but not to the bit from start to start. Defaults to
            'contiguous'.
        compile_cfg (dict, optional): Compile the backbone with these arguments of
            ``torch.compile``. MMEngine's own option compiles the optimizer's step too,
            which fails with torch 2.13. Defaults to None.
        kwargs: Arguments of ``Recognizer3D``.

    Raises:
        ValueError: If the head expects other channels than the backbone says it gives, there is
            no such memory format, or 'auto' is to be compiled, which chooses formats by itself.
    """

    def __init__(
        self,
        *args,
        memory_format: str = 'contiguous',
        compile_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        # Stock backbones do not say; a neck gives channels of its own.
        given = None if self.with_neck else getattr(self.backbone, 'out_channels', None)
        expected = self.cls_head.in_channels if self.with_cls_head else None
        if given and len(given) > 1 and isinstance(getattr(self, 'cls_head', None), TSNClipHead):
            raise ValueError(
                f'model.backbone gives {len(given)} outputs (out_indices), and TSNClipHead takes '
                'one: put a neck between them that joins them'
            )
        if given and expected not in (None, given[-1]):
            raise ValueError(
                f'model.cls_head.in_channels is {expected}, but the backbone gives {given[-1]}'
            )
        self.register_load_state_dict_pre_hook(take_form)
        if memory_format not in MEMORY_FORMATS:
            raise ValueError(
                f'model.memory_format must be one of {MEMORY_FORMATS}, got {memory_format!r}'
            )
        if memory_format == 'channels_last':
            self.backbone.to(memory_format=torch.channels_last_3d)
        elif memory_format == 'auto':
            if compile_cfg is not None:
                raise ValueError(
                    "model.memory_format='auto' and compile_cfg cannot be used together: "
                    'inductor chooses memory formats by itself'
                )
            FastestFormat(self.backbone)
        if compile_cfg is not None:
            self.backbone.compile(**compile_cfg)


@MODELS.register_module()
class ClipRecognizer2D(_Chunked, Recognizer2D):
    """Stock ``Recognizer2D`` on single frames or stacks, tested as :class:`ClipRecognizer3D`.

    A clip of T frames is one image of T * C channels, frame by frame: of flow x, y of the first
    frame, x, y of the second, and so on, as the temporal stream of two-stream networks reads it.
    """

    def extract_feat(self, inputs: Tensor, *args, **kwargs) -> tuple:
        """(N, M, C, T, H, W), or (N, M, C, H, W), to the features of N * M images."""
        if inputs.ndim == 6:
            inputs = inputs.transpose(2, 3).flatten(2, 3)
        return super().extract_feat(inputs, *args, **kwargs)
