"""Which packets of a file are which frames, and the way from one to the other.

Containers hold packets, not frames, and some, AVI and MPEG streams above all, tell neither when a
packet is shown nor whether it is shown at all. decord takes them at their word, and gives frames of
other places, by whole groups of pictures. Here packets are numbered in the order of the file and
decoders hand the number on to the frame they make of it, so that what comes out is known to be what
was asked for, wherever decoding started.
"""

import io
import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

from ..files import identity_of
from .timeouts import time_check

STATE_TIMES = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
"""Containers, by FFmpeg's names, that tell of each packet when it is shown,"""
ONE_FRAME_EACH = ('h264', 'hevc', 'vp9', 'av1')
"""and codecs of which each packet there is one frame."""
KEPT = 32 * 2**20
"""Bytes of packets that are kept from the opening on, so that they need not be read again."""
DELAY = 32
"""Frames that a decoder may give late; codecs reorder 16 at most."""
REMEDY = 'leave it out of the list, as tools/data/check_videos.py does, or encode it again'

INTRA = (PictureType.NONE, PictureType.I)
known_orders: dict[tuple, np.ndarray] = {}
"""Of files that had to be decoded to know it: the packet of each frame, and whether it is intra."""
MOST_ORDERS = 2**14


class _NoEntryError(Exception):
    """A packet is no keyframe, though the container says so."""


class _OtherOrderError(Exception):
    """Frames are not those that the times of the packets say."""


CONTAINERS = 'mov,matroska,avi,flv,mpeg,mpegts,ogg,asf,gif'
"""FFmpeg's names of those that have their pictures in them."""


def refuse_lists(path: str) -> None:
    """Refuse what may be a list of other files (HLS, concat, ...), before any of these is opened.

    Raises:
        ValueError: If the file is of none of :data:`CONTAINERS`.
    """
    _opened(path, path, options=dict(format_whitelist=CONTAINERS)).close()


def _opened(path: str, source: Any, **kwargs: Any) -> Any:
    """Container of a file, or of its content."""
    try:
        return av.open(source, metadata_errors='ignore', **kwargs)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist') from None
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ValueError(f'{path} cannot be opened as a video: {reason}; {REMEDY}') from None


def with_ending(path: str) -> str:
    """Path of a video: without an ending that of an MP4, as for ``DecordInit``."""
    if os.path.splitext(path)[1]:
        return path
    named = f'{path}.mp4'
    return path if os.path.isdir(path) and not os.path.isfile(named) else named


