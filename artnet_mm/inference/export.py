"""Networks that leave the stack: ONNX and torch.export, from 8-bit frames to scores."""

import json
import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..files import whole_file
from ..models.deploy import switch_to_deploy
from .recognizer import scores_of
from .windows import ClipInput

OPSET = 20
TOLERANCE = 1e-4
"""Of exported scores, of the largest score of the clips that are compared."""


class FramesToScores(nn.Module):
    """A recognizer in its deploy form, with crop and normalisation before it.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`; it is changed.
        size (tuple[int, int], optional): (w, h) of the frames. Defaults to that of the config.

    Attributes:
        input (ClipInput): What it takes.

    Raises:
        ValueError: If its config has no size and length of clips of RGB, or they are too small.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.input = ClipInput.of(model.cfg)
        if size:
            self.input = replace(self.input, scale=size)
        if self.input.scale is None:
            raise ValueError('the config decodes frames as they are: an export needs their size')
        self.input.crop.corners(self.input.scale)
        self.to_rgb = model.data_preprocessor.to_rgb
        for name in ('mean', 'std'):
            value = getattr(model.data_preprocessor, name).float().view(1, -1, 1, 1, 1)
            self.register_buffer(name, value)
        self.model: Any = switch_to_deploy(model)

    def example(self, clips: int = 2) -> Tensor:
        """Frames of noise, uint8 (N, T, H, W, 3)."""
        width, height = self.input.scale or (0, 0)
        shape = (clips, self.input.clip_len, height, width, 3)
        return torch.randint(0, 256, shape, dtype=torch.uint8)

    def forward(self, frames: Tensor) -> Tensor:
        """Clips of frames, uint8 (N, T, H, W, 3) in RGB -> scores (N, num_classes)."""
        views = self.input.crop.cut(frames, 0, False).permute(0, 4, 1, 2, 3).float()
        if self.to_rgb:
            views = views.flip(1)
        views = ((views - self.mean) / self.std).to(self.mean.dtype)
        return scores_of(self.model, views)


def export(network: FramesToScores, names: list[str], file: Path) -> Path:
    """Write a network to ``.onnx``, or to ``.pt2`` as ``torch.export`` has it.

    Both take any number of clips (``.pt2`` up to 1024). The ONNX file has ``classes``,
    ``clip_len``, ``frame_interval`` and the ``width`` and ``height`` of frames in its metadata.

    Args:
        network (FramesToScores): The network.
        names (list[str]): Of the classes.
        file (Path): The file.

    Raises:
        ImportError: If what writes ONNX is not installed.
        ValueError: If the file has another ending.
    """
    seen = network.input
    width, height = seen.scale or (0, 0)
    notes = dict(
        classes=json.dumps(names), clip_len=seen.clip_len, width=width, height=height,
        frame_interval=seen.extent // seen.clip_len,
    )  # fmt: skip
    network.eval()
    shapes = dict(frames={0: torch.export.Dim('clips', min=1, max=1024)})
    with torch.no_grad():
        program = torch.export.export(network, (network.example(),), dynamic_shapes=shapes)
    if file.suffix == '.pt2':
        with whole_file(file) as place:
            extra = {key: str(value) for key, value in notes.items()}
            torch.export.save(program, place, extra_files=extra)
    elif file.suffix == '.onnx':
        for talkative in ('onnxscript', 'torch.onnx'):  # of nodes left, and of torchvision
            logging.getLogger(talkative).setLevel('ERROR')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', FutureWarning)  # of torch about itself
            exported: Any = torch.onnx.export(
                program, input_names=['frames'], output_names=['scores'], opset_version=OPSET,
                verbose=False,
            )  # fmt: skip
        exported.model.metadata_props.update({key: str(value) for key, value in notes.items()})
        with whole_file(file) as place:
            exported.save(place)
    else:
        raise ValueError(f'{file}: exports end in .onnx or .pt2')
    return file


def run_exported(file: Path, frames: np.ndarray) -> np.ndarray:
    """Scores (N, num_classes) of clips by an exported file, uint8 (N, T, H, W, 3)."""
    if file.suffix == '.pt2':
        with torch.no_grad():
            return torch.export.load(file).module()(torch.from_numpy(frames)).numpy()
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    return session.run(['scores'], dict(frames=frames))[0]


def difference(network: FramesToScores, file: Path, frames: np.ndarray) -> float:
    """The largest difference of an exported file's scores from the network's, of the largest score.

    Args:
        network (FramesToScores): The network.
        file (Path): The exported file.
        frames (np.ndarray): Clips, uint8 (N, T, H, W, 3).

    Raises:
        ValueError: If it is above :data:`TOLERANCE`, or another class is the likeliest.
    """
    with torch.no_grad():
        expected = network(torch.from_numpy(frames)).numpy()
    found = run_exported(file, frames)
    share = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6))
    if not share <= TOLERANCE or (found.argmax(1) != expected.argmax(1)).any():
        raise ValueError(f'{file} differs from the network by {share:.1g} of the largest score')
    return share
