"""The ids of the published vocabularies are those of tiktoken: on all shared data, and on made-up texts of all planes.

HOMESPUN_EXAMPLES=100000 tries so many made-up texts for each vocabulary.
"""

import base64
import bz2
import gzip
import io
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import pyarrow
import pytest
import tiktoken
import tiktoken_ext.openai_public as openai_public
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.tokenizer.formats import read_vocabulary
from homespun.tokenizer.tokenizer import Tokenizer
from tests.tokenizer.conftest import (
    EMOJI,
    MIXED_TEXT,
    SCRIPTS,
    WHITE,
    WORDS,
    data_folder,
    examples,
    random_text,
    real_file,
)

FILES = {"gpt2": "vocab.bpe", "cl100k": "cl100k_base.tiktoken.gz", "o200k": "o200k_base.tiktoken.gz"}
LONGEST = 300_000
PER_BATCH = 500
# What a rule of some pattern looks at, runs of it, and everything else that there is.
PARTS = st.one_of(
    st.sampled_from([*WORDS, *SCRIPTS, *WHITE, *EMOJI]),
    st.characters(exclude_categories=["Cs"]),
    st.builds(str.__mul__, st.sampled_from([*"a A\n1-é字\u3000\t", "\r\n", "'s", "👩\u200d"]), st.integers(2, 150)),
)
STRINGS = st.lists(st.lists(PARTS, max_size=25).map("".join), min_size=20, max_size=20)


@cache
def oracle(name: str) -> tiktoken.Encoding:
    """tiktoken's own definition, over the ranks in our files; without the network."""
    if name == "gpt2":
        folder = real_file("vocabularies/vocab.bpe").parent
        files = {"vocab_bpe_file": str(folder / "vocab.bpe"), "encoder_json_file": str(folder / "encoder.json")}
        ranks = tiktoken.load.data_gym_to_mergeable_bpe_ranks(**files)
        return tiktoken.Encoding(name, pat_str=openai_public.r50k_pat_str, mergeable_ranks=ranks, special_tokens={})
    packed = gzip.decompress(real_file(f"vocabularies/{FILES[name]}").read_bytes()).splitlines()
    ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in packed}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: ranks)
        return tiktoken.Encoding(**getattr(openai_public, f"{name}_base")())


@pytest.fixture(scope="module", params=FILES)
def pair(request: pytest.FixtureRequest) -> tuple[Tokenizer, tiktoken.Encoding]:
    """Our tokenizer, compiled, and tiktoken's."""
    path = real_file(f"vocabularies/{FILES[request.param]}")
    ours = Tokenizer.of(read_vocabulary(path, request.param))
    assert ours.prepare()
    return ours, oracle(request.param)


def same(pair: tuple[Tokenizer, tiktoken.Encoding], texts: Sequence[str]) -> None:
    ours, theirs = pair
    for text, found in zip(texts, ours.encode_lists(texts), strict=True):
        assert found == theirs.encode_ordinary(text), text[:1000]


def beginning(path: Path) -> str:
    """Return the beginning of a file, unpacked, as text; what is no text is read as if it were some."""
    with path.open("rb") as file:
        packed: io.IOBase | pyarrow.NativeFile = file
        if path.suffix == ".gz":
            packed = gzip.GzipFile(fileobj=file)
        elif path.suffix == ".bz2":
            packed = bz2.BZ2File(file)
        elif path.suffix == ".zst":
            packed = pyarrow.CompressedInputStream(file, "zstd")
        try:
            return packed.read(LONGEST).decode("utf-8", "replace")
        except (OSError, EOFError):  # some of the data is damaged on purpose
            return path.read_bytes()[:LONGEST].decode("utf-8", "replace")


@cache
def shared_texts() -> list[str]:
    folder = data_folder()
    if folder is None:
        pytest.skip("no HOMESPUN_DATA")
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".zip", ".pdf"))
    return [beginning(path) for path in files]


def check_shared_data(pair: tuple[Tokenizer, tiktoken.Encoding]) -> None:
    texts = shared_texts()
    same(pair, texts)
    ours, _ = pair
    for text, ids in zip(texts[:40], ours.encode_batch(texts[:40]), strict=False):
        assert ours.decode(ids) == text


def check_any_string(pair: tuple[Tokenizer, tiktoken.Encoding]) -> None:
    @settings(max_examples=200)
    @given(texts=STRINGS)
    def check(texts: list[str]) -> None:
        same(pair, texts)  # 200 times 20

    check()


def check_random_strings(pair: tuple[Tokenizer, tiktoken.Encoding]) -> None:
    random = Random(int(os.environ.get("HOMESPUN_SEED", "1")))
    left = examples(1000)
    while left > 0:
        same(pair, [random_text(random) for _ in range(min(left, PER_BATCH))])
        left -= PER_BATCH


# One test for each vocabulary: preparing o200k and tiktoken takes longer than all comparisons.
def test_ids_are_those_of_tiktoken(pair: tuple[Tokenizer, tiktoken.Encoding]) -> None:
    same(pair, [MIXED_TEXT[start:] for start in range(len(MIXED_TEXT))])
    check_any_string(pair)
    check_random_strings(pair)
    check_shared_data(pair)
