"""Small models and tokenizers that several tests of this room share; one thread, as the models are tiny."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import settings

from homespun.common.errors import HomespunError
from homespun.interchange.forms import forms_of
from homespun.interchange.weights import Weights
from homespun.models.settings import GPTConfig
from homespun.tokenizer.tokenizer import Tokenizer

torch.set_num_threads(1)
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

WORDS = ("the", " the", " and", "ing", "ক্ষ", "мир", "    ", "don", "'t", "==", "202")
GPT2_PARTS = {
    "positions": "learned",
    "normalization": "layer",
    "feedforward": "gelu",
    "biases": True,
    "query_key_norm": False,
    "norm_epsilon": 1e-5,
}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": GPT2_PARTS,
    "llama": {"query_key_norm": False},
    "qwen2": {"query_key_norm": False, "query_key_value_biases": True},
    "qwen3": {},
}


def merges_of(words: Iterable[str]) -> list[tuple[int, int]]:
    """Merges that make each word a token, from left to right."""
    tokens = {bytes([value]): value for value in range(256)}
    merges: list[tuple[int, int]] = []
    for word in words:
        raw = word.encode()
        for end in range(2, len(raw) + 1):
            if raw[:end] not in tokens:
                merges.append((tokens[raw[: end - 1]], raw[end - 1]))
                tokens[raw[:end]] = 255 + len(merges)
    return merges


def small_tokenizer(pattern: str = "qwen2", **rest: Any) -> Tokenizer:
    return Tokenizer(pattern, merges_of(WORDS), **rest)


def small_config(shape: str, tokenizer: Tokenizer, **changes: Any) -> GPTConfig:
    sizes = {"context": 16, "layers": 2, "width": 32, "heads": 4, "feedforward_width": 64}
    return GPTConfig(**{"vocabulary_size": tokenizer.vocabulary_size, **sizes, **SHAPES[shape], **changes})


def random_weights(config: GPTConfig, tokenizer: Tokenizer, seed: int = 0) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    return Weights(
        config,
        {name: torch.randn(form.shape, generator=generator) / 4 for name, form in forms_of(config).items()},
        tokenizer,
    )


def small_weights(shape: str = "qwen3", **changes: Any) -> Weights:
    tokenizer = small_tokenizer()
    return random_weights(small_config(shape, tokenizer, **changes), tokenizer)


def same_weights(ours: Weights, theirs: Weights) -> None:
    """Fail unless both are the same, bit by bit."""
    assert ours.config == theirs.config
    assert ours.tokenizer.vocabulary == theirs.tokenizer.vocabulary
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in ours.tensors.items():
        assert theirs.tensors[name].dtype == torch.float32
        assert torch.equal(tensor, theirs.tensors[name]), name


def refuses(words: str, function: Callable[..., Any], *arguments: Any) -> None:
    """The call fails with one line that has the words in it."""
    with pytest.raises(HomespunError) as caught:
        function(*arguments)
    line = str(caught.value)
    assert words in line
    assert "\n" not in line
    assert len(line) < 600


@pytest.fixture(scope="session")
def gguf() -> ModuleType:
    """The library of those who made the format, as the oracle."""
    return pytest.importorskip("gguf")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file as ``write_gguf`` makes it."""
    from homespun.interchange.gguf import write_gguf

    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    write_gguf(small_weights(), path)
    return path


@pytest.fixture(scope="session")
def unsealed(written: Path) -> bytes:
    """The same without a checksum, as others write it: so that only the checks of the structure are left."""
    return written.read_bytes().replace(b"homespun.sha256", b"homespun.sha-no")
