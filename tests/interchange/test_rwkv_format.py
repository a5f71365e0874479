"""RWKV-7's own format: written and read back to the bit; what is wrong with a file is one line that names it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.cli.main import run
from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.progress import Silent
from homespun.inference.load import load_for_inference
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS, recognize
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.models.rwkv import RWKV
from homespun.models.settings import RWKVConfig
from homespun.tokenizer.formats.huggingface import write_huggingface
from tests.interchange.conftest import TOKENIZER, our_model, randomize

CONFIG = RWKVConfig(vocabulary_size=TOKENIZER.vocabulary_size, context=24, layers=2, width=32, head_width=8)
Tensors = dict[str, torch.Tensor]


def export(model: Any, path: Path, **options: Any) -> Any:
    return export_model(model, TOKENIZER, FORMATS["rwkv"], path, Writing(**options), Silent())


def read(path: Path, **options: Any) -> Weights:
    found = recognize(path)
    assert found.name == "rwkv"
    return found.read(path, Reading(**options))


@pytest.fixture(scope="module")
def model() -> RWKV:
    return randomize(RWKV(CONFIG))  # type: ignore[return-value]


@pytest.fixture
def folder(model: RWKV, tmp_path: Path) -> Path:
    """An export without its manifest: somebody else's, as far as the reader can tell."""
    export(model, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    return tmp_path / "out"


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, tied_embeddings=True),
        replace(CONFIG, layers=1),
        replace(CONFIG, feedforward_width=40, decay_rank=5, rate_rank=6, value_rank=7, gate_rank=8),
    ],
)
def test_what_is_written_is_read_to_the_bit(tmp_path: Path, config: RWKVConfig) -> None:
    model = randomize(RWKV(config))
    done = export(model, tmp_path / "out")
    assert done.verified.exact and done.verified.difference == 0
    found = read(tmp_path / "out")
    assert found.config == config
    assert all(torch.equal(found.tensors[name], value) for name, value in model.named_parameters())


def test_names_and_shapes_are_the_authors(folder: Path) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(folder / "model.safetensors").items()}
    assert shapes["emb.weight"] == shapes["head.weight"] == (CONFIG.vocabulary_size, 32)
    assert shapes["blocks.0.ln0.weight"] == shapes["ln_out.bias"] == (32,)
    block = {name.removeprefix("blocks.1."): shape for name, shape in shapes.items() if name.startswith("blocks.1.")}
    vectors = ["x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0", "v0", "k_k", "k_a"]
    low_rank = {f"att.{letter}{end}": (32, 32) for letter in "wavg" for end in "12"}
    assert block == {
        **{f"att.{name}": (1, 1, 32) for name in vectors}, **low_rank, "att.r_k": (4, 8),
        **{f"att.{name}.weight": (32, 32) for name in ("receptance", "key", "value", "output")},
        **{f"{norm}.{part}": (32,) for norm in ("ln1", "ln2", "att.ln_x") for part in ("weight", "bias")},
        "ffn.x_k": (1, 1, 32), "ffn.key.weight": (128, 32), "ffn.value.weight": (32, 128),
    }  # fmt: skip
    assert not any(name.startswith("blocks.0.att.v") and name[-1] in "012" for name in shapes)


def test_other_programs_leave_other_shapes_types_and_useless_tensors(model: RWKV, folder: Path) -> None:
    path = folder / "model.safetensors"
    theirs = {name: tensor.squeeze().bfloat16() for name, tensor in load_file(path).items()}
    for part in "012":
        theirs[f"blocks.0.att.v{part}"] = torch.zeros(3)
    save_file({name: tensor.contiguous() for name, tensor in theirs.items()}, path)
    found = read(path, context=512)
    assert found.config == replace(CONFIG, context=512)
    assert read(path).config.context == 4096
    assert all(torch.equal(found.tensors[name], value.bfloat16().float()) for name, value in model.named_parameters())


def test_a_head_of_another_type_is_not_the_embedding(model: RWKV, folder: Path) -> None:
    path = folder / "model.safetensors"
    theirs = load_file(path)
    theirs["head.weight"] = theirs["emb.weight"].bfloat16()
    save_file(theirs, path)
    found = read(path)
    assert not found.config.tied_embeddings
    assert torch.equal(found.tensors["head.weight"], theirs["head.weight"].float())


