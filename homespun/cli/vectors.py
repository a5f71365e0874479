"""``homespun vectors train | neighbors | analogy | evaluate | picture | export | import``: words as vectors (Word2Vec).

In: sources, or a folder that ``train`` or ``import`` wrote. Out: such a folder, or words, figures and pictures.
"""

import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import HomespunError, UsageError
from homespun.training.word_vectors.settings import WordVectorConfig

if TYPE_CHECKING:
    from homespun.inference.word_vectors.nearest import Neighbour
    from homespun.training.word_vectors.vectors import WordVectors

app = App(name="vectors", help="Learn word vectors (Word2Vec), ask and draw them.")
Folder = Annotated[Path, Parameter(help="a folder of word vectors")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="print for programs")]
Number = Annotated[int, Parameter(help="how many words to show")]


@app.command(help="Learn a vector for each word of some text.")
def train(
    *sources: Annotated[str, Parameter(help="files and folders of text; or python")],
    out: Annotated[Path, Parameter(help="the folder to make")],
    json_output: Json = False,
    config: Annotated[WordVectorConfig, Parameter(name="*")] = WordVectorConfig(),
) -> None:
    from homespun.training.word_vectors.storage import save_word_vectors

    if not sources:
        raise UsageError("no SOURCE: name files or folders of text, or python")
    refuse_existing(out)
    found, record = learn(sources, out, config)
    save_word_vectors(found, out)
    if json_output:
        print(json.dumps({"out": str(out)} | record, ensure_ascii=False))
        return
    print(f"{out}: {len(found.words):,} words, {found.vectors.shape[1]} dimensions")
    print(f"{record['text_words']:,} words of text, {record['words_per_second']:,.0f} words per second")


def learn(sources: Sequence[str], out: Path, config: WordVectorConfig) -> "tuple[WordVectors, dict[str, Any]]":
    """Read and learn; the vectors, and what there is to say. The ids of the text lie beside ``out`` meanwhile."""
    from homespun.common.files import TEMPORARY_PREFIX
    from homespun.corpus.sources import scan
    from homespun.training.word_vectors.reading import read_sources
    from homespun.training.word_vectors.train import train_word_vectors

    reporter = choose_reporter()
    total = scan(sources).bytes
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=out.parent) as folder:
        began = time.monotonic()
        with reporter.stage("reading", total, "bytes") as stage:
            passages, vocabulary = read_sources(sources, Path(folder), config, stage.advance)
        read = time.monotonic()
        with reporter.stage("learning", passages.words * config.epochs, "words") as stage:
            found = train_word_vectors(passages, vocabulary, config, stage.advance)
        learned = time.monotonic()
    return found, {
        "vocabulary": len(vocabulary),
        "text_words": passages.words,
        "passages": len(passages),
        "threads": found.config.threads if found.config else None,
        "seconds_reading": round(read - began, 3),
        "seconds_learning": round(learned - read, 3),
        "words_per_second": round(passages.words * config.epochs / max(learned - read, 1e-9)),
    }


@app.command(help="The words nearest to each of some words.")
def neighbors(
    vectors: Folder,
    /,
    *words: Annotated[str, Parameter(help="words to ask for")],
    number: Number = 10,
    json_output: Json = False,
) -> None:
    from homespun.inference.word_vectors.nearest import NearestWords
    from homespun.training.word_vectors.storage import load_word_vectors

    if not words:
        raise UsageError("no word: name one or more")
    nearest = NearestWords(load_word_vectors(vectors))
    answers = {word: nearest.neighbours(word, number) for word in words}
    if json_output:
        print(json.dumps({word: as_json(found) for word, found in answers.items()}, ensure_ascii=False))
        return
    for word, found in answers.items():
        print(f"{word}:")
        print_neighbours(found)


@app.command(help="What is to the third word as the second is to the first: man king woman.")
def analogy(
    vectors: Folder,
    first: Annotated[str, Parameter(help="such as man")],
    second: Annotated[str, Parameter(help="such as king")],
    third: Annotated[str, Parameter(help="such as woman")],
    /,
    *,
    number: Number = 5,
    json_output: Json = False,
) -> None:
    from homespun.inference.word_vectors.nearest import NearestWords
    from homespun.training.word_vectors.storage import load_word_vectors

    found = NearestWords(load_word_vectors(vectors)).analogy(first, second, third, number)
    if json_output:
        print(json.dumps(as_json(found), ensure_ascii=False))
        return
    print_neighbours(found)


