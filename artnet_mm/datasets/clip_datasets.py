"""MMAction2's video list, read with care."""

import os.path as osp

from mmaction.datasets import VideoDataset
from mmaction.registry import DATASETS
from mmengine.fileio import get_text


@DATASETS.register_module()
class ClipVideoDataset(VideoDataset):
    """Stock ``VideoDataset`` whose errors name the list, the line and the video.

    The stock one accepts any label, splits file names at blanks, and lets the
    decoder's errors through, which do not say what was being decoded.

    Args:
        ann_file (str): List of ``<path> <label>`` lines; of ``<path>`` alone for
            unlabeled test videos, whose paths have no blanks.
        num_classes (int): Labels must be below it.
        kwargs: Arguments of ``VideoDataset``.

    Raises:
        FileNotFoundError: If the list does not exist.
        ValueError: If the list is empty or a line of it is malformed, or with
            ``multi_class``.
    """

    def __init__(self, ann_file: str, num_classes: int, **kwargs) -> None:
        if kwargs.get('multi_class'):
            raise ValueError('ClipVideoDataset reads one label a video, not multi_class lists')
        super().__init__(ann_file, num_classes=num_classes, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read ``ann_file``, checking every line."""
        try:
            text = get_text(self.ann_file, encoding='utf-8-sig')
        except FileNotFoundError:
            raise FileNotFoundError(f'annotation file {self.ann_file} does not exist') from None
        except UnicodeDecodeError as error:
            raise ValueError(f'annotation file {self.ann_file} is not UTF-8: {error}') from error
        data_list = [
            self._parse(number, line.strip())
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip()
        ]
        if not data_list:
            raise ValueError(f'annotation file {self.ann_file} lists no videos')
        return data_list

    def _parse(self, number: int, line: str) -> dict:
        name, _, label = line.rpartition(self.delimiter)
        if not name and self.test_mode and not any(map(str.isspace, line)):
            name, label = line, '-1'
        elif not (label.isascii() and label.isdigit()) or not 0 <= int(label) < self.num_classes:
            raise ValueError(
                f'{self.ann_file}, line {number}: expected "<path>{self.delimiter}<label>" with a '
                f'label from 0 to {self.num_classes - 1} (num_classes={self.num_classes}), '
                f'got {line!r}'
            )
        video = osp.join(self.data_prefix.get('video') or '', name.rstrip())
        return dict(filename=video, label=int(label))

    def prepare_data(self, idx: int):
        """Run the pipeline on one video.

        Raises:
            RuntimeError: If that fails, naming the video.
        """
        try:
            return super().prepare_data(idx)
        except Exception as error:
            name = self.get_data_info(idx)['filename']
            raise RuntimeError(f'cannot read a clip from {name}: {error}') from error