@pytest.mark.parametrize("context", ["0", "-3", "many", "9" * 5000, "²"])
def test_a_context_that_makes_no_sense_is_not_believed(folder: Path, context: str) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path), path, {"context": context})
    assert read(path).config.context == 4096


def test_rows_that_stand_for_no_token_are_left_out(folder: Path) -> None:
    path, warnings = folder / "model.safetensors", list[str]()
    theirs = load_file(path)
    for name in ("emb.weight", "head.weight"):
        theirs[name] = torch.cat((theirs[name], torch.ones(5, 32)))
    save_file(theirs, path)
    assert read(folder, warn=warnings.append).config.vocabulary_size == CONFIG.vocabulary_size
    assert warnings[0].startswith("the last 5 rows of the embedding")
    theirs["emb.weight"] = torch.ones(5, 32)
    save_file(theirs, path)
    with pytest.raises(HomespunError, match="they do not belong together"):
        read(folder)


def test_the_whole_way_through_the_command_line(model: RWKV, folder: Path, tmp_path: Path) -> None:
    """Weights that lie alone, a tokenizer that is named; then out again."""
    alone, other = tmp_path / "alone", tmp_path / "other.json"
    alone.mkdir()
    (folder / "model.safetensors").rename(alone / "RWKV-x070-Tiny.safetensors")
    write_huggingface(TOKENIZER.vocabulary, other)
    options = ["--out", str(tmp_path / "run"), "--tokenizer", str(other)]
    assert run(["import", str(alone / "RWKV-x070-Tiny.safetensors"), *options]) == 0
    found, _ = load_for_inference(tmp_path / "run", lambda text: pytest.fail(text))
    assert found.config == model.config
    assert (
        run(["export", str(tmp_path / "run"), "--format", "rwkv", "--number", "bf16", "--out", str(tmp_path / "x")])
        == 0
    )
    with pytest.raises(UsageError, match=r"has no tokenizer.json; name one with --tokenizer"):
        read(alone)


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}


def with_(name: str, tensor: torch.Tensor) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name: tensor}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("emb.weight"), "lacks the tensor emb.weight"),
        (without("head.weight"), "lacks the tensor head.weight"),
        (without("blocks.1.att.x_g"), "lacks the tensor blocks.1.att.x_g"),
        (with_("blocks.0.att.q_k", torch.zeros(2)), "a tensor blocks.0.att.q_k that RWKV-7 does not have"),
        (with_("blocks.99999.ln1.weight", torch.zeros(32)), "blocks.99999 and none of blocks.2"),
        (with_("blocks.1.att.key.weight", torch.zeros(32, 31)), r"att.key.weight has shape \(32, 31\).*\(32, 32\)"),
        (with_("blocks.0.att.r_k", torch.zeros(4, 9)), "4 heads of 9 channels"),
        (with_("blocks.0.att.r_k", torch.zeros(32)), r"r_k has shape \(32,\); it must be a matrix"),
        (with_("blocks.1.att.w0", torch.zeros(32, dtype=torch.int64)), "blocks.1.att.w0 has the type I64"),
        (with_("blocks.1.att.w0", torch.full((32,), torch.nan)), "blocks.1.att.w0 has numbers that are infinite"),
    ],
)
def test_damage_is_one_line_that_names_the_tensor(
    folder: Path, change: Callable[[Tensors], Tensors], says: str
) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)
    with pytest.raises(DamagedFileError, match=says) as raised:
        read(folder)
    assert "\n" not in str(raised.value)


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    torch.save({"emb.weight": torch.zeros(2)}, tmp_path / "RWKV-x070.pth")
    for path in (tmp_path, tmp_path / "RWKV-x070.pth"):
        with pytest.raises(HomespunError, match=r"is a pickle.*torch.load\('RWKV-x070.pth', weights_only=True\)"):
            read(path)


def test_what_the_format_has_no_place_for(tmp_path: Path) -> None:
    for other, says in (
        (our_model("gpt2"), "--format rwkv is for model.architecture rwkv, this is gpt"),
        (RWKV(replace(CONFIG, norm_epsilon=1e-6)), "model.norm_epsilon is 1e-06 and not 1e-05"),
    ):
        with pytest.raises(HomespunError, match=says):
            export(other, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
