"""PEFT's folders without PEFT: against sums made by hand in the base's own file, and what is refused."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from homespun.cli.main import run
from homespun.common.errors import HomespunError
from homespun.common.progress import Silent
from homespun.inference.load import load_for_inference
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.forms import forms_of, weights_of
from homespun.interchange.huggingface.families import family_of_model
from homespun.interchange.huggingface.peft.places import places_of
from homespun.interchange.huggingface.peft.reading import read_adapter
from homespun.interchange.huggingface.peft.settings import read_settings
from homespun.interchange.huggingface.peft.writing import write_adapter
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.models.adapter import Adapter, Difference, merge
from homespun.models.registry import build_model
from homespun.models.settings import BERTConfig, RWKVConfig
from tests.interchange.adapters import (
    CONFIG,
    MODEL,
    PREFIX,
    WEIGHTS,
    factors,
    linear_layers,
    random_adapter,
    write_by_hand,
)
from tests.interchange.conftest import OURS, TOKENIZER, our_model, randomize
from tests.interchange.test_commands import OPTIONS, fail

Q, K, DOWN_PROJ = (f"model.layers.1.{name}" for name in ("self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"))
A, B = f"{PREFIX}{Q}.lora_A.weight", f"{PREFIX}{Q}.lora_B.weight"


def export(name: str, folder: Path) -> Path:
    """A base, without the checksums that would notice every change."""
    export_model(our_model(name), TOKENIZER, FORMATS["huggingface"], folder, Writing(), Silent())
    (folder / "manifest.json").unlink()
    return folder


def read(base: Path) -> Weights:
    return FORMATS["huggingface"].read(base, Reading())


def merged(base: Path, folder: Path) -> dict[str, torch.Tensor]:
    """What an import makes of both."""
    weights = read(base)
    return merge(weights.tensors, read_adapter(folder, weights.config, weights.tensors))


def changed_by_hand(base: Path, differences: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The base's file with matrices (outputs, inputs) added, then read."""
    found = load_file(base / MODEL)
    is_gpt2 = "transformer.wte.weight" in found or "transformer.tokens_embed.weight" in found
    for name, one in differences.items():
        found[f"{name}.weight"] += one.T if is_gpt2 and ".h." in name else one
    save_file(found, base / MODEL)
    return read(base).tensors


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("name", OURS)
def test_every_family_against_sums_by_hand(name: str, tmp_path: Path) -> None:
    base, chance = export(name, tmp_path / "base"), torch.Generator().manual_seed(5)
    layers = linear_layers(base)
    ranks = {layer: 1 + number % 4 for number, layer in enumerate(layers)}
    pairs = {layer: factors(shape, ranks[layer], chance) for layer, shape in layers.items()}
    write_by_hand(tmp_path / "adapter", pairs, target_modules="all-linear", rank_pattern=ranks, lora_alpha=5)
    found = merged(base, tmp_path / "adapter")
    assert_same(found, changed_by_hand(base, {key: 5 / ranks[key] * up @ down for key, (down, up) in pairs.items()}))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export("llama", tmp_path_factory.mktemp("bases") / "llama")


@pytest.fixture
def adapter(llama: Path, tmp_path: Path) -> Path:
    """Two layers of the llama, of rank 3."""
    chance, layers = torch.Generator().manual_seed(2), linear_layers(llama)
    write_by_hand(tmp_path / "adapter", {layer: factors(layers[layer], 3, chance) for layer in (Q, DOWN_PROJ)})
    return tmp_path / "adapter"


