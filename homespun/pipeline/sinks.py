"""Where else the metrics of a run go, if somebody asks: TensorBoard, trackio, wandb.

In: the records that also go to ``metrics.jsonl``, which is always whole; these are copies for other viewers.
Out: what each library writes. A sink is asked for with ``training.sinks``; its library is imported only then.

A sink can never stop or slow down a run: each works in a daemon thread behind a bounded queue. A full queue
drops records and counts them; a sink that raises, or does not end in time, costs one warning and is left behind.
Nothing goes over the network unless the user's own environment says so (``WANDB_MODE``, ``TRACKIO_SPACE_ID``).
"""

import contextlib
import importlib
import importlib.util
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from homespun.common.errors import UsageError

Record = dict[str, Any]
QUEUE_RECORDS = 1000  # some 200 kB; at the usual ten steps a record far more than a sink is ever behind
SECONDS_TO_END = 20.0  # wandb needs 4 to start and end on two cores, more on a busy machine
PROJECT = "homespun"


class Sink(Protocol):
    """Takes the records of one run."""

    def log(self, record: Record) -> None:
        """One record, with the keys of a line of ``metrics.jsonl``."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


@dataclass(frozen=True)
class Session:
    """What a sink is told at its start: the run, its flat configuration, and after which step it goes on."""

    folder: Path
    name: str
    configuration: Record
    step: int = 0


class TensorBoardSink:
    """Event files in the folder ``tensorboard`` of the run."""

    def __init__(self, session: Session) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # A run that goes on repeats the steps after its checkpoint: what was written of them is hidden.
        self.writer = SummaryWriter(str(session.folder / "tensorboard"), purge_step=session.step + 1)
        rows = "\n".join(f"    {key} = {value}" for key, value in session.configuration.items())
        self.writer.add_text("configuration", rows, session.step + 1)

    def log(self, record: Record) -> None:
        for name, value in named_numbers(record).items():
            self.writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        self.writer.close()


class TrackioSink:
    """A run in trackio's own local folder; see it with ``trackio show``."""

    def __init__(self, session: Session) -> None:
        trackio = importlib.import_module("trackio")
        self.run = trackio.init(
            project=PROJECT,
            name=session.name,
            config=session.configuration,
            resume="allow" if session.step else "never",  # another run may have had this name before
            embed=False,
        )

    def log(self, record: Record) -> None:
        self.run.log(named_numbers(record), step=record["step"])

    def close(self) -> None:
        self.run.finish()


class WandbSink:
    """An offline run in the folder ``wandb`` of the run; send it later with ``wandb sync``."""

    def __init__(self, session: Session) -> None:
        # Offline for the whole process, not only for the run: seen with 0.31, its usage reports went out otherwise.
        mode = os.environ.setdefault("WANDB_MODE", "offline")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        wandb = importlib.import_module("wandb")
        self.run = wandb.init(
            project=PROJECT,
            name=session.name,
            config=session.configuration,
            dir=str(session.folder),
            mode=mode,
            # Its other habits are to print, to catch what we print, and to watch the machine.
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        # wandb refuses records of earlier steps; as a metric of its own the step may go back with a resumed run.
        self.run.define_metric("*", step_metric="step")

    def log(self, record: Record) -> None:
        self.run.log(named_numbers(record) | {"step": record["step"]})

    def close(self) -> None:
        self.run.finish()


# By the name in training.sinks, which is also the name of the package to install.
SINKS: dict[str, Callable[[Session], Sink]] = {
    "tensorboard": TensorBoardSink,
    "trackio": TrackioSink,
    "wandb": WandbSink,
}


def named_numbers(record: Record) -> dict[str, float]:
    """``{"train/loss": 2.1, …}``: the numbers of a record under its kind, without the step."""
    return {
        f"{record['kind']}/{key}": value
        for key, value in record.items()
        if key != "step" and isinstance(value, int | float) and not isinstance(value, bool)
    }


def check_sinks(names: Sequence[str]) -> None:
    """Raise ``UsageError`` for a sink whose package is not installed; imports none of them."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"training.sinks asks for {', '.join(missing)}, which is not installed; "
            f"install with: pip install {' '.join(missing)}, or leave it out"
        )


class BackgroundSink:
    """A sink that works beside the run. Its methods never raise; ``log`` never waits."""

    def __init__(
        self,
        name: str,
        start: Callable[[], Sink],
        warn: Callable[[str], None],
        queue_records: int = QUEUE_RECORDS,
        seconds_to_end: float = SECONDS_TO_END,
    ) -> None:
        self.name = name
        self.start = start
        self.warn = warn
        self.seconds_to_end = seconds_to_end
        self.waiting: queue.Queue[Record | None] = queue.Queue(queue_records)
        self.dropped = 0
        self.failure: BaseException | None = None
        self.over = False  # given up or closed
        self.thread = threading.Thread(target=self.work, name=f"sink {name}", daemon=True)
        self.thread.start()

    def work(self) -> None:
        """The thread: everything that touches the library happens here, its import too."""
        try:
            sink = self.start()
            while (record := self.waiting.get()) is not None and not self.over:
                sink.log(record)
            sink.close()
        except BaseException as error:  # some libraries leave with SystemExit
            self.failure = error

    def log(self, record: Record) -> None:
        """Hand a record over, or drop it if the sink is too far behind."""
        if self.failure:
            self.give_up(f"failed ({one_line(self.failure)})")
        if self.over:
            return
        try:
            self.waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Let the sink finish what is waiting, for a limited time."""
        if self.over:
            return
        deadline = time.monotonic() + self.seconds_to_end
        with contextlib.suppress(queue.Full):
            self.waiting.put(None, timeout=self.seconds_to_end)
        self.thread.join(max(0.0, deadline - time.monotonic()))
        if self.failure:
            self.give_up(f"failed ({one_line(self.failure)})")
        elif self.thread.is_alive():
            self.give_up(f"did not end within {self.seconds_to_end:g} seconds and is left behind")
        elif self.dropped:
            self.give_up(f"was too slow: {self.dropped} records were dropped")
        self.over = True

    def give_up(self, reason: str) -> None:
        """The one warning that a sink may cost; from here on it gets nothing."""
        if not self.over:
            self.over = True
            self.warn(f"the sink {self.name} {reason}; metrics.jsonl has everything")


def one_line(error: BaseException) -> str:
    """An error of somebody else's library in a line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


@contextlib.contextmanager
def open_sinks(
    names: Sequence[str], session: Session, warn: Callable[[str], None]
) -> Iterator[tuple[BackgroundSink, ...]]:
    """The sinks of ``training.sinks``, closed at the end. ``UsageError`` if one of them is not installed."""
    check_sinks(names)
    if not names:
        yield ()
        return
    # These libraries greet on standard output, where only the result of a command belongs.
    with contextlib.redirect_stdout(sys.stderr):
        sinks = tuple(
            BackgroundSink(name, lambda make=SINKS[name]: make(session), warn) for name in dict.fromkeys(names)
        )
        try:
            yield sinks
        finally:
            for sink in sinks:
                sink.close()
