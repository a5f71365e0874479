"""A model of images goes the whole way through the command line: trained, stopped, resumed, reported, asked."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from tests.images.conftest import png_bytes, stripes
from tests.pipeline.conftest import fail, unfinished_copy

OPTIONS = [
    "--model.architecture=vit",
    "--model.width=16",
    "--model.layers=2",
    "--model.heads=2",
    "--training.steps=60",
    "--training.batch-size=16",
    "--training.warmup-steps=5",
    "--training.evaluate-every=25",
    "--training.sample-every=30",
    "--training.precision=fp32",
    "--training.attention=fused",
    "--training.compile=off",
    "--training.threads=1",
    "--training.checkpoint-seconds=0",
]
WEIGHTS = "checkpoints/step-00000060/model.safetensors"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "stripes"
    assert run(["train", str(archive), "--out", str(out), *OPTIONS]) == 0
    return out


def rows_of(folder: Path, kind: str) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [row for row in rows if row["kind"] == kind]


def test_it_learns_and_says_so(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text("utf-8"))
    assert result["validation_accuracy"] == 1.0 and result["bits_per_byte"] is None
    assert result["validation_tokens"] == 24 and result["tokens_seen"] == 60 * 16
    assert result["epochs"] == pytest.approx(60 * 16 / 96)
    validations = rows_of(finished, "validation")
    assert [row["step"] for row in validations] == [25, 50, 60]
    assert validations[-1]["loss"] < validations[0]["loss"] and "bits_per_byte" not in validations[0]
    toml = (finished / "config.toml").read_text("utf-8")
    assert 'architecture = "vit"\n' in toml and "image_size = 8\n" in toml and "classes = 3\n" in toml
    samples = [json.loads(line) for line in (finished / "samples.jsonl").read_text("utf-8").splitlines()]
    assert samples[-1]["step"] == 60 and "validation image" in samples[-1]["prompt"]
    assert samples[-1]["prompt"].rsplit(", ", 1)[1] == samples[-1]["text"].removeprefix(": ").split(" ")[0]


def test_its_checkpoint_tells_what_it_needs(finished: Path) -> None:
    folder = (finished / WEIGHTS).parent
    assert not (folder / "tokenizer.json").exists()
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["labels"] == ["across", "down", "square"] and config["architecture"] == "vit"
    record = json.loads((folder / "made_with.json").read_text("utf-8"))
    assert record["configuration"]["images.shift"] == 1 and set(record["data"]) == {
        f"{split}.{kind}.bin" for split in ("train", "validation") for kind in ("pixels", "classes")
    }


def test_resumed_it_ends_in_the_same_bits(finished: Path, tmp_path: Path) -> None:
    copy = unfinished_copy(finished, tmp_path)
    shutil.rmtree(copy / "checkpoints" / "step-00000060")
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / WEIGHTS) == sha256_of_file(finished / WEIGHTS)
    assert rows_of(copy, "validation")[-1]["loss"] == rows_of(finished, "validation")[-1]["loss"]


def test_images_of_another_shift_are_another_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = unfinished_copy(finished, tmp_path)
    record = json.loads((copy / "run.json").read_text("utf-8"))
    record["asked"]["images.shift"], record["origins"]["images.shift"] = 2, "command line"
    (copy / "run.json").write_text(json.dumps(record))
    assert "images.shift" in fail(["train", "--resume", str(copy)], capsys, 2)


@pytest.mark.parametrize("file", ["images/train.pixels.bin", "images/validation.classes.bin"])
def test_damaged_images_are_named(
    finished: Path, tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = unfinished_copy(finished, tmp_path)
    raw = bytearray((copy / file).read_bytes())
    raw[3] ^= 1
    (copy / file).write_bytes(raw)
    assert f"{Path(file).name} is damaged" in fail(["train", "--resume", str(copy)], capsys)


def test_the_report_and_the_table_of_runs_speak_of_images(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(finished)]) == 0
    told = capsys.readouterr().out
    assert "names 100" in told and "images" in told and "accuracy" in told
    page = (finished / "report.html").read_text("utf-8")
    for words in ("The images", "across", "nats per image", "homespun classify-image", "images of each class"):
        assert words in page
    for words in ("Tokens", "bits per byte", "homespun chat", "Could not read"):
        assert words not in page
    assert run(["report", str(finished), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0
    assert run(["runs", str(finished), "--html", str(tmp_path / "runs.html")]) == 0
    assert "stripes" in capsys.readouterr().out
    assert run(["config", "show", "--run", str(finished)]) == 0
    assert "model.patch_size" in capsys.readouterr().out


def test_pictures_are_named(
    finished: Path,
    archive: Path,
    picture_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture = picture_folder / "down" / "1.png"
    assert run(["classify-image", str(finished), str(picture)]) == 0
    assert capsys.readouterr().out.startswith(f"{picture}: down ")
    assert run(["classify-image", str(finished), str(picture), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert sum(answer["classes"].values()) == pytest.approx(1) and next(iter(answer["classes"])) == "down"
    assert run(["classify-image", str(finished), str(archive)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("of 120 labels named rightly: 100.00%")


def test_a_picture_that_does_not_fit_is_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(png_bytes(np.zeros((9, 9, 3), np.uint8), 2))
    assert "the model was trained on 8 x 8 pixels in grey" in fail(
        ["classify-image", str(finished), str(large)], capsys
    )
    assert "no PICTURE" in fail(["classify-image", str(finished)], capsys, 2)
    assert "there is no file" in fail(["classify-image", str(finished), str(tmp_path / "absent.png")], capsys, 2)


def test_commands_for_text_refuse_it_and_the_other_way_round(
    finished: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["generate"], ["chat"]):
        assert "reads images, not text: homespun classify-image" in fail([*command, str(finished)], capsys, 2)
    line = fail(["classify-image", str(finished_run), "x.png"], capsys, 2)
    assert "reads text, not images: homespun generate" in line


def test_it_goes_out_and_comes_back(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, _ = stripes(3, seed=4)
    picture = tmp_path / "one.png"
    picture.write_bytes(png_bytes(images[0][..., None], 0))
    answers = []
    for name in ("huggingface", "safetensors"):
        shared, back = tmp_path / name, tmp_path / f"{name}-back"
        assert run(["export", str(finished), "--format", name, "--out", str(shared)]) == 0
        assert run(["import", str(shared), "--out", str(back)]) == 0
        for folder in (finished, back):
            capsys.readouterr()
            assert run(["classify-image", str(folder), str(picture), "--json"]) == 0
            answers.append(capsys.readouterr().out)
    assert set(json.loads(answers[0])[0]["classes"]) == {"across", "down", "square"}
    assert len(set(answers)) == 1


def test_a_folder_of_pictures_by_minutes(
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_cache: None,
) -> None:
    monkeypatch.setattr("homespun.pipeline.planning.plan.LEAST_TRAINING_SECONDS", 0.5)  # a busy machine is no failure
    out = tmp_path / "timed"
    # 24 pictures are soon known by heart: then there is hardly a gradient, and what is usual says nothing.
    steady = ["--training.learning-rate=2e-3", "--training.outlier-factor=0"]
    options = [*OPTIONS[:4], *steady, "--training.threads=1", "--training.precision=fp32"]
    assert run(["build", str(picture_folder), "--minutes", "0.3", "--out", str(out), *options]) == 0
    plan = json.loads((out / "plan.json").read_text("utf-8"))
    assert plan["timed"] and plan["unit"] == "images" and plan["values"]["model.classes"] == 3
    assert plan["expected"]["tokens_per_second"] > 0 and plan["values"]["training.steps"] >= 1


def test_a_plan_alone_leaves_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    own_cache: None,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    options = ["--model.architecture=vit", "--tokens", "10000", "--plan", "--training.threads=1"]
    assert run(["build", str(archive), *options]) == 0
    assert "10,000 images" in capsys.readouterr().out.replace("9,984", "10,000").replace("10,016", "10,000")
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_the_images_is_one_line(
    archive: Path,
    tmp_path: Path,
    text_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = ["--out", str(tmp_path / "run")]
    line = fail(["train", str(archive), *out, *OPTIONS, "--model.image-size=16"], capsys, 2)
    assert "model.image_size is 16, and that of the images is 8" in line
    line = fail(["train", str(archive), "--out", str(tmp_path / "other"), *OPTIONS, "--model.patch-size=3"], capsys, 2)
    assert "does not divide into model.patch_size 3" in line
    assert "no PNG files" in fail(["train", str(text_folder), "--out", str(tmp_path / "text"), *OPTIONS], capsys, 2)
    assert "does not exist" in fail(["train", "absent.npz", "--out", str(tmp_path / "absent"), *OPTIONS], capsys, 2)
    assert not (tmp_path / "absent").exists()


def test_a_rate_is_found_for_it(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rate", str(finished), "--steps", "20"]) == 0
    assert "--training.learning-rate" in capsys.readouterr().out


def test_the_digits_of_scikit_learn_are_told_apart(tmp_path: Path) -> None:
    """In a run of seconds; docs/experiments.md has the figures of the whole recipe."""
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    np.savez(tmp_path / "digits.npz", images=(digits.images * 255 / 16).astype(np.uint8), labels=digits.target)
    steps = ["--training.steps=300", "--training.batch-size=32", "--training.learning-rate=1e-2",
             "--training.threads=1", "--training.precision=fp32", "--training.attention=fused",
             "--training.compile=off"]  # fmt: skip
    out = tmp_path / "digits"
    assert run(["train", str(tmp_path / "digits.npz"), "--out", str(out), "--model.architecture=vit", *steps]) == 0
    assert json.loads((out / "result.json").read_text("utf-8"))["validation_accuracy"] > 0.85
