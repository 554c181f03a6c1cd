from .artnet import ARTNet
from .deploy import switch_to_deploy
from .preprocessor import ClipPreprocessor
from .recognizers import ClipRecognizer2D, ClipRecognizer3D
from .tsn_clip_head import TSNClipHead
from .units import RelationConv3d, SMARTConv3d, SpatialConv3d

__all__ = [
    'ARTNet',
    'ClipPreprocessor',
    'ClipRecognizer2D',
    'ClipRecognizer3D',
    'RelationConv3d',
    'SMARTConv3d',
    'SpatialConv3d',
    'TSNClipHead',
    'switch_to_deploy',
]
