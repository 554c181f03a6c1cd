"""MMAction2's lists of videos and of frame folders, read with care."""

import os.path as osp
import re
from collections.abc import Iterator
from contextlib import suppress

from mmaction.datasets import RawframeDataset, VideoDataset
from mmaction.registry import DATASETS
from mmengine.fileio import exists, get_text

from .broken import BrokenSamples, call_within
from .seeding import SeededIndex, seed_all

# Controls, and the mark of a list that was appended to another: nobody sees them in a path.
UNSEEN = re.compile('[\0-\x1f\x7f\ufeff]')


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10


def _read_lines(path: str) -> list[tuple[int, str]]:
    """Numbers from 1 and lines of an annotation file, stripped."""
    try:
        text = get_text(path, encoding='utf-8-sig')
    except FileNotFoundError:
        raise FileNotFoundError(f'annotation file {path} does not exist') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'annotation file {path} is not UTF-8: {error}') from error
    return [(number, line.strip(' \t\r')) for number, line in enumerate(text.split('\n'), 1)]


class CheckedList:
    """Mixin for MMAction2's datasets: errors name the list, the line and the video.

    The stock datasets take any label, split names at blanks, and let the decoder's
    errors through, which do not say what was being decoded. Here a sample that cannot
    be read stops a test; in training another takes its place, up to a share. Where ``classes.txt``
    lies beside the list, a name a line by label, the names become
    ``metainfo['classes']``, which checkpoints keep.
    """

    delimiter = ' '
    columns = ('path', 'label')

    def __init__(
        self,
        *args,
        max_broken: float = 0.02,
        timeout: float = 60.0,
        count_broken: bool = False,
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

    def full_init(self) -> None:
        """Read the list."""
        if not self._fully_initialized:
            super().full_init()
            self.broken = BrokenSamples(len(self), self.max_broken)

    def load_data_list(self) -> list[dict]:
        """Read ``ann_file``, checking every line.

        Raises:
            FileNotFoundError: If the list does not exist.
            ValueError: If it is empty or a line of it is malformed, or
                ``classes.txt`` has another number of classes.
        """
        lines = _read_lines(self.ann_file)
        data_list = [self._parse(number, line) for number, line in lines if line]
        if not data_list:
            raise ValueError(f'annotation file {self.ann_file} lists no videos')
        names = osp.join(osp.dirname(self.ann_file), 'classes.txt')
        if 'classes' not in self._metainfo and exists(names):
            classes = [line for _, line in _read_lines(names) if line]
            if len(classes) != self.num_classes:
                raise ValueError(
                    f'{names} names {len(classes)} classes, but num_classes is {self.num_classes}'
                )
            self._metainfo['classes'] = classes
        return data_list

    def _parse(self, number: int, line: str) -> dict:
        """What a line says; the label is -1 where a test video has none."""
        path, *numbers = line.rsplit(self.delimiter, len(self.columns) - 1)
        path = path.rstrip(' \t')
        info = dict(zip(self.columns[1:], [int(n) if _is_number(n) else -1 for n in numbers]))
        missing = len(self.columns) - 1 - len(numbers)
        unlabeled = self.test_mode and missing == 1 and not any(map(str.isspace, path))
        label = info.setdefault('label', -1)
        right = unlabeled or 0 <= label < self.num_classes
        if not right or info.get('frames', 1) < 1 or not path or UNSEEN.search(path):
            expected = self.delimiter.join(f'<{column}>' for column in self.columns)
            raise ValueError(
                f'{self.ann_file}, line {number}: expected "{expected}" with a label from 0 to '
                f'{self.num_classes - 1} (num_classes={self.num_classes}), got {line[:200]!r}'
            )
        return self._describe(path, **info)

    def name_of(self, index: int) -> str:
        """The file or folder of a sample."""
        info = self.get_data_info(index)
        return info.get('filename', info.get('frame_dir'))

    def prepare_data(self, idx: int) -> dict | None:
        """Run the pipeline on one video, seeded by an index that carries a seed.

        Returns:
            dict: The sample. If that fails in training, None, for which the stock
            dataset draws another one; in testing with ``count_broken`` another video's
            with the names and the label of this one, and the problem as ``broken``.

        Raises:
            RuntimeError: If that fails in testing, naming the video, or in training
                for more than ``max_broken`` of the samples.
        """
        if isinstance(idx, SeededIndex):
            seed_all(idx.seed)
        if not self.test_mode:
            self.broken.draw()
        try:
            return call_within(self.timeout, super().prepare_data, idx)
        except Exception as error:
            problem = f'cannot read a clip from {self.name_of(idx)}: {error}'
            if not self.test_mode:
                self.broken.fail(idx, problem)
                return None
            if not self.count_broken:
                raise RuntimeError(problem) from error
            return self._stand_in_for({**self.get_data_info(idx), 'broken': problem})

    def _stand_in_for(self, info: dict) -> dict:
        """A sample of the first video that can be read, under the names of another."""
        for index in range(len(self)):
            if self._stand_in:
                break
            with suppress(Exception):
                self._stand_in = call_within(self.timeout, super().prepare_data, index)
        else:
            raise RuntimeError(f'{info["broken"]}; nor can any other video of {self.ann_file}')
        sample = dict(self._stand_in)
        sample['data_samples'] = named = sample['data_samples'].clone()
        (getattr(named, 'set_gt_label', None) or named.set_gt_labels)(info['label'])
        named.set_metainfo({k: v for k, v in info.items() if k in named or k == 'broken'})
        return sample


def lists_in(dataset: object, kind: type = CheckedList) -> Iterator:
    """Those of a kind in a data set and in wrappers such as RepeatDataset and ConcatDataset."""
    if isinstance(dataset, kind):
        yield dataset
    wrapped = [dataset.dataset] if hasattr(dataset, 'dataset') else []
    for inner in (*wrapped, *getattr(dataset, 'datasets', ())):
        yield from lists_in(inner, kind)


@DATASETS.register_module()
class ClipVideoDataset(CheckedList, VideoDataset):
    """Stock ``VideoDataset`` with the errors of :class:`CheckedList`.

    Results carry ``video_id``, the path in the list without its extension, by
    which the scores of two streams are joined.

    Args:
        ann_file (str): List of ``<path> <label>`` lines; of ``<path>`` alone for
            unlabeled test videos, whose paths have no blanks.
        num_classes (int): Labels must be below it.
        max_broken (float): Share of the training samples that may be replaced because
            they cannot be read. Defaults to 0.02.
        timeout (float): Seconds after which reading a sample has failed. Defaults to 60.
        count_broken (bool): In testing, go on past a video that cannot be read and count
            it as wrong, which needs ``VideoAccuracy``. Defaults to False.
        kwargs: Arguments of ``VideoDataset``.

    Raises:
        ValueError: With ``multi_class``.
    """

    def __init__(self, ann_file: str, num_classes: int, **kwargs) -> None:
        if kwargs.get('multi_class'):
            raise ValueError('ClipVideoDataset reads one label a video, not multi_class lists')
        super().__init__(ann_file, num_classes=num_classes, **kwargs)

    def _describe(self, path: str, label: int) -> dict:
        video = osp.join(self.data_prefix.get('video') or '', path)
        return dict(filename=video, video_id=osp.splitext(path)[0], label=label)


@DATASETS.register_module()
class ClipRawframeDataset(CheckedList, RawframeDataset):
    """Stock ``RawframeDataset`` with the errors of :class:`CheckedList`.

    Args:
        ann_file (str): List of ``<path> <frames> <label>`` lines, the path being
            that of a folder of images and its ``video_id``; ``<path> <frames>``
            for unlabeled test videos, whose paths have no blanks.
        num_classes (int): Labels must be below it.
        max_broken, timeout, count_broken: As for :class:`ClipVideoDataset`.
        kwargs: Arguments of ``RawframeDataset``.

    Raises:
        ValueError: With ``multi_class`` or ``with_offset``.
    """

    columns = ('path', 'frames', 'label')

    def __init__(self, ann_file: str, num_classes: int, **kwargs) -> None:
        if kwargs.get('multi_class') or kwargs.get('with_offset'):
            raise ValueError(
                'ClipRawframeDataset reads "<path> <frames> <label>" lists, not multi_class or '
                'with_offset ones'
            )
        super().__init__(ann_file, num_classes=num_classes, **kwargs)

    def _describe(self, path: str, frames: int, label: int) -> dict:
        folder = osp.join(self.data_prefix.get('img') or '', path)
        return dict(frame_dir=folder, video_id=path, total_frames=frames, label=label)