@app.command(help="Accuracy on analogies, rank correlation with judged pairs.")
def evaluate(
    vectors: Folder,
    /,
    *,
    analogies: Annotated[Path | None, Parameter(help="a file such as questions-words.txt")] = None,
    similarity: Annotated[
        tuple[Path, ...], Parameter(negative=(), help="a file such as wordsim353.tsv; may be given again")
    ] = (),
    json_output: Json = False,
) -> None:
    from dataclasses import asdict

    from homespun.inference.word_vectors.evaluate import all_together, score_analogies, score_similarity
    from homespun.inference.word_vectors.nearest import NearestWords
    from homespun.inference.word_vectors.questions import read_analogies, read_judgements
    from homespun.training.word_vectors.storage import load_word_vectors

    if not analogies and not similarity:
        raise UsageError("nothing to evaluate on: give --analogies FILE or --similarity FILE")
    nearest = NearestWords(load_word_vectors(vectors))
    sections = score_analogies(nearest, read_analogies(analogies)) if analogies else []
    sections += [all_together(sections)] if sections else []
    agreement = {str(path): score_similarity(nearest, read_judgements(path)) for path in similarity}
    if json_output:
        scores = {path: asdict(score) | {"spearman": finite(score.spearman)} for path, score in agreement.items()}
        rows = [asdict(section) | {"accuracy": section.accuracy} for section in sections]
        print(json.dumps({"analogies": rows, "similarity": scores}, ensure_ascii=False))
        return
    for section in sections:
        share = "-" if section.accuracy is None else f"{section.accuracy:.1%}"
        print(f"{section.section:<32} {share:>6}  {section.right:,} of {section.asked:,}, {section.unknown:,} unknown")
    for path, score in agreement.items():
        print(f"{Path(path).name:<32} {score.spearman:6.3f}  {score.pairs:,} pairs, {score.unknown:,} unknown")


@app.command(help="Draw words on a plane: a picture.svg, or a page.html with a table too.")
def picture(
    vectors: Folder,
    /,
    *,
    out: Annotated[Path, Parameter(help="the file to write, .svg or .html")],
    words: Annotated[tuple[str, ...], Parameter(negative=(), help="a word to draw; may be given again")] = (),
    most: Annotated[int, Parameter(help="without --words: so many of the most frequent")] = 150,
) -> None:
    from homespun.report.word_vectors_page import MAKERS, map_words
    from homespun.training.word_vectors.storage import load_word_vectors

    refuse_existing(out)
    if out.suffix not in MAKERS:
        raise UsageError(f"--out {out}: give a file that ends in {' or '.join(MAKERS)}")
    if most < 1:
        raise UsageError(f"--most {most}: give at least 1")
    from homespun.common.files import write_atomic

    write_atomic(out, MAKERS[out.suffix](map_words(load_word_vectors(vectors), words, most)))
    print(out)


@app.command(help="Word vectors to the text format of word2vec, which gensim and others read.")
def export(vectors: Folder, /, *, out: Annotated[Path, Parameter(help="the file to write")]) -> None:
    from homespun.training.word_vectors.storage import load_word_vectors
    from homespun.training.word_vectors.text_format import write_text_format

    refuse_existing(out)
    found = load_word_vectors(vectors)
    write_text_format(found, out)
    print(f"{out}: {len(found.words):,} words, {found.vectors.shape[1]} dimensions")


@app.command(name="import", help="A file in the text format of word2vec to a folder of word vectors.")
def import_file(
    file: Annotated[Path, Parameter(help="the file that another program wrote")],
    /,
    *,
    out: Annotated[Path, Parameter(help="the folder to make")],
) -> None:
    from homespun.training.word_vectors.storage import save_word_vectors
    from homespun.training.word_vectors.text_format import read_text_format

    refuse_existing(out)
    found = read_text_format(file)
    save_word_vectors(found, out)
    print(f"{out}: {len(found.words):,} words, {found.vectors.shape[1]} dimensions")


def refuse_existing(path: Path) -> None:
    """Raise ``UsageError`` rather than write over something."""
    if path.exists():
        raise UsageError(f"{path} exists; give another --out")


def finite(value: float) -> float | None:
    """A number for programs: JSON has no word for one that is none."""
    return value if math.isfinite(value) else None


def as_json(found: "Sequence[Neighbour]") -> list[dict[str, Any]]:
    """Neighbours for programs."""
    return [{"word": neighbour.word, "cosine": round(neighbour.cosine, 6)} for neighbour in found]


def print_neighbours(found: "Sequence[Neighbour]") -> None:
    """One line for each."""
    if not found:
        raise HomespunError("there are no other words")
    for neighbour in found:
        print(f"  {neighbour.cosine:.3f}  {neighbour.word}")
