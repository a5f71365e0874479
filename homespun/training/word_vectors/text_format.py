"""Word vectors <-> the text format of word2vec, which gensim, fastText and spaCy read too.

The first line says how many words and dimensions; then one line for each word: the word, and its numbers, divided by
single spaces. Nine significant digits give every float32 back exactly.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import atomic_file, explain_os_error
from homespun.training.word_vectors.settings import LARGEST_DIMENSIONS
from homespun.training.word_vectors.vectors import WordVectors
from homespun.training.word_vectors.vocabulary import Array

LONGEST_WORD = 1 << 16  # bytes; a longer line is taken for damage


def write_text_format(found: WordVectors, path: Path) -> None:
    """Write the file, atomically. A word with white space in it cannot be written."""
    for word in found.words:
        if word.split() != [word]:
            raise UsageError(f"the word {word!r} has white space in it, which this format cannot hold")
    try:
        with atomic_file(path) as file:
            file.writelines(line.encode("utf-8") for line in written_lines(found))
    except UnicodeEncodeError as error:
        raise HomespunError(f"a word cannot be written as UTF-8 ({error})") from error


def written_lines(found: WordVectors) -> Iterator[str]:
    """All lines of the file."""
    count, dimensions = found.vectors.shape
    yield f"{count} {dimensions}\n"
    numbers = " %.9g" * dimensions + "\n"
    for word, row in zip(found.words, found.vectors, strict=True):
        yield word + numbers % tuple(row.tolist())


def read_text_format(path: Path) -> WordVectors:
    """Read a file that any program wrote; what is wrong in it is one line with the number of the line."""
    try:
        with open(path, "rb") as file:
            count, dimensions = read_head(path, file)
            vectors = np.empty((count, dimensions), np.float32)
            words = read_rows(path, file, vectors)
    except OSError as error:
        raise explain_os_error(error, "cannot read") from error
    return WordVectors(tuple(words), vectors)


def read_head(path: Path, file: BinaryIO) -> tuple[int, int]:
    """The number of words and dimensions; absurd ones are refused before memory is asked for."""
    fields = file.readline(LONGEST_WORD).split()
    if len(fields) != 2 or not all(field.isdigit() and len(field) < 12 for field in fields):
        raise DamagedFileError(
            f"{path}, line 1: not the number of words and dimensions; give a file in the text format of word2vec"
        )
    count, dimensions = map(int, fields)
    if not count or not 1 <= dimensions <= LARGEST_DIMENSIONS:
        raise DamagedFileError(f"{path}, line 1: {count} words of {dimensions} dimensions cannot be")
    # A letter, and for each number a space and a digit.
    if count * (1 + 2 * dimensions) > os.fstat(file.fileno()).st_size:
        raise DamagedFileError(f"{path} is cut off: it is too small for {count:,} words of {dimensions} dimensions")
    return count, dimensions


def read_rows(path: Path, file: BinaryIO, vectors: Array) -> list[str]:
    """Fill ``vectors`` (V, D) from the lines behind the first; their words."""
    count, dimensions = vectors.shape
    longest = LONGEST_WORD + 32 * dimensions
    words: dict[str, None] = {}
    for number in range(2, count + 2):
        raw = file.readline(longest)
        fault = None
        if not raw:
            raise DamagedFileError(f"{path} is cut off: line 1 promises {count:,} words, there are {len(words):,}")
        # From the right: some programs write words with spaces in them.
        word, *fields = raw.rstrip(b" \r\n").rsplit(b" ", dimensions)
        text = ""
        try:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
                vectors[number - 2] = np.array([float(field) for field in fields]).reshape(dimensions)
            text = word.decode("utf-8")
        except UnicodeDecodeError:
            fault = "the word is no UTF-8"
        except ValueError:
            fault = f"not a word and {dimensions} numbers"
        else:
            if not text or text in words:
                fault = f"the word {text!r} is there twice" if text else "the word is missing"
            elif not np.isfinite(vectors[number - 2]).all():
                fault = "not all numbers are finite"
            words[text] = None
        if fault:
            raise DamagedFileError(f"{path}, line {number}: {fault}")
    if file.readline(LONGEST_WORD).strip():
        raise DamagedFileError(f"{path}, line {count + 2}: more lines than the {count:,} words that line 1 promises")
    return list(words)
