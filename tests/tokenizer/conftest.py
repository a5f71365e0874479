"""Text and tokenizers that several tests of this room share."""

import base64
import gzip
import os
from pathlib import Path

import pytest
from hypothesis import settings

from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.training import train_tokenizer

# The oracles are slow by design, and the machine may be busy: no time limit per example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Every script family and every kind of trap that the split knows of.
MIXED_TEXT = """def naïve_name(self, x_1):\n    return self._cache["key"] != 'sum' don't it\u2019s\n\n\tif x == 1234567:
বাংলা ভাষায় কথা বলি। हिन्दी में लिखना। ภาษาไทยง่ายนิดเดียว 中文字符没有空格。 Привет, мир! מַה שְּׁלוֹמְךָ\r\n
می‌خواهم 👩‍👩‍👧 ❤️ 1️⃣ ½ ²³ Ⅷ ১২৩৪৫৬৭ 3.14159 0xDEADBEEF    trailing   \n \u00a0\u2028\x1c\x85 end\u200d """


def data_folder() -> Path | None:
    """Return the folder of real data, or None where there is none."""
    name = os.environ.get("HOMESPUN_DATA")
    return Path(name) if name and Path(name).is_dir() else None


def real_file(name: str) -> Path:
    """Return a file of the real data, or skip the test and say which file it lacks."""
    folder = data_folder()
    if folder is None or not (folder / name).is_file():
        pytest.skip(f"no {name} in HOMESPUN_DATA")
    return folder / name


@pytest.fixture(scope="session")
def mixed_text() -> str:
    return MIXED_TEXT


@pytest.fixture(scope="session")
def shakespeare() -> str:
    return real_file("tinyshakespeare/input.txt").read_text("utf-8")


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Return a small tokenizer that learned from the sources of this package and from the mixed text."""
    sources = [path.read_text("utf-8") for path in sorted(Path(__file__).parents[2].glob("homespun/tokenizer/*.py"))]
    return train_tokenizer([*sources, MIXED_TEXT * 3], TokenizerConfig(vocabulary_size=1200))[0]


@pytest.fixture(scope="session")
def gpt2_merges() -> list[tuple[int, int]]:
    """Return the merges of GPT-2 over plain bytes; its file writes every byte as a printable character."""
    lines = real_file("vocabularies/vocab.bpe").read_text("utf-8").splitlines()[1:]
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    tokens = {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
    merges = []
    for line in lines:
        left, right = line.split(" ")
        merges.append((tokens[left], tokens[right]))
        tokens[left + right] = 255 + len(merges)
    return merges


@pytest.fixture(scope="session")
def published_ranks() -> dict[str, dict[bytes, int]]:
    """Return the vocabularies of cl100k and o200k as tiktoken stores them."""
    ranks = {}
    for name in ("cl100k", "o200k"):
        with gzip.open(real_file(f"vocabularies/{name}_base.tiktoken.gz"), "rb") as file:
            entries = (line.split() for line in file.read().splitlines())
            ranks[name] = {base64.b64decode(token): int(rank) for token, rank in entries}
    return ranks
