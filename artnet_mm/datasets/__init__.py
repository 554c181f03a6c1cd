from ..version import check_versions

check_versions()  # a package that is missing is named with what to install

from .clip_datasets import ClipRawframeDataset, ClipVideoDataset  # noqa: E402
from .decoding import ClipDecode, ClipResize, ClipVideoInit  # noqa: E402
from .sampling import SegmentClipSampler, ShareFrames, UniformClipSampler  # noqa: E402
from .seeding import ClassBalancedDataset, RestartableSampler  # noqa: E402
from .transforms import ClipCrops, ClipFlip, ClipTenCrop, StackFlow  # noqa: E402

__all__ = [
    'ClassBalancedDataset',
    'ClipCrops',
    'ClipDecode',
    'ClipFlip',
    'ClipRawframeDataset',
    'ClipResize',
    'ClipTenCrop',
    'ClipVideoDataset',
    'ClipVideoInit',
    'RestartableSampler',
    'SegmentClipSampler',
    'ShareFrames',
    'StackFlow',
    'UniformClipSampler',
]
