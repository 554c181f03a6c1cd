"""Accuracy as the paper reports it."""

from collections.abc import Sequence

import numpy as np
from mmaction.evaluation import AccMetric
from mmaction.registry import METRICS
from mmengine.logging import MMLogger
from scipy.special import log_softmax

from ..compat import prediction_of

PROPORTION, LEAST, MOST = 30, 30, 1000
"""Times the median from which the spread of a video's scores is out of proportion; spreads that
never are, and that always are. Scores before a softmax that cross-entropy has trained spread by
some tens at most, and the largest by few times their median.
"""
REMEDY = (
    'in networks of SMART or relation units without max_response, responses that the BN statistics '
    'do not know grow from unit to unit; --cfg-options model.backbone.max_response=10 limits them'
)


def out_of_proportion(scores: np.ndarray) -> np.ndarray:
    """Which of the finite scores (N, num_classes) spread out of all proportion to the others'.

    Returns:
        np.ndarray: bool (N,).
    """
    spreads = np.ptp(scores, axis=1)
    return spreads > np.clip(PROPORTION * np.median(spreads), LEAST, MOST)


def _warn_of_strange_scores(results: list[dict]) -> None:
    """Name the videos of results (of :meth:`VideoAccuracy.process`) that are out of proportion.

    Raises:
        ValueError: If a video has not one score per class.
    """
    preds = [result['pred'] for result in results]
    # mmaction2 1.1 has a dict here, of one item or of several heads, and 1.2 the scores
    preds = [pred.get('item') if isinstance(pred, dict) else pred for pred in preds]
    if any(pred is None for pred in preds):
        return
    if shape := next((pred.shape for pred in preds if pred.ndim != 1), None):
        raise ValueError(
            f'{results[0]["name"]} has scores of shape {shape}, not (num_classes,): set '
            "model.cls_head.average_clips to 'score', so that the views of a video become one"
        )
    scores = np.stack(preds)
    finite = np.flatnonzero(np.isfinite(scores).all(axis=1))
    if not len(finite):
        return
    names = [results[index]['name'] for index in finite[out_of_proportion(scores[finite])]]
    if names:
        shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
        MMLogger.get_current_instance().warning(
            f'the scores of {len(names)} of {len(finite)} videos are out of all proportion '
            f"to the others': "
            f'{REMEDY}: {shown}'
        )


@METRICS.register_module()
class VideoAccuracy(AccMetric):
    """Top-1, top-5, their mean, mean class accuracy and negative log-likelihood.

    ``AccMetric`` has neither the mean of top-1 and top-5 ("avg", the figure the
    paper compares by) nor a validation loss ("nll", what its learning rate
    follows, Sec. 3.3), and does not say how many videos it saw.

    ``pred_scores`` are taken to be scores before the softmax, as ``TSNClipHead``
    gives them with ``average_clips='score'``. Videos without a label, and those whose
    scores are not finite, are counted as not evaluated; the latter are wrong. So are
    videos that could not be read, where the dataset has ``count_broken``: their scores
    become NaN, in dumps too, and the log lists them. Videos whose scores are out of all
    proportion are named in a warning.

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

    def process(self, data_batch: Sequence, data_samples: Sequence[dict]) -> None:
        """Keep the scores of a batch; those of a video that could not be read become NaN."""
        for sample in data_samples:
            if 'problem' in sample:
                prediction_of(sample)[0].fill_(float('nan'))
        super().process(data_batch, data_samples)
        for result, sample in zip(self.results[-len(data_samples) :], data_samples):
            result['problem'] = sample.get('problem')
            result['name'] = sample.get('filename', sample.get('frame_dir', 'a video'))

    def compute_metrics(self, results: list) -> dict:
        """Metrics of the labeled results, with evaluated and expected counts."""
        logger = MMLogger.get_current_instance()
        if problems := [result['problem'] for result in results if result['problem']]:
            lines = '\n'.join(problems)
            logger.warning(f'{len(problems)} videos could not be read and count as wrong:\n{lines}')
        _warn_of_strange_scores(results)
        labeled = [result for result in results if result['label'] >= 0]
        metrics = super().compute_metrics(labeled) if labeled else {}
        counts = dict(evaluated=metrics.pop('evaluated', 0), expected=self._expected)
        if counts['evaluated'] != self._expected:
            logger.warning(
                f'{counts["evaluated"]} of {self._expected} videos were evaluated; figures over '
                'different sets of videos do not compare'
            )
        return {**metrics, **counts}

    def calculate(self, preds: list, labels: list) -> dict:
        """Metrics of scores, a list of (num_classes,), and labels; not finite ones are wrong."""
        scores, truth = np.asarray(preds, dtype=np.float64), np.asarray(labels)
        finite = np.all(np.isfinite(scores), axis=1)
        if not finite.all():
            MMLogger.get_current_instance().warning(
                f'the scores of {(~finite).sum()} of {len(finite)} videos are not finite: '
                'these count as wrong'
            )
        scores[~finite] = 0
        scores[~finite, truth[~finite]] = -1
        metrics = super().calculate(list(scores), list(truth))
        for key, number in (('top1', 1), ('mean1', 1), ('top5', 5)):
            if scores.shape[1] <= number:  # whatever is said is among the first
                metrics[key] = finite.mean()
        metrics['avg'] = (metrics['top1'] + metrics['top5']) / 2
        log_probs = log_softmax(scores[finite], axis=1)[np.arange(finite.sum()), truth[finite]]
        metrics['nll'] = -log_probs.mean() if finite.any() else float('nan')
        metrics['evaluated'] = int(finite.sum())
        return metrics