def change(folder: Path, **values: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "of_q", "of_down"),
    [
        ({}, 2.0, 2.0),
        ({"lora_alpha": 7}, 7 / 3, 7 / 3),
        ({"lora_alpha": -0.5}, -0.5 / 3, -0.5 / 3),
        ({"lora_alpha": None, "r": 3}, 8 / 3, 8 / 3),
        ({"use_rslora": True}, 6 / math.sqrt(3), 6 / math.sqrt(3)),
        ({"alpha_pattern": {"q_proj": 3}}, 1.0, 2.0),
        ({"alpha_pattern": {"proj": 3}}, 2.0, 2.0),
        ({"alpha_pattern": {r".*_proj": 3}}, 1.0, 1.0),
        ({"alpha_pattern": {r"layers\.1\..*": 9, "q_proj": 3}}, 3.0, 3.0),
        ({"alpha_pattern": {"q_proj": 3, r"layers\.1\..*": 9}}, 1.0, 3.0),
        ({"alpha_pattern": {f"^{DOWN_PROJ}": 12}}, 2.0, 4.0),
        ({"alpha_pattern": {"^layers.1.mlp.down_proj": 12}}, 2.0, 2.0),
        ({"alpha_pattern": {"(q|down)_proj": 3}, "use_rslora": True}, math.sqrt(3), math.sqrt(3)),
        ({"r": 9, "rank_pattern": {"q_proj": 3, "mlp.down_proj": 3}}, 2.0, 2.0),
        # what has no effect on what is computed
        ({"fan_in_fan_out": True, "lora_dropout": 0.5, "init_lora_weights": "Gaussian", "task_type": None}, 2.0, 2.0),
        ({"base_model_name_or_path": "elsewhere/another", "revision": "x", "inference_mode": False}, 2.0, 2.0),
        ({"modules_to_save": [], "rank_pattern": None, "layers_pattern": "", "exclude_modules": None}, 2.0, 2.0),
    ],
)
def test_ranks_and_scales(values: dict[str, Any], of_q: float, of_down: float, llama: Path, adapter: Path) -> None:
    change(adapter, **values)
    weights = read(llama)
    found = read_adapter(adapter, weights.config, weights.tensors, lambda text: pytest.fail(text))
    scales = {one.tensor: one.scale for one in found.differences}
    assert scales == pytest.approx(
        {"blocks.1.attention.query_key_value.weight": of_q, "blocks.1.feedforward.output.weight": of_down}
    )


LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"target_modules": "all-linear"}, lambda layer: layer.endswith(LINEAR)),
        ({"target_modules": "All-Linear", "exclude_modules": ["mlp.up_proj"]},
         lambda layer: layer.endswith(LINEAR) and "up_proj" not in layer),
        ({"target_modules": ["q_proj", "lm_head", "absent"]}, lambda layer: layer.endswith(("q_proj", "lm_head"))),
        ({"target_modules": ["proj"]}, lambda layer: False),
        ({"target_modules": ["embed_tokens"]}, lambda layer: layer == "model.embed_tokens"),
        ({"target_modules": "q_proj"}, lambda layer: False),
        ({"target_modules": r".*(q|v)_proj"}, lambda layer: layer.endswith(("q_proj", "v_proj"))),
        ({"target_modules": r".*\.(q|v)_proj", "exclude_modules": r".*\.2\..*"},
         lambda layer: layer.endswith(("q_proj", "v_proj")) and ".2." not in layer),
        ({"target_modules": ["q_proj"], "layers_to_transform": 1}, lambda layer: layer == Q),
        ({"target_modules": ["q_proj"], "layers_to_transform": [0, 2]},
         lambda layer: layer.endswith("q_proj") and layer != Q),
        ({"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
         lambda layer: layer == Q),
        ({"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ["h"]}, lambda layer: False),
        ({"target_modules": ["q_proj"], "layers_to_transform": []}, lambda layer: layer.endswith("q_proj")),
        ({"target_modules": [Q, "k_proj"], "layers_to_transform": [0]},
         lambda layer: layer in (Q, "model.layers.0.self_attn.k_proj")),
    ],
)  # fmt: skip
def test_which_layers_are_meant(values: dict[str, Any], meant: Callable[[str], bool], adapter: Path) -> None:
    change(adapter, **values)
    found, config = read_settings(adapter / CONFIG, pytest.fail), OURS["llama"]
    places = places_of(family_of_model(config), config)
    assert len(places) == 2 + 7 * config.layers
    assert [layer for layer, place in places.items() if found.selects(layer, place)] == [*filter(meant, places)]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_point_type(kind: torch.dtype, llama: Path, adapter: Path) -> None:
    tensors = {name: value.to(kind) for name, value in load_file(adapter / WEIGHTS).items()}
    save_file(tensors, adapter / WEIGHTS)
    weights = read(llama)
    first = read_adapter(adapter, weights.config, weights.tensors).differences[0]
    assert torch.equal(first.down, tensors[A].float()) and torch.equal(first.up, tensors[B].float())


def test_names_of_a_body_alone(llama: Path, adapter: Path) -> None:
    wanted = merged(llama, adapter)
    bare = {name.replace("model.model.", "model."): value for name, value in load_file(adapter / WEIGHTS).items()}
    save_file(bare, adapter / WEIGHTS)
    change(adapter, target_modules=r"layers\.1\.(self_attn\.q_proj|mlp\.down_proj)", rank_pattern={"^layers.*": 3}, r=5)
    change(adapter, alpha_pattern={"^layers.*": 6}, lora_alpha=1)
    assert_same(merged(llama, adapter), wanted)


def write_with_vocabulary(base: Path, folder: Path, padding: int = 0) -> dict[str, torch.Tensor]:
    """An adapter of embedding and head, with the copies that PEFT makes of both; the differences (V, C)."""
    chance, (rows, columns) = torch.Generator().manual_seed(4), load_file(base / MODEL)["lm_head.weight"].shape
    head, table = factors((rows + padding, columns), 3, chance), factors((columns, rows + padding), 3, chance)
    tensors = write_by_hand(folder, {"lm_head": head}, target_modules=["lm_head", "embed_tokens"])
    name = f"{PREFIX}model.embed_tokens"
    tensors |= {f"{name}.lora_embedding_A": table[0], f"{name}.lora_embedding_B": table[1]}
    for layer in ("lm_head", "model.embed_tokens"):
        copy = load_file(base / MODEL)[f"{layer}.weight"]
        tensors[f"{PREFIX}{layer}.base_layer.weight"] = torch.cat([copy, torch.zeros(padding, columns)])
    save_file(tensors, folder / WEIGHTS)
    return {"lm_head": 2 * head[1] @ head[0], "model.embed_tokens": 2 * (table[1] @ table[0]).T}


@pytest.mark.parametrize("padding", [0, 5])
def test_embedding_and_head(padding: int, tmp_path: Path) -> None:
    base = export("llama", tmp_path / "base")
    rows = TOKENIZER.vocabulary_size
    wanted = write_with_vocabulary(base, tmp_path / "adapter", padding)
    found = merged(base, tmp_path / "adapter")
    assert_same(found, changed_by_hand(base, {name: one[:rows] for name, one in wanted.items()}))


def test_a_copy_of_another_base(tmp_path: Path) -> None:
    base = export("llama", tmp_path / "base")
    write_with_vocabulary(base, tmp_path / "adapter")
    name = f"{PREFIX}lm_head.base_layer.weight"
    tensors = load_file(tmp_path / "adapter" / WEIGHTS)
    tensors[name][3, 3] += 1
    save_file(tensors, tmp_path / "adapter" / WEIGHTS)
    assert f"{name} has other numbers than this model; it has another base" in complaint(base, tmp_path / "adapter")


@pytest.mark.parametrize("layer", ["lm_head", "model.embed_tokens"])
def test_embedding_and_head_that_are_one(layer: str, tmp_path: Path) -> None:
    base = export("qwen3", tmp_path / "base")
    write_by_hand(tmp_path / "adapter", {layer: factors((TOKENIZER.vocabulary_size, 32), 3, torch.Generator())})
    line = complaint(base, tmp_path / "adapter")
    assert f"{WEIGHTS}: {PREFIX}{layer}.lora_" in line and "is one with embedding and head in this model" in line


ROWS = "token_adapter.trainable_tokens_delta"


def test_rows_where_embedding_and_head_are_one(tmp_path: Path) -> None:
    base, layer = export("qwen3", tmp_path / "base"), "model.layers.1.self_attn.q_proj"
    shape, of_embedding, of_head = linear_layers(base)[layer], f"{PREFIX}model.embed_tokens.", f"{PREFIX}lm_head."
    tensors = write_by_hand(tmp_path / "adapter", {layer: factors(shape, 3, torch.Generator())})
    rows = {f"{of_embedding}{ROWS}": torch.ones(2, 32)}
    both = rows | {f"{of_head}{ROWS}": torch.ones(2, 32)}
    table = load_file(base / MODEL)["model.embed_tokens.weight"]
    for tokens, more in (
        ([5, 3], rows),
        ({"embed_tokens": [5, 3]}, both),
        ({"embed_tokens": [5, 3], "lm_head": [5, 3]}, rows),
        ([5, 3], both | {f"{of_head}token_adapter.base_layer.weight": table}),
    ):
        save_file(tensors | more, tmp_path / "adapter" / WEIGHTS)
        change(tmp_path / "adapter", trainable_token_indices=tokens)
        found = merged(base, tmp_path / "adapter")["token_embedding.weight"]
        assert torch.equal(found[[3, 5]], torch.ones(2, 32)) and torch.equal(found[6:], table[6:])
    for tokens, more, says in (
        ({"lm_head": [5, 3]}, rows, "names the head alone, which is one with the embedding in this model"),
        ({"embed_tokens": [5, 3], "lm_head": [5, 4]}, rows, "has other tokens for embedding and head, which are one"),
        ([5, 3], both | {f"{of_head}{ROWS}": torch.zeros(2, 32)}, "has other rows than the embedding"),
        ([5, 3], rows | {f"{of_head}token_adapter.base_layer.weight": table + 1}, "it has another base"),
        ([5, 3], rows | {f"{of_embedding}token_adapter.other": table}, "token_adapter.other is of a layer that"),
        ([], rows, "a table that trainable_token_indices of adapter_config.json does not name"),
    ):
        save_file(tensors | more, tmp_path / "adapter" / WEIGHTS)
        change(tmp_path / "adapter", trainable_token_indices=tokens)
        assert says in complaint(base, tmp_path / "adapter")


def complaint(base: Path, folder: Path) -> str:
    """The one line."""
    with pytest.raises(HomespunError) as raised:
        merged(base, folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"peft_type": "IA3"}, 'peft_type is \'IA3\'; homespun computes only "LORA"'),
        ({"peft_type": None}, 'peft_type is None; homespun computes only "LORA"'),
        ({"use_dora": True}, "use_dora is True; homespun computes plain differences"),
        ({"bias": "all"}, 'bias is \'all\'; homespun computes only "none"'),
        ({"bias": "lora_only"}, "bias is 'lora_only'"),
        ({"modules_to_save": ["score"]}, "modules_to_save is ['score']; homespun computes low-rank differences alone"),
        ({"lora_bias": True}, "lora_bias is True"),
        ({"target_parameters": ["experts.down_proj"]}, "target_parameters is"),
        ({"trainable_token_indices": [3]}, "lacks the rows of token_embedding.weight that trainable_token_indices of"),
        ({"trainable_token_indices": {"lm_head": [3]}}, "lacks the rows of head.weight that trainable_token_indices"),
        ({"trainable_token_indices": {"score": [3]}}, "names 'score', which is no table of this model; it has"),
        ({"trainable_token_indices": [3, 3]}, "trainable_token_indices is [3, 3]; it must be a list of tokens, each"),
        ({"trainable_token_indices": [-1]}, "trainable_token_indices is [-1]"),
        ({"trainable_token_indices": [1 << 40]}, "trainable_token_indices is [1099511627776]"),
        ({"trainable_token_indices": {"lm_head": "3"}}, "trainable_token_indices is {'lm_head': '3'}"),
        ({"layer_replication": [[0, 1], [0, 2]]}, "layer_replication is [[0, 1], [0, 2]]"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens is [1, 2]"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4'; homespun computes differences"),
        ({"init_lora_weights": {}}, "init_lora_weights is {}"),
        ({"r": 0}, "r is 0; it must be a whole number from 1 to"),
        ({"r": "8"}, "r is '8'"),
        ({"r": 4}, f"{WEIGHTS}: {A} has shape (3, 32), the rank 4 of adapter_config.json and the model's"),
        ({"rank_pattern": {"q_proj": 2}}, f"{A} has shape (3, 32), the rank 2 of"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj is 0; it must be a whole number from 1 to"),
        ({"rank_pattern": {"q_proj(": 3}}, "the pattern '(.*\\\\.)?(q_proj()$' cannot be read"),
        ({"rank_pattern": [3]}, "rank_pattern is [3]; it must be a table of patterns and numbers"),
        ({"alpha_pattern": {"q_proj": "3"}}, "alpha_pattern.q_proj is '3'; it must be a number"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan; it must be a number"),
        ({"lora_alpha": 10**400}, "lora_alpha is 1000"),
        ({"lora_alpha": True}, "lora_alpha is True; it must be a number"),
        ({"use_rslora": "yes"}, "use_rslora is 'yes'; it must be true or false"),
        ({"target_modules": 3}, "target_modules is 3; it must be a text or a list of texts"),
        ({"target_modules": ["q_proj", 3]}, "target_modules is ['q_proj', 3]"),
        ({"target_modules": "q_proj["}, "the pattern 'q_proj[' cannot be read"),
        ({"layers_to_transform": "1"}, "layers_to_transform is '1'; it must be a whole number or a list of them"),
        ({"layers_to_transform": [1], "layers_pattern": "(", "target_modules": ["q_proj", "down_proj"]},
         "cannot be read"),
        ({"target_modules": ["q_proj"]}, f"{PREFIX}{Q.replace('1', '0')}.lora_A.weight, a layer that target_modules"),
        ({"target_modules": [Q]}, f"has {PREFIX}{DOWN_PROJ}.lora_A.weight, of a layer that target_modules"),
        ({"target_modules": [Q, DOWN_PROJ], "exclude_modules": [Q]}, "of a layer that target_modules"),
        ({"target_modules": [Q, DOWN_PROJ, "lm_head"]}, f"lacks {PREFIX}lm_head.lora_A.weight"),
        ({"target_modules": [Q, DOWN_PROJ, "embed_tokens"]}, "lacks base_model.model.model.embed_tokens.lora_embed"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(values: dict[str, Any], says: str, llama: Path, adapter: Path) -> None:
    change(adapter, **values)
    line = complaint(llama, adapter)
    assert says in line and (CONFIG in line or WEIGHTS in line)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({A: None}, f"has {B}, but lacks {A}"),
        ({B: None}, f"has {A}, but lacks {B}"),
        ({A: torch.zeros(3, 64)}, f"{A} has shape (3, 64), the rank 3 of {CONFIG} and the model's blocks.1.attention"),
        ({B: torch.zeros(16, 3)}, f"{B} has shape (16, 3), the rank 3"),
        ({B: torch.zeros(32, 2)}, f"{B} has shape (32, 2), the rank 3"),
        ({A: torch.zeros(96)}, f"{A} has shape (96,)"),
        ({A: torch.tensor(1.0)}, f"{A} has shape ()"),
        ({A: torch.full((3, 32), torch.nan)}, f"96 of the numbers of {A} are infinite or no numbers"),
        ({B: torch.full((32, 3), torch.inf)}, f"96 of the numbers of {B}"),
        ({A: torch.zeros(3, 32, dtype=torch.int8)}, f"{A} has the type I8; weights are floating-point numbers"),
        ({A: torch.full((3, 32), 3e38), B: torch.full((32, 3), 3e38)}, "query_key_value.weight would have numbers"),
        ({f"{PREFIX}model.layers.9.mlp.up_proj.lora_A.weight": torch.zeros(3, 32)},
         "model.layers.9.mlp.up_proj.lora_A.weight is of a layer that this model does not have"),
        ({f"{PREFIX}transformer.h.0.attn.c_attn.lora_A.weight": torch.zeros(3, 32)}, "is for another base"),
        ({f"{PREFIX}model.norm.lora_A.weight": torch.zeros(3, 32)}, "model.norm.lora_A.weight is of a layer that"),
        ({f"{PREFIX}{Q}.lora_magnitude_vector": torch.zeros(32)}, "lora_magnitude_vector is no part of a low-rank"),
        ({f"{PREFIX}{Q}.lora_A.default.weight": torch.zeros(3, 32)}, "lora_A.default.weight is no part of"),
        ({f"{PREFIX}lm_head.weight": torch.zeros(3, 32)}, "lm_head.weight is no part of a low-rank difference"),
        ({f"{PREFIX}{Q}.lora_B.bias": torch.zeros(32)}, "lora_B.bias is no part of"),
        ({"model.norm.weight": torch.zeros(32)}, "the tensor model.norm.weight is no part of"),
        ({f"{PREFIX}{Q}.lora_embedding_A": torch.zeros(3, 32)}, f"has {PREFIX}{Q}.lora_embedding_A beside"),
        ({f"{PREFIX}{Q.removeprefix('model.')}.lora_A.weight": torch.zeros(3, 32)}, f"has the layer {Q} twice"),
        ({A: None, B: None}, f"lacks {A}, a layer that target_modules of {CONFIG} means"),
    ],
)  # fmt: skip
def test_tensors_that_are_refused(
    changes: dict[str, torch.Tensor | None], says: str, llama: Path, adapter: Path
) -> None:
    found = load_file(adapter / WEIGHTS) | changes
    save_file({name: value for name, value in found.items() if value is not None}, adapter / WEIGHTS)
    line = complaint(llama, adapter)
    assert says in line, line
    assert WEIGHTS in line or "the adapter is damaged" in line


def test_files_that_are_refused(llama: Path, adapter: Path, tmp_path: Path) -> None:
    raw, text = (adapter / WEIGHTS).read_bytes(), (adapter / CONFIG).read_text()
    (adapter / WEIGHTS).write_bytes(raw[:-20])
    assert f"{WEIGHTS} is cut off" in complaint(llama, adapter)
    (adapter / WEIGHTS).write_bytes(b"\xff" * 8 + raw[8:])
    assert "its header would have" in complaint(llama, adapter)
    save_file({}, adapter / WEIGHTS)
    assert f"{WEIGHTS} has no tensors" in complaint(llama, adapter)
    (adapter / WEIGHTS).unlink()
    assert f"has no {WEIGHTS}" in complaint(llama, adapter)
    torch.save({A: torch.zeros(3, 32)}, adapter / "adapter_model.bin")
    line = complaint(llama, adapter)
    assert "adapter_model.bin is a pickle: to read it is to run" in line and f"'{WEIGHTS}')" in line
    (adapter / WEIGHTS).write_bytes(raw)  # what can be read is taken
    assert merged(llama, adapter)
    for broken, says in (("{", "not JSON"), ("[]", "not a JSON object"), ('{"r": 1, "r": 1}', "twice")):
        (adapter / CONFIG).write_text(broken)
        assert says in complaint(llama, adapter)
    (adapter / CONFIG).write_text(text)
    (adapter / CONFIG).unlink()
    assert f"has no {CONFIG}; it is no adapter in PEFT's layout" in complaint(llama, adapter)
    assert "there is no folder" in complaint(llama, tmp_path / "nowhere")


def test_a_key_that_nobody_knows_is_told(llama: Path, adapter: Path) -> None:
    told: list[str] = []
    change(adapter, use_something_new=True, not_used=None)
    read_settings(adapter / CONFIG, told.append)
    assert told == [
        f"{adapter / CONFIG} has the key 'use_something_new', which homespun does not know: it is left aside"
    ]


def test_layers_that_only_the_tensors_name(llama: Path, adapter: Path) -> None:
    wanted = merged(llama, adapter)
    change(adapter, target_modules=None)
    assert_same(merged(llama, adapter), wanted)


# What homespun writes.


@pytest.mark.parametrize("name", OURS)
def test_what_was_written_is_read_back(name: str, tmp_path: Path) -> None:
    config = OURS[name]
    adapter = random_adapter(config)
    write_adapter(adapter, config, tmp_path / "adapter", base="ours/base")
    weights = weights_of(randomize(build_model(config)), TOKENIZER)
    assert_same(
        merge(weights.tensors, read_adapter(tmp_path / "adapter", config, weights.tensors)),
        merge(weights.tensors, adapter),
    )
    values = json.loads((tmp_path / "adapter" / CONFIG).read_text())
    is_gpt2 = name.startswith("gpt")
    ends = ["c_attn", "c_fc", "c_proj"] if is_gpt2 else sorted(LINEAR)
    assert (values["target_modules"], values["fan_in_fan_out"]) == (ends, is_gpt2)
    assert values["base_model_name_or_path"] == "ours/base" and values["task_type"] == "CAUSAL_LM"
    assert (values["r"], values["lora_alpha"]) == (3, 6)
    # The three parts that are one matrix there lie side by side, with three times the rank.
    wide = {key for key in values["rank_pattern"] if values["rank_pattern"][key] == 9}
    assert wide == ({f"transformer.h.{layer}.attn.c_attn" for layer in range(config.layers)} if is_gpt2 else set())
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [CONFIG, WEIGHTS, "manifest.json"]


PARTS = {
    name: [
        (tensor, sum(form.parts[:number]), rows, form.shape[1])
        for tensor, form in forms_of(OURS[name]).items()
        if len(form.shape) == 2 and (tensor.startswith("blocks.") or not OURS[name].tied_embeddings)
        for number, rows in enumerate(form.parts)
    ]
    for name in ("gpt2", "llama", "qwen3-window")
}


@st.composite
def adapters(draw: st.DrawFn) -> tuple[str, Adapter]:
    """Any parts of a model's matrices, some twice, some cut, each with a rank and a scale of its own."""
    name = draw(st.sampled_from(sorted(PARTS)))
    chosen = draw(st.lists(st.sampled_from(PARTS[name]), min_size=1, max_size=6))
    differences = []
    for number, (tensor, first, rows, columns) in enumerate(chosen):
        chance = torch.Generator().manual_seed(number)
        skipped = draw(st.integers(0, rows - 1))
        down, up = factors((draw(st.integers(1, rows - skipped)), columns), draw(st.integers(1, 9)), chance)
        scale = draw(st.one_of(st.integers(-4, 64).map(float), st.floats(-1e3, 1e3, width=32)))
        differences.append(Difference(tensor, first + skipped, up, down, scale))
    return name, Adapter(tuple(differences))


@settings(max_examples=30, deadline=None)
@given(adapters())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, case: tuple[str, Adapter]) -> None:
    name, adapter = case
    config, folder = OURS[name], tmp_path_factory.mktemp("round") / "adapter"
    write_adapter(adapter, config, folder)
    zeros = {tensor: torch.zeros(form.shape) for tensor, form in forms_of(config).items()}
    found, wanted = merge(zeros, read_adapter(folder, config, zeros)), merge(zeros, adapter)
    for tensor, value in wanted.items():
        torch.testing.assert_close(found[tensor], value, rtol=1e-4, atol=1e-5 * max(1.0, float(value.abs().max())))


