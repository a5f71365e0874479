"""RWKV-7's own format: written and read back to the bit; what is wrong with a file is one line that names it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.interchange.rwkv.file import read_rwkv, write_rwkv
from homespun.models.rwkv import RWKV
from homespun.models.settings import RWKVConfig

CONFIG = RWKVConfig(vocabulary_size=37, context=4096, layers=2, width=32, head_width=8)
Tensors = dict[str, torch.Tensor]


def tensors_of(config: RWKVConfig = CONFIG) -> Tensors:
    torch.manual_seed(4)
    return {name: torch.randn_like(value) for name, value in RWKV(config).named_parameters()}


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
    tensors = tensors_of(config)
    write_rwkv(tmp_path / "model.safetensors", config, tensors)
    found_config, found = read_rwkv(tmp_path / "model.safetensors")
    assert found_config == config
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    RWKV(found_config).load_state_dict(found, strict=config.tied_embeddings is False)


def test_names_and_shapes_are_the_authors(tmp_path: Path) -> None:
    write_rwkv(tmp_path / "model.safetensors", CONFIG, tensors_of())
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    assert shapes["emb.weight"] == shapes["head.weight"] == (37, 32)
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


def test_other_programs_leave_other_shapes_types_and_useless_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_rwkv(path, CONFIG, tensors_of())
    theirs = {name: tensor.squeeze().bfloat16() for name, tensor in load_file(path).items()}
    for part in "012":
        theirs[f"blocks.0.att.v{part}"] = torch.zeros(3)
    save_file({name: tensor.contiguous() for name, tensor in theirs.items()}, path)
    config, found = read_rwkv(path, context=512)
    assert config == replace(CONFIG, context=512)
    assert all(torch.equal(found[name], tensor.bfloat16().float()) for name, tensor in tensors_of().items())


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
        (without("blocks.0.att.r_k"), "lacks the tensor blocks.0.att.r_k"),
        (with_("blocks.0.att.q_k", torch.zeros(2)), "a tensor blocks.0.att.q_k that RWKV-7 does not have"),
        (with_("blocks.99999.ln1.weight", torch.zeros(32)), "blocks.99999 and none of blocks.2"),
        (with_("blocks.1.att.key.weight", torch.zeros(32, 31)), r"att.key.weight has shape \(32, 31\).*\(32, 32\)"),
        (with_("blocks.0.att.r_k", torch.zeros(4, 9)), "4 heads of 9 channels"),
        (with_("blocks.0.att.r_k", torch.zeros(32)), r"r_k has shape \(32,\); it must be a matrix"),
        (with_("emb.weight", torch.zeros(37, 32, dtype=torch.int64)), "emb.weight has the type torch.int64"),
    ],
)
def test_damage_is_one_line_that_names_the_tensor(
    tmp_path: Path, change: Callable[[Tensors], Tensors], says: str
) -> None:
    path = tmp_path / "model.safetensors"
    write_rwkv(path, CONFIG, tensors_of())
    save_file(change(load_file(path)), path)
    with pytest.raises(DamagedFileError, match=says) as raised:
        read_rwkv(path)
    assert "\n" not in str(raised.value)


def test_a_file_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_rwkv(path, CONFIG, tensors_of())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(HomespunError, match=r"model\.safetensors"):
        read_rwkv(path)


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "RWKV-x070.pth"
    torch.save({"emb.weight": torch.zeros(2)}, path)
    with pytest.raises(UsageError, match=r"pickles.*convert it.*torch.load\('RWKV-x070.pth', weights_only=True\)"):
        read_rwkv(path)
