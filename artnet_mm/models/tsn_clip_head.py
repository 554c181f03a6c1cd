"""Segment consensus over clips (Sec. 4.2, "Study on long-term modeling")."""

import logging

import torch
from mmaction.models.heads import I3DHead
from mmaction.models.heads.tsn_head import AvgConsensus
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor, nn

from .consensus import FeatureConsensus


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
        consensus (dict): How the segments of a sample become one score: the stock
            'AvgConsensus', or a registered module that maps (N, K, num_classes) to
            (N, 1, num_classes), in training, where testing averages views; or, in training and
            testing, a :class:`FeatureConsensus`, 'LSTMConsensus' or 'AttentionConsensus', which
            joins the clips of each crop before they are classified (of crops that a pipeline has
            made, with 'num_clips' among the ``meta_keys`` of PackActionInputs). Defaults to the
            average.
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
        kind = consensus['type']
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
        self.joins_features = isinstance(kind, type) and issubclass(kind, FeatureConsensus)
        if self.joins_features:
            consensus['in_channels'] = in_channels
        self.consensus = MODELS.build(consensus)
        if self.joins_features:
            self.fc_cls = nn.Linear(self.consensus.out_channels, num_classes)

    def forward(self, x: Tensor, **kwargs: object) -> Tensor:
        """(N * K, C, T, H, W) to scores (N * K, num_classes), or to features (N * K, C) to join."""
        if not self.joins_features:
            return super().forward(x, **kwargs)
        pooled = (x if self.avg_pool is None else self.avg_pool(x)).flatten(1)
        return pooled if self.dropout is None else self.dropout(pooled)

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict:
        """Losses of the consensus scores.

        Args:
            cls_scores (Tensor): (N * K, num_classes), or what :meth:`forward` gives to be joined.
            data_samples (list[ActionDataSample]): N samples with labels.

        Returns:
            dict: ``loss_cls`` and the top-k accuracies of the batch.
        """
        segments = self._by_sample(cls_scores, data_samples)
        if self.joins_features:
            return super().loss_by_feat(self.classify(segments), data_samples)
        return super().loss_by_feat(self.consensus(segments).squeeze(1), data_samples)

    def classify(self, features: Tensor) -> Tensor:
        """Features (N, K, C) of K clips, joined -> scores (N, num_classes)."""
        return self.fc_cls(self.consensus(features.to(self.fc_cls.weight.dtype)))

    def predict_by_feat(self, cls_scores: Tensor, data_samples: list, num_crops: int = 1) -> list:
        """Scores of N samples from those of their views.

        Args:
            cls_scores (Tensor): (N * V, num_classes), or what :meth:`forward` gives to be joined.
            data_samples (list[ActionDataSample]): N of them.
            num_crops (int): Crops that the V views of a sample are of, all clips of one after
                all clips of the other. Defaults to 1.

        Returns:
            list[ActionDataSample]: The same, with scores.
        """
        views = self._by_sample(cls_scores, data_samples)
        if self.joins_features:
            clips = views.unflatten(1, (num_crops, -1)).flatten(0, 1)
            views = self._by_sample(self.classify(clips), data_samples)
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
