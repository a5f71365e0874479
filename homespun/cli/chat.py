"""``homespun chat RUN``: talk with a model that was finetuned to answer; any other goes on with what is typed.

What was said so far stays in its view, as far as its context reaches.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.inference.settings import SamplingConfig

if TYPE_CHECKING:
    from homespun.inference.engine import Engine
    from homespun.tokenizer.tokenizer import Tokenizer


def chat(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *,
    system: Annotated[str, Parameter(help="how an answering model is to behave; said before everything else")] = "",
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    sampling: Annotated[SamplingConfig, Parameter(name="*")] = SamplingConfig(),
) -> None:
    """Type, and let the model answer, or go on; line by line. An empty line forgets what was said; Ctrl-D ends."""
    from homespun.inference.engine import Engine
    from homespun.inference.load import load_for_inference
    from homespun.inference.uses import CONTINUE, check_use
    from homespun.tokenizer.chat import can_chat
    from homespun.training.device import choose_device

    reporter = choose_reporter()
    model, tokenizer = load_for_inference(run, reporter.warn, choose_device(device))
    check_use(model.config, CONTINUE, run)
    answers = can_chat(tokenizer)
    does = "answers" if answers else "continues what you write"
    reporter.say(f"This model {does}. An empty line starts afresh, Ctrl-D ends.")
    if system and not answers:
        reporter.warn("this model was not finetuned to answer; --system is for one that was")
    talk = Dialogue(Engine(model), tokenizer, system) if answers else Continuation(Engine(model), tokenizer)
    turn = 0
    while (line := read_line()) is not None:
        if not line.strip():
            talk.forget()
            continue
        # Each answer has a seed of its own, or the same words would always get the same answer.
        for piece in talk.after(line, replace(sampling, seed=sampling.seed + turn)):
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
        turn += 1


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
