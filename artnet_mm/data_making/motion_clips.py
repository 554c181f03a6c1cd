"""Labelled motion clips as real video files, for the demo and the tests.

A class is a motion, shown by a texture drawn anew for every clip: what a single
frame looks like says little about the class (a zoom's first and last frames are large or
small in scale). Mirroring a clip left to right
keeps its class, as the paper's ten crops need, and each class played backwards
is a class too.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from ..datasets.lists import ListLine, format_classes, format_list
from ..files import write_whole

# Texture seeds of training and validation clips come from disjoint ranges.
FIRST_SEEDS = {'train': 0, 'val': 1_000_000}
MAX_SEED = 2**32 // (2 * FIRST_SEEDS['val']) - 1
FPS = 25


def _shift(x: float = 0.0, y: float = 0.0) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _scale(factor: float) -> np.ndarray:
    return np.diag([factor, factor, 1])


def _turn(angle: float) -> np.ndarray:
    sin, cos = np.sin(angle), np.cos(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


# Motion of a point around the centre of the frame, from its place at time 0.
# t: frames from the middle of the clip; speed: about 1 (pixels per frame for shifts);
# side: -1 or 1, where a motion and its mirror image are one class; y points down.
MOTIONS: dict[str, Callable[[float, float, int], np.ndarray]] = {
    'up': lambda t, speed, side: _shift(y=-t * speed),
    'down': lambda t, speed, side: _shift(y=t * speed),
    'sideways': lambda t, speed, side: _shift(x=side * t * speed),
    'zoom in': lambda t, speed, side: _scale(np.exp(0.025 * t * speed)),
    'zoom out': lambda t, speed, side: _scale(np.exp(-0.025 * t * speed)),
    'turning': lambda t, speed, side: _turn(side * 0.05 * t * speed),
    'shaking': lambda t, speed, side: _shift(x=side * 3 * speed * np.sin(0.8 * t)),
    'bouncing': lambda t, speed, side: _shift(y=side * 3 * speed * np.sin(0.8 * t)),
    'swinging': lambda t, speed, side: _turn(side * 0.15 * speed * np.sin(0.8 * t)),
    'pulsing': lambda t, speed, side: _scale(np.exp(side * 0.12 * speed * np.sin(0.8 * t))),
}
CLASSES = tuple(MOTIONS)
KINDS = ('checkerboard', 'plaid', 'discs', 'bricks', 'clouds')


def texture(rng: np.random.RandomState, size: int, kind: int | None = None) -> np.ndarray:
    """Draw a texture in random colours.

    Args:
        rng (RandomState): Source of everything random.
        size (int): Height and width in pixels.
        kind (int, optional): Index into ``KINDS``. Defaults to a random one.

    Returns:
        np.ndarray: uint8 (size, size, 3).
    """
    y, x = np.mgrid[:size, :size].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 20)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    drawn = rng.randint(len(KINDS))
    name = KINDS[drawn if kind is None else kind]
    if name == 'checkerboard':
        pattern = ((u // period + v // period) % 2).astype(np.float32)
    elif name == 'plaid':
        pattern = 0.5 + 0.25 * (np.sin(6.3 * u / period) + np.sin(6.3 * v / (0.7 * period)))
    elif name == 'discs':
        pattern = np.zeros((size, size), np.float32)
        for _ in range(int(3 * (size / period) ** 2 / 4)):
            centre, radius = rng.randint(0, size, 2), int(rng.uniform(0.2, 0.6) * period)
            cv2.circle(pattern, centre.tolist(), radius, rng.uniform(0.3, 1), -1, cv2.LINE_AA)
    elif name == 'bricks':  # of random brightness
        cells = rng.uniform(size=(size // 8 + 2, size // 12 + 2)).astype(np.float32)
        pattern = cells[(y // 8).astype(int), (x // 12).astype(int)]
    else:
        noise = rng.uniform(size=(size, size)).astype(np.float32)
        pattern = cv2.GaussianBlur(noise, (0, 0), period / 5)
        pattern = (pattern - pattern.min()) / np.ptp(pattern)
    dark, light = rng.uniform(0, 110, 3), rng.uniform(145, 255, 3)
    grain = rng.normal(0, 6, (size, size, 1))
    return np.clip(dark + pattern[..., None] * (light - dark) + grain, 0, 255).astype(np.uint8)


def motion_clip(
    label: int,
    seed: int,
    num_frames: int = 32,
    size: tuple[int, int] = (86, 64),
    pace: float = 1,
    texture_seed: int | None = None,
    kind: int | None = None,
) -> np.ndarray:
    """Frames of one clip.

    Args:
        label (int): Index into ``CLASSES``.
        seed (int): Determines texture, speed and direction.
        num_frames (int): Length in frames. Defaults to 32.
        size (tuple[int, int]): (w, h) of the frames. Defaults to (86, 64).
        pace (float): Factor of the motion's speed. Defaults to 1.
        texture_seed (int, optional): Determines the texture, in place of ``seed``.
        kind (int, optional): Kind of the texture, index into ``KINDS``.

    Returns:
        np.ndarray: uint8 (num_frames, h, w, 3) in RGB.
    """
    rng = np.random.RandomState(seed)
    width, height = size
    drawn = texture(rng, 3 * max(size), kind)
    given = texture_seed is not None
    canvas = texture(np.random.RandomState(texture_seed), 3 * max(size), kind) if given else drawn
    speed, side, phase = pace * rng.uniform(0.8, 1.4), rng.choice([-1, 1]), rng.uniform(-2, 2)
    to_frame = _shift(width / 2, height / 2)
    from_canvas = _shift(-canvas.shape[1] / 2, -canvas.shape[0] / 2)
    motion = MOTIONS[CLASSES[label]]
    frames = []
    for index in range(num_frames):
        t = index - (num_frames - 1) / 2 + phase
        matrix = to_frame @ motion(t, speed, side) @ from_canvas
        frames.append(
            cv2.warpAffine(
                canvas, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
            )
        )
    return np.stack(frames)


def write_video(path: Path, frames: np.ndarray) -> None:
    """Encode frames as MPEG-4.

    Args:
        path (Path): File to write, ``.mp4``.
        frames (np.ndarray): uint8 (T, H, W, 3) in RGB.

    Raises:
        OSError: If OpenCV cannot encode to the file.
    """
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), FPS, (width, height))
    if not writer.isOpened():
        raise OSError(f'cannot write a video to {path}')
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def write_dataset(
    root: str | Path,
    num_train: int,
    num_val: int,
    num_frames: int = 32,
    size: tuple[int, int] = (86, 64),
    seed: int = 0,
    pace: float = 1,
    num_textures: int | None = None,
    shortcut: bool = False,
) -> None:
    """Write videos and their lists as MMAction2 lays out its data sets.

    Under ``root``: ``videos_train/``, ``videos_val/``, ``train_list_videos.txt``,
    ``val_list_videos.txt``, and the names of the classes in ``classes.txt``.

    Args:
        root (str | Path): Folder to write to.
        num_train (int): Training clips; classes take turns.
        num_val (int): Validation clips, whose textures never occur in training.
        num_frames (int): Length of a clip in frames. Defaults to 32.
        size (tuple[int, int]): (w, h) of the frames. Defaults to (86, 64).
        seed (int): Another seed, other clips. Defaults to 0.
        pace (float): Factor of the motions' speed. Defaults to 1.
        num_textures (int, optional): Different textures of the training clips, each
            shown in all motions; fewer where there are not so many clips of a motion.
            Defaults to one of its own for every clip.
        shortcut (bool): Only the first five motions, each with a kind of texture of
            its own in training and with the four others in validation; whose motion
            the kind stands for is the label in ``val_list_kinds.txt``. Defaults to
            False.

    Raises:
        ValueError: If more clips are asked for than a split has seeds, or the
            seed is not one that NumPy's seeds have room for.
    """
    if max(num_train, num_val) > FIRST_SEEDS['val']:
        raise ValueError(f'a split has at most {FIRST_SEEDS["val"]} clips')
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f'seed must be from 0 to {MAX_SEED}, got {seed}')
    classes = CLASSES[: len(KINDS)] if shortcut else CLASSES
    for split, number in (('train', num_train), ('val', num_val)):
        folder = Path(root, f'videos_{split}')
        folder.mkdir(parents=True, exist_ok=True)
        first_seed = 2 * FIRST_SEEDS['val'] * seed + FIRST_SEEDS[split]
        lines, kinds = [], []
        for index in track(range(number), description=f'writing {split} clips'):
            turn, label = divmod(index, len(classes))
            look = {}
            if shortcut:
                # In validation the kind of another motion, all of them in turn.
                other = 1 + turn % (len(classes) - 1) if split == 'val' else 0
                look['kind'] = (label + other) % len(classes)
            if num_textures and split == 'train':
                look['texture_seed'] = first_seed + turn % num_textures
            name = f'{classes[label].replace(" ", "_")}_{index:05d}.mp4'
            clip = motion_clip(label, first_seed + index, num_frames, size, pace, **look)
            write_video(folder / name, clip)
            lines.append(ListLine(name, label))
            kinds.append(ListLine(name, look.get('kind', -1)))
        write_whole(Path(root, f'{split}_list_videos.txt'), format_list(lines))
        if shortcut and split == 'val':
            write_whole(Path(root, 'val_list_kinds.txt'), format_list(kinds))
    write_whole(Path(root, 'classes.txt'), format_classes(classes))
