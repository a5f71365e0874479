"""``homespun export RUN --format … --out PATH``: a run's model in another program's files, read back and compared.

``--format peft``: not the model, but what a finetuning with low-rank differences has learned, of a classifier with its
head.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError

FormatName = Literal["huggingface", "gguf", "safetensors", "rwkv", "peft"]
PEFT = "peft"


def export(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *,
    format_name: Annotated[FormatName, Parameter(name="--format", help="whose files")],
    out: Annotated[Path, Parameter(help="the folder to write")],
    number: Annotated[str, Parameter(help="the type of the weights: F32, F16, BF16; for gguf also Q8_0, Q4_0")] = "F32",
    shard_bytes: Annotated[int, Parameter(help="the most that goes into one file (huggingface)")] = 5_000_000_000,
    nearest_split: Annotated[
        bool,
        Parameter(negative=(), help="gguf: take the nearest split where llama.cpp has none equal to ours"),
    ] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the result for programs")] = False,
) -> None:
    """Write a run's model for another program: Hugging Face's library, llama.cpp and ollama, RWKV-7's, or your own.

    What was written is read back and compared with the model before it gets its name. With peft only what a finetuning
    with --train lora has learned is written, as an adapter for its base.

    homespun export runs/mine --format huggingface --out shared/mine
    homespun export runs/spam --format huggingface --out shared/spam
    homespun export runs/assistant --format peft --out adapters/assistant
    """
    if shard_bytes < 1:
        raise UsageError(f"--shard-bytes is {shard_bytes}; it must be at least 1")
    if nearest_split and format_name != "gguf":
        raise UsageError(f"--nearest-split is for --format gguf; {format_name} keeps every tokenizer as it is")
    if format_name == PEFT:
        if number.upper() != "F32":
            raise UsageError(f"--number {number}: the format {PEFT} has F32")
        write_adapter(run, out, json_output)
        return
    from homespun.interchange.export import export_model
    from homespun.interchange.formats import FORMATS
    from homespun.interchange.forms import model_of
    from homespun.interchange.options import Writing
    from homespun.interchange.plain import read_run

    reporter = choose_reporter()
    weights = read_run(run, reporter.warn)
    options = Writing(number.upper(), shard_bytes, nearest_split, reporter.warn)
    done = export_model(model_of(weights), weights.inputs, FORMATS[format_name], out, options, reporter)
    if json_output:
        print(
            json.dumps({"out": str(out), "format": format_name, "files": done.files, "verified": asdict(done.verified)})
        )
        return
    print(f"{out}: {len(done.files)} files, {sum(done.files.values()) / 1e6:,.1f} MB; {done.verified.words()}")


def write_adapter(run: Path, out: Path, json_output: bool) -> None:
    """An adapter, and what is in it."""
    from homespun.pipeline.export_adapter import export_adapter

    done = export_adapter(run, out, choose_reporter().warn)
    differences, tokens = (
        len(done.adapter.differences),
        len({place for one in done.adapter.rows for place in one.places}),
    )
    if json_output:
        record = {"differences": differences, "tokens": tokens, "parameters": done.adapter.parameters}
        print(json.dumps({"out": str(out), "format": PEFT, "files": done.files, "base": done.base, **record}))
        return
    rows = f" and rows of {tokens} tokens" if tokens else ""
    print(
        f"{out}: {differences} differences{rows}, {done.adapter.parameters:,} parameters, for the base {done.base}; "
        f"{sum(done.files.values()) / 1e6:,.1f} MB, read back and equal to the bit"
    )
