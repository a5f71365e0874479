"""Question: how much text does a token of our own vocabulary hold in a language, beside GPT-2's; and are marks kept?

    python benchmarks/tokenizer_languages.py --vocabularies DIR bengali=FOLDER russian=FOLDER

``DIR`` holds GPT-2's ``vocab.bpe``. Each folder is read and split as for training; a vocabulary of 16,384 tokens is
learned from the training split, and both encode the text held back. A mark (vowel sign, virama, accent) is parted when
a token begins with it, right behind a letter.
"""

import argparse
import tempfile
from pathlib import Path

from measuring import exit_with

from homespun.corpus.prepare import iterate_texts, prepare
from homespun.corpus.settings import CorpusConfig
from homespun.tokenizer.formats import read_vocabulary
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.training import train_tokenizer
from homespun.tokenizer.unicode_classes import MARK, class_of


def marks_and_parted(tokenizer: Tokenizer, text: str) -> tuple[int, int]:
    """How many marks a text has, and how many of them begin a token."""
    marks = sum(class_of(character) == MARK for character in text)
    parted = 0
    for token in tokenizer.encode_array(text).tolist():
        head = tokenizer.token_bytes(token)[:4].decode("utf-8", "ignore")
        parted += bool(head) and class_of(head[0]) == MARK
    return marks, parted


def show(name: str, folder: Path, gpt2: Tokenizer, size: int, pattern: str) -> None:
    """Measure one language."""
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place) / "corpus"
        prepare([str(folder)], corpus, CorpusConfig())
        config = TokenizerConfig(vocabulary_size=size, pattern=pattern)
        ours, report = train_tokenizer(iterate_texts(corpus, "train"), config)
        held_back = "\n".join(iterate_texts(corpus, "validation"))
    size_held_back = len(held_back.encode())
    print(f"{name}: learned from {report.bytes_seen / 1e6:.2f} MB, measured on {size_held_back / 1e6:.2f} MB held back")
    for label, tokenizer in ((f"{pattern} {ours.vocabulary_size:,}", ours), ("GPT-2 50,257", gpt2)):
        marks, parted = marks_and_parted(tokenizer, held_back)
        bytes_per_token = size_held_back / len(tokenizer.encode_array(held_back))
        print(f"  {label:<18} {bytes_per_token:5.2f} bytes per token; {parted:,} of {marks:,} marks parted")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="bytes per token by language")
    parser.add_argument("languages", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--vocabularies", type=Path, required=True, metavar="DIR", help="where vocab.bpe is")
    parser.add_argument("--vocabulary-size", type=int, default=16_384)
    parser.add_argument("--pattern", default="homespun")
    options = parser.parse_args()
    gpt2 = Tokenizer.of(read_vocabulary(options.vocabularies / "vocab.bpe", "gpt2"))
    for language in options.languages:
        name, _, folder = language.partition("=")
        show(name, Path(folder), gpt2, options.vocabulary_size, options.pattern)
    return 0


if __name__ == "__main__":
    exit_with(main)
