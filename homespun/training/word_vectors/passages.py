"""A stream of texts -> word ids on the disk, and the vocabulary; in one pass, whatever the size of the text.

In: texts, each a list of its words. Out: ``Passages``: one flat array of word ids (int32, read by memory map) and where
each passage ends in it. No window crosses the end of a passage; words that are too rare are gone.

Which words are frequent enough is known only at the end. So every word gets a number when it first comes, the text goes
to the disk in these numbers, and a second pass over them, without the text, puts the final ids in their place.

Memory: some 100 bytes per distinct word, of which ``MOST_DISTINCT`` are held: beyond that the rarest are forgotten (as
in the published program, Mikolov et al. 2013), and 8 bytes for each word that was. Two files of 4 bytes per word.
"""

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from homespun.common.errors import HomespunError
from homespun.training.word_vectors.vocabulary import Array, WordVocabulary

MOST_DISTINCT = 4_000_000
BLOCK_WORDS = 1 << 20
# The kernel has room for one passage on each thread; longer texts are cut.
LONGEST_PASSAGE = 10_000
# With a single word there is nothing to tell it from.
FEWEST_WORDS = 2
FORGOTTEN = -1


@dataclass(frozen=True)
class Passages:
    """Passage i is ``ids[ends[i - 1] : ends[i]]`` (the first begins at 0)."""

    ids: Array  # int32, (words,)
    ends: Array  # int64, (passages,)

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def words(self) -> int:
        """All words of the text that are in the vocabulary."""
        return len(self.ids)

    def passage(self, number: int) -> Array:
        """The word ids of one passage."""
        return self.ids[(self.ends[number - 1] if number else 0) : self.ends[number]]


class Numbers(dict[str, int]):
    """Word -> the number it got when it first came."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.given = 0

    def __missing__(self, word: str) -> int:
        """Give the next number; it is never given again, even when the word is forgotten."""
        self[word] = number = self.given
        self.given += 1
        return number


class WordCounter:
    """Takes texts one by one; ``finish`` says what they were. To be used in a ``with``, which closes its file."""

    def __init__(self, folder: Path, most_distinct: int = MOST_DISTINCT) -> None:
        """Write into ``folder``, which must be there."""
        self.folder = folder
        self.most_distinct = most_distinct
        self.numbers = Numbers()
        self.counts = np.zeros(1 << 16, np.int64)
        self.waiting: list[Array] = []
        self.waiting_words = self.words = 0
        self.forgotten_up_to = 0
        self.ends = array("q")
        self.file: BinaryIO = open(folder / "numbers.bin", "wb")  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, words: list[str]) -> None:
        """Take one text; nothing where it has no words."""
        if not words:
            return
        self.waiting.append(np.fromiter(map(self.numbers.__getitem__, words), np.int32, len(words)))
        first, self.words = self.words, self.words + len(words)
        self.ends.extend([*range(first + LONGEST_PASSAGE, self.words, LONGEST_PASSAGE), self.words])
        self.waiting_words += len(words)
        if self.waiting_words >= BLOCK_WORDS:
            self.write()

    def write(self) -> None:
        """Count what waits and write it to the disk."""
        if not self.waiting:
            return
        block = np.concatenate(self.waiting)
        counts = np.bincount(block)
        if len(counts) > len(self.counts):
            self.counts = np.concatenate([self.counts, np.zeros(max(len(counts), len(self.counts)), np.int64)])
        self.counts[: len(counts)] += counts
        block.tofile(self.file)
        self.waiting, self.waiting_words = [], 0
        while len(self.numbers) > self.most_distinct:
            self.forget()

    def forget(self) -> None:
        """Forget the rarest words; each time those a little less rare."""
        self.forgotten_up_to += 1
        rare = [word for word, number in self.numbers.items() if self.counts[number] <= self.forgotten_up_to]
        for word in rare:
            del self.numbers[word]

    def finish(self, minimum_count: int) -> tuple[Passages, WordVocabulary]:
        """Number the words anew; ``HomespunError`` when too few words are left to learn from."""
        self.write()
        self.file.close()
        vocabulary, new_ids = self.rank(minimum_count)
        path = self.folder / "ids.bin"
        ends = self.translate(new_ids, path)
        (self.folder / "numbers.bin").unlink()
        return Passages(np.memmap(path, np.int32, "r"), ends), vocabulary

    def rank(self, minimum_count: int) -> tuple[WordVocabulary, Array]:
        """The vocabulary, and the new id of each number given."""
        if not self.words:
            raise HomespunError("the sources hold no words; give files with text")
        known = [(int(self.counts[number]), word, number) for word, number in self.numbers.items()]
        kept = [entry for entry in known if entry[0] >= minimum_count]
        kept.sort(key=lambda entry: (-entry[0], entry[1]))
        if len(kept) < FEWEST_WORDS:
            count, word, _ = max(known, default=(0, "", 0))
            raise HomespunError(
                f"too few words occur {minimum_count} times (the most frequent, {word!r}, {count}); "
                "give more text or a lower --minimum-count"
            )
        new_ids = np.full(self.numbers.given, FORGOTTEN, np.int32)
        new_ids[[number for _, _, number in kept]] = np.arange(len(kept), dtype=np.int32)
        counts = np.array([count for count, _, _ in kept], np.int64)
        return WordVocabulary(tuple(word for _, word, _ in kept), counts), new_ids

    def translate(self, new_ids: Array, path: Path) -> Array:
        """Write the new ids of the whole text, without the words that have none; where its passages end then."""
        numbers = np.memmap(self.folder / "numbers.bin", np.int32, "r")
        ends = np.array(self.ends, np.int64)
        written = done = 0
        with open(path, "wb") as file:
            for start in range(0, len(numbers), BLOCK_WORDS):
                ids = new_ids[numbers[start : start + BLOCK_WORDS]]
                kept = ids != FORGOTTEN
                kept_up_to = np.concatenate([[0], np.cumsum(kept)])
                behind = int(np.searchsorted(ends, start + len(ids), "right"))
                ends[done:behind] = written + kept_up_to[ends[done:behind] - start]
                done, written = behind, written + int(kept_up_to[-1])
                ids[kept].tofile(file)
        return np.unique(ends[ends > 0])  # some passages may be empty now
