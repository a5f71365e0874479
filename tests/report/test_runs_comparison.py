"""Runs side by side: true figures, the right order and differences; damaged folders are named and never stop it."""

import json
import math
import re
import shutil
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from homespun.common.errors import UsageError
from homespun.report.runs import Comparison, cells, compare_runs, find_runs, record
from homespun.report.runs_page import STYLES, comparison_page, write_comparison

MakeRun = Callable[..., Path]
PutRun = Callable[..., Path]
HOSTILE = "</td><script>alert(1)</script>\x1b[31m\u202e"
BYTES_PER_TOKEN = 3.61  # of the sample run


@pytest.fixture
def put_run(make_run: MakeRun, tmp_path: Path) -> PutRun:
    """Writes a run of that name whose losses are ``factor`` times those of the sample, with settings changed."""

    def put(name: str, factor: float = 1.0, stage: str = "finished", settings: dict[str, str] | None = None) -> Path:
        folder = make_run(tmp_path / "runs" / name, stage, steps=600)
        for file, keys in (("metrics.jsonl", ("loss", "bits_per_byte")),
                           ("result.json", ("validation_loss", "bits_per_byte"))):  # fmt: skip
            if (folder / file).exists():
                lines = [json.loads(line) for line in (folder / file).read_text().splitlines()]
                for line in lines:
                    line.update({key: line[key] * factor for key in keys if key in line})
                (folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
        run = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(run | {"name": name}))
        text = (folder / "config.toml").read_text()
        for old, new in (settings or {}).items():
            assert old in text
            text = text.replace(old, new)
        (folder / "config.toml").write_text(text)
        return folder

    return put


def names(comparison: Comparison) -> list[str]:
    return [run.label for run in comparison.runs]


def validations(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "validation"]


def test_the_lowest_bits_per_byte_comes_first_with_true_figures(put_run: PutRun, tmp_path: Path) -> None:
    folders = {name: put_run(name, factor) for name, factor in (("middle", 1.0), ("worst", 1.1), ("best", 0.9))}
    unfinished = put_run("unfinished", 0.95, "training")
    comparison = compare_runs([tmp_path / "runs"])
    assert names(comparison) == ["best", "unfinished", "middle", "worst"] and comparison.left_out == []
    assert comparison.same_text
    rows = {row["name"]: row for row in record(comparison)["runs"]}
    for name, folder in folders.items():
        result = json.loads((folder / "result.json").read_text())
        assert rows[name]["finished"] and rows[name]["folder"] == str(folder)
        assert rows[name]["bits_per_byte"] == result["bits_per_byte"]
        assert rows[name]["validation_loss"] == result["validation_loss"]
        assert (rows[name]["tokens"], rows[name]["seconds_training"]) == (600 * 4096, 1319.0)
        assert rows[name]["parameters"] == result["parameters"] and rows[name]["tokens_per_second"] == 9316.0
    last = validations(unfinished)[-1]
    row = rows["unfinished"]
    assert not row["finished"] and row["state"] == "training"
    assert row["validation_loss"] == last["loss"] and row["bits_per_byte"] == last["bits_per_byte"]
    assert row["tokens"] == last["tokens"]
    assert cells(comparison.runs[0])[:5] == ("best", "finished", "5.34\u202fM", "2.46\u202fM", "22")


def test_the_best_and_the_last_validation_are_told_apart(put_run: PutRun, tmp_path: Path) -> None:
    folder = put_run("memorizing", stage="training")
    known = validations(folder)
    worse = known[-1] | {"step": 700, "loss": 9.0, "bits_per_byte": 9.0 / math.log(2) / BYTES_PER_TOKEN}
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps(worse) + "\n")
    (run,) = compare_runs([tmp_path / "runs"]).runs
    assert (run.facts.validation_loss, run.facts.bits_per_byte) == (9.0, worse["bits_per_byte"])
    assert run.facts.best_validation_loss == min(line["loss"] for line in known)
    assert run.best_bits_per_byte == min(line["bits_per_byte"] for line in known)


