"""A base goes on to a classifier: the whole way through the command line, on from a kill; bad input is one line."""

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from tests.pipeline.conftest import TINY, fail, unfinished_copy
from tests.pipeline.test_runs import start

OPTIONS = [
    "--training.steps=60",
    "--training.batch-size=8",
    "--training.learning-rate=3e-3",
    "--training.precision=fp32",
    "--training.attention=fused",
    "--training.compile=off",
    "--training.threads=1",
    "--training.checkpoint-seconds=0",
    "--training.keep=best",
]
WEIGHTS = "checkpoints/step-00000060/model.safetensors"
BASES = {
    "lstm": ["--model.width=32", "--model.layers=1", "--model.context=32"],
    "rwkv": ["--model.width=32", "--model.layers=2", "--model.context=32"],
    "bert": ["--model.width=32", "--model.layers=2", "--model.heads=2", "--model.context=32"],
}


def write_table(path: Path, count: int = 120) -> Path:
    """Heads of functions, and what functions answer: told apart by the first word, and by the last sign."""
    chance = random.Random(1)
    words = ["self", "value", "number", "list", "text", "name", "other", "result", "width", "line"]
    rows = []
    for number in range(count):
        middle = " ".join(chance.choices(words, k=6))
        rows.append((f"return {middle} {number}", "answer") if number % 3 == 0 else (f"def {middle} {number}:", "head"))
    lines = "".join(json.dumps({"words": text, "kind": label}) + "\n" for text, label in rows)
    path.write_text(lines + json.dumps({"words": " ", "kind": "head"}) + "\n" + lines.splitlines()[0] + "\n", "utf-8")
    return path


COLUMNS = ["--text-column=words", "--label-column=kind"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("tables") / "kinds.jsonl")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, finished_run: Path, table: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "kinds"
    assert run(["finetune", "classify", str(finished_run), str(table), *COLUMNS, "--out", str(out), *OPTIONS]) == 0
    return out


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text("utf-8"))


def test_it_learns_and_is_examined_beside_the_traditional_ways(finished: Path) -> None:
    result = result_of(finished)
    assert result["validation_tokens"] == 12 and result["tokens_seen"] == 60 * 8 and result["bits_per_byte"] is None
    assert result["epochs"] == pytest.approx(60 * 8 / 84)
    ways = result["test"]["ways"]
    assert list(ways) == ["model", "hand-made features", "TF-IDF", "most frequent class"]
    assert result["test"]["texts"] == 24 and result["test"]["labels"] == ["answer", "head"]
    figures = ways["model"]["figures"]
    assert figures["accuracy"]["value"] > 0.9 and figures["accuracy"]["high"] == 1.0
    assert set(figures) >= {"accuracy", "balanced accuracy", "macro F1", "calibration error"}
    assert [sum(row) for row in ways["model"]["confusion"]] == [8, 16]
    assert ways["most frequent class"]["figures"]["accuracy"]["value"] == pytest.approx(16 / 24)
    manifest = json.loads((finished / "labelled" / "manifest.json").read_text("utf-8"))
    assert manifest["left_out"] == {"malformed": 0, "empty": 1, "duplicates": 1, "contradictory": 0, "surplus": 0}


