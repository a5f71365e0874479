"""Our decoder against the implementations of the people who published the models, with the same random weights.

Qwen3 (Yang et al. 2025) and GPT-2 (Radford et al. 2019) from the library transformers: logits, and the
gradient of every weight, which is brought into our layout by the same mapping as the weight itself.
"""

import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch

from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def transformers() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def qwen3_tensors(theirs: Tensors, layers: int) -> Tensors:
    """Qwen3's names and layout -> ours: three projections become one, gate and up become one."""
    ours = {
        "token_embedding.weight": theirs["model.embed_tokens.weight"],
        "final_norm.weight": theirs["model.norm.weight"],
    }
    if "lm_head.weight" in theirs:
        ours["head.weight"] = theirs["lm_head.weight"]
    for i in range(layers):
        there, here = f"model.layers.{i}.", f"blocks.{i}."
        attention, feedforward = there + "self_attn.", there + "mlp."
        ours[here + "attention_norm.weight"] = theirs[there + "input_layernorm.weight"]
        ours[here + "feedforward_norm.weight"] = theirs[there + "post_attention_layernorm.weight"]
        ours[here + "attention.query_key_value.weight"] = torch.cat(
            [theirs[f"{attention}{part}_proj.weight"] for part in "qkv"]
        )
        ours[here + "attention.query_norm.weight"] = theirs[attention + "q_norm.weight"]
        ours[here + "attention.key_norm.weight"] = theirs[attention + "k_norm.weight"]
        ours[here + "attention.output.weight"] = theirs[attention + "o_proj.weight"]
        ours[here + "feedforward.gate_and_widen.weight"] = torch.cat(
            [theirs[feedforward + "gate_proj.weight"], theirs[feedforward + "up_proj.weight"]]
        )
        ours[here + "feedforward.output.weight"] = theirs[feedforward + "down_proj.weight"]
    return ours


def gpt2_tensors(theirs: Tensors, layers: int) -> Tensors:
    """GPT-2's names and layout -> ours: its Conv1D keeps matrices transposed."""
    ours = {
        "token_embedding.weight": theirs["transformer.wte.weight"],
        "positions.weight": theirs["transformer.wpe.weight"],
        "final_norm.weight": theirs["transformer.ln_f.weight"],
        "final_norm.bias": theirs["transformer.ln_f.bias"],
    }
    names = {
        "ln_1": "attention_norm", "attn.c_attn": "attention.query_key_value", "attn.c_proj": "attention.output",
        "ln_2": "feedforward_norm", "mlp.c_fc": "feedforward.widen", "mlp.c_proj": "feedforward.output",
    }  # fmt: skip
    for i in range(layers):
        for there, here in names.items():
            weight = theirs[f"transformer.h.{i}.{there}.weight"]
            ours[f"blocks.{i}.{here}.weight"] = weight.T if weight.dim() == 2 else weight
            ours[f"blocks.{i}.{here}.bias"] = theirs[f"transformer.h.{i}.{there}.bias"]
    return ours


