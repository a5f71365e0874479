"""ViT in Hugging Face's layout, both ways against the library: logits, pixels, names of classes; and clear refusals."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from homespun.batches.images import inputs_of
from homespun.cli.main import run
from homespun.common.errors import HomespunError, UsageError
from homespun.common.progress import Silent
from homespun.images.read import read_pictures
from homespun.inference.load import load_for_images
from homespun.interchange.export import Exported, export_model
from homespun.interchange.formats import FORMATS, recognize
from homespun.interchange.forms import model_of
from homespun.interchange.huggingface import writing
from homespun.interchange.huggingface.companions import images as image_files
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.models.settings import ViTConfig
from homespun.models.vit import ViT
from tests.images.conftest import png_bytes
from tests.interchange.conftest import randomize

pytestmark = pytest.mark.filterwarnings("ignore")

MODEL, CONFIG, PIXELS = "model.safetensors", "config.json", "preprocessor_config.json"
LABELS = ("cat", "dog", "a crane", "a crane", "Öl")
COLOUR = ViTConfig(
    image_size=12, patch_size=3, channels=3, classes=5, labels=LABELS, layers=2, width=24, heads=3,
    feedforward_width=72, norm_epsilon=1e-5, dropout=0.1,
)  # fmt: skip
GREY = ViTConfig(image_size=8, patch_size=2, channels=1, classes=2, layers=3, width=32, heads=4)
SHAPES = pytest.mark.parametrize("config", [COLOUR, GREY], ids=["colour", "grey"])


def our_model(config: ViTConfig = COLOUR) -> ViT:
    model = randomize(ViT(config))
    assert isinstance(model, ViT)
    return model


def export(model: ViT, path: Path, name: str = "huggingface", **options: Any) -> Exported:
    return export_model(model, None, FORMATS[name], path, Writing(**options), Silent())


def pixels_of(config: ViTConfig, count: int = 3, seed: int = 1) -> np.ndarray:
    """Pictures (N, S, S, K)."""
    shape = (count, config.image_size, config.image_size, config.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_png(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(png_bytes(pixels, {1: 0, 3: 2}[pixels.shape[2]]))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good folder, without the checksums that would notice every change."""
    export(our_model(), tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    return tmp_path / "model"


def read(path: Path, **options: Any) -> Weights:
    return recognize(path).read(path, Reading(**options))


@SHAPES
def test_what_homespun_exported(transformers: ModuleType, config: ViTConfig, tmp_path: Path) -> None:
    ours, out = our_model(config), tmp_path / "out"
    done = export(ours, out)
    assert done.verified.exact and done.verified.difference == 0
    assert set(done.files) == {MODEL, CONFIG, PIXELS, "manifest.json"}
    assert done.verified.words().endswith(f"of 4 images within 0, sizes and names of {config.classes} classes equal")
    for kind in (transformers.ViTForImageClassification, transformers.AutoModelForImageClassification):
        theirs, report = kind.from_pretrained(out, attn_implementation="eager", output_loading_info=True)
        assert not any(report.values())
    images = inputs_of(pixels_of(config))
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs.eval()(images).logits, rtol=1e-4, atol=1e-4)
    assert tuple(theirs.config.id2label.values()) == (config.labels or ("LABEL_0", "LABEL_1"))
    assert theirs.config.hidden_dropout_prob == config.dropout


@SHAPES
def test_the_library_sees_the_same_pixels(transformers: ModuleType, config: ViTConfig, tmp_path: Path) -> None:
    export(our_model(config), tmp_path / "out")
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
    for number, pixels in enumerate(pixels_of(config, 4)):
        path = write_png(tmp_path / f"{number}.png", pixels)
        found = theirs(Image.open(path), return_tensors="pt")["pixel_values"]
        ours = inputs_of(read_pictures(path, config.image_size, config.channels).pixels)
        torch.testing.assert_close(found.float(), ours, rtol=0, atol=1e-6)
    # A picture of another size is not resized there, as it is not here.
    larger = Image.fromarray(np.zeros((20, 30, 3) if config.channels == 3 else (20, 30), np.uint8))
    assert theirs(larger, return_tensors="pt")["pixel_values"].shape[2:] == (20, 30)


