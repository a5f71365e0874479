"""PEFT's folders without PEFT: what their settings and tensors mean, against sums made by hand."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.interchange.huggingface.families import family_of_model
from homespun.interchange.huggingface.peft.places import places_of
from homespun.interchange.huggingface.peft.reading import read_adapter
from homespun.interchange.huggingface.peft.settings import read_settings
from tests.interchange.adapters import CONFIG, WEIGHTS, factors, linear_layers, write_by_hand
from tests.interchange.conftest import OURS
from tests.interchange.peft.by_hand import (
    DOWN_PROJ,
    LINEAR,
    A,
    B,
    Q,
    assert_same,
    change,
    changed_by_hand,
    export,
    merged,
    read,
)


@pytest.mark.parametrize("name", OURS)
def test_every_family_against_sums_by_hand(name: str, tmp_path: Path) -> None:
    base, chance = export(name, tmp_path / "base"), torch.Generator().manual_seed(5)
    layers = linear_layers(base)
    ranks = {layer: 1 + number % 4 for number, layer in enumerate(layers)}
    pairs = {layer: factors(shape, ranks[layer], chance) for layer, shape in layers.items()}
    write_by_hand(tmp_path / "adapter", pairs, target_modules="all-linear", rank_pattern=ranks, lora_alpha=5)
    found = merged(base, tmp_path / "adapter")
    assert_same(found, changed_by_hand(base, {key: 5 / ranks[key] * up @ down for key, (down, up) in pairs.items()}))


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
