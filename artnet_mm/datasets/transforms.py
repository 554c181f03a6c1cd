"""Flips and crops that know what mirroring does to optical flow."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmaction.datasets.transforms import Flip, TenCrop
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


def mirror(frames: np.ndarray, flow: bool) -> np.ndarray:
    """Mirror frames left to right.

    The x displacement of mirrored flow changes its sign, which for 8-bit flow
    images around 128 is 255 - x. The y displacement keeps its own.

    Args:
        frames (np.ndarray): uint8 (..., H, W, C); for flow the channels are x, y.
        flow (bool): Whether the frames are flow.

    Returns:
        np.ndarray: (..., H, W, C), a copy.

    Raises:
        ValueError: If flow frames do not have the channels x and y.
    """
    mirrored = frames[..., ::-1, :].copy()
    if flow:
        if frames.shape[-1] != 2:
            raise ValueError(
                'flow frames must be (H, W, 2) with the channels x and y (StackFlow makes '
                f'them), got {frames.shape[-3:]}'
            )
        mirrored[..., 0] = 255 - mirrored[..., 0]
    return mirrored


def crop_corners(size: tuple[int, int], crop_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Upper left corners (x, y) of the five crops: four corners and the centre.

    Args:
        size (tuple[int, int]): (w, h) of the frames.
        crop_size (tuple[int, int]): (w, h) of a crop.

    Raises:
        ValueError: If the crop is larger than the frames.
    """
    (width, height), (crop_w, crop_h) = size, crop_size
    right, bottom = width - crop_w, height - crop_h
    if right < 0 or bottom < 0:
        raise ValueError(
            f'crop_size {crop_w}x{crop_h} (w, h) is larger than the {width}x{height} frames'
        )
    return [(0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2)]


def ten_crops(frames: np.ndarray, crop_size: tuple[int, int], flow: bool) -> np.ndarray:
    """Four corners and the centre, each followed by its mirror image.

    Args:
        frames (np.ndarray): uint8 (M, H, W, C).
        crop_size (tuple[int, int]): (w, h).
        flow (bool): Whether the frames are flow.

    Returns:
        np.ndarray: (10 * M, h, w, C): upper left, its mirror, upper right, lower
        left, lower right, centre.

    Raises:
        ValueError: If the crop is larger than the frames.
    """
    crop_w, crop_h = crop_size
    crops = []
    for x, y in crop_corners((frames.shape[2], frames.shape[1]), crop_size):
        crop = frames[:, y : y + crop_h, x : x + crop_w]
        crops += [crop, mirror(crop, flow)]
    return np.concatenate(crops)


@TRANSFORMS.register_module()
class ClipFlip(Flip):
    """Stock ``Flip`` for whole clips, flow included.

    The stock one inverts every second image, which for frames that hold both
    flow channels is y as well as x, in half of the frames. Arguments are those
    of MMAction2's ``Flip``.
    """

    def _flip_imgs(self, imgs: Sequence[np.ndarray], modality: str) -> list[np.ndarray]:
        if self.direction != 'horizontal':
            return super()._flip_imgs(imgs, modality)
        if modality == 'Flow' or imgs[0].ndim < 3 or imgs[0].shape[-1] != 3:
            return list(mirror(np.stack(imgs), flow=modality == 'Flow'))
        return [cv2.flip(image, 1) for image in imgs]  # several times as fast


@TRANSFORMS.register_module()
class ClipTenCrop(TenCrop):
    """The ten crops of Sec. 3.3: 4 corners, 1 centre, and their mirror images.

    The stock ``TenCrop`` mirrors flow without negating x, and rounds its right
    and lower crops to multiples of 4 pixels, so that they miss the corners.

    Args:
        crop_size (int | tuple[int]): (w, h) of a crop.
    """

    def transform(self, results: dict) -> dict:
        """Replace ``imgs`` by 10 times as many, crop after crop.

        Requires ``imgs`` and ``modality``.

        Raises:
            ValueError: If the crop is larger than the frames.
        """
        flow = results['modality'] == 'Flow'
        results['imgs'] = ten_crops(np.stack(results['imgs']), self.crop_size, flow)
        results['img_shape'] = results['imgs'].shape[1:3]
        return results


@TRANSFORMS.register_module()
class StackFlow(BaseTransform):
    """Join the x and y images that ``RawFrameDecode`` lists in turn into (H, W, 2) frames.

    That is how mmaction2 1.1 lists them; frames that 1.2 has joined are left alone.
    """

    def transform(self, results: dict) -> dict:
        """Replace ``imgs``, 2 * M images of (H, W), by M frames of (H, W, 2)."""
        imgs = results['imgs']
        if imgs[0].ndim == 3:
            return results
        results['imgs'] = [np.stack(pair, axis=-1) for pair in zip(imgs[0::2], imgs[1::2])]
        return results
