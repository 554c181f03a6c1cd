"""Networks: units, blocks and backbone on torch alone; with MMAction2, what its registry has."""

from ..version import HAS_MMACTION
from .artnet import ARTNet
from .deploy import switch_to_deploy
from .units import RelationConv3d, SMARTConv3d, SpatialConv3d

__all__ = ['ARTNet', 'RelationConv3d', 'SMARTConv3d', 'SpatialConv3d', 'switch_to_deploy']

if HAS_MMACTION:
    from .backbone import ARTNet
    from .consensus import AttentionConsensus, LSTMConsensus
    from .inception import BNInception, InceptionI3D
    from .plain3d import LTC, BatchNormC3D
    from .preprocessor import ClipPreprocessor
    from .recognizers import ClipRecognizer2D, ClipRecognizer3D
    from .tsn_clip_head import TSNClipHead

    __all__ += ['AttentionConsensus', 'ClipPreprocessor', 'ClipRecognizer2D', 'ClipRecognizer3D']
    __all__ += ['LSTMConsensus', 'TSNClipHead']
    __all__ += ['LTC', 'BNInception', 'BatchNormC3D', 'InceptionI3D']
