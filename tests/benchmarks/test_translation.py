"""The benchmark of translation on a language of a few words: what it writes, runs and prints."""

import gzip
import json
from pathlib import Path

import pytest
import translation

from homespun.cli.main import run
from homespun.common.errors import UsageError
from homespun.pipeline.configuration import load_toml
from tests.pipeline.test_translation_runs import SMALL, small_language


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like that of Multi30k."""
    folder = tmp_path_factory.mktemp("multi30k")
    pairs = small_language()
    for split, part in (("train", pairs), ("val", pairs[:30])):
        for language, side in (("en", 0), ("de", 1)):
            text = "".join(pair[side] + "\n" for pair in part)
            (folder / f"{split}.{language}.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_pairs_are_lines_side_by_side(data: Path, tmp_path: Path) -> None:
    file = translation.write_pairs(data, tmp_path / "pairs.jsonl")
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [(row["en"], row["de"]) for row in rows] == small_language()
    with pytest.raises(UsageError, match="there is no"):
        translation.write_pairs(tmp_path, tmp_path / "pairs.jsonl")


def test_the_recipe_is_for_pairs() -> None:
    assert load_toml(translation.RECIPE).model.task == "translation"


def test_a_run_is_measured(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    pairs, out = translation.write_pairs(data, tmp_path / "pairs.jsonl"), tmp_path / "run"
    columns = ["--corpus.source-column=en", "--corpus.target-column=de", "--training.learning-rate=0.03"]
    assert run(["train", str(pairs), "--out", str(out), *SMALL, *columns]) == 0
    sources, references = (translation.read_lines(data / f"val.{language}.gz") for language in ("en", "de"))
    figures = translation.measure(out, sources, references, "the red dog runs", 2)
    assert len(figures["translations"]) == 30 and len(figures["shown"]) == translation.SHOWN
    assert figures["beam"]["bleu"] > 20 and figures["beam"]["beam"] == 2 and figures["greedy"]["beam"] == 1
    told = "\n".join(translation.lines(figures))
    assert f"val, beam 2: BLEU {figures['beam']['bleu']:.1f}" in told and "the red dog runs\n    → der" in told
