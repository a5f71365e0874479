"""Where a run's words go: bars and colours in a terminal, plain lines elsewhere.

Plain when the output is not a terminal, in CI, or with NO_COLOR. Everything here goes to standard
error, so that standard output holds only what a command is asked for.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TextIO

from homespun.common.progress import Reporter, Stage

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 10.0


def choose_reporter() -> Reporter:
    """Rich where a person looks on, plain elsewhere."""
    return RichReporter() if is_watched(sys.stderr) else PlainReporter()


def is_watched(stream: TextIO) -> bool:
    """Whether a person looks on who wants more than plain lines."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and not os.environ.get("CI")


def readable_time(seconds: float) -> str:
    """``3:07`` or ``1:02:45``."""
    minutes, rest = divmod(int(max(0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def amount(count: float, unit: str) -> str:
    """Bytes as megabytes, other things as they are."""
    return f"{count / 1e6:,.1f} MB" if unit == "bytes" else f"{count:,.0f} {unit}"


class TimeLeft:
    """How long the rest will take, by the speed since the first sign of progress.

    What was there before it (a resumed run begins in the middle) is not counted as work of this process.
    """

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None

    def words(self, done: int, total: int) -> str:
        """``3:07``; a question mark while there is nothing to judge by."""
        now = time.monotonic()
        if self.first is None:
            self.first = (done, now)
        fresh = done - self.first[0]
        return readable_time((now - self.first[1]) / fresh * max(0, total - done)) if fresh > 0 else "?"


class PlainStage:
    """One line at the beginning, one now and then, one at the end."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done, self.note = 0, ""
        self.began = self.printed = time.monotonic()
        self.left = TimeLeft()

    def advance(self, amount: int) -> None:
        self.done += amount
        left = self.left.words(self.done, self.total)
        if time.monotonic() - self.printed >= SECONDS_BETWEEN_LINES:
            self.printed = time.monotonic()
            self.print_line(left)

    def print_line(self, left: str) -> None:
        share = f"{min(1.0, self.done / max(1, self.total)):4.0%}"
        note = f", {self.note}" if self.note else ""
        line = f"  {self.label}: {share}, {amount(self.done, self.unit)}{note}, {left} left"
        print(line, file=sys.stderr, flush=True)

    def resize(self, total: int) -> None:
        self.total = total

    def tell(self, note: str) -> None:
        self.note = note


class PlainReporter:
    """Lines on standard error."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")

    def sample(self, title: str, prompt: str, text: str) -> None:
        self.say(f"--- sample, {title} ---\n{prompt}{text}\n---")

    def stage(self, label: str, total: int, unit: str) -> AbstractContextManager[Stage]:
        return self.plain_stage(label, total, unit)

    @contextmanager
    def plain_stage(self, label: str, total: int, unit: str) -> Iterator[Stage]:
        self.say(f"{label} …")
        stage = PlainStage(label, total, unit)
        yield stage
        self.say(f"{label}: {amount(stage.done, unit)} in {readable_time(time.monotonic() - stage.began)}")


class RichStage:
    """A bar that moves."""

    def __init__(self, progress: "Progress", task: "TaskID", total: int) -> None:
        self.progress, self.task = progress, task
        self.done, self.total, self.left = 0, total, TimeLeft()

    def advance(self, amount: int) -> None:
        self.done += amount
        left = self.left.words(self.done, self.total)
        self.progress.update(self.task, completed=self.done, left=left)

    def resize(self, total: int) -> None:
        self.total = total
        self.progress.update(self.task, total=total)

    def tell(self, note: str) -> None:
        self.progress.update(self.task, note=note)


class RichReporter:
    """Bars and colours through rich."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        self.console.print(f"warning: {text}", style="yellow", markup=False)

    def sample(self, title: str, prompt: str, text: str) -> None:
        from rich.panel import Panel
        from rich.text import Text

        body = Text.assemble((prompt, "bold"), text)
        self.console.print(Panel(body, title=f"sample, {title}", title_align="left", border_style="dim"))

    def stage(self, label: str, total: int, unit: str) -> AbstractContextManager[Stage]:
        return self.rich_stage(label, total, unit)

    @contextmanager
    def rich_stage(self, label: str, total: int, unit: str) -> Iterator[Stage]:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} left", markup=False),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=self.console) as progress:
            yield RichStage(progress, progress.add_task(label, total=total, left="?", note=""), total)
