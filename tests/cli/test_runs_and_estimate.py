"""``homespun runs`` and ``homespun estimate`` as typed: their words, their JSON, their complaints, and no torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from homespun.cli.main import run

GPT3 = [
    "--model.layers=96", "--model.width=12288", "--model.heads=96", "--model.feedforward=gelu",
    "--model.positions=learned", "--model.normalization=layer", "--model.biases", "--model.no-query-key-norm",
    "--model.vocabulary-size=50257", "--model.context=2048",
]  # fmt: skip
V100 = ["--tokens=300e9", "--gpu=v100", "--gpu-tflops=28", "--utilization=1", "--price-per-hour=1.5"]


def put_run(folder: Path, loss: float, **settings: object) -> None:
    """The files of a run that a comparison reads."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"format": 1, "name": folder.name, "state": "training"}))
    (folder / "model.json").write_text('{"parameters": 1234567}')
    values = {"width": 64, "layers": 2} | settings
    (folder / "config.toml").write_text("[model]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()))
    lines = [
        {"kind": kind, "step": step, "tokens": step * 64, "seconds": step * 0.6, "loss": loss + 10 / step}
        | ({"bits_per_byte": (loss + 10 / step) / 2} if kind == "validation" else {"tokens_per_second": 106.0})
        for step in (100, 200)
        for kind in ("train", "validation")
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``runs/``: two that can be compared, and one that is damaged."""
    monkeypatch.chdir(tmp_path)
    put_run(tmp_path / "runs" / "first", 3.0)
    put_run(tmp_path / "runs" / "second", 2.0, width=128)
    put_run(tmp_path / "runs" / "damaged", 1.0)
    (tmp_path / "runs" / "damaged" / "run.json").write_text("{")
    return tmp_path


def output(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What a command that succeeds writes to standard output and to standard error."""
    capsys.readouterr()
    assert run(arguments) == 0
    return capsys.readouterr()


def test_runs_prints_a_table_with_the_best_first(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = output(["runs"], capsys)
    table, settings = (part.splitlines() for part in out.strip().split("\n\n"))
    assert [line.split()[0] for line in table] == ["run", "second", "first"]
    figures = "second  training      1.23 M  12.8 k        2       107           2.050   2.050          1.025   1.025"
    assert table[1].split() == figures.split()
    assert len({len(line) for line in table}) == 1  # numbers stand under each other
    assert settings[1:] == ["second  model.width 128", "first   model.width 64"]
    assert err.splitlines() == [
        "warning: runs/damaged is left out: it has no whole run.json (run.json (damaged))"
    ]  # fmt: skip


def test_runs_in_a_terminal_says_the_same(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = output(["runs"], capsys)
    monkeypatch.setattr("homespun.cli.runs.is_watched", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "150")
    rich, _ = output(["runs"], capsys)
    assert rich.split() == plain.split()


def test_runs_for_programs_and_as_a_page(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = output(["runs", "runs", "--json", "--html", "page.html"], capsys)
    result = json.loads(out)
    assert [one["name"] for one in result["runs"]] == ["second", "first"]
    assert result["runs"][1]["differences"] == {"model.width": 64}
    assert result["runs"][1]["validation_loss"] == 3.05 and result["runs"][1]["seconds_training"] == 120.0
    assert len(result["left_out"]) == 1 and "page: page.html" in err
    page = (place / "page.html").read_text("utf-8")
    assert "second" in page and "<svg" in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_runs_of_chosen_folders(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = output(["runs", "runs/first"], capsys)
    assert "first" in out and "second" not in out and "settings" not in out and err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs", "absent"], "there is no folder absent"),
        (["runs", "empty"], "no run below empty"),
        (["runs"], "there is no folder runs"),
        (["estimate", "--gpu", "tpu"], "--gpu tpu is not known"),
        (["estimate", "--tokens", "0"], "--tokens is 0.0"),
        (["estimate", "--minutes", "nan"], "--minutes is nan"),
        (["estimate", "--tokens", "1e9", "--minutes", "5"], "not both"),
        (["estimate", "--gpus", "0"], "--gpus is 0"),
        (["estimate", "--model.width", "100", "--model.heads", "3"], "model.heads"),
    ],
)
def test_wrong_calls_get_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_runs_into_a_folder_that_is_not_there_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "--html", "absent/page.html"]) == 1
    assert "absent" in capsys.readouterr().err.splitlines()[-1]


def test_estimate_tells_the_figures_of_gpt3(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = output(["estimate", *GPT3, *V100], capsys)
    lines = {line[:8].strip(): line[8:] for line in out.splitlines() if not line.startswith(" ")}
    assert lines["model"] == "175 G parameters"
    assert "3.19e+23 in all" in lines["work"] and "3.14e+23" in lines["work"]
    assert lines["price"].startswith("4,740,526 for ")
    assert "none" in out.splitlines()[-1] and "sharded" not in out and err == ""


def test_estimate_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = output(["estimate", *GPT3, *V100, "--gpus=1024", "--json"], capsys)
    result = json.loads(out)
    assert result["rule_of_thumb_flops"] == pytest.approx(3.14e23, rel=0.005)
    assert result["price"] == pytest.approx(4.6e6, rel=0.035)
    assert result["days"] * 1024 * 24 * 1.5 == pytest.approx(result["price"])
    assert result["cluster"]["gpu"] == {"tflops": 28.0, "memory_gb": 16.0}
    whole, share = result["layouts"]["replicated"], result["layouts"]["sharded"]
    assert whole["weights"] == 4 * result["parameters"] == 1024 * share["weights"]
    parts = {key: value for key, value in share.items() if key not in ("total", "micro_batch")}
    assert share["total"] == sum(parts.values())


def test_estimate_by_minutes_reads_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.toml").write_text("[model]\nwidth = 512\n[training]\nrecompute = true\n")
    shape = ["estimate", "--config", str(tmp_path / "recipe.toml"), "--gpus=8", "--json"]
    by_time = json.loads(output([*shape, "--minutes=90"], capsys)[0])
    assert by_time["seconds"] == pytest.approx(90 * 60)
    by_tokens = json.loads(output([*shape, f"--tokens={by_time['tokens']!r}"], capsys)[0])
    assert by_tokens["seconds"] == pytest.approx(90 * 60) and by_tokens["price"] == 0
    narrow = json.loads(output([*shape, "--model.width=256"], capsys)[0])
    assert narrow["parameters"] < by_time["parameters"] and narrow["tokens"] == 20 * narrow["parameters"]


@pytest.mark.parametrize("arguments", [["estimate"], ["estimate", "--help"], ["runs", "--help"], ["runs"]])
def test_neither_imports_torch(arguments: list[str], place: Path) -> None:
    program = (
        "import sys; from homespun.cli.main import run\n"
        f"code = run({arguments!r})\n"
        "sys.exit(str((code, [name for name in ('torch', 'numpy', 'pyarrow') if name in sys.modules])))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.stderr.splitlines()[-1] == "(0, [])"


def test_a_preset_is_a_layer_below_the_file_and_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text("[model]\nlayers = 3\n")
    shape = ["config", "show", "--json", "--preset", "gpt2", "--config", str(tmp_path / "recipe.toml")]
    rows = json.loads(output([*shape, "--model.heads=6"], capsys)[0])
    assert rows["model.width"] == {"value": 768, "origin": "preset gpt2"}
    assert rows["model.layers"] == {"value": 3, "origin": str(tmp_path / "recipe.toml")}
    assert rows["model.heads"] == {"value": 6, "origin": "command line"}
    assert rows["training.steps"]["origin"] == "default"


def test_a_preset_priced(capsys: pytest.CaptureFixture[str]) -> None:
    """Brown et al. 2020, table D.1; and the price that was worked out for it in 2020."""
    out, _ = output(["estimate", "--preset", "gpt3-175b", *V100, "--gpus=1024", "--json"], capsys)
    result = json.loads(out)
    assert result["rule_of_thumb_flops"] == pytest.approx(3.14e23, rel=0.002)
    assert result["flops"] == pytest.approx(3.14e23, rel=0.02)
    assert result["price"] == pytest.approx(4.6e6, rel=0.035)
    assert result["cache"] == 2 * 2 * 96 * 12_288 * 2048
