"""The benchmark of word vectors: what counts as slower, and what its table says."""

from typing import Any

import pytest
from word2vec_vs_gensim import is_slower, refuse_other_words, show

from homespun.common.errors import HomespunError


def run(count_s: float, train_s: float, vocabulary: int = 10) -> dict[str, Any]:
    """The figures of one training."""
    return {
        "version": "1", "vocabulary": vocabulary, "count_s": count_s, "train_s": train_s, "train_cpu_s": 2 * train_s,
        "analogies": {"asked": 4, "right": 1, "accuracy": 0.25}, "similarity": {"wordsim353": {"spearman": 0.5}},
    }  # fmt: skip


def test_counting_is_part_of_the_time() -> None:
    """Words become numbers where one side counts, and where the other one trains."""
    assert is_slower({"homespun": [run(9, 2)], "gensim": [run(1, 8)], "gensim file": [run(1, 9)]})
    assert not is_slower({"homespun": [run(5, 3)], "gensim": [run(1, 8)], "gensim file": [run(2, 9)]})
    assert not is_slower({"homespun": [run(5, 3)]})
    shown = show({"homespun": [run(4, 6)]}, 1000)
    assert "10.0" in shown
    assert " 100 " in shown


def test_all_sides_have_the_same_words() -> None:
    refuse_other_words({"homespun": [run(1, 1)], "gensim": [run(1, 1)]})
    with pytest.raises(HomespunError, match="same words"):
        refuse_other_words({"homespun": [run(1, 1)], "gensim": [run(1, 1, vocabulary=9)]})