def randomize(model: torch.nn.Module) -> None:
    """Every weight random, gains and biases too: a part that is left out cannot hide behind ones and zeros."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.2)


def compare(reference: Any, ours: GPT, mapping: Callable[[Tensors, int], Tensors]) -> None:
    """Same weights: same logits for several lengths, same loss, same gradients."""
    config = ours.config
    randomize(reference)
    reference.eval()
    ours.eval()
    weights = mapping(dict(reference.named_parameters()), config.layers)
    parameters = dict(ours.named_parameters())
    assert parameters.keys() == weights.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            assert parameter.shape == weights[name].shape, name
            parameter.copy_(weights[name])
    generator = torch.Generator().manual_seed(7)
    for batch, length in ((1, 1), (2, 5), (3, config.context)):
        tokens = torch.randint(config.vocabulary_size, (batch, length), generator=generator)
        with torch.inference_mode():
            torch.testing.assert_close(ours(tokens), reference(tokens).logits, rtol=1e-4, atol=1e-4)
    targets = torch.randint(config.vocabulary_size, tokens.shape, generator=generator)
    for model in (ours, lambda ids: reference(ids).logits):
        torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).backward()
    gradients = mapping({name: parameter.grad for name, parameter in reference.named_parameters()}, config.layers)
    for name, parameter in parameters.items():
        torch.testing.assert_close(
            parameter.grad, gradients[name], rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(
    ("heads", "key_value_heads", "head_width", "base"), [(4, 2, 12, 10_000.0), (4, 4, 8, 1e6), (6, 1, 16, 500.0)]
)
def test_qwen3(
    transformers: ModuleType, tied: bool, heads: int, key_value_heads: int, head_width: int, base: float
) -> None:
    shape = {"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 2, "vocab_size": 53}
    rope = {"rope_type": "default", "rope_theta": base}
    config = transformers.Qwen3Config(
        **shape, num_attention_heads=heads, num_key_value_heads=key_value_heads, head_dim=head_width,
        max_position_embeddings=40, tie_word_embeddings=tied, rms_norm_eps=1e-6, rope_theta=base,
        rope_parameters=rope, attention_dropout=0.0, attn_implementation="eager",
    )  # fmt: skip
    ours = GPTConfig(
        vocabulary_size=53, context=40, layers=2, width=32, heads=heads, key_value_heads=key_value_heads,
        head_width=head_width, feedforward_width=72, tied_embeddings=tied, rotary_base=base, norm_epsilon=1e-6,
    )  # fmt: skip
    compare(transformers.Qwen3ForCausalLM(config), GPT(ours), qwen3_tensors)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("width", "heads"), [(32, 4), (48, 3)])
def test_gpt2(transformers: ModuleType, width: int, heads: int) -> None:
    config = transformers.GPT2Config(
        vocab_size=53, n_positions=40, n_embd=width, n_layer=2, n_head=heads, activation_function="gelu_new",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, layer_norm_epsilon=1e-5, attn_implementation="eager",
    )  # fmt: skip
    ours = GPTConfig(
        vocabulary_size=53, context=40, layers=2, width=width, heads=heads, positions="learned", normalization="layer",
        feedforward="gelu", biases=True, query_key_norm=False, tied_embeddings=True, norm_epsilon=1e-5,
    )  # fmt: skip
    compare(transformers.GPT2LMHeadModel(config), GPT(ours), gpt2_tensors)


def expert_tensors(theirs: Tensors, layers: int, config: GPTConfig) -> Tensors:
    """Those of Qwen3 with experts, which transformers keeps in stacks -> ours, where they lie beneath each other."""
    renamed = dict(theirs)
    for i in range(layers):
        there = f"model.layers.{i}.mlp."
        for name in ("gate_proj.weight", "up_proj.weight", "down_proj.weight"):
            renamed[there + name] = torch.zeros(1, config.width)
        if not config.query_key_norm:
            for name in ("q_norm", "k_norm"):
                renamed[f"model.layers.{i}.self_attn.{name}.weight"] = torch.zeros(1)
    ours = qwen3_tensors(renamed, layers)
    for i in range(layers):
        there, here = f"model.layers.{i}.mlp.", f"blocks.{i}.feedforward."
        ours[here + "router.weight"] = theirs[there + "gate.weight"]
        ours[here + "gate_and_widen.weight"] = theirs[there + "experts.gate_up_proj"].flatten(0, 1)
        ours[here + "output.weight"] = theirs[there + "experts.down_proj"].flatten(0, 1)
    return {
        name: tensor
        for name, tensor in ours.items()
        if config.query_key_norm or not name.endswith(("query_norm.weight", "key_norm.weight"))
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("experts", "chosen"), [(4, 2), (6, 1), (3, 3)])
def test_qwen3_with_experts(transformers: ModuleType, experts: int, chosen: int) -> None:
    config = transformers.Qwen3MoeConfig(
        hidden_size=32, intermediate_size=72, moe_intermediate_size=24, num_hidden_layers=2, vocab_size=53,
        num_experts=experts, num_experts_per_tok=chosen, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[],
        num_attention_heads=4, num_key_value_heads=2, head_dim=12, max_position_embeddings=40, rms_norm_eps=1e-6,
        tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        attention_dropout=0.0, attn_implementation="eager", experts_implementation="eager",
    )  # fmt: skip
    ours = GPTConfig(
        vocabulary_size=53, context=40, layers=2, width=32, heads=4, key_value_heads=2, head_width=12,
        tied_embeddings=False, norm_epsilon=1e-6, experts=experts, experts_per_token=chosen, expert_width=24,
    )  # fmt: skip
    compare(transformers.Qwen3MoeForCausalLM(config), GPT(ours), partial(expert_tensors, config=ours))


@pytest.mark.filterwarnings("ignore")
def test_mixtral(transformers: ModuleType) -> None:
    config = transformers.MixtralConfig(
        hidden_size=32, intermediate_size=40, num_hidden_layers=2, vocab_size=53, num_local_experts=4,
        num_experts_per_tok=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=40,
        rms_norm_eps=1e-5, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        attention_dropout=0.0, sliding_window=None, attn_implementation="eager", experts_implementation="eager",
    )  # fmt: skip
    ours = GPTConfig(
        vocabulary_size=53, context=40, layers=2, width=32, heads=4, key_value_heads=2, feedforward_width=40,
        tied_embeddings=False, norm_epsilon=1e-5, query_key_norm=False, rotary_base=1e6, experts=4,
    )  # fmt: skip
    compare(transformers.MixtralForCausalLM(config), GPT(ours), partial(expert_tensors, config=ours))


def gpt1_tensors(theirs: Tensors, layers: int) -> Tensors:
    """GPT-1's names -> ours: those of GPT-2 but for the embeddings, and nothing after the last block."""
    renamed = {
        name.replace("tokens_embed", "wte").replace("positions_embed", "wpe"): tensor for name, tensor in theirs.items()
    }
    width = renamed["transformer.wte.weight"].shape[1]
    missing = dict.fromkeys(("transformer.ln_f.weight", "transformer.ln_f.bias"), torch.zeros(width))
    ours = gpt2_tensors(renamed | missing, layers)
    return {name: tensor for name, tensor in ours.items() if not name.startswith("final_norm")}


@pytest.mark.filterwarnings("ignore")
def test_gpt1(transformers: ModuleType) -> None:
    shape = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 24, "vocab_size": 53}
    reference = transformers.OpenAIGPTLMHeadModel(
        transformers.OpenAIGPTConfig(**shape, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    )
    ours = GPT(
        GPTConfig(
            vocabulary_size=53, context=24, layers=3, width=32, heads=4, positions="learned", normalization="layer",
            norm_order="post", feedforward="gelu", biases=True, query_key_norm=False, norm_epsilon=1e-5,
        )
    )  # fmt: skip
    compare(reference, ours, gpt1_tensors)