def test_ranks_and_scales_that_differ_become_patterns(tmp_path: Path) -> None:
    config, chance = OURS["llama"], torch.Generator().manual_seed(1)
    tensors = [f"blocks.{layer}.attention.output.weight" for layer in range(3)]
    sizes = [(4, 2.0), (4, 2.0), (2, 0.3)]
    differences = []
    for tensor, (rank, scale) in zip(tensors, sizes, strict=True):
        down, up = factors((32, 32), rank, chance)
        differences.append(Difference(tensor, 0, up, down, scale))
    write_adapter(Adapter(tuple(differences[1:])), config, tmp_path / "some")
    values = json.loads((tmp_path / "some" / CONFIG).read_text())
    assert values["target_modules"] == [f"model.layers.{layer}.self_attn.o_proj" for layer in (1, 2)]
    write_adapter(Adapter(tuple(differences)), config, tmp_path / "all")
    values = json.loads((tmp_path / "all" / CONFIG).read_text())
    assert values["target_modules"] == ["o_proj"] and (values["r"], values["lora_alpha"]) == (4, 8)
    assert values["rank_pattern"] == {"model.layers.2.self_attn.o_proj": 2}
    assert values["alpha_pattern"] == {"model.layers.2.self_attn.o_proj": 0.6}
    found = read_adapter(tmp_path / "all", config, {})
    assert [(one.rank, one.scale) for one in found.differences] == [(4, 2.0), (4, 2.0), (2, 0.3)]


