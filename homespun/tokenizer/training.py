"""Documents -> a tokenizer: the pieces of the text are counted, and the merges learned from them.

In: a stream of documents and a ``TokenizerConfig``, perhaps a vocabulary to continue.
Out: a ``Tokenizer`` and a ``TrainingReport``.

There are two ways with the same result, that of ``naive.py``: the plain one below (``plain_training.py``), at once; and
the compiled one, which counts on several threads, and is used for larger texts, or wherever its machine code lies
ready. The documents stream through: what is held is the table of their distinct pieces, which is bounded.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from homespun.common.cores import available_cores
from homespun.common.errors import HomespunError, UsageError
from homespun.common.progress import Advance, ignore
from homespun.tokenizer.clusters import cluster_merges, count_clusters
from homespun.tokenizer.compiled.machine_code import NoMachineCode, is_ready, load_kernel
from homespun.tokenizer.engine import compiled_is_allowed
from homespun.tokenizer.patterns import DEFAULT_PATTERN
from homespun.tokenizer.plain_training import LARGEST_TABLE, count_pieces, learn_merges
from homespun.tokenizer.sampling import sample_evenly
from homespun.tokenizer.settings import BYTES, TokenizerConfig
from homespun.tokenizer.split import Splitter, text_of_bytes
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.vocabulary import Pair, Vocabulary, make_vocabulary

# Characters up to which the plain way is as soon there as the compiled one, which takes some seconds to compile.
WORTH_COMPILING = 1 << 25
# Bytes that the plain way learns from at most, some ten seconds' worth: the rest of a larger text is sampled.
PLAIN_SAMPLE = 32_000_000


@dataclass(frozen=True)
class TrainingReport:
    """What the merges were learned from, and what is worth saying about it."""

    documents: int
    bytes_seen: int
    bytes_sampled: int
    pieces: int
    distinct_pieces: int
    dropped_pieces: int
    merges: int
    vocabulary_size: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What is to be learned: ``number`` merges, of which the ``given`` ones come first."""

    pattern: str
    number: int
    given: tuple[Pair, ...]
    config: TokenizerConfig

    def with_clusters(self, clusters: Mapping[bytes, int], pieces: int) -> "Wanted":
        """Return the same with the merges of letters and their marks as the given ones."""
        found = cluster_merges(clusters, pieces, self.number, self.config.minimum_frequency)
        return replace(self, given=tuple(found))

    def keeps_marks(self) -> bool:
        """Tell whether letters with marks come first: in our own pattern, unless a vocabulary is continued."""
        return self.pattern == DEFAULT_PATTERN and not self.given


@dataclass(frozen=True)
class Learned:
    """What either way found."""

    merges: list[Pair]
    documents: int
    bytes_seen: int
    bytes_sampled: int
    pieces: int
    distinct_pieces: int
    dropped_pieces: int
    notes: tuple[str, ...]


def train_tokenizer(
    documents: Iterable[str], config: TokenizerConfig, advance: Advance = ignore, start: Vocabulary | None = None
) -> tuple[Tokenizer, TrainingReport]:
    """Learn a tokenizer from ``documents``; ``advance`` is called with the number of merges just made.

    With ``start`` its tokens keep their ids, its merges come first, and what is learned gets the ids after it. The
    vocabulary is smaller than asked for if the text does not support it; the report has a note then.
    """
    check_start(config, start)
    given = start.merges if start else ()
    pattern = start.pattern if start else config.pattern
    names = [name for name in config.special_names() if start is None or name not in start.special_tokens]
    others = len(names) + (len(start.special_tokens) if start else 0)
    number = config.vocabulary_size - BYTES - others
    if number < len(given):
        raise UsageError(
            f"tokenizer.vocabulary_size {config.vocabulary_size}: the vocabulary to continue has "
            f"{BYTES + len(given) + others} tokens with the new special ones; ask for more"
        )
    learned = learn(documents, Wanted(pattern, number, given, config), advance)
    if learned.bytes_seen == 0:
        raise HomespunError("there is no text to learn a vocabulary from: every document is empty; give other sources")
    vocabulary = continued(start, learned.merges, names) if start else make_vocabulary(pattern, learned.merges, names)
    tokenizer = Tokenizer.of(vocabulary)
    notes = list(learned.notes)
    if len(learned.merges) < number:
        supported = BYTES + len(learned.merges) + others
        notes.append(f"the text supports {supported:,} of {config.vocabulary_size:,} tokens")
    report = TrainingReport(
        documents=learned.documents,
        bytes_seen=learned.bytes_seen,
        bytes_sampled=learned.bytes_sampled,
        pieces=learned.pieces,
        distinct_pieces=learned.distinct_pieces,
        dropped_pieces=learned.dropped_pieces,
        merges=len(learned.merges),
        vocabulary_size=tokenizer.vocabulary_size,
        notes=tuple(notes),
    )
    return tokenizer, report


def check_start(config: TokenizerConfig, start: Vocabulary | None) -> None:
    """Raise ``UsageError`` if the pattern asked for is not that of the vocabulary to continue."""
    if start and config.pattern not in (DEFAULT_PATTERN, start.pattern):
        raise UsageError(
            f"tokenizer.pattern {config.pattern}: the vocabulary to continue has {start.pattern}; leave it out"
        )


