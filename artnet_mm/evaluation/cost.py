"""Cost of a network: parameters and multiply-adds."""

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode


def count(cfg: Config) -> dict[str, int]:
    """Parameters and multiply-adds of one view (1, C, T, H, W), of the network a config builds.

    Args:
        cfg (Config): Config whose preprocessor has a ``crop_size``, and whose training
            pipeline samples clips of a ``clip_len``.

    Returns:
        dict[str, int]: ``Parameters`` and ``FLOPs``, the latter in multiply-adds.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    model = MODELS.build(cfg.model).eval().to('meta')
    length = next(step['clip_len'] for step in cfg.train_pipeline if 'clip_len' in step)
    channels, size = len(cfg.model.data_preprocessor.mean), cfg.model.data_preprocessor.crop_size
    view = torch.empty(1, 1, channels, length, size, size, device='meta')
    with FlopCounterMode(display=False) as counter:
        scores = model(view, stage='head', mode='tensor')
        if getattr(model.cls_head, 'joins_features', False):
            model.cls_head.classify(scores.unsqueeze(1))
    return {
        'Parameters': sum(parameter.numel() for parameter in model.parameters()),
        'FLOPs': counter.get_total_flops() // 2,
    }
