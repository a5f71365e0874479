"""Ctrl-C and SIGTERM as a question asked between steps, so that a run can save before it leaves.

A second Ctrl-C leaves at once: the newest checkpoint is still there.
"""

import signal
import threading
from types import FrameType


class Interruption:
    """``with Interruption() as interruption: … if interruption.requested: save and leave``."""

    def __init__(self) -> None:
        self.requested = False
        self.previous: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        # Only the main thread may set handlers; a library user in another thread keeps his own.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self.handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # pyrefly: ignore

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Remember the first request; obey the second at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
