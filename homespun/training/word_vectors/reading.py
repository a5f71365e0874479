"""Sources -> passages of word ids and the vocabulary, with the readers and the cleaning of the corpus room.

In: SOURCE words as ``homespun build`` takes them, and a folder for the ids. Out: ``Passages`` and ``WordVocabulary``.
Each document is a passage, or several where it is long; the same document twice counts once.
"""

from collections.abc import Sequence
from pathlib import Path

from homespun.common.errors import HomespunError
from homespun.common.progress import Advance, ignore
from homespun.corpus.prepare import Collector, nothing_read
from homespun.corpus.settings import CorpusConfig
from homespun.corpus.sources import list_files
from homespun.training.word_vectors.passages import Passages, WordCounter
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.vocabulary import WordVocabulary
from homespun.training.word_vectors.words import find_words


def read_sources(
    sources: Sequence[str], folder: Path, config: WordVectorConfig, advance: Advance = ignore
) -> tuple[Passages, WordVocabulary]:
    """Read everything once; ``advance`` is told bytes, all in all those that ``corpus.sources.scan`` announces.

    Raises ``UsageError`` for sources that are not there, ``HomespunError`` for sources with too little text.
    """
    collector = Collector(list_files(sources), CorpusConfig(), advance)
    with WordCounter(folder) as counter:
        for document in collector.documents():
            counter.add(find_words(document.text, lower_case=not config.keep_case))
        if not collector.counts.files_read:
            raise HomespunError(nothing_read(" ".join(sources), collector))
        return counter.finish(config.minimum_count)