def test_only_settings_that_differ_are_told(put_run: PutRun, tmp_path: Path) -> None:
    put_run("a", 1.0)
    put_run("b", 1.1, settings={"width = 256": "width = 128", "temperature = 0.8\n": ""})
    put_run("c", 1.2, settings={"temperature = 0.8": 'temperature = 0.8\nstop = ["x", "y"]'})
    comparison = compare_runs([tmp_path / "runs"])
    assert comparison.differing == ["model.width", "sampling.temperature", "sampling.stop"]
    told = [comparison.differences(run) for run in comparison.runs]
    assert told == [
        {"model.width": 256, "sampling.temperature": 0.8, "sampling.stop": None},
        {"model.width": 128, "sampling.temperature": None, "sampling.stop": None},
        {"model.width": 256, "sampling.temperature": 0.8, "sampling.stop": ["x", "y"]},
    ]
    assert compare_runs([tmp_path / "runs" / "a"]).differing == []


def test_runs_on_other_texts_are_not_said_to_be_comparable(put_run: PutRun, tmp_path: Path) -> None:
    put_run("a")
    manifest = put_run("b") / "tokens" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("3119000", "3119001"))
    comparison = compare_runs([tmp_path / "runs"])
    assert not comparison.same_text and record(comparison)["same_validation_text"] is False
    assert "cannot be compared" in comparison_page(comparison)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: (run / "run.json").unlink(), "no whole run.json"),
        (lambda run: (run / "run.json").write_text('{"format": 1, "na'), r"no whole run.json \(run.json \(damaged\)\)"),
        (lambda run: (run / "run.json").write_text("[]"), "not an object"),
        (lambda run: (run / "config.toml").unlink(), "no whole config.toml"),
        (lambda run: (run / "config.toml").write_text("[model\nwidth"), "no whole config.toml"),
        (lambda run: (run / "config.toml").write_bytes(b"\xff\xfe\x00"), "no whole config.toml"),
        (lambda run: (run / "metrics.jsonl").unlink(), "not trained yet, its state is finished"),
        (lambda run: (run / "metrics.jsonl").write_bytes(b"\x00\xff\n" * 9), "9 damaged lines"),
        (lambda run: ((run / "metrics.jsonl").unlink(), (run / "metrics.jsonl").mkdir()), "metrics.jsonl"),
        (lambda run: (run / "metrics.jsonl").write_text('{"kind": "train"}\n[1]\n'), "not trained yet"),
    ],
)  # fmt: skip
def test_a_damaged_run_is_named_and_left_out(
    put_run: PutRun, tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    put_run("whole")
    damage(put_run("damaged"))
    comparison = compare_runs([tmp_path / "runs"])
    assert names(comparison) == ["whole"] and len(comparison.left_out) == 1
    assert comparison.left_out[0].startswith(f"{tmp_path / 'runs' / 'damaged'} is left out")
    assert re.search(reason, comparison.left_out[0])
    assert "is left out" in comparison_page(comparison)


@pytest.mark.parametrize("stage", ["corpus", "tokenizer"])
def test_a_run_that_has_just_begun_is_left_out(put_run: PutRun, make_run: MakeRun, tmp_path: Path, stage: str) -> None:
    make_run(tmp_path / "runs" / "young", stage)
    comparison = compare_runs([tmp_path / "runs"])
    assert comparison.runs == [] and f"its state is {stage}" in comparison.left_out[0]
    assert "None of these runs has a validation yet." in comparison_page(comparison)


def test_damage_inside_a_run_that_can_be_compared_does_not_matter(put_run: PutRun, tmp_path: Path) -> None:
    folder = put_run("a", stage="training")
    expected = validations(folder)[-1]["loss"]
    with open(folder / "metrics.jsonl", "ab") as file:
        file.write(b'\xff\xfe{"kind"\n{"kind": "validation", "step": 700, "lo')
    for name in ("model.json", "tokens/manifest.json", "tokenizer.json"):
        (folder / name).write_text("{")
    (run,) = compare_runs([tmp_path / "runs"]).runs
    assert run.facts.validation_loss == expected and run.facts.parameters is None


def test_runs_are_found_at_any_depth_once_and_not_inside_runs(put_run: PutRun, tmp_path: Path) -> None:
    top = tmp_path / "runs"
    one, deep = put_run("one"), put_run("series/of/deep")
    shutil.copytree(deep, one / "corpus" / "inner")
    shutil.copytree(one, top / ".hidden")
    (top / "loop").symlink_to(top)
    (top / "empty").mkdir()
    assert find_runs([top, one, top / "series"]) == [one, deep]
    assert find_runs([deep]) == [deep]
    assert find_runs([top / "empty"]) == []


def test_runs_of_the_same_name_are_told_apart_by_their_folders(put_run: PutRun, tmp_path: Path) -> None:
    one = put_run("one")
    other = shutil.copytree(one, tmp_path / "runs" / "copy" / "one")
    assert sorted(names(compare_runs([tmp_path / "runs"]))) == sorted([str(one), str(other)])


def test_folders_without_runs_get_a_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*absent"):
        compare_runs([tmp_path / "absent"])
    with pytest.raises(UsageError, match="no run below"):
        compare_runs([tmp_path])


class Checker(HTMLParser):
    """Complains about tags that do not close in order and collects ids, references and the data of charts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.charts: list[dict] = []
        self.feed(page)
        self.close()
        assert not self.open and len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        self.ids += filter(None, [attributes.get("id")])
        assert not {"src", "action"} & set(attributes)
        if "data-points" in attributes:
            self.charts.append(json.loads(attributes["data-points"] or ""))
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_has_the_table_and_every_curve_over_tokens_and_over_time(put_run: PutRun, tmp_path: Path) -> None:
    folders = {name: put_run(name, factor) for name, factor in (("a", 1.0), ("b", 0.9))}
    put_run("young", stage="training")
    (tmp_path / "runs" / "young" / "metrics.jsonl").write_text(
        '{"kind": "train", "step": 10, "tokens": 10, "seconds": 1, "loss": 3}\n'
    )
    comparison = compare_runs([tmp_path / "runs"])
    page = comparison_page(comparison)
    checker = Checker(page)
    assert names(comparison) == ["b", "a", "young"]
    for run in comparison.runs:
        for cell in cells(run):
            assert f">{cell}<" in unescape(page)
    tokens, over_time = checker.charts[0], checker.charts[2]  # each is drawn for wide and for narrow pages
    assert tokens["unit"] == "tokens seen" and over_time["unit"] == "minutes of training"
    for chart in (tokens, over_time):
        assert [line["name"] for line in chart["lines"]] == ["b", "a"]
        assert len({line["style"] for line in chart["lines"]}) == 2
    for line in tokens["lines"]:
        expected = [f"{one['bits_per_byte']:.3g}" for one in validations(folders[line["name"]])]
        assert [float(value) for value in line["value"]] == [float(value) for value in expected]
    minutes = [one["seconds"] / 60 for one in validations(folders["a"])]
    assert [float(at) for at in over_time["lines"][1]["at"]] == pytest.approx(minutes, rel=0.01)


def test_many_runs_have_a_style_each_as_far_as_it_goes(put_run: PutRun, tmp_path: Path) -> None:
    one = put_run("one")
    for number in range(STYLES + 1):
        shutil.copytree(one, tmp_path / "runs" / f"copy-{number:02}")
    page = comparison_page(compare_runs([tmp_path / "runs"]))
    lines = Checker(page).charts[0]["lines"]
    assert len(lines) == STYLES + 2
    assert len({line["style"] for line in lines}) == STYLES
    assert all(f".line-{line['style']} {{" in page and f".key-{line['style']} {{" in page for line in lines)


def test_hostile_words_stay_words(put_run: PutRun, tmp_path: Path) -> None:
    folder = put_run("a")
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | {"name": HOSTILE, "state": HOSTILE + "\n"}))
    put_run("b", settings={"width = 256": f'width = "{HOSTILE[:-6].strip()}"'})
    comparison = compare_runs([tmp_path / "runs"])
    page = comparison_page(comparison)
    assert Checker(page).tags.count("script") == 1 and "alert(1)" in page and "\x1b" not in page
    for cell in (*cells(comparison.runs[0]), *comparison.left_out):
        assert not re.search(r"[\x00-\x1f\u202e]", cell)


def test_the_page_is_written_whole_and_again(put_run: PutRun, tmp_path: Path) -> None:
    put_run("a")
    comparison = compare_runs([tmp_path / "runs"])
    for _ in range(2):
        write_comparison(comparison, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == comparison_page(comparison)
