from .clip_datasets import ClipRawframeDataset, ClipVideoDataset
from .decoding import ClipDecordInit
from .sampling import SegmentClipSampler, UniformClipSampler
from .transforms import ClipFlip, ClipTenCrop, StackFlow

__all__ = [
    'ClipDecordInit',
    'ClipFlip',
    'ClipRawframeDataset',
    'ClipTenCrop',
    'ClipVideoDataset',
    'SegmentClipSampler',
    'StackFlow',
    'UniformClipSampler',
]
