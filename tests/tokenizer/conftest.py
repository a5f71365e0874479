"""Text and tokenizers that several tests of this room share."""

import base64
import ctypes
import gzip
import mmap
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings

from homespun.common.errors import HomespunError
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


# What compiled and plain code are compared on: texts in which every rule meets every other one.

WHITE = " \t\n\r\x0b\x0c\x85\u00a0\u1680\u2000\u2009\u2028\u2029\u202f\u205f\u3000"
EMOJI = "👩\u200d🚀❤\ufe0f👍🏽1\ufe0f\u20e3🇩🇪😀"
SCRIPTS = "aZéÉßǅʰ\u017f\u212aкЖαΩ字中ひ가ক্িাম\u0301א\u05bcทษ\u0e34\u200d\u200c'\u2019sStTlLvVeErRdDmM"
SCRIPTS += "12٣৪½²Ⅷ𝟘_/-.€\x1c\x7f"
ASCII = "etaoinshrdluETAOIN  '_/.,-()=:;\"0123456789\n\t\r"
WORDS = [
    " the",
    " a",
    "don't",
    "WE'LL",
    "I'Ve",
    "it\u2019s",
    "'s",
    "'",
    "''",
    "\u017f",
    "'\u017f",
    "_x",
    " _y",
    "camelCase",
]
WORDS += ["1", "12", "123", "1234", "1234567", "\n", "\n\n", "\r\n", " \n ", "  ", "    ", "\t", "\u3000", "//", "/\n/"]
WORDS += ["!?", " ==", "): ", "{\n", "ক্ষ", "字", "Привет", "é", "e\u0301", "👩\u200d🚀", "x" * 31, "Y" * 33, "-" * 40]
ALPHABETS: tuple[Sequence[str], ...] = (ASCII, WORDS, WHITE + "aB1.", EMOJI + " a", SCRIPTS, SCRIPTS + WHITE + ASCII)

BROKEN = (
    b"",
    b"\xff",
    b"\x80",
    b"\xc2",
    b"\xe2\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc0\xaf",
    b"\xf0\x9f\x91",
)


def random_character(random: Random) -> str:
    """Return any character but a surrogate, of each plane as often."""
    code_point = random.randrange(0x11) << 16 | random.randrange(1 << 16)
    return chr(code_point) if not 0xD800 <= code_point < 0xE000 else "\ufffd"


def random_text(random: Random, longest: int = 300) -> str:
    """Return text of one alphabet, of a few characters of one, or of all of Unicode; then perhaps of another one."""
    parts = []
    for _ in range(random.choice((1, 1, 2, 3))):
        alphabet: Sequence[str] = random.choice(ALPHABETS)
        kind = random.randrange(8)
        if kind < 3:  # few different characters: long runs, and every rule again and again
            alphabet = random.sample(list(dict.fromkeys(alphabet)), random.randint(1, 6))
        elif kind == 3:
            alphabet = [random_character(random) for _ in range(random.randint(1, 30))]
        parts.append("".join(random.choices(alphabet, k=random.randint(1, longest))))
    return "".join(parts)[: random.randint(1, longest)]


def random_bytes(random: Random, longest: int = 300) -> bytes:
    """Return bytes in which valid characters, broken ones and ASCII stand side by side."""
    if random.random() < 0.3:
        return random.randbytes(random.randint(1, longest))
    raw = bytearray(random_text(random, longest).encode())
    for _ in range(random.randint(1, 8)):
        place = random.randrange(len(raw) + 1)
        raw[place : place + random.randrange(3)] = random.choice(BROKEN)
    return bytes(raw)


def examples(number: int) -> int:
    """Return how many random examples to try: ``number``, unless HOMESPUN_EXAMPLES says more."""
    return max(number, int(os.environ.get("HOMESPUN_EXAMPLES", "0")))


@contextmanager
def readable_until(raw: bytes) -> Iterator[int]:
    """Place bytes right before memory that must not be touched; yield their address."""
    if sys.platform != "linux":
        pytest.skip("needs Linux: memory protection")
    pages = (len(raw) + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    guard = ctypes.c_void_p(start + pages * mmap.PAGESIZE)
    address = start + pages * mmap.PAGESIZE - len(raw)
    ctypes.memmove(address, raw, len(raw))
    assert protect(guard, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    try:
        yield address
    finally:
        assert protect(guard, ctypes.c_size_t(mmap.PAGESIZE), 3) == 0


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this project in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if name != "HOMESPUN_PLAIN"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**inherited, **environment},
        timeout=300,
    )


def refuses(words: str, function: Callable[..., Any], *arguments: Any) -> None:
    """The call fails with one line that has the words in it."""
    with pytest.raises(HomespunError, match=words) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
