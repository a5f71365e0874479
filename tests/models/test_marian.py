"""Our encoder-decoder against transformers' Marian (Junczys-Dowmunt et al. 2018), with the same random weights."""

import warnings
from types import ModuleType
from typing import Any

import pytest
import torch

from homespun.models.encoder_decoder import EncoderDecoder
from homespun.models.settings import EncoderDecoderConfig

Tensors = dict[str, torch.Tensor]


def modules() -> dict[str, tuple[str, ...]]:
    """Our layer -> theirs, or several of theirs that are one of ours; ``{}`` is the number of a block."""
    table: dict[str, tuple[str, ...]] = {"token_embedding": ("model.shared",)}
    of_both = {
        "attention.query_key_value": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.output": ("self_attn.out_proj",),
        "attention_norm": ("self_attn_layer_norm",),
        "feedforward.widen": ("fc1",),
        "feedforward.output": ("fc2",),
        "feedforward_norm": ("final_layer_norm",),
    }
    of_decoder = {
        "cross_attention.query": ("encoder_attn.q_proj",),
        "cross_attention.key_value": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
        "cross_attention.output": ("encoder_attn.out_proj",),
        "cross_norm": ("encoder_attn_layer_norm",),
    }
    for stack, layers in (("encoder", of_both), ("decoder", of_both | of_decoder)):
        for ours, theirs in layers.items():
            table[f"{stack}.{{}}.{ours}"] = tuple(f"model.{stack}.layers.{{}}.{name}" for name in theirs)
    return table


def marian_tensors(theirs: Tensors, config: EncoderDecoderConfig) -> Tensors:
    """Marian's names -> ours: projections that we make at once are joined, and the bias of logits has one axis less."""
    ours = {"head.bias": theirs["final_logits_bias"][0]}
    counts = {"encoder": config.count_of_encoder_layers, "decoder": config.layers}
    for layer, parts in modules().items():
        for number in range(counts.get(layer.partition(".")[0], 1)):
            for kind in ("weight", "bias"):
                names = [f"{part.format(number)}.{kind}" for part in parts]
                if names[0] in theirs:
                    ours[f"{layer.format(number)}.{kind}"] = torch.cat([theirs[name] for name in names])
    return ours


@pytest.fixture(scope="module")
def transformers() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def pair_of_models(transformers: ModuleType, activation: str) -> tuple[Any, EncoderDecoder]:
    config = transformers.MarianConfig(
        vocab_size=53, d_model=32, encoder_layers=3, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=72, decoder_ffn_dim=72, max_position_embeddings=40,
        activation_function=activation, scale_embedding=True, dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0, pad_token_id=52, eos_token_id=0, decoder_start_token_id=52,
        attn_implementation="eager",
    )  # fmt: skip
    torch.manual_seed(11)
    reference = transformers.MarianMTModel(config).eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if "embed_positions" not in name:
                parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.2)
        reference.final_logits_bias.normal_()
    ours = EncoderDecoder(
        EncoderDecoderConfig(
            vocabulary_size=53, context=40, layers=2, encoder_layers=3, width=32, heads=4, feedforward_width=72,
            feedforward="swish" if activation == "swish" else "relu", logit_biases=True, dropout=0.0,
        )
    ).eval()  # fmt: skip
    tensors = dict(reference.named_parameters()) | {"final_logits_bias": reference.final_logits_bias}
    weights = marian_tensors(tensors, ours.config)
    parameters = dict(ours.named_parameters())
    assert parameters.keys() == weights.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            assert parameter.shape == weights[name].shape, name
            parameter.copy_(weights[name])
    return reference, ours


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("activation", ["swish", "relu"])
def test_marian(transformers: ModuleType, activation: str) -> None:
    reference, ours = pair_of_models(transformers, activation)
    generator = torch.Generator().manual_seed(7)
    for rows, long, length in ((1, 1, 1), (2, 5, 9), (3, 40, 40)):
        source = torch.randint(52, (rows, long), generator=generator)
        inputs = torch.randint(52, (rows, length), generator=generator)
        documents = torch.ones_like(source)
        documents[0, max(1, long // 2) :] = 0
        with torch.inference_mode():
            theirs = reference(input_ids=source, attention_mask=documents, decoder_input_ids=inputs).logits
            torch.testing.assert_close(ours(inputs, source, documents), theirs, rtol=1e-4, atol=1e-4)
    targets = torch.randint(52, inputs.shape, generator=generator)
    for logits in (
        ours(inputs, source, documents),
        reference(input_ids=source, attention_mask=documents, decoder_input_ids=inputs).logits,
    ):
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    gradients = {name: parameter.grad for name, parameter in reference.named_parameters() if parameter.requires_grad}
    expected = marian_tensors(gradients | {"final_logits_bias": torch.zeros(1, 53)}, ours.config)
    for name, parameter in ours.named_parameters():
        if name != "head.bias":  # theirs is no parameter
            torch.testing.assert_close(
                parameter.grad, expected[name], rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.mark.filterwarnings("ignore")
def test_marian_writes_the_same_greedily(transformers: ModuleType) -> None:
    from homespun.inference.beam import beam_search
    from homespun.inference.settings import BeamConfig

    reference, ours = pair_of_models(transformers, "swish")
    source = torch.randint(52, (4, 9), generator=torch.Generator().manual_seed(3))
    documents = torch.ones_like(source)
    documents[1, 4:] = 0
    found = beam_search(ours, source, documents, 52, 20, BeamConfig(beam=1))  # begins as Marian does, with 52
    with torch.inference_mode():
        inputs = torch.full((4, 1), 52)
        for _ in range(20):
            logits = reference(input_ids=source, attention_mask=documents, decoder_input_ids=inputs).logits[:, -1]
            inputs = torch.cat([inputs, logits.argmax(-1, keepdim=True)], dim=1)
    for row, one in zip(inputs[:, 1:].tolist(), found, strict=True):
        assert list(one.tokens) == row[: row.index(52) if 52 in row else None]
