"""Segment consensus over clips (Sec. 4.2, "Study on long-term modeling")."""

import logging

import torch
from mmaction.models.heads import I3DHead
from mmaction.models.heads.tsn_head import AvgConsensus
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor


@MODELS.register_module()
class TSNClipHead(I3DHead):
    """Average pool, dropout, classifier, and the consensus of a video's clips.

    ``Recognizer3D`` folds the K clips of a sample into the batch without telling
    the head, so a stock head meets N * K scores with N labels. Here K follows
    from the number of samples, and class scores are averaged before the softmax,
    over segments in training and over views in testing.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the features.
        consensus (dict): How the segments of a sample become one score in
            training: the stock 'AvgConsensus', or a registered module that maps
            (N, K, num_classes) to (N, 1, num_classes). Testing averages views.
        average_clips (str): How ``predict`` joins views: 'score' (the paper's:
            before the softmax) or 'prob'. Defaults to 'score'.
        kwargs: Arguments of :class:`I3DHead`.

    Raises:
        ValueError: If the loss has not a weight for each class, or a batch's clips do not
            divide evenly among its samples.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        consensus: dict | None = None,
        average_clips: str = 'score',
        **kwargs,
    ) -> None:
        if isinstance(kwargs.get('topk'), list):  # as --cfg-options and JSON have it
            kwargs['topk'] = tuple(kwargs['topk'])
        super().__init__(num_classes, in_channels, average_clips=average_clips, **kwargs)
        weights = getattr(self.loss_cls, 'class_weight', None)
        if weights is not None and len(weights) != num_classes:
            raise ValueError(
                f'loss_cls.class_weight has {len(weights)} weights for {num_classes} classes'
            )
        consensus = dict(consensus or dict(type='AvgConsensus'))
        if consensus['type'] == 'AvgConsensus':  # upstream does not register it
            consensus['type'] = AvgConsensus
        self.consensus = MODELS.build(consensus)

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict:
        """Losses of the consensus scores.

        Args:
            cls_scores (Tensor): (N * K, num_classes).
            data_samples (list[ActionDataSample]): N samples with labels.

        Returns:
            dict: ``loss_cls`` and the top-k accuracies of the batch.
        """
        segments = self._by_sample(cls_scores, data_samples)
        return super().loss_by_feat(self.consensus(segments).squeeze(1), data_samples)

    def predict_by_feat(self, cls_scores: Tensor, data_samples: list) -> list:
        """Scores of N samples from those of their views, (N * V, num_classes)."""
        views = self._by_sample(cls_scores, data_samples)
        strange = int((~views.isfinite()).flatten(1).any(1).sum())
        if strange:
            print_log(
                f'the scores of {strange} of {len(views)} videos are not finite: has the network '
                'been trained, and were its weights loaded?',
                logger='current',
                level=logging.WARNING,
            )
        return super().predict_by_feat(views.flatten(0, 1), data_samples)

    @staticmethod
    def _by_sample(cls_scores: Tensor, data_samples: list) -> Tensor:
        """(N * K, num_classes) -> (N, K, num_classes), at least in float32."""
        num_views, num_samples = len(cls_scores), len(data_samples)
        if num_samples == 0 or num_views % num_samples:
            raise ValueError(
                f'{num_views} views cannot be divided among {num_samples} samples: every sample '
                'of a batch must have the same number of clips and crops'
            )
        if cls_scores.dtype in (torch.float16, torch.bfloat16):
            cls_scores = cls_scores.float()  # means lose digits, and NumPy has no bfloat16
        return cls_scores.unflatten(0, (num_samples, -1))
