"""The benchmark of classification: its sets are there, and what it reads off runs that are done."""

import json
import os
from pathlib import Path

import classification
import pytest

from homespun.inference.load import load_for_inference
from homespun.labelled.read import read_rows
from homespun.labelled.settings import LabelledConfig
from homespun.labelled.split import divide
from homespun.labelled.storage import write_labelled
from tests.pipeline.conftest import finished_run, text_folder  # noqa: F401  # fixtures


@pytest.mark.skipif("HOMESPUN_DATA" not in os.environ, reason="HOMESPUN_DATA is not set")
def test_its_sets_are_there() -> None:
    data = Path(os.environ["HOMESPUN_DATA"])
    for one in classification.SETS.values():
        told = {key: value.format(data=data) for key, value in one.labelled.items()}
        row = next(read_rows(data / one.table, LabelledConfig(**told)))  # the columns that are named are there
        assert row.text and row.label
        assert all(Path(value).exists() for key, value in told.items() if key.endswith("_file"))
        assert one.options(data)[1::2] == list(told.values())


def test_texts_are_read_but_not_those_that_are_held_back(
    tmp_path: Path,
    finished_run: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [f"{['a', 'b', 'c', 'd', 'e'][number % 5]} {number},{number % 2}" for number in range(40)]
    (tmp_path / "table.csv").write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")
    one, asked = classification.LabelledSet("table.csv", {}), []
    divided = divide([tmp_path / "table.csv"], LabelledConfig())
    write_labelled(divided, tmp_path / "set-model-1" / "labelled")
    monkeypatch.setattr(classification, "homespun", lambda command, run: asked.append((command, run)))
    classification.reader(one, finished_run, tmp_path, tmp_path, "set", 1)
    read = [json.loads(line)["text"] for line in (tmp_path / "set-texts-1.jsonl").read_text().splitlines()]
    assert sorted(read) == sorted(row.text for row in divided.splits["train"])
    assert asked[0][0][:2] == ["finetune", "texts"] and asked[0][1] == tmp_path / "set-read-1"


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