@SHAPES
@pytest.mark.parametrize("old", [True, False], ids=["names in files", "names in memory"])
def test_what_the_library_saved(transformers: ModuleType, config: ViTConfig, old: bool, tmp_path: Path) -> None:
    shape = transformers.ViTConfig(
        image_size=config.image_size, patch_size=config.patch_size, num_channels=config.channels, hidden_size=32,
        num_hidden_layers=2, num_attention_heads=2, intermediate_size=50, hidden_dropout_prob=0.2,
        id2label=dict(enumerate(config.labels)) or None, attn_implementation="eager",
    )  # fmt: skip
    theirs = randomize(transformers.ViTForImageClassification(shape))
    theirs.save_pretrained(tmp_path)
    if not old:
        save_file(dict(theirs.state_dict()), tmp_path / MODEL)
    told: list[str] = []
    weights = read(tmp_path, warn=told.append)
    ours = model_of(weights)
    assert ours.config == ViTConfig(
        image_size=config.image_size, patch_size=config.patch_size, channels=config.channels, classes=config.classes,
        labels=config.labels, layers=2, width=32, heads=2, feedforward_width=50, norm_epsilon=1e-12, dropout=0.2,
    )  # fmt: skip
    images = inputs_of(pixels_of(config))
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images).logits, rtol=1e-4, atol=1e-4)
    assert len(told) == 1 and "has no preprocessor_config.json" in told[0]