def test_a_bert_too(tmp_path: Path) -> None:
    config = BERTConfig(vocabulary_size=TOKENIZER.vocabulary_size, context=16, layers=2, width=24, heads=2)
    adapter = random_adapter(config)
    write_adapter(adapter, config, tmp_path / "adapter")
    values = json.loads((tmp_path / "adapter" / CONFIG).read_text())
    assert values["task_type"] is None and "bert.encoder.layer.0.attention.self.query" in values["target_modules"]
    zeros = {tensor: torch.zeros(form.shape) for tensor, form in forms_of(config).items()}
    assert_same(merge(zeros, read_adapter(tmp_path / "adapter", config, zeros)), merge(zeros, adapter))


def test_what_is_not_written(tmp_path: Path) -> None:
    config, out = OURS["qwen3"], tmp_path / "adapter"
    good = random_adapter(config).differences[0]

    def refused(*differences: Difference) -> str:
        with pytest.raises(HomespunError) as raised:
            write_adapter(Adapter(differences), config, out)
        assert list(tmp_path.iterdir()) == [] and "\n" not in str(raised.value)
        return str(raised.value)

    assert "no differences" in refused()
    assert "no matrix of this model" in refused(replace(good, tensor="absent"))
    assert "no matrix of this model" in refused(replace(good, tensor="final_norm.weight"))
    assert "the model's has shape" in refused(replace(good, first_row=10**6))
    assert "not finite" in refused(replace(good, up=good.up * torch.inf))
    assert "scale" in refused(replace(good, scale=math.inf))
    rows = Difference("token_embedding.weight", 0, torch.ones(5, 1), torch.ones(1, 32), 1.0)
    assert "PEFT's layout has no place for a difference of token_embedding.weight" in refused(rows)
    with pytest.raises(HomespunError, match=r"architecture is rwkv.*PEFT's adapters are for models"):
        write_adapter(Adapter(()), RWKVConfig(vocabulary_size=50, layers=1, width=64), out)
    out.mkdir()
    with pytest.raises(HomespunError, match="exists; give another folder"):
        write_adapter(Adapter((good,)), config, out)


