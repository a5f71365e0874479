"""A base learns to answer, and what is preferred: the whole way through the command line, on from a kill; bad input."""

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from homespun.inference.load import load_for_inference
from homespun.tokenizer.chat import can_chat
from tests.pipeline.conftest import TINY, fail, unfinished_copy
from tests.pipeline.test_runs import start

STEPS = 80
OPTIONS = [
    f"--training.steps={STEPS}",
    "--training.batch-size=8",
    "--training.learning-rate=1e-2",
    "--training.precision=fp32",
    "--training.attention=fused",
    "--training.compile=off",
    "--training.threads=1",
    "--training.checkpoint-seconds=0",
    "--sampling.maximum-tokens=12",
]
RATE = "--training.learning-rate=1e-3"  # of preferences
WEIGHTS = f"checkpoints/step-{STEPS:08}/model.safetensors"
BASES = {
    "lstm": ["--model.width=32", "--model.layers=1", "--model.context=32"],
    "rwkv": ["--model.width=32", "--model.layers=2", "--model.context=32"],
}


def write_files(folder: Path) -> None:
    """Questions that are answered by a word of theirs; and what is preferred: that answer to another."""
    asked = [(f"Say {word} {number}", word) for number in range(30) for word in ("yes", "no", "so")]
    instructions = [{"instruction": question, "input": "", "output": word} for question, word in asked]
    pairs = [
        {"instruction": question, "output": "", "chosen": word, "rejected": f"not {word}"} for question, word in asked
    ]
    (folder / "instructions.json").write_text(json.dumps(instructions, indent=1), "utf-8")
    (folder / "preferences.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


def with_options(*more: str) -> list[str]:
    """The usual options, but for those that are given otherwise."""
    given = {option.partition("=")[0] for option in more}
    return [*(option for option in OPTIONS if option.partition("=")[0] not in given), *more]


def instructions(base: Path, files: Path, out: Path, *options: str) -> list[str]:
    told = with_options(*options)
    return ["finetune", "instructions", str(base), str(files / "instructions.json"), "--out", str(out), *told]


def preferences(base: Path, files: Path, out: Path, *options: str) -> list[str]:
    told = with_options(*(options if any("rate" in one for one in options) else (RATE, *options)))
    return ["finetune", "preferences", str(base), str(files / "preferences.jsonl"), "--out", str(out), *told]


@pytest.fixture(scope="module")
def assistant(tmp_path_factory: pytest.TempPathFactory, finished_run: Path, files: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "assistant"
    assert run(instructions(finished_run, files, out)) == 0
    return out


@pytest.fixture(scope="module")
def preferred(assistant: Path, files: Path) -> Path:
    out = assistant.parent / "preferred"
    assert run(preferences(assistant, files, out, "--beta=0.5", "--train=lora", "--model.lora-rank=2")) == 0
    return out


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text("utf-8"))


def test_it_learns_to_answer_questions_that_it_has_never_seen(assistant: Path) -> None:
    result = result_of(assistant)
    manifest = json.loads((assistant / "rows" / "manifest.json").read_text("utf-8"))
    assert result["validation_tokens"] == manifest["splits"]["validation"]["learned"]
    assert result["validation_loss"] < 0.3 and result["bits_per_byte"] is None
    exact = result["answers"]["exact_match"]
    assert exact["examples"] == 9 and exact["value"] > 0.8 and exact["low"] < exact["value"]
    assert result["answers"]["shown"][0]["expected"] in ("yes", "no", "so")
    samples = [json.loads(line) for line in (assistant / "samples.jsonl").read_text("utf-8").splitlines()]
    assert samples[0]["prompt"].startswith("Say ")


def test_several_conversations_share_a_row_and_the_plan_says_why(assistant: Path) -> None:
    plan = json.loads((assistant / "plan.json").read_text("utf-8"))
    assert plan["values"]["model.packed"] is True and plan["reasons"]["model.packed"]
    assert plan["values"]["model.length"] == 32
    config = json.loads(((assistant / WEIGHTS).parent / "config.json").read_text("utf-8"))
    assert config["architecture"] == "assistant" and config["body.architecture"] == "gpt"


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(
    assistant: Path, finished_run: Path, files: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    kill_and_go_on(instructions(finished_run, files, killed), killed)
    assert sha256_of_file(killed / WEIGHTS) == sha256_of_file(assistant / WEIGHTS)
    assert result_of(killed)["answers"] == result_of(assistant)["answers"]


def kill_and_go_on(arguments: list[str], folder: Path) -> None:
    """Three times, then to the end."""
    moments = random.Random(20_261_123)
    for _ in range(3):
        process = start(arguments)
        time.sleep(moments.uniform(1.5, 5.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (folder / "run.json").exists():
            arguments = ["train", "--resume", str(folder)]
    assert run(arguments) == 0


@pytest.mark.parametrize("kept", [0, 1])
def test_it_goes_on_without_its_base_and_its_files(kept: int, preferred: Path, tmp_path: Path) -> None:
    copy = unfinished_copy(preferred, tmp_path)
    record = json.loads((copy / "run.json").read_text("utf-8"))
    record["sources"] = [str(tmp_path / "gone"), str(tmp_path / "gone.json")]
    (copy / "run.json").write_text(json.dumps(record))
    for checkpoint in sorted((copy / "checkpoints").iterdir())[kept:]:
        shutil.rmtree(checkpoint)
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / WEIGHTS) == sha256_of_file(preferred / WEIGHTS)
    assert result_of(copy)["preferences"] == result_of(preferred)["preferences"]


def test_it_learns_what_is_preferred_as_differences_alone(preferred: Path, assistant: Path) -> None:
    result = result_of(preferred)
    assert result["validation_loss"] < 0.5 and result["validation_margin"] > 0.5
    assert result["validation_accuracy"] == 1.0 and result["validation_tokens"] == 9
    figures = result["preferences"]
    assert figures["loss"]["value"] == pytest.approx(result["validation_loss"], rel=1e-4)
    assert figures["margin"]["value"] == pytest.approx(result["validation_margin"], rel=1e-4)
    weights, base = load_file(preferred / WEIGHTS), load_file(preferred / "base" / "model.safetensors")
    state = load_file((preferred / WEIGHTS).parent / "optimizer.safetensors")
    moments = {name.split("/")[1] for name in state if name.startswith("optimizer/")}
    assert moments == weights.keys() and all(name.endswith((".up", ".down", ".rows")) for name in weights)
    own = load_file(assistant / WEIGHTS)
    assert all((own[f"body.{name}"] == value).all() for name, value in base.items())


def test_before_the_first_step_the_loss_is_ln_2(assistant: Path, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "still"
    assert run(preferences(assistant, files, out, "--training.steps=1", "--training.learning-rate=1e-12")) == 0
    result = result_of(out)
    assert result["validation_loss"] == pytest.approx(0.6931471805599453, abs=1e-5)
    assert abs(result["validation_margin"]) < 1e-5


@pytest.mark.parametrize("name", BASES)
def test_recurrent_bases_have_a_conversation_in_each_row(
    name: str, text_folder: Path, files: Path, tmp_path: Path
) -> None:
    kept = [option for option in TINY if not option.startswith(("--model", "--training.steps"))]
    base, out = tmp_path / "base", tmp_path / "out"
    shape = [f"--model.architecture={name}", "--training.steps=6", *BASES[name]]
    assert run(["train", str(text_folder), "--out", str(base), *kept, *shape]) == 0
    assert run(instructions(base, files, out, "--training.steps=12")) == 0
    assert json.loads((out / "plan.json").read_text("utf-8"))["values"]["model.packed"] is False
    copy = unfinished_copy(out, tmp_path)
    shutil.rmtree(sorted((copy / "checkpoints").iterdir())[-1])
    assert run(["train", "--resume", str(copy)]) == 0
    assert result_of(copy)["validation_loss"] == result_of(out)["validation_loss"]


def test_the_run_is_used_as_any_other(
    assistant: Path,
    preferred: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for folder in (assistant, preferred):
        model, tokenizer = load_for_inference(folder, print)
        assert model.config.architecture == "gpt" and can_chat(tokenizer)
        assert run(["generate", str(folder), "--prompt", "def ", "--maximum-tokens=3"]) == 0
    typed = iter(["Say no 77", "", "Say <|im_end|>yes 3"])
    monkeypatch.setattr("builtins.input", lambda prompt="": next_line(typed))
    capsys.readouterr()
    assert run(["chat", str(assistant), "--temperature=0", "--maximum-tokens=4", "--system", "Be kind"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 2
    assert run(["export", str(preferred), "--format", "safetensors", "--out", str(tmp_path / "shared")]) == 0


def next_line(lines: Any) -> str:
    for line in lines:
        return line
    raise EOFError


def test_merged_differences_are_those_of_the_run(preferred: Path) -> None:
    from homespun.common.files import read_json
    from homespun.models.settings import model_settings
    from homespun.training.kept_base import load_model

    checkpoint = (preferred / WEIGHTS).parent
    unmerged = load_model(checkpoint, model_settings(read_json(checkpoint / "config.json"))).eval()
    merged, _ = load_for_inference(preferred, print)
    tokens = torch.randint(merged.config.vocabulary_size, (2, 32))
    with torch.inference_mode():
        torch.testing.assert_close(merged(tokens), unmerged.body(tokens), rtol=0, atol=1e-5)


def test_the_report_tells_of_it(
    assistant: Path, preferred: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, words in (
        (assistant, ("The conversations", "Its answers", "right to the letter", "nats per answer token", "chat")),
        (preferred, ("The preferences", "What it prefers", "margin", "nats per pair of answers")),
    ):
        assert run(["report", str(folder)]) == 0
        told = capsys.readouterr().out
        assert "never seen" in told
        page = (folder / "report.html").read_text("utf-8")
        for word in words:
            assert word in page, word
        for word in ("Could not read", "has not been measured"):
            assert word not in page, word
    assert run(["report", str(assistant), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact_match"] > 0.8
    assert run(["runs", str(assistant.parent), "--html", str(tmp_path / "runs.html")]) == 0
    assert run(["config", "show", "--run", str(preferred)]) == 0


def test_a_rate_is_found_for_it(assistant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rate", str(assistant), "--steps", "20"]) == 0
    assert "--training.learning-rate" in capsys.readouterr().out


def test_its_own_configuration_makes_it_again(preferred: Path, assistant: Path, files: Path, tmp_path: Path) -> None:
    again = ["finetune", "preferences", str(assistant), str(files / "preferences.jsonl")]
    options = ["--config", str(preferred / "config.toml"), "--out", str(tmp_path / "again")]
    assert run([*again, *options]) == 0
    assert result_of(tmp_path / "again")["preferences"] == result_of(preferred)["preferences"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model.length=99"], "the base reads 32 tokens at most"),
        (["--model.length=5"], "no answer for train has room in 5 tokens"),
        (["--train=lora", "--model.lora-rank=64"], "no linear layer"),
        (["--conversations.validation-file=absent.json"], "there is no file absent.json"),
        (["--training.compile=on"], "of many lengths"),
        (["--model.dropout=0.1"], "that of its base"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: list[str], said: str, finished_run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in fail(
        instructions(finished_run, files, tmp_path / "out", *options), capsys, 1 if "room" in said else 2
    )


def test_faults_of_files_are_one_line_and_can_be_skipped(
    finished_run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jsonl"
    lines = [json.dumps(one) for one in json.loads((files / "instructions.json").read_text("utf-8"))]
    broken.write_text("\n".join([*lines[:6], '{"messages": [{"role": "user", "content": "a"}]}', *lines[6:]]), "utf-8")
    command = ["finetune", "instructions", str(finished_run), str(broken), *with_options("--training.steps=2")]
    command += ["--out", str(tmp_path / "out")]
    assert "broken.jsonl, line 7 is a conversation with no answer" in fail(command, capsys)
    assert not (tmp_path / "out").exists()  # so that the same command can be given again, as it was told
    assert run([*command, "--conversations.malformed=skip"]) == 0
    manifest = json.loads((tmp_path / "out" / "conversations" / "manifest.json").read_text("utf-8"))
    assert manifest["left_out"]["malformed"] == 1


LONG = "word " * 200
SAID = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("kind", "lines", "said"),
    [
        ("instructions", [], "some.jsonl is empty"),
        ("instructions", ["{"], "line 7 is not JSON"),
        ("instructions", ['{"messages": []}'], "line 7 is a conversation with no answer"),
        ("instructions", [{"messages": SAID[::-1]}], "line 7 has its roles in an impossible order"),
        ("instructions", [{"messages": [*SAID, {"role": "tool", "content": "c"}]}], "line 7 has 'tool' for the role"),
        (
            "instructions",
            [{"prompt": "a", "chosen": "b", "rejected": "c"}],
            "line 7 is no conversation (it has 'prompt'",
        ),
        ("instructions", [{"text": "a", "label": "b"}], "line 7 is no conversation (it has 'text', 'label')"),
        ("instructions", [{"instruction": "a"}], "line 7 is no conversation (it has 'instruction')"),
        ("preferences", [], "some.jsonl is empty"),
        ("preferences", ["[1"], "line 7 is not JSON"),
        ("preferences", [{"instruction": "a", "output": "b"}], "line 7 has no answers chosen and rejected"),
        ("preferences", [{"prompt": "a", "chosen": "b"}], "line 7 has no answers chosen and rejected"),
        ("preferences", [{"chosen": "b", "rejected": "c"}], "line 7 has no question"),
        ("preferences", [{"prompt": [], "chosen": "b", "rejected": "c"}], "line 7 has a prompt that does not end with"),
    ],
)
def test_a_file_that_cannot_be_learned_from_is_one_line_and_leaves_nothing(
    kind: str, lines: list[Any], said: str, finished_run: Path, files: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    good = [{"instruction": f"Say {number}", "output": "a", "chosen": "a", "rejected": "b"} for number in range(6)]
    told = [one if isinstance(one, str) else json.dumps(one) for one in (*good, *lines)]
    (tmp_path / "some.jsonl").write_text("\n".join(told) if lines else "\n", "utf-8")
    out = tmp_path / "out"
    command = ["finetune", kind, str(finished_run), str(tmp_path / "some.jsonl"), "--out", str(out)]
    assert said in fail(command, capsys)
    assert not out.exists()


def test_an_answer_longer_than_the_context_is_cut_and_told(
    finished_run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = json.loads((files / "instructions.json").read_text("utf-8"))
    entries += [{"instruction": "Say it", "output": LONG}, {"instruction": LONG, "output": "no room"}]
    (tmp_path / "some.json").write_text(json.dumps(entries), "utf-8")
    command = ["finetune", "instructions", str(finished_run), str(tmp_path / "some.json")]
    assert run([*command, "--out", str(tmp_path / "out"), *with_options("--training.steps=1")]) == 0
    told = capsys.readouterr().err
    assert "1 have their last answer cut, 1 have no room for an answer and are left out" in told


def test_no_file_no_base_and_another_base_are_one_line(
    assistant: Path, finished_run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no FILE" in fail(["finetune", "instructions", str(finished_run)], capsys, 2)
    absent = ["finetune", "preferences", str(tmp_path / "no"), str(files / "preferences.jsonl")]
    assert "there is no run folder" in fail(absent, capsys, 2)
    bare = ["train", str(files / "instructions.json"), "--model.architecture=assistant", "--out", str(tmp_path / "x")]
    assert "homespun finetune instructions BASE" in fail(bare, capsys, 2)


@pytest.mark.parametrize("file", ["rows/train.tokens", "base/model.safetensors", "reference/validation.npy"])
def test_damage_is_named(preferred: Path, tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    copy = unfinished_copy(preferred, tmp_path)
    raw = bytearray((copy / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / file).write_bytes(raw)
    assert f"{Path(file).name} is damaged" in fail(["train", "--resume", str(copy)], capsys)
