"""The stages before training, each skipped when its result is already whole in the run folder."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from homespun.batches.encode_corpus import encode_corpus
from homespun.batches.sources import SOURCES
from homespun.common.progress import Reporter
from homespun.corpus.prepare import CorpusManifest, iterate_pairs, iterate_texts, prepare
from homespun.corpus.settings import CorpusConfig
from homespun.corpus.sources import scan
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.tokenizer import Tokenizer


def corpus_stage(folder: Path, sources: list[str], config: CorpusConfig, reporter: Reporter) -> CorpusManifest:
    """Clean documents in ``folder``."""
    if not (folder / "manifest.json").exists():
        size = scan(sources)
        total = min(size.bytes, config.maximum_bytes) if config.maximum_bytes else size.bytes
        with reporter.stage("reading text", total, "bytes") as stage:
            prepare(sources, folder, config, stage.advance)
    manifest = CorpusManifest.load(folder)
    reporter.say(describe_corpus(manifest))
    return manifest


def describe_corpus(manifest: CorpusManifest) -> str:
    """One line for people."""
    train, validation = manifest.splits["train"], manifest.splits["validation"]
    return (
        f"corpus: {train.documents + validation.documents:,} documents, "
        f"{train.bytes / 1e6:,.2f} MB to train on, {validation.bytes / 1e6:,.2f} MB held back for validation"
    )


def tokenizer_stage(run: RunFolder, config: TokenizerConfig, asked: bool, reporter: Reporter) -> Tokenizer:
    """A tokenizer learned from the training split. ``asked``: the user named the vocabulary's size."""
    from homespun.tokenizer.training import train_tokenizer

    if not run.tokenizer.exists():
        with reporter.stage("learning the vocabulary", config.vocabulary_size, "tokens") as stage:
            tokenizer, report = train_tokenizer(iterate_texts(run.corpus, "train"), config, stage.advance)
        tokenizer.save(run.tokenizer)
        for note in report.notes:
            (reporter.warn if asked else reporter.say)(note)
    return Tokenizer.load(run.tokenizer)


def tokens_stage(run: RunFolder, tokenizer: Tokenizer, corpus: CorpusManifest, task: str, reporter: Reporter) -> None:
    """Token shards of both splits, as the batches of ``task`` want them."""
    if not (run.tokens / "manifest.json").exists():
        total = sum(split.bytes for split in corpus.splits.values())
        separators = SOURCES[task].separators
        texts = sides_in_turn if separators else iterate_texts
        with reporter.stage("encoding", total, "bytes") as stage:
            encode_corpus(lambda split: texts(run.corpus, split), tokenizer, run.tokens, stage.advance, separators)


def sides_in_turn(corpus: Path, split: str) -> Iterator[str]:
    """Source, target, source, target … of the pairs of a split."""
    return chain.from_iterable(iterate_pairs(corpus, split))
