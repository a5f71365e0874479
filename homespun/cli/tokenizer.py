"""``homespun tokenizer train | import | export | encode | decode | report``: vocabularies, and text to ids and back.

In: sources, tokenizer files, or text and ids on standard input. Out: tokenizer files, or ids and text on standard
output. With ``--jsonl`` each line that comes in is answered by one line; what has come is answered at once, so that
a program at the other end of a pipe can wait for each answer, and a file of any size goes through in bounded memory.
"""

import json
import select
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

from cyclopts import App, Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import HomespunError, UsageError
from homespun.tokenizer.settings import TokenizerConfig

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer

app = App(name="tokenizer", help="Learn, import and export vocabularies; text to ids and back.")
TokenizerFile = Annotated[Path, Parameter(name="--tokenizer", help="a tokenizer.json")]
JsonLines = Annotated[bool, Parameter(name="--jsonl", negative=(), help="one JSON object per line, in and out")]
# As in Tokenizer.encode_bytes.
InvalidBytes = Literal["keep", "replace", "ignore", "error"]
FormatName = Literal["tiktoken", "gpt2", "huggingface"]

# At most so much goes through in one batch: enough to be fast, and a few ten megabytes with all its ids.
BATCH_BYTES = 1 << 20
BATCH_LINES = 1000
REPORT_CHARACTERS = 1_000_000

Item = TypeVar("Item")


@app.command(help="Learn a byte-level BPE vocabulary from sources.")
def train(
    *sources: Annotated[str, Parameter(help="files and folders of text; or python")],
    out: Annotated[Path, Parameter(help="the tokenizer file to write")],
    continue_from: Annotated[Path | None, Parameter(help="a tokenizer.json whose merges come first")] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the training report")] = False,
    config: Annotated[TokenizerConfig, Parameter(name="*")] = TokenizerConfig(),
) -> None:
    from dataclasses import asdict

    from homespun.corpus.prepare import iterate_texts, prepare
    from homespun.corpus.settings import CorpusConfig
    from homespun.tokenizer.storage import load_vocabulary
    from homespun.tokenizer.training import train_tokenizer

    if not sources:
        raise UsageError("no SOURCE: name files or folders of text, or python")
    refuse_existing(out)
    start = load_vocabulary(continue_from) if continue_from else None
    reporter = choose_reporter()
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "corpus"
        prepare(list(sources), documents, CorpusConfig())
        with reporter.stage("learning the vocabulary", config.vocabulary_size, "tokens") as stage:
            tokenizer, report = train_tokenizer(iterate_texts(documents, "train"), config, stage.advance, start)
    tokenizer.save(out)
    for note in report.notes:
        reporter.warn(note)
    print(json.dumps(asdict(report)) if json_output else f"{out}: {tokenizer.vocabulary_size:,} tokens")


@app.command(name="import", help="Another program's tokenizer file to ours: .tiktoken, vocab.bpe, tokenizer.json.")
def import_file(
    file: Annotated[Path, Parameter(help="the file, or a folder with one in it")],
    /,
    *,
    out: Annotated[Path, Parameter(help="the tokenizer file to write")],
    pattern: Annotated[str | None, Parameter(help="how the text is split, where the file does not say")] = None,
    end_of_text: Annotated[str | None, Parameter(help="the special token that divides documents")] = None,
) -> None:
    from homespun.tokenizer.formats import read_vocabulary
    from homespun.tokenizer.storage import save_vocabulary

    refuse_existing(out)
    vocabulary = read_vocabulary(file, pattern, end_of_text)
    save_vocabulary(vocabulary, out)
    special = ", ".join(f"{name} {token}" for name, token in vocabulary.special_tokens.items())
    print(f"{out}: pattern {vocabulary.pattern}, {len(vocabulary.merges):,} merges, special tokens {special}")


@app.command(help="Our tokenizer to another program's file.")
def export(
    tokenizer: Annotated[Path, Parameter(help="a tokenizer.json of ours")],
    /,
    *,
    format_name: Annotated[FormatName, Parameter(name="--format", help="whose file")],
    out: Annotated[Path, Parameter(help="the file to write; for gpt2 a folder, or vocab.bpe")],
) -> None:
    from homespun.tokenizer.formats import left_out, paths_written, write_vocabulary
    from homespun.tokenizer.storage import load_vocabulary

    for path in paths_written(out, format_name):
        refuse_existing(path)
    vocabulary = load_vocabulary(tokenizer)
    write_vocabulary(vocabulary, out, format_name)
    lost = left_out(vocabulary, format_name)
    print(
        f"{out}: {len(vocabulary.learned_bytes):,} tokens" + (f"; not in the file: {'; '.join(lost)}" if lost else "")
    )


