"""``homespun tokenizer train | encode | decode``: a vocabulary from text; text to ids and back."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError
from homespun.tokenizer.settings import TokenizerConfig

app = App(name="tokenizer", help="Learn a vocabulary; text to ids and back.")
TokenizerFile = Annotated[Path, Parameter(name="--tokenizer", help="a tokenizer.json")]


@app.command(help="Learn a byte-level BPE vocabulary from sources.")
def train(
    *sources: Annotated[str, Parameter(help="files and folders of text; or python")],
    out: Annotated[Path, Parameter(help="the tokenizer file to write")],
    config: Annotated[TokenizerConfig, Parameter(name="*")] = TokenizerConfig(),
) -> None:
    from homespun.corpus.prepare import iterate_texts, prepare
    from homespun.corpus.settings import CorpusConfig
    from homespun.tokenizer.training import train_tokenizer

    if not sources:
        raise UsageError("no SOURCE: name files or folders of text, or python")
    if out.exists():
        raise UsageError(f"{out} exists; give another --out")
    reporter = choose_reporter()
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "corpus"
        prepare(list(sources), documents, CorpusConfig())
        with reporter.stage("learning the vocabulary", config.vocabulary_size, "tokens") as stage:
            tokenizer, report = train_tokenizer(iterate_texts(documents, "train"), config, stage.advance)
    tokenizer.save(out)
    for note in report.notes:
        reporter.warn(note)
    print(f"{out}: {tokenizer.vocabulary_size:,} tokens")


@app.command(help="Text on standard input, ids on standard output.")
def encode(*, tokenizer: TokenizerFile) -> None:
    from homespun.tokenizer.tokenizer import Tokenizer

    print(json.dumps(Tokenizer.load(tokenizer).encode_bytes(sys.stdin.buffer.read())))


@app.command(help="Ids (a JSON list) on standard input, text on standard output.")
def decode(*, tokenizer: TokenizerFile) -> None:
    from homespun.tokenizer.tokenizer import Tokenizer

    try:
        ids = json.loads(sys.stdin.read())
    except ValueError as error:
        raise UsageError(f"standard input is not a JSON list of ids ({error})") from error
    if not isinstance(ids, list):
        raise UsageError("standard input is not a JSON list of ids")
    sys.stdout.buffer.write(Tokenizer.load(tokenizer).decode_bytes(ids))
