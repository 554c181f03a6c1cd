"""The units and the network in MMAction2's registry."""

from typing import Any

from mmaction.registry import MODELS
from mmengine.model import BaseModule, PretrainedInit

from . import artnet
from .units import UNITS

DEFAULT_INIT = [
    dict(type='Xavier', layer='Conv3d', distribution='uniform'),
    dict(type='Constant', layer=['_BatchNorm', 'GroupNorm'], val=1, bias=0),
]

for name, unit in UNITS.items():
    if name != 'Conv3d':  # MMCV's own
        MODELS.register_module(name=name, module=unit)


@MODELS.register_module()
class ARTNet(artnet.ARTNet, BaseModule):
    """Appearance-and-Relation Network (Sec. 3.3) of registered units.

    Args:
        args, kwargs: Those of :class:`artnet_mm.models.artnet.ARTNet`.
        init_cfg (dict | list): Initialisation by MMEngine. Defaults to Xavier
            convolutions and normalisations of scale 1 and shift 0, which also come before
            an ``Inflated2d`` alone.
    """

    _find_unit = staticmethod(MODELS.get)

    def __init__(self, *args, init_cfg: dict | list | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if init_cfg is None:
            init_cfg = DEFAULT_INIT
        elif isinstance(init_cfg, dict) and init_cfg['type'] == 'Inflated2d':
            init_cfg = [*DEFAULT_INIT, init_cfg]
        self.init_cfg = init_cfg

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; residual branches by 0 if asked to, where it is new."""
        cfgs: list[Any] = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg]
        pretrained = any(
            cfg and cfg['type'] in ('Pretrained', 'Inflated2d', PretrainedInit) for cfg in cfgs
        )
        fresh = not (self.is_init or pretrained)
        BaseModule.init_weights(self)
        if fresh:
            self._zero_residuals()
