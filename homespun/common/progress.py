"""What a stage says while it works, without knowing of terminals.

A stage that moves takes an ``Advance`` callback; a whole run talks to a ``Reporter``. The command line
has one that draws bars and one that prints plain lines.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Advance = Callable[[int], None]


def ignore(_amount: int) -> None:
    """Progress that nobody watches."""


class Stage(Protocol):
    """One piece of long work under way."""

    def advance(self, amount: int) -> None:
        """So much more is done."""
        ...

    def resize(self, total: int) -> None:
        """There turned out to be so much in all."""
        ...

    def tell(self, note: str) -> None:
        """A few words beside the bar (speed, loss)."""
        ...


class Reporter(Protocol):
    """Where a run's words go."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def sample(self, title: str, prompt: str, text: str) -> None: ...

    def stage(self, label: str, total: int, unit: str) -> AbstractContextManager[Stage]: ...


class Silent:
    """A reporter, and a stage, that nobody listens to."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def sample(self, title: str, prompt: str, text: str) -> None: ...

    def stage(self, label: str, total: int, unit: str) -> "AbstractContextManager[Stage]":
        return nullcontext(self)

    def advance(self, amount: int) -> None: ...

    def resize(self, total: int) -> None: ...

    def tell(self, note: str) -> None: ...
