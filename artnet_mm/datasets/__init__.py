from .clip_datasets import ClipRawframeDataset, ClipVideoDataset
from .decoding import ClipDecode, ClipDecordInit, ClipResize
from .sampling import SegmentClipSampler, ShareFrames, UniformClipSampler
from .seeding import RestartableSampler
from .transforms import ClipFlip, ClipTenCrop, StackFlow

__all__ = [
    'ClipDecode',
    'ClipDecordInit',
    'ClipFlip',
    'ClipRawframeDataset',
    'ClipResize',
    'ClipTenCrop',
    'ClipVideoDataset',
    'RestartableSampler',
    'SegmentClipSampler',
    'ShareFrames',
    'StackFlow',
    'UniformClipSampler',
]
