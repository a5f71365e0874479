"""``homespun generate RUN --prompt TEXT``: the model continues a text, on standard output, as it writes."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.inference.settings import SamplingConfig


def generate(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *,
    prompt: Annotated[str, Parameter(help="the beginning; - reads it from standard input")] = "",
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="one JSON object at the end")] = False,
    sampling: Annotated[SamplingConfig, Parameter(name="*")] = SamplingConfig(),
) -> None:
    """Continue a text with a trained model."""
    from homespun.inference.engine import Engine
    from homespun.inference.load import load_for_inference
    from homespun.inference.stream import stream_text
    from homespun.inference.uses import CONTINUE, check_use
    from homespun.training.device import choose_device

    if prompt == "-":
        prompt = sys.stdin.read()
    model, tokenizer = load_for_inference(run, choose_reporter().warn, choose_device(device))
    check_use(model.config, CONTINUE, run)
    pieces = stream_text(Engine(model), tokenizer, prompt, sampling)
    if json_output:
        print(json.dumps({"prompt": prompt, "text": "".join(pieces)}, ensure_ascii=False))
        return
    sys.stdout.write(prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
