"""A base learns from pairs of texts: an encoder-decoder goes on as it was trained, a decoder learns to answer."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from homespun.inference.load import load_for_inference
from tests.pipeline.conftest import fail, unfinished_copy
from tests.pipeline.test_translation_runs import SMALL, small_language, write_pairs

STEPS = 80
OPTIONS = [
    f"--training.steps={STEPS}",
    "--training.batch-size=16",
    "--training.learning-rate=1e-2",
    "--training.evaluate-every=40",
    "--training.precision=fp32",
    "--training.attention=fused",
    "--training.compile=off",
    "--training.threads=1",
    "--training.checkpoint-seconds=0",
]
COLUMNS = ["--source-column", "dialogue", "--target-column", "summary"]
WEIGHTS = f"checkpoints/step-{STEPS:08}/model.safetensors"


def write_summaries(file: Path) -> Path:
    """Of sentences that are known the last word but one: who does it. Some come twice, one says nothing."""
    rows = [{"topic": 3, "dialogue": english, "summary": german.split()[2]} for english, german in small_language()]
    rows += [*rows[:2], {"dialogue": "nobody", "summary": ""}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_summaries(tmp_path_factory.mktemp("pairs") / "summaries.jsonl")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder-decoder that has learned to translate, a little."""
    folder = tmp_path_factory.mktemp("base")
    pairs = write_pairs(folder / "pairs.jsonl")
    assert run(["train", str(pairs), "--out", str(folder / "base"), *SMALL, "--training.learning-rate=0.03"]) == 0
    return folder / "base"


def command(base: Path, file: Path, out: Path, *options: str) -> list[str]:
    return ["finetune", "pairs", str(base), str(file), *COLUMNS, "--out", str(out), *OPTIONS, *options]


@pytest.fixture(scope="module")
def summarizer(base: Path, summaries: Path) -> Path:
    """Tests work on copies of it."""
    out = base.parent / "summarizer"
    assert run(command(base, summaries, out)) == 0
    return out


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text("utf-8"))


