"""Several clips of a video in a batch, for one decoding: repeated augmentation."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from .decoding import ClipDecode
from .sampling import SegmentClipSampler


class RepeatedPipeline(Compose):
    """A training pipeline that makes several samples of a video, and decodes it once.

    Each has its own clip and its own augmentation (Hoffer and others, 2020: a video
    more often in a batch). MMAction2's ``RepeatAugDataset`` does so with decord's steps alone.

    Args:
        steps (Sequence[BaseTransform]): The pipeline's, of which ``ClipDecode`` is the one
            behind ``SegmentClipSampler``.
        num_repeats (int): Samples of a video, R.

    Raises:
        ValueError: If the steps are others, or R is below 1.
    """

    def __init__(self, steps: Sequence[BaseTransform], num_repeats: int) -> None:
        super().__init__(steps)
        places = [n for n, step in enumerate(steps) if isinstance(step, SegmentClipSampler)]
        behind = steps[places[0] + 1 : places[0] + 2] if len(places) == 1 else []
        fitting = [type(step) for step in behind] == [ClipDecode] and not steps[places[0]].test_mode
        if num_repeats < 1 or not fitting:
            raise ValueError(
                f'num_repeats={num_repeats}: it is at least 1, and a training pipeline has '
                'ClipDecode right behind its one SegmentClipSampler'
            )
        self.num_repeats = num_repeats
        self._sampler, self._decode = steps[places[0] : places[0] + 2]
        self._open = Compose(steps[: places[0]])
        self._augment = Compose(steps[places[0] + 2 :])

    def __call__(self, data: dict) -> list[dict]:
        """The R samples of a video."""
        opened = self._open(data)
        drawn = [self._sampler(dict(opened)) for _ in range(self.num_repeats)]
        frames = np.stack([one['frame_inds'] for one in drawn])
        decoded = self._decode({**drawn[0], 'frame_inds': frames.reshape(-1)})
        clips = decoded['imgs'].reshape(*frames.shape, *decoded['imgs'].shape[1:])
        return [
            self._augment({**decoded, 'frame_inds': indices, 'imgs': clip})
            for indices, clip in zip(frames, clips)
        ]