@app.command(help="Text on standard input or in files, ids on standard output.")
def encode(
    *files: Annotated[Path, Parameter(help="files to encode, one list each; without any, standard input")],
    tokenizer: TokenizerFile,
    jsonl: JsonLines = False,
    special: Annotated[
        tuple[str, ...], Parameter(name="--special", negative=(), help="a special token that is one in the text too")
    ] = (),
    invalid: Annotated[
        InvalidBytes, Parameter(help="what to do with bytes that are no UTF-8, without --jsonl")
    ] = "keep",
    shards: Annotated[
        Path | None, Parameter(help="write token shards for training into this new folder instead")
    ] = None,
) -> None:
    from homespun.tokenizer.tokenizer import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    if shards:
        write_shards([str(file) for file in files], loaded, shards)
        return
    for name in special:
        loaded.special_id(name)
    for file, where in opened(files):
        if jsonl:
            answer_lines(file, where, text_of_line, lambda texts: encoded_lines(loaded, texts, special))
        else:
            try:
                ids = encode_plain(loaded, file.read(), special, invalid)
            except HomespunError as error:
                raise HomespunError(f"{where}: {error}") from error
            print(ids)


@app.command(help="Ids (a JSON list) on standard input, text on standard output.")
def decode(*, tokenizer: TokenizerFile, jsonl: JsonLines = False) -> None:
    from homespun.tokenizer.tokenizer import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    if jsonl:
        for file, where in opened(()):
            answer_lines(file, where, lambda line: decoded_line(loaded, line), iter)
        return
    try:
        ids = check_ids(parse_json(sys.stdin.buffer.read()))
    except HomespunError as error:
        raise UsageError(f"standard input is not a JSON list of ids ({error})") from error
    sys.stdout.buffer.write(loaded.decode_bytes(ids))


@app.command(help="A page about a tokenizer: its tokens, and how it cuts your texts.")
def report(
    tokenizer: Annotated[Path, Parameter(help="a tokenizer.json")],
    /,
    *sources: Annotated[str, Parameter(help="files and folders of text to measure; or python")],
    out: Annotated[Path, Parameter(help="the page.html to write")],
    compare: Annotated[tuple[Path, ...], Parameter(negative=(), help="another tokenizer.json to set beside it")] = (),
) -> None:
    from homespun.report.tokenizer_page import write_tokenizer_report
    from homespun.tokenizer.tokenizer import Tokenizer

    refuse_existing(out)
    loaded = Tokenizer.load(tokenizer)
    others = {str(path): Tokenizer.load(path) for path in compare}
    write_tokenizer_report(loaded, {source: beginning_of(source) for source in sources}, out, others)
    print(out)


def refuse_existing(path: Path) -> None:
    """Raise ``UsageError`` rather than write over something."""
    if path.exists():
        raise UsageError(f"{path} exists; give another --out")


def beginning_of(source: str) -> str:
    """Return at most a million characters of the text of a source, cleaned as for training."""
    from homespun.corpus.normalize import normalize
    from homespun.corpus.read import FileReport, read_documents
    from homespun.corpus.sources import list_files

    texts, size, reason = [], 0, "it is empty"
    for file in list_files([source]).files:
        file_report = FileReport()
        for document in read_documents(file, file_report):
            texts.append(normalize(document.text))
            size += len(texts[-1])
            if size >= REPORT_CHARACTERS:
                return "\n".join(texts)[:REPORT_CHARACTERS]
        reason = file_report.reason or file_report.problem or reason
    if not size:
        raise HomespunError(f"{source}: no text to measure ({reason})")
    return "\n".join(texts)


def write_shards(sources: list[str], tokenizer: "Tokenizer", out: Path) -> None:
    """Read sources as for training, and write their tokens where a training run would look for them."""
    from homespun.batches.encode_corpus import encode_corpus
    from homespun.corpus.prepare import CorpusManifest, iterate_texts, prepare
    from homespun.corpus.settings import CorpusConfig

    if not sources:
        raise UsageError("--shards needs files or folders of text")
    refuse_existing(out)
    reporter = choose_reporter()
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "corpus"
        prepare(sources, documents, CorpusConfig())
        total = sum(split.bytes for split in CorpusManifest.load(documents).splits.values())
        with reporter.stage("encoding", total, "bytes") as stage:
            encode_corpus(lambda split: iterate_texts(documents, split), tokenizer, out, stage.advance)
    counts = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    print(f"{out}: {', '.join(f'{name} {size:,} bytes' for name, size in counts.items())}")