def test_it_begins_with_the_base_and_keeps_its_tokenizer(finished: Path, finished_run: Path) -> None:
    newest = sorted((finished_run / "checkpoints").iterdir())[-1]
    assert sha256_of_file(finished / "base" / "model.safetensors") == sha256_of_file(newest / "model.safetensors")
    assert sha256_of_file(finished / "tokenizer.json") == sha256_of_file(finished_run / "tokenizer.json")
    config = json.loads(((finished / WEIGHTS).parent / "config.json").read_text("utf-8"))
    assert config["architecture"] == "classifier" and config["body.architecture"] == "gpt"
    assert config["labels"] == ["answer", "head"] and config["body.width"] == 32
    toml = (finished / "config.toml").read_text("utf-8")
    assert "[model.body]\n" in toml and 'label_column = "kind"\n' in toml
    assert run(["config", "show", "--run", str(finished)]) == 0


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(
    finished: Path, finished_run: Path, table: Path, tmp_path: Path
) -> None:
    moments = random.Random(20_261_122)
    killed = tmp_path / "killed"
    arguments = ["finetune", "classify", str(finished_run), str(table), *COLUMNS, "--out", str(killed), *OPTIONS]
    for _ in range(3):
        process = start(arguments)
        time.sleep(moments.uniform(1.5, 5.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (killed / "run.json").exists():
            arguments = ["train", "--resume", str(killed)]
    assert run(arguments) == 0
    assert sha256_of_file(killed / WEIGHTS) == sha256_of_file(finished / WEIGHTS)
    assert result_of(killed)["test"] == result_of(finished)["test"]


@pytest.mark.parametrize("kept", [0, 1])
def test_it_goes_on_without_its_base_and_its_table(
    kept: int, finished_run: Path, table: Path, finished: Path, tmp_path: Path
) -> None:
    base, own = tmp_path / "base", tmp_path / table.name
    shutil.copytree(finished_run, base)
    shutil.copyfile(table, own)
    copy = unfinished_copy(finished, tmp_path)
    record = json.loads((copy / "run.json").read_text("utf-8"))
    record["sources"] = [str(base), str(own)]
    (copy / "run.json").write_text(json.dumps(record))
    checkpoints = sorted((copy / "checkpoints").iterdir())
    for checkpoint in checkpoints[kept:]:
        shutil.rmtree(checkpoint)
    shutil.rmtree(base)
    own.unlink()
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / WEIGHTS) == sha256_of_file(finished / WEIGHTS)


def test_lora_moves_differences_alone_and_needs_little_of_the_optimizer(
    finished: Path, finished_run: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lora"
    more = ["--train=lora", "--model.lora-rank=2", *OPTIONS]
    assert run(["finetune", "classify", str(finished_run), str(table), *COLUMNS, "--out", str(out), *more]) == 0
    assert result_of(out)["test"]["ways"]["model"]["figures"]["accuracy"]["value"] > 0.9
    weights = load_file(out / WEIGHTS)
    state = load_file((out / WEIGHTS).parent / "optimizer.safetensors")
    moments = {name.split("/")[1] for name in state if name.startswith("optimizer/")}
    assert moments == weights.keys()
    assert all(name.endswith((".up", ".down")) or name.startswith("head.") for name in weights)
    model = json.loads((out / "model.json").read_text("utf-8"))
    assert model["parameters_trained"] == sum(weights[name].size for name in moments)
    assert model["parameters_trained"] < 0.2 * model["parameters"]


@pytest.mark.parametrize("name", BASES)
def test_every_kind_of_base_becomes_a_classifier_and_goes_on_from_a_kill(
    name: str, text_folder: Path, table: Path, tmp_path: Path
) -> None:
    kept = [option for option in TINY if not option.startswith(("--model", "--training.steps"))]
    base = tmp_path / "base"
    shape = [f"--model.architecture={name}", "--training.steps=6", *BASES[name]]
    assert run(["train", str(text_folder), "--out", str(base), *kept, *shape]) == 0
    out = tmp_path / "out"
    small = [*OPTIONS, "--training.evaluate-every=60"]
    assert run(["finetune", "classify", str(base), str(table), *COLUMNS, "--out", str(out), *small]) == 0
    assert result_of(out)["test"]["ways"]["model"]["figures"]["accuracy"]["value"] > 0.8
    copy = unfinished_copy(out, tmp_path)
    shutil.rmtree(copy / "checkpoints" / "step-00000060")
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / WEIGHTS) == sha256_of_file(out / WEIGHTS)


def test_the_plan_fits_steps_and_rate_to_the_texts(
    finished_run: Path, table: Path, tmp_path: Path, own_cache: None
) -> None:
    out = tmp_path / "planned"
    options = ["--balance=weights", "--labelled.epochs=2", *OPTIONS[3:]]
    assert run(["finetune", "classify", str(finished_run), str(table), *COLUMNS, "--out", str(out), *options]) == 0
    plan = json.loads((out / "plan.json").read_text("utf-8"))
    values = plan["values"]
    assert plan["unit"] == "texts" and values["training.steps"] == 2 * 6 and values["training.evaluate_every"] == 6
    assert values["model.class_weights"] == [84 / 2 / 28, 84 / 2 / 56] and values["model.length"] % 8 == 0
    assert plan["reasons"]["training.steps"] and values["training.optimizer"] == "adamw"
    # The same again, from its own configuration.
    again = ["--config", str(out / "config.toml"), "--out", str(tmp_path / "again")]
    assert run(["finetune", "classify", str(finished_run), str(table), *again]) == 0
    assert result_of(tmp_path / "again")["test"] == result_of(out)["test"]


def test_texts_are_sorted(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify", str(finished), "return the list of names", "def width self:"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("return the list of names: answer ") and second.startswith("def width self:: head ")
    (tmp_path / "lines.txt").write_text("def width self:\n<|endoftext|> return 3\n", "utf-8")
    assert run(["classify", str(finished), "--file", str(tmp_path / "lines.txt"), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["text"] for answer in answers] == ["def width self:", "<|endoftext|> return 3"]
    assert answers[0]["label"] == "head" and sum(answers[0]["classes"].values()) == pytest.approx(1)
    assert "text 2 is empty" in fail(["classify", str(finished), "a", " "], capsys, 2)
    assert "give texts to sort" in fail(["classify", str(finished)], capsys, 2)


def test_the_report_and_the_table_of_runs_tell_of_it(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(finished)]) == 0
    told = capsys.readouterr().out
    assert "of the texts rightly" in told and "accuracy" in told and "texts/s" in told
    page = (finished / "report.html").read_text("utf-8")
    for words in ("The texts and their labels", "hand-made features", "TF-IDF", "nats per text", "homespun classify ",
                  "is … taken for", "calibration", "finetune classify", "told a second time"):  # fmt: skip
        assert words in page, words
    for words in ("bits per byte", "homespun chat", "Could not read", "images to train"):
        assert words not in page, words
    assert run(["report", str(finished), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.9
    assert run(["runs", str(finished.parent), "--html", str(tmp_path / "runs.html")]) == 0
    assert "kinds" in capsys.readouterr().out


def test_a_rate_is_found_for_it(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rate", str(finished), "--steps", "20"]) == 0
    assert "--training.learning-rate" in capsys.readouterr().out


def test_commands_for_text_refuse_it_and_the_other_way_round(
    finished: Path, finished_run: Path, table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for command in (["generate"], ["chat"]):
        assert "reads labelled texts, not text: homespun classify" in fail([*command, str(finished)], capsys, 2)
    assert "reads text, not labelled texts: homespun generate" in fail(["classify", str(finished_run), "x"], capsys, 2)
    line = fail(["export", str(finished), "--format", "huggingface", "--out", str(tmp_path / "shared")], capsys)
    assert "model.summary is mean, and the classifiers there read one token of a text (finetune with --model" in line
    line = fail(["finetune", "classify", str(finished), str(table), "--out", str(tmp_path / "twice")], capsys, 2)
    assert "reads labelled texts, not text" in line
    line = fail(["train", str(table), "--model.architecture=classifier", "--out", str(tmp_path / "bare")], capsys, 2)
    assert "homespun finetune classify BASE" in line
    assert not (tmp_path / "bare").exists() and not (tmp_path / "twice").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--text-column=absent", "--label-column=kind"], "has no column 'absent'; it has 'words', 'kind'"),
        ([*COLUMNS, "--model.summary=all"], 'Choose from: "token", "mean"'),
        ([*COLUMNS, "--model.labels", "a"], "the table has answer, head"),
        ([*COLUMNS, "--train=lora", "--model.lora-rank=64"], "no linear layer"),
        ([*COLUMNS, "--labelled.test-file=absent.csv"], "there is no file absent.csv"),
        ([*COLUMNS, "--training.compile=on"], "of many lengths"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: list[str], said: str, finished_run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert said in fail(["finetune", "classify", str(finished_run), str(table), *out, *options], capsys, 2)


@pytest.mark.parametrize("file", ["labelled/test.parquet", "base/model.safetensors"])
def test_damage_is_named(finished: Path, tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    copy = unfinished_copy(finished, tmp_path)
    raw = bytearray((copy / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / file).write_bytes(raw)
    assert f"{Path(file).name} is damaged" in fail(["train", "--resume", str(copy)], capsys)


GOOD: list[tuple[str, object]] = [
    *((f"return {number} value", "answer") for number in range(12)),
    *((f"def {number} head:", "head") for number in range(12)),
]
OTHER: list[tuple[str, object]] = [("return something else", "answer"), ("def another one:", "head")]


def lines_of(rows: list[tuple[str, object]]) -> bytes:
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows).encode()


BAD = {
    "a column that is missing": (lines_of(GOOD).replace(b'"label"', b'"kind"'), {}, "has no column 'label'"),
    "empty texts only": (lines_of([(" ", "a"), ("", "b")]), {}, "no text to train on"),
    "one class": (lines_of(GOOD[:9]), {}, "all 9 texts to train on have the label 'answer'"),
    "a label that training lacks": (lines_of(GOOD), {"test": lines_of([*OTHER, ("new", "unheard")])}, "'unheard'"),
    "the same in a validation file": (lines_of(GOOD), {"validation": lines_of([("new", "x")])}, "'x'"),
    "a class of one text": (lines_of([*GOOD, ("alone", "lonely")]), {}, "of 'lonely' there is only 1 of the 3 texts"),
    "a line that is no JSON": (lines_of(GOOD) + b'{"text": \n', {}, "line 25 cannot be parsed"),
    "not UTF-8": (lines_of(GOOD) + '{"text": "más señor", "label": "head"}\n'.encode("cp1252"), {}, "is not UTF-8"),
    "an empty file": (b"", {}, "has no rows"),
    "an empty test file": (lines_of(GOOD), {"test": b""}, "test.jsonl has no rows"),
    "measurements for labels": (
        lines_of([(text, n / 7) for n, (text, _) in enumerate(GOOD, 1)]),
        {},
        "has no label (0.1",
    ),
    "numbers of the rows for labels": (
        lines_of([(text, n) for n, (text, _) in enumerate(GOOD)]),
        {},
        "another label column",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_texts_are_one_line_and_leave_nothing(
    name: str, finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, others, said = BAD[name]
    table = tmp_path / "table.jsonl"
    table.write_bytes(content)
    options = []
    for split, rows in others.items():
        (tmp_path / f"{split}.jsonl").write_bytes(rows)
        options.append(f"--labelled.{split}-file={tmp_path / split}.jsonl")
    command = ["finetune", "classify", str(finished_run), str(table), "--out", str(tmp_path / "out"), *options]
    code = 1 if "line 25" in said or "UTF-8" in said or "no label" in said else 2
    assert said in fail(command, capsys, code)
    assert not (tmp_path / "out").exists()


def test_what_is_left_out_is_counted(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], own_cache: None
) -> None:
    """Texts that are in training and in the test, white space in labels, texts longer than the base reads."""
    table, test = tmp_path / "table.jsonl", tmp_path / "test.jsonl"
    long = [("def " + "x y z " * 40, " head\t"), ("return " + "x y z " * 40, "answer\u00a0")]
    table.write_bytes(lines_of([*GOOD, *long, OTHER[0], ("Return  SOMETHING else", "answer"), (" ", "head")]))
    test.write_bytes(lines_of(OTHER))
    out = tmp_path / "out"
    command = ["finetune", "classify", str(finished_run), str(table), "--out", str(out), f"--labelled.test-file={test}"]
    assert run([*command, "--model.length=64", "--training.steps=2", "--training.evaluate-every=1", *OPTIONS[1:]]) == 0
    told = capsys.readouterr().err
    assert "left out: 1 empty, 2 told twice" in told
    assert "of 2 texts only the first 62 tokens are read" in told
    manifest = json.loads((out / "labelled" / "manifest.json").read_text("utf-8"))
    assert manifest["labels"] == ["answer", "head"] and manifest["left_out"]["duplicates"] == 2
    assert manifest["splits"]["test"]["texts"] == 2
    kept = result_of(out)["kept"]
    assert kept["why"] == "best" and kept["step"] in (1, 2)
    assert f"weights of step {kept['step']} of 2 were kept" in (out / "report.html").read_text("utf-8")


def test_the_weights_of_the_best_evaluation_are_kept_and_the_test_is_not_asked(
    finished: Path, finished_run: Path, table: Path, tmp_path: Path
) -> None:
    """With another test the same weights; and they are those that a run to that step has."""
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text("utf-8").splitlines()]
    told = {row["step"]: row["loss"] for row in rows if row["kind"] == "validation"}
    best = min(told, key=lambda step: (told[step], step))
    kept = result_of(finished)["kept"]
    assert (kept["why"], kept["step"], kept["loss"]) == ("best", best, told[best]) and max(told) == 60
    assert result_of(finished)["validation_loss"] == told[best]
    assert json.loads(((finished / WEIGHTS).parent / "state.json").read_text("utf-8"))["best_at"] == best
    copy = unfinished_copy(finished, tmp_path)
    test = copy / "labelled" / "test.parquet"
    manifest = json.loads((copy / "labelled" / "manifest.json").read_text("utf-8"))
    shutil.copyfile(copy / "labelled" / "validation.parquet", test)
    manifest["splits"]["test"]["shards"][0]["sha256"] = sha256_of_file(test)
    (copy / "labelled" / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(copy / "checkpoints")
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / WEIGHTS) == sha256_of_file(finished / WEIGHTS)


def test_no_table_and_no_base_are_one_line(
    finished_run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no TABLE" in fail(["finetune", "classify", str(finished_run)], capsys, 2)
    assert "there is no run folder" in fail(["finetune", "classify", str(tmp_path / "no"), str(table)], capsys, 2)
