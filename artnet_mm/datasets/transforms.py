"""Flips and crops that know what mirroring does to optical flow."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmaction.datasets.transforms import Flip
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..views import Crops, mirror


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
class ClipCrops(BaseTransform):
    """Crops of whole clips in testing, flow included.

    The stock ``CenterCrop``, ``ThreeCrop`` and ``TenCrop`` mirror flow without negating
    x or not at all, and round their right and lower crops so that they miss the corners.

    Args:
        crop_size (int | tuple[int, int]): Side, or (w, h), of a crop.
        num_places, mirrored: Those of :class:`Crops`.
    """

    def __init__(
        self, crop_size: int | tuple[int, int], num_places: int = 5, mirrored: bool = True
    ) -> None:
        width, height = (crop_size,) * 2 if isinstance(crop_size, int) else crop_size
        self.crops = Crops((width, height), num_places, mirrored)

    def transform(self, results: dict) -> dict:
        """Replace ``imgs``, (M, H, W, C), by all of each crop after the other.

        Requires ``imgs`` and ``modality``.

        Raises:
            ValueError: If the crop is larger than the frames.
        """
        flow, frames = results['modality'] == 'Flow', np.stack(results['imgs'])
        crops = [self.crops.cut(frames, index, flow) for index in range(len(self.crops))]
        results['imgs'] = np.concatenate(crops)
        results['img_shape'] = results['imgs'].shape[1:3]
        return results


@TRANSFORMS.register_module()
class ClipTenCrop(ClipCrops):
    """The ten crops of Sec. 3.3: 4 corners, 1 centre, each followed by its mirror image.

    Args:
        crop_size (int | tuple[int, int]): Side, or (w, h), of a crop.
    """

    def __init__(self, crop_size: int | tuple[int, int]) -> None:
        super().__init__(crop_size)


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