class FrameIndex:
    """The frames of a file's best video stream, each from as few packets as give it.

    Args:
        path (str): File; a name without an ending is that of an MP4, as for ``DecordInit``.
        content (bytes, optional): What is in it, where it is no local file.

    Attributes:
        container, codec (str): FFmpeg's names of them.
        rate (Fraction): Frames per second, the mean.
        share (float): Of the stated duration, how much has frames; 1 if none is stated.
        is_proved (bool): Whether decoding told which frames there are, not the container.
        damaged (set[int]): Packets, by their number, that could not be decoded so far.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If FFmpeg cannot open or decode it, or it has no frames, naming what it is.
    """

    def __init__(self, path: str, content: bytes | None) -> None:
        self.path = with_ending(path)
        self._content, self.damaged, self._readings = content, set[int](), 0
        self._container, self._stream = self._open()
        self.container: str = self._container.format.name
        self.codec: str = self._stream.codec_context.codec.canonical_name
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = rate or Fraction(25)  # as FFmpeg has it for what states none
        self._read_packets()
        if self._states_order():
            self._order_by_times()
        else:
            self._order_by_decoding()
        self._check_length()

    def __str__(self) -> str:
        return f'{self.path} ({self.codec} in {self.container})'

    def __len__(self) -> int:
        return len(self._order)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        source = self.path if self._content is None else io.BytesIO(self._content)
        container = _opened(self.path, source)
        stream = container.streams.best('video')
        if stream is None or stream.codec_context is None:
            lack = 'has no video' if stream is None else 'is of a codec that FFmpeg does not know'
            raise ValueError(f'{self.path} ({container.format.name}) {lack}; {REMEDY}')
        stream.codec_context.thread_count = 1  # data loaders have processes
        return container, stream

    def _read_packets(self) -> None:
        """Go through the file without decoding it."""
        self._packets: list[av.Packet] | None = []
        self._times: list[Any] = []  # none where the container states none
        kinds, size, end = [], 0, 0
        for packet in _packets_of(self._container, self._stream):
            is_key = packet.is_keyframe
            changes = is_key and bool(self._times) and packet.has_sidedata('new_extradata')
            kinds.append((is_key, packet.is_discard, packet.is_corrupt, changes))
            self._times.append(packet.pts)
            size += packet.size
            last = max(packet.pts or 0, packet.dts or 0) + (packet.duration or 0)
            end = max(end, last)
            if size > KEPT:
                self._packets = None
            if self._packets is not None:
                self._packets.append(packet)
        flags = np.array(kinds, bool).reshape(-1, 4).T
        self._is_key, self._is_discarded, is_corrupt, changes = flags
        self._is_whole = not is_corrupt.any()
        if changes.any():  # a decoder is told once, in passing
            self._is_key = np.zeros_like(self._is_key)
        stated = self._stream.duration
        if self.container == 'avi':  # whose header counts frames, dropped ones too
            stated = max(stated or 0, self._stream.frames)
        self.share = (end - (self._stream.start_time or 0)) / stated if stated else 1.0

    @property
    def _state(self) -> tuple:
        """What the file is known by."""
        if self._content is not None:
            return self.path, hash(self._content)
        if not os.path.exists(self.path):  # an address
            return (self.path,)
        return identity_of(self.path)

    def _states_order(self) -> bool:
        """Whether the times of the packets are those of the frames."""
        return (
            self.container in STATE_TIMES
            and self.codec in ONE_FRAME_EACH
            and None not in self._times
            and len(set(self._times)) == len(self._times) > 0
            and self._is_whole
            and self._state not in known_orders
        )

    def _order_by_times(self) -> None:
        """Find the packet of every frame by the times."""
        self.is_proved = self._is_counted = False
        shown = np.argsort(self._times)
        self._rank = np.empty(len(shown), int)
        self._rank[shown] = range(len(shown))
        self._set_order(shown[~self._is_discarded[shown]])

    def _order_by_decoding(self) -> None:
        """Find the packet of every frame by what a decoder gives."""
        self.is_proved, self._is_counted, state = True, True, self._state
        if state not in known_orders:
            if len(known_orders) == MOST_ORDERS:
                known_orders.clear()
            frames = [
                (-1 if frame.pts is None else frame.pts, frame.pict_type in INTRA)
                for *_, frame in self._from(0)
            ]
            known_orders[state] = np.array(frames, np.int32).reshape(-1, 2)
            self._container.close()
            self._container, self._stream = self._open()  # decoders of damaged files remember them
        order, is_intra = known_orders[state].T
        self._is_counted = len(set(order.tolist()) - {-1}) < len(order)  # not a packet each
        if self._is_counted:
            order, self._is_key = np.arange(len(order)), np.zeros_like(self._is_key)
        else:
            self._rank = np.full(len(self._times), len(order))  # other packets are not shown
            self._rank[order] = range(len(order))
            self._is_key[order[is_intra == 0]] = False  # as of packets with two frames
        self._set_order(order)

    def _check_length(self) -> None:
        if not len(self):
            raise ValueError(f'{self} has no frames that FFmpeg can decode; {REMEDY}')

    def _set_order(self, order: np.ndarray) -> None:
        self._order, self._index_of = order, dict(zip(order.tolist(), range(len(order))))

    @property
    def is_plain(self) -> bool:
        """Whether each packet is a frame to be shown, and nothing else is to be known."""
        return bool(
            not (self.is_proved or self._content or self._is_discarded.any()) and self._is_key.any()
        )

    def _start_of(self, index: int) -> int:
        """The packet to decode a frame from: the last keyframe that is not shown after it."""
        packet = self._order[index]
        keys = np.flatnonzero(self._is_key[: packet + 1])
        keys = keys[self._rank[keys] <= self._rank[packet]] if len(keys) else keys
        return int(keys[-1]) if len(keys) else 0

    def _packets_from(
        self, start: int
    ) -> tuple[av.container.InputContainer, av.VideoStream, Iterator[av.Packet]]:
        """The packets from one on, and what they are decoded with."""
        if self._packets is not None:
            self._stream.codec_context.flush_buffers()
            return self._container, self._stream, iter(self._packets[start:])
        container, stream = self._open()
        number, packets = 0, _packets_of(container, stream)
        if start and not self.is_proved:  # each has a time of its own
            container.seek(self._times[start], stream=stream)
            first = next(packets, None)
            number = len(self._times)
            if first is not None and first.pts in self._times:
                number, packets = self._times.index(first.pts), chain([first], packets)
            if number > start:  # or somewhere unknown
                container.close()
                container, stream = self._open()
                number, packets = 0, _packets_of(container, stream)
        return container, stream, islice(packets, start - number, None)

    def _from(self, start: int) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """What decoding gives from a packet on: index, last packet read so far, frame.

        The ``pts`` of a frame is the number of its packet.
        """
        container, stream, packets = self._packets_from(start)
        self._readings = reading = self._readings + 1
        count, check_time = 0, time_check()
        try:
            for number, packet in enumerate(chain(packets, [None]), start):
                check_time()
                if reading != self._readings:  # they share a decoder
                    raise RuntimeError(f'{self} is read by two at once: open it twice')
                if packet is not None:
                    packet.pts = number
                try:
                    frames = stream.codec_context.decode(packet)
                except av.FFmpegError:
                    if packet is not None and count:  # a broadcast may begin anywhere
                        self.damaged.add(number)
                    continue
                for frame in frames:
                    index = count if self._is_counted else self._index_of.get(frame.pts, -1)
                    yield index, number, frame
                    count += 1
        finally:
            if container is not self._container:
                container.close()

    def _run(self, start: int, indices: deque[int]) -> Iterator[av.VideoFrame]:
        """Decode from a packet on the first of rising indices, and take these out.

        Ends when none is left, when the next is to be had from a later packet, or has not come.

        Raises:
            _NoEntryError: If decoding cannot start there.
            _OtherOrderError: If other frames come than the times of the packets say.
        """
        entry = self._index_of.get(start, -1) if start else -1
        last = -1
        for index, read, frame in self._from(start):
            if index < entry:  # shown before the keyframe, and of those before it
                continue
            if last < entry and (index > entry or frame.pict_type not in INTRA):
                raise _NoEntryError
            if not self.is_proved and index != last + 1 and last >= 0:
                raise _OtherOrderError
            last = index
            if index > indices[0] + DELAY:
                return
            if index != indices[0]:
                continue
            while indices and index == indices[0]:
                yield frame
                indices.popleft()
            if not indices or (indices[0] > index + 1 and self._start_of(indices[0]) > read + 1):
                return

    def pictures(self, indices: deque[int]) -> Iterator[av.VideoFrame]:
        """Decode the frames of rising indices.

        Raises:
            ValueError: If one cannot be decoded.
            RuntimeError: If another reading begins before this one ends.
            TimeoutError: If the time of :func:`call_within` is over.
        """
        start = self._start_of(indices[0])
        while indices:
            before = len(indices)
            try:
                yield from self._run(start, indices)
                if len(indices) == before and not self.is_proved:
                    raise _OtherOrderError
            except _NoEntryError:  # as where blocks are refreshed instead of frames
                self._is_key = np.zeros_like(self._is_key)
            except _OtherOrderError:  # times that are wrong, or packets that are damaged
                self._order_by_decoding()
                self._check_length()
                indices = deque(min(index, len(self) - 1) for index in indices)
                start = 0  # as FFmpeg comes to them, past the damage
                continue
            else:
                if len(indices) == before:
                    if start == 0:
                        raise ValueError(
                            f'frame {indices[0]} of {self} cannot be decoded; {REMEDY}'
                        )
                    start = 0
                    continue
            start = self._start_of(indices[0]) if indices else 0


def _packets_of(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.Packet]:
    """Packets up to the end of a file, or to where it is broken."""
    check_time = time_check()
    try:
        for packet in container.demux(stream):
            check_time()
            if packet.size:  # an empty one would end the decoding
                yield packet
    except av.FFmpegError:
        return
