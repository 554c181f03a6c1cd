"""Steps of a pipeline that open videos and decode frames, of folders of images too."""

import importlib

import numpy as np
from mmaction.datasets.transforms import RawFrameDecode
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.fileio import get

from .backends import BACKENDS
from .packets import with_ending
from .pictures import resize_all
from .transforms import StackFlow
from .video import Video


@TRANSFORMS.register_module()
class ClipVideoInit(BaseTransform):
    """Open a video, in the place of the stock ``DecordInit``.

    Args:
        backend (str): What decodes, as for :class:`Video`. Defaults to 'pyav'.
        io_backend (str): Where files are, as MMEngine names its backends. Defaults to 'disk'.
        kwargs: Its arguments.

    Raises:
        ValueError: If there is no such decoder.
        ImportError: If it is not installed.
    """

    def __init__(self, backend: str = 'pyav', io_backend: str = 'disk', **kwargs) -> None:
        if backend not in ('pyav', *BACKENDS):
            known = ', '.join(('pyav', *BACKENDS))
            raise ValueError(f'backend must be one of {known}, got {backend!r}')
        if backend in BACKENDS:
            importlib.import_module(backend)
        self.backend = backend
        self._storage = None
        if io_backend not in ('disk', 'local'):
            self._storage = dict(backend=io_backend, **kwargs)

    def transform(self, results: dict) -> dict:
        """Add ``video_reader`` and ``total_frames``; folders of images have the latter.

        Requires ``filename`` or ``frame_dir``.

        Raises:
            FileNotFoundError, ValueError: As :class:`Video` does.
        """
        if 'frame_dir' in results:
            return results
        name = with_ending(results['filename'])
        content = get(name, self._storage) if self._storage else None
        results['video_reader'] = video = Video(name, content, self.backend)
        results['total_frames'] = len(video)
        return results


@TRANSFORMS.register_module()
class ClipDecode(BaseTransform):
    """Decode the frames of ``frame_inds`` and resize each at once.

    Args:
        scale (tuple[int, int], optional): (w, h) of the frames, which is what the
            stock ``Resize`` makes of them with ``keep_ratio=False``. Defaults to
            their own.
    """

    def __init__(self, scale: tuple[int, int] | None = None) -> None:
        self.scale = scale
        self._from_images = (RawFrameDecode(), StackFlow())

    def transform(self, results: dict) -> dict:
        """Add ``imgs``, uint8 (M, H, W, C), and ``img_shape``.

        Requires ``frame_inds``, and the ``video_reader`` of :class:`ClipVideoInit` or what
        the stock ``RawFrameDecode`` requires. Flow has the channels x and y.

        Raises:
            TypeError: If another step has opened the video.
            ValueError: If a frame cannot be decoded.
        """
        if 'frame_dir' in results:
            read, stack = self._from_images
            results['imgs'] = np.asarray(resize_all(stack(read(results))['imgs'], self.scale))
        else:
            video = results.pop('video_reader')
            if not isinstance(video, Video):
                kind = f'{type(video).__module__}.{type(video).__name__}'
                raise TypeError(f'ClipDecode reads what ClipVideoInit has opened, not a {kind}')
            results['imgs'] = video.frames(results['frame_inds'], self.scale)
            video.close()
        results['img_shape'] = results['imgs'].shape[1:3]
        return results


@TRANSFORMS.register_module()
class ClipResize(BaseTransform):
    """Make one array of frames of a size, where ``ClipDecode`` has not done so.

    ``MMAction2Inferencer`` puts stock steps in its place for arrays and folders of images.

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
