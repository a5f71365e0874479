"""``homespun chat RUN``: talk with a model that was finetuned to answer; any other goes on with what is typed.

What was said so far stays in its view, as far as its context reaches. With adapters it is one base that speaks with any
of them; a line ``/adapter NAME`` goes over to another.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.progress import Reporter
from homespun.inference.settings import SamplingConfig

if TYPE_CHECKING:
    from homespun.inference.adapters import Adapters
    from homespun.inference.engine import Engine
    from homespun.tokenizer.tokenizer import Tokenizer


SWITCH = "/adapter"


def chat(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *,
    system: Annotated[str, Parameter(help="how an answering model is to behave; said before everything else")] = "",
    adapter: Annotated[
        tuple[str, ...], Parameter(help="folders with LoRA adapters for this model: FOLDER or NAME=FOLDER")
    ] = (),
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    sampling: Annotated[SamplingConfig, Parameter(name="*")] = SamplingConfig(),
) -> None:
    """Type, and let the model answer, or go on; line by line. An empty line forgets what was said; Ctrl-D ends.

    homespun chat runs/base --adapter adapters/assistant --adapter poet=adapters/poems
    """
    from homespun.inference.uses import CONTINUE, check_use
    from homespun.interchange.adapted import load_adapted
    from homespun.training.device import choose_device

    reporter = choose_reporter()
    loaded = load_adapted(run, adapter, reporter.warn, choose_device(device))
    check_use(loaded.model.config, CONTINUE, run)
    talk = begin(loaded, system, reporter)
    turn = 0
    while (line := read_line()) is not None:
        if not line.strip():
            talk.forget()
            continue
        if loaded.names and line.split()[0] == SWITCH:
            if switch(loaded, line.split()[1:], reporter):
                talk = begin(loaded, system, reporter)
            continue
        # Each answer has a seed of its own, or the same words would always get the same answer.
        for piece in talk.after(line, replace(sampling, seed=sampling.seed + turn)):
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
        turn += 1


def begin(loaded: "Adapters", system: str, reporter: Reporter) -> "Continuation | Dialogue":
    """A talk with the model as it is now, from the beginning; people are told what it does."""
    from homespun.inference.engine import Engine
    from homespun.tokenizer.chat import can_chat

    answers = can_chat(loaded.tokenizer)
    does = "answers" if answers else "continues what you write"
    reporter.say(f"This model {does}. An empty line starts afresh, Ctrl-D ends.")
    if loaded.names:
        reporter.say(f"It speaks with {told(loaded.in_use)}; {SWITCH} NAME goes over to {others(loaded)}.")
    if system and not answers:
        reporter.warn("this model was not finetuned to answer; --system is for one that was")
    engine = Engine(loaded.model)
    return Dialogue(engine, loaded.tokenizer, system) if answers else Continuation(engine, loaded.tokenizer)


def switch(loaded: "Adapters", names: list[str], reporter: Reporter) -> bool:
    """Go over to the adapter that was named; one that there is not is told, and nothing changes."""
    from homespun.inference.adapters import BASE

    if len(names) != 1 or names[0] not in (BASE, *loaded.names):
        reporter.warn(f"{SWITCH} {' '.join(names)}: there is {others(loaded)}, and now {told(loaded.in_use)}")
        return False
    loaded.use(None if names[0] == BASE else names[0])
    return True


def told(name: str | None) -> str:
    """An adapter, or none, in words."""
    return f"the adapter {name}" if name else "no adapter"


def others(loaded: "Adapters") -> str:
    """What one can go over to."""
    from homespun.inference.adapters import BASE

    return ", ".join(name for name in (*loaded.names, BASE) if name != (loaded.in_use or BASE))


class Continuation:
    """All that was typed and written is one text."""

    def __init__(self, engine: "Engine", tokenizer: "Tokenizer") -> None:
        self.engine, self.tokenizer, self.text = engine, tokenizer, ""

    def forget(self) -> None:
        """Begin afresh."""
        self.text = ""

    def after(self, line: str, sampling: SamplingConfig) -> Iterator[str]:
        """How the model goes on."""
        from homespun.inference.stream import stream_text

        self.text += line
        for piece in stream_text(self.engine, self.tokenizer, self.text, sampling):
            self.text += piece
            yield piece
        self.text += "\n"


class Dialogue:
    """User and model take turns."""

    def __init__(self, engine: "Engine", tokenizer: "Tokenizer", system: str) -> None:
        self.engine, self.tokenizer = engine, tokenizer
        self.first = [("system", system)] if system.strip() else []
        self.messages = list(self.first)

    def forget(self) -> None:
        """Begin afresh."""
        self.messages = list(self.first)

    def after(self, line: str, sampling: SamplingConfig) -> Iterator[str]:
        """What the model answers."""
        from homespun.inference.answer import stream_answer

        self.messages.append(("user", line.strip()))
        said = ""
        for piece in stream_answer(self.engine, self.tokenizer, self.messages, sampling):
            said += piece
            yield piece
        self.messages.append(("assistant", said.strip()))


def read_line() -> str | None:
    """What was typed; None at the end of input."""
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None
