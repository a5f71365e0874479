"""The benchmark of GGUF files: the texts it draws, and what it counts."""

from pathlib import Path

import pytest
import torch
from gguf_in_llama_cpp import beginnings, differences, lines_of, show
from gguf_peers.fuzzed_texts import fuzzed_texts

from homespun.common.errors import UsageError
from homespun.tokenizer.tokenizer import Tokenizer


def test_fuzzed_texts_are_valid_and_always_the_same() -> None:
    texts = fuzzed_texts(300)
    assert texts == fuzzed_texts(300)
    assert texts != fuzzed_texts(300, seed=2)
    everything = "".join(text.encode("utf-8").decode("utf-8") for text in texts)
    for wanted in ("ক", "й", "\u200d", "\x00", " " * 30, "\U0001f600", "\u3000"):
        assert wanted in everything


def test_equal_logits_differ_by_nothing() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1)).double()
    found = differences([[1, 2], [3]], [[1, 2], [3]], logits, logits)
    assert found["texts_equal"] == found["texts"] == 2
    assert found["same_likeliest"] == 1
    assert found["largest_difference"] == found["divergence_nats"] == 0


def test_differences_are_counted() -> None:
    logits = torch.zeros(1, 2, 2).double()
    logits[0, :, 0] = 1
    other = logits.clone()
    other[0, 1] = torch.tensor([0.0, 1.0])
    found = differences([[1, 2]], [[1, 3]], logits, other)
    assert (found["texts_equal"], found["same_likeliest"], found["largest_difference"]) == (0, 0.5, 1)
    assert found["divergence_nats"] > 0.1
    tokens = {"tokenizer": "t", "pattern": "qwen2"}
    tokens |= {"fuzzed_equal": 9, "fuzzed": 10, "fuzzed_tokens": 1, "lines_equal": 3, "lines": 3, "lines_tokens": 1}
    shown = show([{"shape": "qwen3", "number": "Q4_0"} | found], [tokens])
    assert "0/1" in shown
    assert "9/10" in shown


def test_texts_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("few words\n", "utf-8")
    with pytest.raises(UsageError, match="0 lines of more than 200 characters"):
        beginnings(tmp_path, Tokenizer("homespun", [], ["<|endoftext|>"]))
    (tmp_path / "other.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        lines_of(tmp_path)
