"""Adapters that cannot be read: one line says why."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.interchange.adapters import CONFIG, PREFIX, WEIGHTS
from tests.interchange.peft.by_hand import DOWN_PROJ, A, B, Q, change, complaint, merged


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
