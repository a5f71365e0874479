"""The benchmark of classification: its sets are there, and what it reads off runs that are done."""

import json
import os
from pathlib import Path

import classification
import pytest

from homespun.inference.load import load_for_inference
from homespun.labelled.settings import LabelledConfig
from tests.pipeline.conftest import finished_run, text_folder  # noqa: F401  # fixtures


@pytest.mark.skipif("HOMESPUN_DATA" not in os.environ, reason="HOMESPUN_DATA is not set")
def test_its_sets_are_there() -> None:
    data = Path(os.environ["HOMESPUN_DATA"])
    for one in classification.SETS.values():
        assert (data / one.table).exists()
        assert all(Path(option.format(data=data)).exists() for option in one.options if "{data}" in option)
        for option in one.options[::2]:
            assert hasattr(LabelledConfig(), option.removeprefix("--").removeprefix("labelled.").replace("-", "_"))


def test_runs_that_are_done_are_only_read(tmp_path: Path) -> None:
    for seed, accuracy in ((1, 0.5), (2, 0.75)):
        figures = {name: {"value": accuracy} for name in
                   ("accuracy", "balanced accuracy", "macro F1", "calibration error")}  # fmt: skip
        ways = {"model": {"figures": figures}, "TF-IDF": {"figures": figures}}
        for kind in ("model", "fresh"):
            folder = tmp_path / f"sms-{kind}-{seed}"
            folder.mkdir()
            (folder / "result.json").write_text(json.dumps({"test": {"texts": 12, "ways": ways}}))
    bases = {"model": Path("base"), "fresh": Path("fresh")}
    found = classification.measure(classification.SETS["sms"], "sms", bases, Path(), tmp_path, 2, [])
    assert found["texts"] == [12, 12] and found["ways"]["TF-IDF"]["accuracy"] == [0.5, 0.75]
    told = "\n".join(classification.lines({"sms": found}))
    assert "random weights" in told and "62.50" in told


def test_random_weights_are_of_the_same_shape(finished_run: Path, tmp_path: Path) -> None:  # noqa: F811
    fresh = classification.fresh_base(finished_run, tmp_path / "fresh")
    assert classification.fresh_base(finished_run, fresh) == fresh
    (known, tokenizer), (model, other) = (load_for_inference(run, print) for run in (finished_run, fresh))
    assert model.config == known.config and other.identity() == tokenizer.identity()
    assert not (model.token_embedding.weight == known.token_embedding.weight).any()
