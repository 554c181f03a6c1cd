"""Videos whose frames carry their numbers, of every kind that a user may have."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

BITS = 12
DIVX_PACKED = b'\x00\x00\x01\xb2DivX503b1393p'  # user data that says so
NOT_CODED = b'\x00\x00\x01\xb6\x50\x00'  # a P-VOP with nothing in it


def numbered_frame(number: int, size: tuple[int, int] = (128, 96)) -> np.ndarray:
    """A frame, uint8 (H, W, 3), with its number in white and black cells over a moving picture."""
    width, height = size
    ramp = np.arange(width)[None, :, None] + np.arange(height)[:, None, None]
    frame = np.uint8(64 + (ramp + 3 * number) % 128 * np.array([1, 0.5, 0.2]))
    cells = np.array([255 * (number >> bit & 1) for bit in range(BITS)], np.uint8).reshape(3, 4)
    frame[:] = cv2.addWeighted(frame, 0.3, frame, 0, 40)
    inner = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST)
    frame[..., :] = np.where(_marks(size)[..., None], inner[..., None], frame)
    return frame


def _marks(size: tuple[int, int]) -> np.ndarray:
    """Where the cells are: the inner part of each of 4 x 3 places."""
    width, height = size
    x, y = np.arange(width) * 4 % width, np.arange(height) * 3 % height
    return ((y > 0.15 * height) & (y < 0.85 * height))[:, None] & (
        (x > 0.15 * width) & (x < 0.85 * width)
    )


def number_of(frame: np.ndarray) -> int:
    """The number that a frame, (H, W, 3), carries."""
    grey = frame.mean(-1)
    height, width = grey.shape
    number = 0
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        y, x = round((row + 0.5) * height / 3), round((column + 0.5) * width / 4)
        part = grey[y - height // 12 : y + height // 12 + 1, x - width // 16 : x + width // 16 + 1]
        number |= int(part.mean() > 128) << bit
    return number


def write(
    path: Path,
    codec: str,
    numbers: Iterable[int],
    gop: int = 50,
    size: tuple[int, int] = (128, 96),
    pix_fmt: str = 'yuv420p',
    rate: int = 25,
    target: object = None,
    **options: str,
) -> Path:
    """Encode frames with these numbers; the suffix of the path says the container.

    Keyword arguments name options of the encoder; ``target`` is written to in the place of
    the path. Frames of the number -1 are black.
    """
    kwargs = dict(format=path.suffix[1:]) if target else {}
    with av.open(target or str(path), 'w', **kwargs) as container:
        stream = container.add_stream(codec, rate=rate, options={'threads': '1', **options})
        stream.width, stream.height = size
        stream.pix_fmt, stream.gop_size = pix_fmt, gop
        stream.codec_context.bit_rate = 2_000_000
        for number in numbers:
            black = np.zeros((*size[::-1], 3), np.uint8)
            image = black if number < 0 else numbered_frame(number, size)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def write_packed(path: Path, num_frames: int) -> Path:
    """An AVI in which B-frames share the packet of the frame after them, as DivX 5 writes it."""
    encoded = write(path.with_suffix('.m4v'), 'mpeg4', range(num_frames), bf='1')
    with av.open(str(encoded)) as source:
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
    encoded.unlink()
    at = packets[0].index(b'\0\0\x01\xb6')
    chunks = [packets[0][:at] + DIVX_PACKED + packets[0][at:]]
    for reference, between in zip(packets[1::2], packets[2::2]):
        chunks += [reference + between, NOT_CODED]
    return _write_avi(path, dict(enumerate(chunks)))


def write_dropped(path: Path, num_frames: int) -> Path:
    """An AVI that states a third more frames than it has, as capture programs drop them."""
    encoded = write(path.with_suffix('.m4v'), 'mpeg4', range(num_frames))
    with av.open(str(encoded)) as source:
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
    encoded.unlink()
    return _write_avi(path, {4 * i // 3: packet for i, packet in enumerate(packets)})


def _write_avi(path: Path, chunks: dict[int, bytes]) -> Path:
    """An AVI of MPEG-4 packets at their places."""
    with av.open(str(path), 'w') as container:
        stream = container.add_mux_stream('mpeg4', rate=25, width=128, height=96)
        for number, chunk in chunks.items():
            packet = av.Packet(chunk)
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, 25)
            packet.is_keyframe = number == 0
            container.mux(packet)
    return path


def remux(path: Path, sources: list[Path], shift: float = 0.0) -> Path:
    """Put the packets of videos after one another into another file, ``shift`` seconds earlier."""
    with av.open(str(path), 'w') as container:
        stream, at = None, -shift
        for source in sources:
            with av.open(str(source)) as video:
                stream = stream or container.add_stream_from_template(video.streams.video[0])
                end = at
                for packet in video.demux(video=0):
                    if not packet.size:
                        continue
                    offset = round(at / packet.time_base)
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    end = max(end, float((packet.pts + packet.duration) * packet.time_base))
                    packet.stream = stream
                    container.mux(packet)
                at = end
    return path


def turn(path: Path, matrix: list[list[int]]) -> Path:
    """Give an MP4 a display matrix, whose rows say where x and y are shown, as cameras do."""
    content = bytearray(path.read_bytes())
    place = content.index(b'tkhd') + 4 + 40
    (a, b), (c, d) = matrix
    values = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], '>i4')
    content[place : place + 36] = values.tobytes()
    path.write_bytes(content)
    return path


class OneWay:
    """A file that cannot be gone back in, as browsers write to."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)
