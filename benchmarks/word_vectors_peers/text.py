"""The English text of ``tokenizer_peers/texts.py`` as words: one passage a line, words divided by spaces.

In: the folder of data sets. Out: a file that both sides read, and what is in it.
"""

import hashlib
from pathlib import Path
from typing import Any

from tokenizer_peers.texts import ENGLISH, once, read_all

from homespun.corpus.normalize import normalize
from homespun.training.word_vectors.passages import LONGEST_PASSAGE
from homespun.training.word_vectors.words import find_words

# How WikiText-2 writes rare words and the hyphens, dots and commas inside words and numbers.
WIKITEXT = (("<unk>", " "), (" @-@ ", "-"), (" @.@ ", "."), (" @,@ ", ","))


def write_words(data: Path, out: Path, copies: int = 1) -> dict[str, Any]:
    """Write the words of all documents; ``copies`` of the text behind each other serve to measure speed alone."""
    lines = []
    for document in once(read_all(data, ENGLISH), set()):
        for sign, instead in WIKITEXT:
            document = document.replace(sign, instead)
        words = find_words(normalize(document))
        lines += [" ".join(words[start : start + LONGEST_PASSAGE]) for start in range(0, len(words), LONGEST_PASSAGE)]
    raw = "".join(f"{line}\n" for line in lines).encode("utf-8")
    out.write_bytes(raw * copies)
    return {
        "passages": copies * len(lines),
        "words": copies * sum(line.count(" ") + 1 for line in lines),
        "bytes": copies * len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }
