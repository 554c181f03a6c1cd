"""Opening and decoding videos and folders of images where the stock way is unsafe or slow."""

import os
from collections.abc import Iterator, Sequence

import av
import cv2
import decord
import numpy as np
from mmaction.datasets.transforms import DecordInit, RawFrameDecode
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .transforms import StackFlow


def _with_suffix(filename: str) -> str:
    """A name without one is that of an MP4, as the stock ``DecordInit`` has it."""
    return filename if os.path.splitext(filename)[1] else f'{filename}.mp4'


def _check_header(filename: str) -> None:
    """Refuse what decord 0.6.0 ends the process at, as it makes room for all frames."""
    size = os.stat(filename).st_size  # decord's own error does not say that a file is missing
    try:
        with av.open(filename) as container:
            stream = container.streams.best('video')
            stated = stream.frames if stream else 0
    except (av.FFmpegError, OSError, ValueError):
        return  # decord says so in its way
    if stated > size or stated < 0:
        raise ValueError(f'{filename} states {stated} frames in {size} bytes')


@TRANSFORMS.register_module()
class ClipDecordInit(DecordInit):
    """Stock ``DecordInit`` that lets decord open local files itself.

    The stock one reads the whole file and hands decord the bytes, on which
    decord 0.6.0 crashes the interpreter when an AVI (UCF101, HMDB51) is cut
    short; from the path it opens what there is. Arguments are the stock ones.
    """

    def transform(self, results: dict) -> dict:
        """Add ``video_reader`` and ``total_frames``; folders of images have the latter."""
        return results if 'frame_dir' in results else super().transform(results)

    def _get_video_reader(self, filename: str) -> decord.VideoReader:
        if self.io_backend not in ('disk', 'local'):
            return super()._get_video_reader(filename)
        filename = _with_suffix(filename)
        _check_header(filename)
        return decord.VideoReader(filename, num_threads=self.num_threads)


def frames_in_order(path: str) -> Iterator[np.ndarray]:
    """The frames of a video from the first on, RGB (H, W, 3), each valid until the next.

    Raises:
        ValueError: If they are not 8-bit 4:2:0 of even size, or broken, or there are none.
    """
    with av.open(path) as container:
        stream = container.streams.best('video')
        if stream is None or stream.codec_context is None:  # FFmpeg does not know the codec
            raise ValueError(f'{path} has no video that can be decoded')
        stream.codec_context.thread_count = 1  # data loaders have processes
        for frame in container.decode(stream):
            if (
                frame.format.name not in ('yuv420p', 'yuvj420p')
                or frame.width % 2
                or frame.height % 2
                or frame.is_corrupt
            ):
                raise ValueError(f'{path} has frames that FFmpeg gives unlike decord')
            plane = frame.reformat(format='rgb24', threads=1).planes[0]
            rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
            yield rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)


@TRANSFORMS.register_module()
class ClipDecode(BaseTransform):
    """Decode the frames of ``frame_inds`` and resize each at once.

    Args:
        scale (tuple[int, int], optional): (w, h) of the frames, which is what the
            stock ``Resize`` makes of them with ``keep_ratio=False``. Defaults to
            their own.
        in_order (bool): Go through a video once from its start, for ``frame_inds``
            that rise, as in testing. FFmpeg takes three quarters of decord's time.
            decord reads what is other than common 8-bit video, or turned by its
            metadata, or broken, and where few of the frames are needed. Defaults to
            False.
    """

    def __init__(self, scale: tuple[int, int] | None = None, in_order: bool = False) -> None:
        self.scale = scale
        self.in_order = in_order
        self._from_images = (RawFrameDecode(), StackFlow())

    def transform(self, results: dict) -> dict:
        """Add ``imgs``, uint8 (M, H, W, C), and ``img_shape``.

        Requires ``frame_inds``, and ``filename`` and ``video_reader`` or what the stock
        ``RawFrameDecode`` requires. Flow has the channels x and y.
        """
        if 'frame_dir' in results:
            read, stack = self._from_images
            images = self._resized(stack(read(results))['imgs'])
        else:
            video, needed = results.pop('video_reader'), results['frame_inds']
            dense = 4 * len(needed) >= len(video)
            images = (
                self._read_in_order(results['filename'], needed, video)
                if (self.in_order and dense)
                else ()
            )
            if len(images) < len(needed):
                images = self._resized(video.get_batch(needed).asnumpy())
        results['imgs'] = np.asarray(images)
        results['img_shape'] = results['imgs'].shape[1:3]
        return results

    def _read_in_order(
        self, filename: str, needed: np.ndarray, video: decord.VideoReader
    ) -> Sequence[np.ndarray]:
        """The frames as one array, or nothing where FFmpeg gives others than decord."""
        wanted, found, images = set(needed.tolist()), 0, None
        try:
            for index, frame in enumerate(frames_in_order(_with_suffix(filename))):
                if index not in wanted:
                    continue
                if found == 0 and not np.array_equal(frame, video[index].asnumpy()):
                    return ()
                frame = self._resized([frame])[0]
                images = np.empty((len(needed), *frame.shape), np.uint8) if found == 0 else images
                images[found] = frame
                found += 1
                if found == len(needed):
                    return images
        except (av.FFmpegError, OSError, ValueError):
            pass
        return ()

    def _resized(self, frames: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        return resize_all(frames, self.scale)


def resize_all(frames: Sequence[np.ndarray], scale: tuple | None) -> Sequence[np.ndarray]:
    """Frames of (w, h) ``scale``; the same ones where they have it already, or it is None."""
    size = scale and tuple(scale)
    if size is None or size == frames[0].shape[1::-1]:
        return frames
    return [cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in frames]


@TRANSFORMS.register_module()
class ClipResize(BaseTransform):
    """Make one array of frames of a size, where ``ClipDecode`` has not done so.

    ``MMAction2Inferencer`` puts stock decoders in the place of all others.

    Args:
        scale (tuple[int, int], optional): As for :class:`ClipDecode`.
    """

    def __init__(self, scale: tuple[int, int] | None = None) -> None:
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Replace ``imgs`` by uint8 (M, H, W, C), and set ``img_shape``."""
        results['imgs'] = np.asarray(resize_all(results['imgs'], self.scale))
        results['img_shape'] = results['imgs'].shape[1:3]
        return results
