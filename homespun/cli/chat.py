"""``homespun chat RUN``: type a beginning, the model goes on; the text so far stays in its view.

A base model continues texts; it has not learned to answer. Instructions come with finetuning.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.inference.settings import SamplingConfig


def chat(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *,
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    sampling: Annotated[SamplingConfig, Parameter(name="*")] = SamplingConfig(),
) -> None:
    """Type, and let the model go on; line by line. An empty line forgets what was said; Ctrl-D ends."""
    from homespun.inference.engine import Engine
    from homespun.inference.load import load_for_inference
    from homespun.inference.stream import stream_text
    from homespun.inference.uses import CONTINUE, check_use
    from homespun.training.device import choose_device

    reporter = choose_reporter()
    model, tokenizer = load_for_inference(run, reporter.warn, choose_device(device))
    check_use(model.config, CONTINUE, run)
    reporter.say("This model continues what you write. An empty line starts afresh, Ctrl-D ends.")
    engine, text, turn = Engine(model), "", 0
    while (line := read_line()) is not None:
        if not line.strip():
            text = ""
            continue
        text += line
        # Each answer has a seed of its own, or the same words would always get the same answer.
        for piece in stream_text(engine, tokenizer, text, replace(sampling, seed=sampling.seed + turn)):
            sys.stdout.write(piece)
            sys.stdout.flush()
            text += piece
        sys.stdout.write("\n")
        text += "\n"
        turn += 1


def read_line() -> str | None:
    """What was typed; None at the end of input."""
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None
