from .sampling import SegmentClipSampler, UniformClipSampler
from .transforms import ClipFlip, ClipTenCrop, StackFlow
from .video_dataset import ClipVideoDataset

__all__ = [
    'ClipFlip',
    'ClipTenCrop',
    'ClipVideoDataset',
    'SegmentClipSampler',
    'StackFlow',
    'UniformClipSampler',
]
