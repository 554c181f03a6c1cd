"""Optical flow as 8-bit images, which ``RawframeDataset`` reads with ``modality='Flow'``."""

from pathlib import Path

import cv2
import numpy as np

from ..datasets.video import Video
from .copies import resize, whole_frames

IMAGE_NAME = 'flow_{}_{:05d}.jpg'
JPEG_QUALITY = 95  # within a level for more than 99 pixels in 100, at half the size of PNG


def create_estimator(method: str) -> cv2.DenseOpticalFlow:
    """OpenCV's TV-L1 ('tvl1') or DIS ('dis') flow, with its default parameters.

    Raises:
        ValueError: If this OpenCV lacks TV-L1.
    """
    if method == 'dis':
        return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if not hasattr(cv2, 'optflow'):
        raise ValueError('TV-L1 is in opencv-contrib-python: install it, or take --method dis')
    return cv2.optflow.DualTVL1OpticalFlow.create()


def flow_to_image(flow: np.ndarray, bound: float) -> np.ndarray:
    """Grey levels of flow: -bound is 0, none 128 (127.5 rounded), +bound 255.

    Args:
        flow (np.ndarray): Displacements in pixels per frame, any shape; x to the
            right, y down.
        bound (float): What is beyond is clipped.

    Returns:
        np.ndarray: uint8 of the same shape.
    """
    return np.rint(127.5 * (flow / bound + 1)).clip(0, 255).astype(np.uint8)


def image_to_flow(image: np.ndarray, bound: float) -> np.ndarray:
    """Displacements in pixels per frame that grey levels stand for, as float32."""
    return ((image / 127.5 - 1) * bound).astype(np.float32)


def extract_flow(
    path: Path, folder: Path, method: str, bound: float, size: tuple[int, int] | None
) -> None:
    """Store the flow from every frame to the next, D - 1 pairs of images for D frames.

    Args:
        path (Path): Video.
        folder (Path): Folder to make, for ``flow_x_00001.jpg``, ``flow_y_00001.jpg``
            and so on.
        method (str): 'tvl1' or 'dis'.
        bound (float): Displacements beyond are clipped; see :func:`flow_to_image`.
        size (tuple[int, int], optional): (w, h) to resize frames to before.

    Raises:
        FileNotFoundError: If there is no such video.
        ValueError: If it is broken, or has one frame only.
    """
    video = Video(str(path))
    if len(video) < 2:
        raise ValueError('has one frame, and flow needs two')
    folder.mkdir()
    estimator = create_estimator(method)
    last = None
    for index, frame in enumerate(whole_frames(video)):
        grey = cv2.cvtColor(resize(frame, size) if size else frame, cv2.COLOR_RGB2GRAY)
        if index:
            image = flow_to_image(estimator.calc(last, grey, None), bound)
            for axis, name in enumerate('xy'):
                _, code = cv2.imencode(
                    '.jpg', image[..., axis], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
                )
                # Unlike cv2.imwrite, this says when the disk is full.
                (folder / IMAGE_NAME.format(name, index)).write_bytes(code.tobytes())
        last = grey


def count_flow(folder: Path) -> int:
    """Number of flow fields in a folder."""
    return sum(1 for _ in folder.glob(IMAGE_NAME.format('x', 0).replace('00000', '*')))
