from .decoding import ClipDecordInit
from .sampling import SegmentClipSampler, UniformClipSampler
from .transforms import ClipFlip, ClipTenCrop, StackFlow
from .video_dataset import ClipVideoDataset

__all__ = [
    'ClipDecordInit',
    'ClipFlip',
    'ClipTenCrop',
    'ClipVideoDataset',
    'SegmentClipSampler',
    'StackFlow',
    'UniformClipSampler',
]
