"""``homespun corpus SOURCE… --out FOLDER``: only the first stage, clean documents as Parquet with a manifest."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError
from homespun.corpus.settings import CorpusConfig


def corpus(
    *sources: Annotated[str, Parameter(help="files and folders of text; or python")],
    out: Annotated[Path, Parameter(help="the folder to make")],
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the manifest")] = False,
    config: Annotated[CorpusConfig, Parameter(name="*")] = CorpusConfig(),
) -> None:
    """Read sources into clean, deduplicated, split documents."""
    from homespun.pipeline.stages import corpus_stage

    if not sources:
        raise UsageError("no SOURCE: name files or folders of text, or python")
    if out.exists():
        raise UsageError(f"{out} exists; give another --out")
    manifest = corpus_stage(out, list(sources), config, choose_reporter())
    if json_output:
        print((out / "manifest.json").read_text("utf-8"), end="")
        return
    for name, count in asdict(manifest.counts).items():
        if count:
            print(f"{name.replace('_', ' '):<28} {count}")