def continued(start: Vocabulary, merges: list[Pair], names: list[str]) -> Vocabulary:
    """Return ``start`` with more merges and special tokens, whose ids come after all that it had."""
    first = 1 + max(*start.public_ids(), *start.special_tokens.values())
    added = len(merges) - len(start.merges)
    special = {name: first + added + number for number, name in enumerate(names)}
    return Vocabulary(
        pattern=start.pattern,
        merges=tuple(merges),
        special_tokens={**start.special_tokens, **special},
        ids=(*start.public_ids(), *range(first, first + added)),
        end_of_text=start.end_of_text,
        chat_template=start.chat_template,
    )


def learn(documents: Iterable[str], wanted: Wanted, advance: Advance) -> Learned:
    """Learn in the way that is sooner done."""
    if compiled_is_allowed():
        is_worth_it = all(map(is_ready, kernels_for(wanted.pattern)))
        if not is_worth_it:
            beginning, rest = look_ahead(documents, WORTH_COMPILING)
            documents = chain(beginning, rest)
            is_worth_it = sum(map(len, beginning)) >= WORTH_COMPILING
        if is_worth_it:
            try:
                load_kernels(wanted.pattern)
            except NoMachineCode as error:
                print(f"homespun: the tokenizer is learned in plain Python: {error}", file=sys.stderr)
            else:
                return learn_compiled(documents, wanted, advance)
    return learn_plainly(documents, wanted, advance)


def kernels_for(pattern: str) -> tuple[str, ...]:
    """Return the names of the kernels that learning needs."""
    return (f"count-{pattern}", "rehash", "add_counts", "count_clusters", "lay_out", "learn", "move_pairs")


def load_kernels(pattern: str) -> None:
    """Load or compile them; ``NoMachineCode`` if that is impossible here."""
    for name in kernels_for(pattern):
        load_kernel(name)


def look_ahead(documents: Iterable[str], characters: int) -> tuple[list[str], Iterator[str]]:
    """Return the first documents, up to so many characters, and the rest."""
    stream = iter(documents)
    beginning: list[str] = []
    size = 0
    while size < characters and (document := next(stream, None)) is not None:
        beginning.append(document)
        size += len(document)
    return beginning, stream


def learn_plainly(documents: Iterable[str], wanted: Wanted, advance: Advance) -> Learned:
    """Learn in plain Python, from a sample if there is much text."""
    splitter = Splitter(wanted.pattern)
    budget = min(wanted.config.training_bytes or PLAIN_SAMPLE, PLAIN_SAMPLE)
    sample = sample_evenly(documents, budget, splitter)
    counts, dropped = count_pieces(map(text_of_bytes, sample.passages), splitter)
    if wanted.keeps_marks():
        wanted = wanted.with_clusters(count_clusters(counts), sum(counts.values()))
    merges = learn_merges(counts, wanted.number, wanted.config.minimum_frequency, advance, wanted.given)
    notes = []
    if dropped:
        notes.append(f"more than {LARGEST_TABLE:,} distinct pieces: {dropped:,} rare ones were not counted")
    if sample.bytes_kept < sample.bytes_seen and budget != wanted.config.training_bytes:
        notes.append(f"learned from an even sample of {budget:,} bytes: plain Python is slow")
    return Learned(
        merges,
        sample.documents,
        sample.bytes_seen,
        sample.bytes_kept,
        sum(counts.values()),
        len(counts),
        dropped,
        tuple(notes),
    )


class CountingReader:
    """Passes documents on and counts them and their bytes."""

    def __init__(self, documents: Iterable[str]) -> None:
        """Begin at nothing."""
        self.stream = documents
        self.documents = 0

    def __iter__(self) -> Iterator[str]:
        """Yield the documents."""
        for document in self.stream:
            self.documents += 1
            yield document


def learn_compiled(documents: Iterable[str], wanted: Wanted, advance: Advance) -> Learned:
    """Learn with the kernels."""
    from homespun.tokenizer.compiled.counter import count_pieces_compiled
    from homespun.tokenizer.compiled.learner import Learner

    reader = CountingReader(documents)
    threads = wanted.config.threads or available_cores()
    seen = 0
    if wanted.config.training_bytes:
        sample = sample_evenly(reader, wanted.config.training_bytes, Splitter(wanted.pattern))
        counter, size = count_pieces_compiled(map(text_of_bytes, sample.passages), wanted.pattern, threads)
        seen = sample.bytes_seen
    else:
        counter, size = count_pieces_compiled(reader, wanted.pattern, threads)
        seen = size
    counts = counter.counts()
    pieces, distinct, dropped = int(counts.sum()), len(counts), counter.dropped
    if wanted.keeps_marks():
        wanted = wanted.with_clusters(counter.clusters(), pieces)
    learner = Learner(counter, wanted.number, wanted.config.minimum_frequency, wanted.given)
    del counter, counts
    merges = learner.learn(advance)
    notes = (f"too many distinct pieces: {dropped:,} rare ones were not counted",) if dropped else ()
    return Learned(merges, reader.documents, seen, size, pieces, distinct, dropped, notes)
