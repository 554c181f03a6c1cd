"""Data sets of videos and of frame folders: MMAction2's, with errors that name what is wrong."""

import os.path as osp
from collections.abc import Iterator
from contextlib import suppress

from mmaction.datasets import BaseActionDataset, RawframeDataset, VideoDataset
from mmaction.registry import DATASETS
from mmengine.dataset import Compose
from mmengine.fileio import get_file_backend

from .broken import BrokenSamples
from .lists import ListLine, read_classes, read_list
from .repeats import RepeatedPipeline
from .seeding import SeededIndex, seed_cpu, wrapped_datasets
from .timeouts import call_within


class ClipDataset(BaseActionDataset):
    """Mixin for MMAction2's data sets: errors name the list, the line and the video.

    The stock data sets take any label, split names at blanks, and let the decoder's
    errors through, which do not say what was being decoded. Here a sample that cannot
    be read stops a test; in training another takes its place, up to a share. Where ``classes.txt``
    lies beside the list, a name per line by label, the names become
    ``metainfo['classes']``, which checkpoints keep.

    A subclass names this class before a ``BaseActionDataset`` among its bases, says in
    ``has_frames`` whether the lines of its list have a number of frames, and gives
    ``_describe``, which makes of a line the info that its pipeline starts from: ``label``,
    -1 for none; ``video_id``; and ``filename`` or ``frame_dir``, the place of the video. It
    gets in return what :class:`~artnet_mm.datasets.seeding.RestartableSampler` and MMEngine's
    wrappers ask for: samples that are a function of the seed of their index, ``get_data_info``
    and ``get_cat_ids``.

    Attributes:
        broken_samples (BrokenSamples): The training samples that could not be read.
    """

    delimiter = ' '
    has_frames: bool

    def __init__(
        self,
        *args,
        max_broken: float = 0.02,
        timeout: float = 60.0,
        count_broken: bool = False,
        num_repeats: int = 1,
        **kwargs: object,
    ) -> None:
        if not 0 <= max_broken <= 1 or timeout <= 0:
            raise ValueError(
                f'max_broken is a share from 0 to 1 and timeout seconds above 0, got {max_broken} '
                f'and {timeout}'
            )
        self.max_broken, self.timeout, self.count_broken = max_broken, timeout, count_broken
        self._stand_in: dict | None = None
        super().__init__(*args, **kwargs)
        self.num_repeats = num_repeats
        if num_repeats != 1:
            self.pipeline: Compose = RepeatedPipeline(self.pipeline.transforms, num_repeats)

    def full_init(self) -> None:
        """Read the list."""
        if not self._fully_initialized:
            super().full_init()
            self.broken_samples = BrokenSamples(len(self), self.max_broken)

    def load_data_list(self) -> list[dict]:
        """Read ``ann_file``, checking every line.

        Raises:
            FileNotFoundError: If the list does not exist.
            ValueError: If it is empty or a line of it is malformed, or
                ``classes.txt`` has another number of classes.
        """
        lines = read_list(
            self.ann_file,
            has_frames=self.has_frames,
            delimiter=self.delimiter,
            num_classes=self.num_classes,
            labeled=not self.test_mode,
        )
        names = osp.join(osp.dirname(self.ann_file), 'classes.txt')
        storage = get_file_backend(names)  # that of http cannot say what exists
        if 'classes' not in self._metainfo and hasattr(storage, 'exists') and storage.exists(names):
            classes = read_classes(names)
            if len(classes) != self.num_classes:
                raise ValueError(
                    f'{names} names {len(classes)} classes, but num_classes is {self.num_classes}'
                )
            self._metainfo['classes'] = classes
        return [self._describe(line) for line in lines]

    def _describe(self, line: ListLine) -> dict:
        """The info of a line, from which the pipeline starts."""
        raise NotImplementedError

    def get_cat_ids(self, idx: int) -> list[int]:
        """The class of a sample, of which ``ClassBalancedDataset`` takes rare ones more often."""
        label = self.get_data_info(idx)['label']
        return [label] if label >= 0 else []

    def name_of(self, index: int) -> str:
        """The file or folder of a sample."""
        info = self.get_data_info(index)
        return info.get('filename', info.get('frame_dir'))

    def prepare_data(self, idx: int) -> dict | list[dict] | None:
        """Run the pipeline on one video, seeded by an index that carries a seed.

        Returns:
            dict: The sample; with ``num_repeats`` a list of them. If that fails in training,
            None, for which the stock dataset draws another one; in testing with
            ``count_broken`` another video's with the names and the label of this one,
            and the ``problem``.

        Raises:
            RuntimeError: If that fails in testing, naming the video, or in training
                for more than ``max_broken`` of the samples.
        """
        if isinstance(idx, SeededIndex):
            seed_cpu(idx.seed)
        if not self.test_mode:
            self.broken_samples.draw()
            if self.broken_samples.has_hung(idx):
                self.broken_samples.fail(idx, f'{self.name_of(idx)} took too long before')
                return None
        try:
            return call_within(self.timeout, super().prepare_data, idx)
        except Exception as error:
            problem = f'cannot read a clip from {self.name_of(idx)}: {error}'
            if not self.test_mode:
                self.broken_samples.fail(idx, problem, isinstance(error, TimeoutError))
                return None
            if not self.count_broken:
                raise RuntimeError(problem) from error
            return self._stand_in_for({**self.get_data_info(idx), 'problem': problem})

    def _stand_in_for(self, info: dict) -> dict:
        """A sample of the first video that can be read, under the names of another."""
        for index in range(len(self)) if self._stand_in is None else ():
            with suppress(Exception):
                self._stand_in = call_within(self.timeout, super().prepare_data, index)
                break
        if self._stand_in is None:
            raise RuntimeError(f'{info["problem"]}; nor can any other video of {self.ann_file}')
        sample = dict(self._stand_in)
        sample['data_samples'] = named = sample['data_samples'].clone()
        (getattr(named, 'set_gt_label', None) or named.set_gt_labels)(info['label'])
        named.set_metainfo({k: v for k, v in info.items() if k in named or k == 'problem'})
        return sample


