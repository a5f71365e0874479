"""Writes checkpoints beside the training, and never lets a full disk stop it.

``Saver.save(state)`` copies the tensors, which is quick, and lets a thread write them. A failure is told
at the next call as one warning; training goes on. ``finish()`` waits, and there a failure is an error.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from homespun.common.errors import HomespunError
from homespun.training.checkpoint import Moving, TrainingState, save_checkpoint, take_snapshot
from homespun.training.world import World


@dataclass
class Saver:
    """Saves one run's checkpoints into ``folder``; every process calls, the first one writes."""

    folder: Path
    model: nn.Module
    moving: dict[str, Moving]
    documents: dict[str, dict[str, Any]]
    tokenizer_file: Path | None
    keep: int
    warn: Callable[[str], None]
    world: World = field(default_factory=World)
    background: bool = True
    thread: threading.Thread | None = None
    failure: HomespunError | None = None
    failed_step: int = 0

    def save(self, state: TrainingState) -> None:
        """A checkpoint of this moment. Still busy with the one before: wait for it, since memory is for one copy."""
        self.settle()
        snapshot = take_snapshot(self.model, self.moving, state, self.background, self.world.is_first)
        if not self.world.is_first:
            return

        def write() -> None:
            try:
                save_checkpoint(self.folder, snapshot, self.documents, self.tokenizer_file, self.keep)
            except Exception as error:  # what a thread does not catch is lost, and with it the word of the failure
                known = isinstance(error, HomespunError)
                self.failure = error if known else HomespunError(f"cannot write it ({type(error).__name__}: {error})")
                self.failed_step = snapshot.state.step

        if self.background:
            self.thread = threading.Thread(target=write, name="checkpoint")
            self.thread.start()
        else:
            write()

    def settle(self) -> None:
        """Wait for the writing that is under way; say what went wrong, once for each checkpoint."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if self.failure is not None:
            self.warn(f"no checkpoint at step {self.failed_step:,}: {self.failure}; training goes on")
            self.failure = None

    def finish(self) -> None:
        """Wait for the last checkpoint; if that one could not be written, it is an error."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
