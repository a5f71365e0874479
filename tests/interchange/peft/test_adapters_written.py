"""Adapters of ours in PEFT's layout: read back they are the same; what has no place there is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import HomespunError
from homespun.interchange.forms import forms_of, weights_of
from homespun.interchange.huggingface.peft.reading import read_adapter
from homespun.interchange.huggingface.peft.writing import write_adapter
from homespun.models.adapter import Adapter, Difference, merge
from homespun.models.registry import build_model
from homespun.models.settings import BERTConfig, RWKVConfig
from tests.interchange.adapters import CONFIG, WEIGHTS, factors, random_adapter
from tests.interchange.conftest import OURS, TOKENIZER, randomize
from tests.interchange.peft.by_hand import LINEAR, assert_same, complaint


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