def lists_in(dataset: object, kind: type = ClipDataset) -> Iterator:
    """Data sets of a kind: this one, and those in wrappers such as ConcatDataset."""
    if isinstance(dataset, kind):
        yield dataset
    for inner in wrapped_datasets(dataset):
        yield from lists_in(inner, kind)


@DATASETS.register_module()
class ClipVideoDataset(ClipDataset, VideoDataset):
    """Stock ``VideoDataset`` with the errors of :class:`ClipDataset`.

    Results carry ``video_id``, the path in the list without its extension, by
    which the scores of two streams are joined.

    Args:
        ann_file (str): List of ``<path> <label>`` lines, whose grammar :mod:`.lists` has;
            of ``<path>`` alone for unlabeled test videos, whose paths have no blanks.
        num_classes (int): Labels must be below it.
        max_broken (float): Share of the training samples that may be replaced because
            they cannot be read. Defaults to 0.02.
        timeout (float): Seconds after which reading a sample has failed. Defaults to 60.
        count_broken (bool): In testing, go on past a video that cannot be read and count
            it as wrong, which needs ``VideoAccuracy``. Defaults to False.
        num_repeats (int): Clips of a video in a training batch, drawn and augmented one by one
            and decoded together. The loader's ``collate_fn`` is then MMAction2's
            ``repeat_pseudo_collate``, and its ``batch_size`` that of videos. Defaults to 1.
        kwargs: Arguments of ``VideoDataset``.

    Raises:
        ValueError: With ``multi_class``.
    """

    has_frames = False

    def __init__(self, ann_file: str, num_classes: int, **kwargs) -> None:
        if kwargs.get('multi_class'):
            raise ValueError('ClipVideoDataset reads one label per video, not multi_class lists')
        super().__init__(ann_file, num_classes=num_classes, **kwargs)

    def _describe(self, line: ListLine) -> dict:
        video = osp.join(self.data_prefix.get('video') or '', line.path)
        return dict(filename=video, video_id=osp.splitext(line.path)[0], label=line.label)


@DATASETS.register_module()
class ClipRawframeDataset(ClipDataset, RawframeDataset):
    """Stock ``RawframeDataset`` with the errors of :class:`ClipDataset`.

    Args:
        ann_file (str): List of ``<path> <frames> <label>`` lines, the path being
            that of a folder of images and its ``video_id``; ``<path> <frames>``
            for unlabeled test videos, whose paths have no blanks.
        num_classes (int): Labels must be below it.
        max_broken, timeout, count_broken, num_repeats: As for :class:`ClipVideoDataset`.
        kwargs: Arguments of ``RawframeDataset``.

    Raises:
        ValueError: With ``multi_class`` or ``with_offset``.
    """

    has_frames = True

    def __init__(self, ann_file: str, num_classes: int, **kwargs) -> None:
        if kwargs.get('multi_class') or kwargs.get('with_offset'):
            raise ValueError(
                'ClipRawframeDataset reads "<path> <frames> <label>" lists, not multi_class or '
                'with_offset ones'
            )
        super().__init__(ann_file, num_classes=num_classes, **kwargs)

    def _describe(self, line: ListLine) -> dict:
        folder = osp.join(self.data_prefix.get('img') or '', line.path)
        return dict(
            frame_dir=folder, video_id=line.path, total_frames=line.frames, label=line.label
        )