def test_a_changed_number_is_noticed(llama: Path, tmp_path: Path) -> None:
    write_adapter(random_adapter(OURS["llama"]), OURS["llama"], tmp_path / "adapter")
    path = tmp_path / "adapter" / WEIGHTS
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    assert "was changed since it was written" in complaint(llama, tmp_path / "adapter")


# The command.


@pytest.fixture(scope="module")
def imported(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An adapter of ours, and the run that it made of the llama."""
    folder = tmp_path_factory.mktemp("imported")
    write_adapter(random_adapter(OURS["llama"]), OURS["llama"], folder / "mine")
    assert run(["import", str(llama), "--adapter", str(folder / "mine"), "--out", str(folder / "run")]) == 0
    return folder / "mine", folder / "run"


def test_a_merged_run_is_like_any_other(
    llama: Path, imported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _ = load_for_inference(imported[1], pytest.fail)
    wanted = merged(llama, imported[0])
    assert_same({name: value.detach() for name, value in model.named_parameters()}, wanted)
    record = json.loads((imported[1] / "run.json").read_text())
    assert record["imported"] == {"source": "llama", "format": "huggingface", "adapter": "mine"}
    assert run(["generate", str(imported[1]), *OPTIONS]) == 0
    assert json.loads(capsys.readouterr().out)["text"]
    for target in ("huggingface", "gguf"):
        assert run(["export", str(imported[1]), "--format", target, "--out", str(tmp_path / target)]) == 0
    assert_same(read(tmp_path / "huggingface").tensors, wanted)
    gguf = next((tmp_path / "gguf").glob("*.gguf"))
    assert run(["import", str(gguf), "--adapter", str(imported[0]), "--out", str(tmp_path / "twice"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["adapter_parameters"] == random_adapter(OURS["llama"]).parameters
    twice, _ = load_for_inference(tmp_path / "twice", pytest.fail)
    assert_same(
        {name: value.detach() for name, value in twice.named_parameters()},
        merge(wanted, random_adapter(OURS["llama"])),
    )


def test_the_command_says_what_it_merged(
    llama: Path, imported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", str(llama), "--adapter", str(imported[0]), "--out", str(tmp_path / "run")]) == 0
    parameters = random_adapter(OURS["llama"]).parameters
    assert f"merged: 21 differences of {parameters:,} parameters" in capsys.readouterr().out


def test_a_wrong_call_gets_one_clear_line(
    llama: Path, imported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, out = str(imported[0]), ["--out", str(tmp_path / "run")]
    other = export("gpt2", tmp_path / "gpt2")
    assert "there is no folder" in fail(["import", str(llama), "--adapter", str(tmp_path / "no"), *out], capsys, 2)
    assert "has no adapter_config.json" in fail(["import", str(llama), "--adapter", str(llama), *out], capsys, 1)
    line = fail(["import", str(other), "--adapter", mine, *out], capsys, 1)
    assert f"{WEIGHTS}: " in line and "the adapter is for another base" in line
    large = {"model.layers.0.mlp.up_proj": (torch.full((1, 32), 3e38), torch.full((72, 1), 3e38))}
    write_by_hand(tmp_path / "large", large, r=1)
    line = fail(["import", str(llama), "--adapter", str(tmp_path / "large"), *out], capsys, 1)
    assert "large: blocks.0.feedforward.gate_and_widen.weight would have numbers that are not finite" in line
    line = fail(["import", mine, *out], capsys, 2)
    assert "is an adapter without the model that it is for; import that with --adapter" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpt2", "large"]