def test_it_learns_and_is_a_plain_encoder_decoder(
    summarizer: Path, base: Path, summaries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of(summarizer)
    manifest = json.loads((summarizer / "rows" / "manifest.json").read_text("utf-8"))
    assert result["validation_tokens"] == manifest["splits"]["validation"]["learned"]
    assert result["validation_loss"] < 0.3 and result["bits_per_byte"] is not None
    left_out = json.loads((summarizer / "pairs" / "manifest.json").read_text("utf-8"))["left_out"]
    assert left_out["empty"] == 1 and left_out["duplicates"] == 2
    lines = (summarizer / "pairs" / "validation.jsonl").read_text("utf-8").splitlines()
    held_back = [json.loads(line) for line in lines]
    sources, targets = ([one["messages"][side]["content"] for one in held_back] for side in (0, 1))
    assert run(["translate", str(summarizer), *sources]) == 0
    found = capsys.readouterr().out.splitlines()
    assert sum(one == right for one, right in zip(found, targets, strict=True)) > 0.8 * len(targets)
    model, _ = load_for_inference(summarizer, print)
    assert model.config == load_for_inference(base, print)[0].config
    assert (summarizer / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    samples = [json.loads(line) for line in (summarizer / "samples.jsonl").read_text("utf-8").splitlines()]
    assert samples[-1]["prompt"].startswith("the ")


def test_it_is_evaluated_exported_and_finetuned_further(
    summarizer: Path, summaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text("\n".join(summaries.read_text("utf-8").splitlines()[:9]), "utf-8")
    copy = tmp_path / "copy"
    shutil.copytree(summarizer, copy)
    capsys.readouterr()
    assert run(["evaluate", str(copy), "--task", "summaries", "--data", str(asked), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    values = {figure["name"]: figure for figure in record["figures"]}
    assert values["ROUGE-1"]["value"] > 0.8 and values["ROUGE-L"]["low"] is not None
    assert record["shown"] == "the red dog runs<|separator|>Hund" and "first 1 words" in record["notes"][0]
    assert run(["export", str(copy), "--format", "safetensors", "--out", str(tmp_path / "shared")]) == 0
    again = command(copy, summaries, tmp_path / "again", "--train=lora", "--model.lora-rank=2")
    assert run([option for option in again if option != OPTIONS[0]] + ["--training.steps=4"]) == 0
    weights = load_file(tmp_path / "again" / "checkpoints" / "step-00000004" / "model.safetensors")
    assert all(name.endswith((".up", ".down")) for name in weights)
    assert any(name.endswith(".up") and value.any() for name, value in weights.items())
    assert result_of(tmp_path / "again")["validation_loss"] < 0.4


def test_one_translator_speaks_with_what_another_run_has_learned(
    summaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of Marian's shape, for which PEFT has names."""
    base, lora, adapter = tmp_path / "base", tmp_path / "lora", tmp_path / "adapter"
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    shape = [*SMALL, "--model.logit-biases", "--training.learning-rate=0.03"]
    assert run(["train", str(pairs), "--out", str(base), *shape]) == 0
    assert run(command(base, summaries, lora, "--train=lora", "--model.lora-rank=4")) == 0
    assert run(["export", str(lora), "--format", "peft", "--out", str(adapter)]) == 0
    texts = [json.loads(line)["dialogue"] for line in summaries.read_text("utf-8").splitlines()[:6]]
    said = []
    for told in ([str(base)], [str(lora)], [str(base), f"--adapter={adapter}"]):
        capsys.readouterr()
        assert run(["translate", *told, *texts]) == 0
        said.append(capsys.readouterr().out)
    plain, merged, beside = said
    assert beside == merged != plain


@pytest.mark.parametrize("kept", [0, 1])
def test_it_goes_on_to_the_same_bits_without_its_base_and_its_files(
    kept: int, summarizer: Path, tmp_path: Path
) -> None:
    copy = unfinished_copy(summarizer, tmp_path)
    record = json.loads((copy / "run.json").read_text("utf-8"))
    record["sources"] = [str(tmp_path / "gone"), str(tmp_path / "gone.jsonl")]
    (copy / "run.json").write_text(json.dumps(record))
    for checkpoint in sorted((copy / "checkpoints").iterdir())[kept:]:
        shutil.rmtree(checkpoint)
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / WEIGHTS) == sha256_of_file(summarizer / WEIGHTS)
    assert result_of(copy)["validation_loss"] == result_of(summarizer)["validation_loss"]


def test_the_report_tells_of_it_and_its_configuration_makes_it_again(
    summarizer: Path, base: Path, summaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(summarizer)]) == 0
    page = (summarizer / "report.html").read_text("utf-8")
    for word in ("The pairs", "homespun translate", "homespun finetune pairs", "with an empty message"):
        assert word in page, word
    for word in ("Could not read", "has not been measured", "Its answers"):
        assert word not in page, word
    out = tmp_path / "again"
    again = ["finetune", "pairs", str(base), str(summaries), "--config", str(summarizer / "config.toml")]
    assert run([*again, "--out", str(out)]) == 0
    assert sha256_of_file(out / WEIGHTS) == sha256_of_file(summarizer / WEIGHTS)
    assert run(["rate", str(summarizer), "--steps", "12"]) == 0
    capsys.readouterr()


def test_sides_that_are_too_long_are_cropped_and_counted(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"dialogue": f"the red dog {number} " * (1 + 9 * (number == 3)), "summary": "Hund"} for number in range(20)]
    rows.append({"dialogue": "the man waits", "summary": "der Hund " * 30})
    file, out = tmp_path / "long.json", tmp_path / "out"
    file.write_text(json.dumps(rows, indent=1), "utf-8")
    capsys.readouterr()
    steps = [option.replace(f"steps={STEPS}", "steps=2") for option in command(base, file, out)]
    assert run(steps) == 0
    told = capsys.readouterr().err
    assert "longer than 40 tokens: 1 have the end of their source cut off, 1 have their last answer cut" in told
    manifest = json.loads((out / "rows" / "manifest.json").read_text("utf-8"))
    assert sum(split["rows"] for split in manifest["splits"].values()) == 21


def test_a_decoder_learns_them_as_instructions(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"dialogue": f"{word} {number}", "a": word, "b": word[::-1]} for number in range(15) for word in ("yes", "no")
    ]
    rows.append({"dialogue": "yes " * 40, "a": "yes", "b": "sey"})
    file, out = tmp_path / "pairs.csv", tmp_path / "out"
    lines = [",".join(row.values()) for row in rows]
    file.write_text("\n".join(["dialogue,a,b", *lines]) + "\n", "utf-8")
    columns = ["--source-column", "dialogue", "--target-column", "a", "--target-column", "b"]
    options = [option.replace(f"steps={STEPS}", "steps=6") for option in OPTIONS]
    capsys.readouterr()
    assert run(["finetune", "pairs", str(finished_run), str(file), *columns, "--instruction", "Say", "--out", str(out),
                *options]) == 0  # fmt: skip
    assert "have the end of their source cut off" in capsys.readouterr().err
    config = json.loads(next((out / "checkpoints").glob("*/config.json")).read_text("utf-8"))
    assert config["architecture"] == "assistant"
    splits = [(out / "conversations" / f"{split}.jsonl").read_text("utf-8") for split in ("train", "validation")]
    told = [json.loads(line)["messages"] for split in splits for line in split.splitlines()]
    assert len(told) == 62 and {message["content"] for _, message in told} == {"yes", "no", "sey", "on"}
    assert {"Say\n\nyes 3", "Say\n\nno 14"} <= {message["content"] for message, _ in told}
    data = tmp_path / "asked.jsonl"
    data.write_text('{"dialogue": "yes 3", "summary": ["yes", "sey"]}\n' * 2, "utf-8")
    assert run(["evaluate", str(out), "--task", "summaries", "--data", str(data), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["shown"].startswith("<|im_start|>user\nSum")  # half of a context of 32 is little
    page = (out / "report.html").read_text("utf-8")
    assert "homespun finetune instructions" in page and "had the end of their source cut off" in page


@pytest.mark.parametrize(
    ("content", "options", "code", "said"),
    [
        ('{"dialogue": "a", "topic": "b"}\n', [], 2, "line 1 has no column 'summary'; it has 'dialogue', 'topic'"),
        ('{"dialogue": "a", "summary": "b"}\n{"dialogue": \n', [], 1, "line 2 is not JSON"),
        ('{"dialogue": "a", "summary": 7}\n', [], 1, "line 1 has 7 for summary, which is no text"),
        ('{"dialogue": "a", "summary": ""}\n{"dialogue": " ", "summary": "b"}\n', [], 1, "two different questions"),
        ("[3]\n", [], 1, "line 1 is not a JSON object"),
        ("", ["--instruction", "Say"], 2, "is given its source alone: leave out --instruction"),
        ("", ["--target-column", "dialogue"], 2, "a column is named twice"),
        ("", ["--model.length=99"], 2, "the base reads 40 tokens at most"),
        ("", ["--model.dropout=0.1"], 2, "that of its base"),
    ],
)
def test_what_cannot_be_is_one_line(
    content: str,
    options: list[str],
    code: int,
    said: str,
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "some.jsonl"
    file.write_text(content, "utf-8")
    assert said in fail([*command(base, file, tmp_path / "out"), *options], capsys, code)


def test_no_file_and_bases_that_write_no_texts_are_one_line(
    base: Path, summaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no FILE" in fail(["finetune", "pairs", str(base)], capsys, 2)
    assert "there is no file" in fail(command(base, tmp_path / "absent.jsonl", tmp_path / "a"), capsys, 2)
    assert "there is no run folder" in fail(command(tmp_path / "no", summaries, tmp_path / "b"), capsys, 2)
    assert "cannot be finetuned like that" in fail(
        ["finetune", "instructions", str(base), str(summaries), "--out", str(tmp_path / "c")], capsys, 2
    )
    bare = ["train", str(summaries), "--model.architecture=paired", "--out", str(tmp_path / "d")]
    assert "homespun finetune pairs BASE" in fail(bare, capsys, 2)


@pytest.mark.parametrize(
    ("architecture", "said"), [("bert", "fills gaps in texts, it cannot"), ("vit", "reads images")]
)
def test_other_bases_are_refused(
    architecture: str, said: str, base: Path, summaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.evaluation.test_evaluate_command import with_another_model

    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    with_another_model(copy, architecture)
    assert said in fail(command(copy, summaries, tmp_path / "out"), capsys, 2)