def encode_plain(tokenizer: "Tokenizer", raw: bytes, special: Sequence[str], invalid: InvalidBytes) -> list[int]:
    """Encode bytes; to find special tokens in them they have to be text first, by the same policy."""
    from homespun.tokenizer.tokenizer import text_by_policy

    return tokenizer.encode(text_by_policy(raw, invalid), special) if special else tokenizer.encode_bytes(raw, invalid)


def encoded_lines(tokenizer: "Tokenizer", texts: list[str], special: Sequence[str]) -> Iterator[str]:
    """Yield one line per text. The list of a Python int is written as JSON writes it, only faster."""
    if special:
        for text in texts:
            yield f'{{"ids": {tokenizer.encode(text, special)}}}'
        return
    for ids in tokenizer.encode_lists(texts):
        yield f'{{"ids": {ids}}}'


def text_of_line(line: bytes) -> str:
    """Return the text of ``{"text": …}``."""
    value = parse_json(line)
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise HomespunError('no JSON object with a "text" that is a string')
    return text


def decoded_line(tokenizer: "Tokenizer", line: bytes) -> str:
    """Return the answer to ``{"ids": […]}``; bytes that are no UTF-8 are U+FFFD in it."""
    value = parse_json(line)
    if not isinstance(value, dict) or "ids" not in value:
        raise HomespunError('no JSON object with "ids"')
    return json.dumps({"text": tokenizer.decode(check_ids(value["ids"]))}, ensure_ascii=False)


def parse_json(raw: bytes) -> Any:
    """Parse JSON in UTF-8; anything else is a ``HomespunError``."""
    try:
        return json.loads(raw.decode("utf-8"))
    except RecursionError:
        raise HomespunError("not JSON: nested too deep") from None
    except ValueError as error:
        raise HomespunError(f"not JSON: {error}") from error


def check_ids(value: Any) -> list[int]:
    """Return ``value`` if it is a list of whole numbers."""
    if not isinstance(value, list) or not set(map(type, value)) <= {int}:
        raise HomespunError("the ids are not a list of whole numbers")
    return value


def answer_lines(
    file: BufferedReader, where: str, parse: Callable[[bytes], Item], answer: Callable[[list[Item]], Iterator[str]]
) -> None:
    """Answer every line with one line, in batches of what has come, each written out before the next is read.

    At a bad line everything before it is answered; then a ``HomespunError`` names its number.
    """
    number = 0
    for lines in whole_lines(file):
        items: list[Item] = []
        failure = None
        for line in lines:
            number += 1
            try:
                items.append(parse(line))
            except HomespunError as error:
                failure = HomespunError(f"{where}, line {number}: {error}")
                break
        sys.stdout.buffer.write("".join(f"{line}\n" for line in answer(items)).encode("utf-8"))
        sys.stdout.buffer.flush()
        if failure:
            raise failure


def whole_lines(file: BufferedReader) -> Iterator[list[bytes]]:
    """Yield the complete lines that are there, without waiting for more; the last one may lack its newline."""
    unfinished: list[bytes] = []
    while block := read_available(file):
        head, newline, tail = block.rpartition(b"\n")
        if not newline:
            unfinished.append(block)
            continue
        lines = b"".join([*unfinished, head]).split(b"\n")
        unfinished = [tail] if tail else []
        for start in range(0, len(lines), BATCH_LINES):
            yield lines[start : start + BATCH_LINES]
    if unfinished:
        yield [b"".join(unfinished)]


def read_available(file: BufferedReader) -> bytes:
    """Wait for some bytes and return them with what else is there already; empty at the end."""
    # Unlike read, read1 returns what has come instead of waiting for all that was asked for.
    blocks = [file.read1(BATCH_BYTES)]
    left = BATCH_BYTES - len(blocks[0])
    # A pipe gives 64 KB at a time; larger batches are faster.
    while blocks[-1] and left and is_ready(file):
        blocks.append(file.read1(left))
        left -= len(blocks[-1])
    return b"".join(blocks)


def is_ready(file: BufferedReader) -> bool:
    """Tell whether a read would return at once; no, where the system cannot tell."""
    try:
        return bool(select.select([file], [], [], 0)[0])
    except (OSError, ValueError):
        return False


def opened(paths: Sequence[Path]) -> Iterator[tuple[BufferedReader, str]]:
    """Yield each file and what to call it in messages; standard input if there are none."""
    if not paths:
        yield cast(BufferedReader, sys.stdin.buffer), "standard input"
    for path in paths:
        with open(path, "rb") as file:
            yield file, str(path)
