"""A window in which a stream is seen with the latest answer."""

import os
import sys
from collections.abc import Iterator

import cv2
import numpy as np

from ..datasets.pictures import Scale
from ..datasets.stream import Stream

SCREENS = ('DISPLAY', 'WAYLAND_DISPLAY')
HEIGHT = 480
"""Of the window, in pixels."""


class ShownStream(Stream):
    """A stream that is shown in a window while it is read.

    Args:
        source (str): As of :class:`Stream`.
        kind (str, optional): As of :class:`Stream`.

    Attributes:
        caption (str): Words over the next frames.

    Raises:
        OSError: If there is no screen.
        ValueError: As of :class:`Stream`.
    """

    def __init__(self, source: str, kind: str | None = None) -> None:
        # Qt would end the process.
        if sys.platform == 'linux' and not any(map(os.environ.get, SCREENS)):
            raise OSError('a window needs a screen: DISPLAY and WAYLAND_DISPLAY name none')
        super().__init__(source, kind)
        cv2.namedWindow(source, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)  # no tool bar
        self.caption = ''

    def walk(self, scale: Scale = None) -> Iterator[np.ndarray]:
        """Frames, as of :class:`Stream`; the key q ends them."""
        for frame in super().walk(scale):
            height, width = frame.shape[:2]
            shown = cv2.resize(frame[..., ::-1], (round(width * HEIGHT / height), HEIGHT))
            shown[-48:] //= 3
            cv2.putText(
                shown, self.caption, (12, HEIGHT - 16), cv2.FONT_HERSHEY_SIMPLEX, 0.9,
                (255, 255, 255), 1, cv2.LINE_AA,
            )  # fmt: skip
            cv2.imshow(self.source, shown)
            if cv2.waitKey(1) == ord('q'):
                return
            yield frame

    def close(self) -> None:
        """Close window and stream."""
        cv2.destroyAllWindows()
        super().close()
