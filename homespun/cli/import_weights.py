"""``homespun import SOURCE --out RUN``: a model of another program becomes a run folder."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError


def import_weights(
    source: Annotated[
        Path, Parameter(help="a folder with config.json and weights; one of its files; a .gguf; or RWKV-7's weights")
    ],
    /,
    *,
    out: Annotated[Path, Parameter(help="the run folder to make")],
    tokenizer: Annotated[Path | None, Parameter(help="a tokenizer file to take instead of the folder's own")] = None,
    end_of_text: Annotated[str | None, Parameter(help="the special token that divides documents")] = None,
    adapter: Annotated[
        Path | None, Parameter(help="a folder with a LoRA adapter in PEFT's layout, to merge in")
    ] = None,
    context: Annotated[int, Parameter(help="make room for so many tokens only (0: as many as it allows)")] = 0,
    json_output: Annotated[
        bool, Parameter(name="--json", negative=(), help="print what was read for programs")
    ] = False,
) -> None:
    """Make a run folder of another program's model: Hugging Face's folder layout, GGUF, RWKV-7's, or our own export.

    homespun import downloads/gpt2 --out runs/gpt2
    homespun import downloads/gpt2 --adapter downloads/gpt2-of-poems --out runs/poems
    """
    if context < 0:
        raise UsageError(f"--context is {context}; it must be at least 0 (0: as many as the model allows)")
    from homespun.interchange.kinds import KINDS
    from homespun.interchange.options import Reading
    from homespun.models.arithmetic import parameter_count
    from homespun.pipeline.import_run import import_run

    reporter = choose_reporter()
    options = Reading(tokenizer, end_of_text, context, reporter.warn)
    found = import_run(source, out, options, ["homespun", *sys.argv[1:]], reporter, adapter)
    config = found.weights.config
    kind, parameters = KINDS[config.reads], parameter_count(config)
    if json_output:
        print(json.dumps({
            "run": str(out),
            "format": found.format_name,
            "architecture": config.architecture,
            "parameters": parameters,
            **kind.sizes(config),
            "adapter_parameters": found.adapter.parameters if found.adapter else 0,
        }))  # fmt: skip
        return
    print(
        f"{out}: {parameters:,} parameters, {kind.in_words(config)}; every tensor there, of the right shape, and finite"
    )
    if found.adapter:
        print(f"merged: {len(found.adapter.differences)} differences of {found.adapter.parameters:,} parameters")
