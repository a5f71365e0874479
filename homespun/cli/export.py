"""``homespun export RUN --format … --out PATH``: a run's model in another program's files, read back and compared."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError

FormatName = Literal["huggingface", "gguf", "safetensors", "rwkv"]


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

    What was written is read back and compared with the model before it gets its name.

    homespun export runs/mine --format huggingface --out shared/mine
    """
    if shard_bytes < 1:
        raise UsageError(f"--shard-bytes is {shard_bytes}; it must be at least 1")
    if nearest_split and format_name != "gguf":
        raise UsageError(f"--nearest-split is for --format gguf; {format_name} keeps every tokenizer as it is")
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
