"""``homespun generate RUN --prompt TEXT``: the model continues a text, on standard output, as it writes.

``homespun generate RUN --fill TEXT``: a model that has learned from hidden tokens fills the gaps of a text.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError
from homespun.inference.settings import SamplingConfig

if TYPE_CHECKING:
    from homespun.inference.fill import Filled

GUESSES = 5  # for each gap


def generate(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *,
    prompt: Annotated[
        str, Parameter(help="the beginning; - reads it from standard input", allow_leading_hyphen=True)
    ] = "",
    fill: Annotated[
        str | None, Parameter(help="a text with [MASK] where a word is missing; - reads it", allow_leading_hyphen=True)
    ] = None,
    top: Annotated[int | None, Parameter(help="with --fill: how many guesses for each gap (5)")] = None,
    adapter: Annotated[
        str | None, Parameter(help="a folder with a LoRA adapter in PEFT's layout, for this model")
    ] = None,
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="one JSON object at the end")] = False,
    sampling: Annotated[SamplingConfig, Parameter(name="*")] = SamplingConfig(),
) -> None:
    """Continue a text with a trained model, or fill the gaps in one."""
    from homespun.inference.uses import CONTINUE, FILL, check_use
    from homespun.interchange.adapted import load_adapted
    from homespun.training.device import choose_device

    if fill is not None and prompt:
        raise UsageError("give --prompt or --fill, not both")
    if fill is None and top is not None:
        raise UsageError("--top is for --fill; the rules of choice for --prompt are --top-k and --top-p")
    if fill is not None and sampling != SamplingConfig():
        raise UsageError("--fill tells the likeliest words, nothing is drawn: leave out the rules of choice")
    text = prompt if fill is None else fill
    if text == "-":
        text = sys.stdin.read()
    loaded = load_adapted(run, [adapter] if adapter else [], choose_reporter().warn, choose_device(device))
    model, tokenizer = loaded.model, loaded.tokenizer
    check_use(model.config, CONTINUE if fill is None else FILL, run)
    if fill is not None:
        from homespun.inference.fill import fill as fill_gaps

        filled = fill_gaps(model, tokenizer, text, GUESSES if top is None else top)
        record = {"prompt": text} | asdict(filled)
        print(json.dumps(record, ensure_ascii=False) if json_output else "\n".join(lines(filled)))
        return
    from homespun.inference.engine import Engine
    from homespun.inference.stream import stream_text

    pieces = stream_text(Engine(model), tokenizer, text, sampling)
    if json_output:
        print(json.dumps({"prompt": text, "text": "".join(pieces)}, ensure_ascii=False))
        return
    sys.stdout.write(text)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def lines(filled: "Filled") -> list[str]:
    """The text with its gaps filled; below it the guesses, in quotes, for a space is a part of a token."""
    told = [filled.text]
    for number, guesses in enumerate(filled.gaps, 1):
        told.append(f"gap {number}:")
        told += [f"  {guess.probability:6.1%}  {json.dumps(guess.text, ensure_ascii=False)}" for guess in guesses]
    return told
