"""Accuracy as the paper reports it."""

import numpy as np
from mmaction.evaluation import AccMetric
from mmaction.registry import METRICS
from mmengine.logging import MMLogger
from scipy.special import log_softmax


@METRICS.register_module()
class VideoAccuracy(AccMetric):
    """Top-1, top-5, their mean, mean class accuracy and negative log-likelihood.

    ``AccMetric`` has neither the mean of top-1 and top-5 ("avg", the figure the
    paper compares by) nor a validation loss ("nll", what its learning rate
    follows, Sec. 3.3), and does not say how many videos it saw.

    ``pred_scores`` are taken to be scores before the softmax, as ``TSNClipHead``
    gives them with ``average_clips='score'``. Videos without a label are counted
    as not evaluated.

    Args:
        num_videos (int, optional): Size of the official list, to be reported as
            ``expected``. Defaults to the size of the dataset.
        collect_device (str): As for ``AccMetric``. Defaults to 'cpu'.
        prefix (str, optional): As for ``AccMetric``. Defaults to 'acc'.
    """

    def __init__(
        self,
        num_videos: int | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.num_videos = num_videos

    def evaluate(self, size: int) -> dict:
        """Compute the metrics over a dataset of ``size`` videos."""
        self._expected = self.num_videos or size
        return super().evaluate(size)

    def compute_metrics(self, results: list) -> dict:
        """Metrics of the labeled results, with evaluated and expected counts."""
        labeled = [r for r in results if r['label'] >= 0]
        counts = dict(evaluated=len(labeled), expected=self._expected)
        if len(labeled) != self._expected:
            MMLogger.get_current_instance().warning(
                f'{len(labeled)} of {self._expected} videos were evaluated; figures over '
                'different sets of videos do not compare'
            )
        return {**(super().compute_metrics(labeled) if labeled else {}), **counts}

    def calculate(self, preds: list, labels: list) -> dict:
        """Metrics of scores, a list of (num_classes,), and labels."""
        broken = sum(not np.isfinite(scores).all() for scores in preds)
        if broken:
            MMLogger.get_current_instance().warning(
                f'the scores of {broken} of {len(preds)} videos are not finite, so that the '
                'figures mean nothing'
            )
        metrics = super().calculate(preds, labels)
        log_probs = log_softmax(np.asarray(preds, dtype=np.float64), axis=1)
        metrics['avg'] = (metrics['top1'] + metrics['top5']) / 2
        metrics['nll'] = -log_probs[np.arange(len(labels)), labels].mean()
        return metrics