def test_what_the_librarys_own_processor_says(transformers: ModuleType, folder: Path) -> None:
    """Its defaults are homespun's pixels, and pictures of another size are resized, which is told."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    kind = type(processor)
    kind(size={"height": 12, "width": 12}).save_pretrained(folder)
    told: list[str] = []
    read(folder, warn=told.append)
    assert len(told) == 1 and "resizes pictures for this model to 12 x 12 pixels, homespun does not" in told[0]
    kind().save_pretrained(folder)
    with pytest.raises(HomespunError, match=r"size is .*224.*; the model itself sees 12 x 12 pixels"):
        read(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"do_resize": False, "rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 1},
        {"do_resize": False, "do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3},
        {"do_resize": False},
        {"size": 12, "image_mean": [0.5, 0.5, 0.5], "feature_extractor_type": "ViTFeatureExtractor"},
        {"size": {"height": 12, "width": 12}, "image_processor_type": "ViTImageProcessorFast"},
    ],
)
def test_the_same_pixels_in_other_words(values: dict[str, Any], folder: Path) -> None:
    (folder / PIXELS).write_text(json.dumps(values))
    assert read(folder).config == COLOUR


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"image_mean": [0.485, 0.456, 0.406]}, "image_mean 0.485 and image_std 0.5 bring pixels to -0.97 … 1.03"),
        ({"image_std": [0.5, 0.5, 0.229]}, "image_mean 0.5 and image_std 0.229 bring pixels to -2.183 … 2.183"),
        ({"image_std": 0}, "image_std is 0; it must be more than 0"),
        ({"image_mean": [0.5]}, "image_mean is [0.5]; it must be a number for each of the 3 channels"),
        ({"image_mean": [0.5, 0.5, 10**400]}, "it must be a number for each of the 3 channels of the model"),
        ({"image_mean": "grey"}, "image_mean is 'grey'; it must be a number"),
        ({"rescale_factor": 1.0}, "bring pixels to -1 … 509; homespun shows its models -1 … 1"),
        ({"do_rescale": False}, "bring pixels to -1 … 509"),
        ({"do_normalize": False}, "bring pixels to 0 … 1"),
        ({"do_normalize": 1}, "do_normalize is 1; it must be true or false"),
        ({"do_resize": True, "size": {"height": 24, "width": 24}}, "size is {'height': 24"),
        ({"do_resize": True, "size": {"shortest_edge": 12}}, "size is {'shortest_edge': 12}"),
        ({"do_center_crop": True}, "do_center_crop is True; homespun computes only false"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order is True"),
        ({"image_processor_type": "BitImageProcessor"}, "image_processor_type is 'BitImageProcessor'"),
    ],
)
def test_pixels_that_homespun_does_not_make(values: dict[str, Any], says: str, folder: Path) -> None:
    change(folder / PIXELS, **values)
    line = complaint(folder)
    assert says in line and PIXELS in line


def change(path: Path, **values: Any) -> None:
    """Change keys of a JSON file; None takes them out."""
    found = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


def complaint(path: Path, error: type[HomespunError] = HomespunError, **options: Any) -> str:
    """The one line."""
    with pytest.raises(error) as raised:
        read(path, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'; homespun computes only \"gelu\""),
        ({"qkv_bias": False}, "qkv_bias is False"),
        ({"architectures": ["ViTModel"]}, "unknown architectures"),
        ({"image_size": [12, 12]}, "image_size is [12, 12]; it must be a whole number"),
        ({"image_size": 13}, "model.image_size 13 does not divide into model.patch_size 3"),
        (
            {"image_size": 15},
            "vit.embeddings.position_embeddings has shape (1, 17, 24), the configuration needs (1, 26",
        ),
        ({"num_attention_heads": 5}, "model.width 24 does not divide into model.heads 5"),
        ({"num_channels": 4}, "image_mean is [0.5, 0.5, 0.5]; it must be a number for each of the 4 channels"),
        ({"patch_size": 6}, "projection.weight has shape (24, 3, 3, 3), the configuration needs (24, 3, 6, 6)"),
        ({"num_hidden_layers": 3}, "lacks the tensor vit.encoder.layer.2."),
        ({"hidden_size": 3 << 38}, "the configuration"),
        ({"image_size": 3 << 30}, "the configuration"),
        ({"id2label": {"0": "cat"}}, "classifier.weight has shape (5, 24), the configuration needs (1, 24)"),
        ({"id2label": {"1": "cat", "2": "dog"}}, "id2label is {'1': 'cat'"),
        ({"id2label": {"0": "cat", "1": 7}}, "it must be a printable name for each class, numbered from 0"),
        ({"id2label": {"0": "cat", "1": "dog\n"}}, "it must be a printable name for each class"),
        ({"id2label": ["cat", "dog"]}, "id2label is ['cat', 'dog']"),
        ({"id2label": {}}, "id2label is {}"),
    ],
)
def test_a_model_that_homespun_does_not_compute(values: dict[str, Any], says: str, folder: Path) -> None:
    change(folder / CONFIG, **values)
    assert says in complaint(folder)


PROJECTION = "vit.embeddings.patch_embeddings.projection.weight"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vit.layernorm.weight": None}, "lacks the tensor vit.layernorm.weight, which the configuration asks for"),
        ({"classifier.bias": None}, "lacks the tensor classifier.bias, which the configuration asks for"),
        ({"classifier.weight": None}, "lacks the tensor classifier.weight, which the configuration asks for"),
        ({"vit.pooler.dense.weight": torch.zeros(24, 24)}, "has the tensor vit.pooler.dense.weight, which a vit of"),
        ({"vit.embeddings.cls_token": torch.zeros(1, 1, 7)}, "cls_token has shape (1, 1, 7), the configuration needs"),
        ({PROJECTION: torch.zeros(24, 27)}, "has shape (24, 27), the configuration needs (24, 3, 3, 3)"),
        ({PROJECTION: torch.zeros(24, 3, 3, 3, dtype=torch.int32)}, "has the type I32"),
        ({PROJECTION: torch.full((24, 3, 3, 3), torch.nan)}, "648 of the numbers of"),
        ({"vit.layers.0.mlp.fc1.bias": torch.zeros(72)}, "has vit.encoder.layer.0.intermediate.dense.bias twice"),
    ],
)
def test_tensors_that_do_not_fit(changes: dict[str, torch.Tensor | None], says: str, folder: Path) -> None:
    found = load_file(folder / MODEL) | changes
    save_file({name: tensor for name, tensor in found.items() if tensor is not None}, folder / MODEL)
    line = complaint(folder)
    assert says in line and MODEL in line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"context": 9}, "leave out --context"),
        ({"tokenizer": Path("x")}, "leave out --tokenizer"),
        ({"end_of_text": "x"}, "leave out --end-of-text"),
    ],
)
def test_options_of_text(options: dict[str, Any], says: str, folder: Path) -> None:
    assert says in complaint(folder, UsageError, **options)


def test_an_adapter_has_no_place(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "adapter").mkdir()
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["query"], "bias": "none"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    name = "base_model.model.vit.encoder.layer.0.attention.attention.query.lora_"
    factors = {f"{name}A.weight": torch.zeros(2, 24), f"{name}B.weight": torch.zeros(24, 2)}
    save_file(factors, tmp_path / "adapter" / "adapter_model.safetensors")
    options = ["--adapter", str(tmp_path / "adapter"), "--out", str(tmp_path / "run")]
    assert run(["import", str(folder), *options]) == 1
    assert "adapters are merged into models of text, not of images" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("labels", [("LABEL_0", "LABEL_1"), ("a", "b\nc")])
def test_names_that_would_not_come_back(labels: tuple[str, ...], tmp_path: Path) -> None:
    model = our_model(replace(GREY, labels=labels))
    with pytest.raises(HomespunError, match=r"model.labels has names that .* --format safetensors keeps the model"):
        export(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    export(model, tmp_path / "out", "safetensors")


def test_numbers_of_half_the_length_and_shards(transformers: ModuleType, tmp_path: Path) -> None:
    done = export(our_model(), tmp_path / "out", number="BF16", shard_bytes=9_000)
    assert not done.verified.exact and len(list((tmp_path / "out").glob("model-0*.safetensors"))) > 1
    theirs = transformers.ViTForImageClassification.from_pretrained(tmp_path / "out")
    assert theirs.dtype == torch.bfloat16


def test_what_was_not_written_as_meant_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = writing.rounded
    with monkeypatch.context() as patch:
        patch.setattr(writing, "rounded", lambda tensor, kind, name: honest(tensor.flip(-1), kind, name))
        refused(tmp_path, "the numbers of the tensor class_token are others")
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "MEAN", 0.25)
        refused(tmp_path, "bring pixels to")


def refused(folder: Path, says: str) -> None:
    """An export that fails for this reason, and leaves nothing."""
    with pytest.raises(HomespunError, match=says):
        export(our_model(), folder / "out")
    assert list(folder.iterdir()) == []


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A run folder of our model, which came as somebody else's."""
    export(our_model(), tmp_path / "shared")
    assert run(["import", str(tmp_path / "shared"), "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_an_imported_run_has_the_same_weights(capsys: pytest.CaptureFixture[str], imported: Path) -> None:
    assert ", 5 classes, images of 12 x 12 pixels in colour; every tensor there" in capsys.readouterr().out
    model = load_for_images(imported, lambda text: pytest.fail(text))
    assert model.config == COLOUR
    for (name, found), (_, wanted) in zip(model.named_parameters(), our_model().named_parameters(), strict=True):
        assert torch.equal(found, wanted), name
    assert not list(imported.rglob("tokenizer.json"))
    for command in (["report", str(imported)], ["config", "show", "--run", str(imported)]):
        assert run(command) == 0
    assert "This run has no images of its own" in (imported / "report.html").read_text("utf-8")
    assert run(["train", "--resume", str(imported)]) == 2
    assert run(["generate", str(imported), "--prompt", "a"]) == 2


def test_it_names_what_pictures_show(imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = pixels_of(COLOUR, 1)
    picture = write_png(tmp_path / "picture.png", pixels[0])
    capsys.readouterr()
    assert run(["classify-image", str(imported), str(picture), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    with torch.inference_mode():
        chances = our_model()(inputs_of(pixels))[0].softmax(-1).tolist()
    # Two classes have one name, and are told apart by their numbers.
    names = ("cat", "dog", "a crane (2)", "a crane (3)", "Öl")
    assert answer["classes"] == pytest.approx(dict(zip(names, chances, strict=True)), abs=1e-5)
    assert run(["classify-image", str(imported), str(write_png(tmp_path / "grey.png", pixels[0, ..., :1]))]) == 1
    assert "the model was trained on 12 x 12 pixels in colour" in capsys.readouterr().err


def test_it_goes_out_again_to_the_bit(imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = tmp_path / "shared"
    for name in ("huggingface", "safetensors"):
        again, back = tmp_path / name, tmp_path / f"run-{name}"
        assert run(["export", str(imported), "--format", name, "--out", str(again)]) == 0
        assert "tensors equal to the bit, logits of 4 images within 0" in capsys.readouterr().out
        assert run(["import", str(again), "--out", str(back), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["architecture"], found["classes"], found["image_size"], found["channels"]) == ("vit", 5, 12, 3)
        assert run(["export", str(back), "--format", "huggingface", "--out", str(tmp_path / f"last-{name}")]) == 0
        capsys.readouterr()
        for file in shared.iterdir():
            assert (tmp_path / f"last-{name}" / file.name).read_bytes() == file.read_bytes()
    assert run(["export", str(imported), "--format", "gguf", "--nearest-split", "--out", str(tmp_path / "gguf")]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("homespun: a model of the architecture vit cannot be written as GGUF")
