"""What is true of every model of the registry, whatever it is made of; a new one is tested here by being registered."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from homespun.layers.attention import AttentionLayer
from homespun.layers.attention_weights import watched_attention
from homespun.layers.cache import KeyValueCache
from homespun.models.arithmetic import (
    idle_parameters,
    matrix_parameters,
    parameter_count,
    trained_parameters,
    training_flops_per_token,
)
from homespun.models.language_model import LanguageModel
from homespun.models.registry import MODELS, build_model
from homespun.models.settings import (
    SETTINGS,
    AssistantConfig,
    BERTConfig,
    ClassifierConfig,
    ContinuedConfig,
    EncoderDecoderConfig,
    GPTConfig,
    LSTMConfig,
    ModelConfig,
    PairedConfig,
    PreferredConfig,
    RWKVConfig,
    ViTConfig,
)
from homespun.training.execution import Execution, apply_to_model
from homespun.training.footprint import footprint_of
from homespun.training.losses import Objective
from homespun.training.optimizer import build_optimizer
from homespun.training.settings import TrainingConfig
from homespun.training.tasks import TASKS
from homespun.training.tracing import TracedFootprint

SMALL_GPT = GPTConfig(vocabulary_size=61, context=24, layers=2, width=32, heads=4, key_value_heads=2)
SMALL_PAIRS = EncoderDecoderConfig(vocabulary_size=61, context=24, layers=2, width=32, dropout=0.0, label_smoothing=0.0)
SMALL: dict[str, ModelConfig] = {
    "gpt": SMALL_GPT,
    "gpt, post-norm": GPTConfig(
        vocabulary_size=61, context=24, layers=2, width=32, heads=4, norm_order="post", positions="learned",
        normalization="layer", feedforward="gelu", biases=True, query_key_norm=False,
    ),
    "gpt, banded": GPTConfig(
        vocabulary_size=61, context=24, layers=3, width=32, heads=4, window=5, window_every=2,
        query_key_value_biases=True,
    ),
    "gpt, experts": GPTConfig(
        vocabulary_size=61, context=24, layers=2, width=32, heads=4, experts=4, experts_per_token=2, expert_width=24
    ),
    "lstm": LSTMConfig(vocabulary_size=61, context=24, layers=2, width=32),
    "bert": BERTConfig(vocabulary_size=61, context=24, layers=2, width=32, heads=4),
    "bert, pairs of texts": BERTConfig(
        vocabulary_size=61, context=24, layers=2, width=32, heads=4, next_sentence=True, tied_embeddings=False
    ),
    "rwkv": RWKVConfig(vocabulary_size=61, context=24, layers=2, width=32, head_width=16),
    "vit": ViTConfig(image_size=8, patch_size=2, classes=5, layers=2, width=32, heads=4),
    "encoder_decoder": SMALL_PAIRS,
    "encoder_decoder, pre-norm": EncoderDecoderConfig(
        vocabulary_size=61, context=24, layers=2, encoder_layers=3, width=32, norm_order="pre", logit_biases=True,
        feedforward="swish", tied_embeddings=False, dropout=0.0, label_smoothing=0.0,
    ),
    "classifier": ClassifierConfig(body=SMALL_GPT, labels=("a", "b", "c"), dropout=0.0, lora_rank=2),
    "classifier, lora on bert": ClassifierConfig(
        body=BERTConfig(vocabulary_size=61, context=24, layers=2, width=32, heads=4), labels=("a", "b", "c"),
        dropout=0.0, trained="lora", lora_rank=4, length=16,
    ),
    "assistant": AssistantConfig(body=SMALL_GPT, packed=True),
    "assistant, last layers of rwkv": AssistantConfig(
        body=RWKVConfig(vocabulary_size=61, context=24, layers=2, width=32, head_width=16), trained="last-layers",
        trained_layers=2, learned_tokens=(3, 4), length=16,
    ),
    "paired": PairedConfig(body=SMALL_PAIRS, length=16),
    "paired, low rank": PairedConfig(body=replace(SMALL_PAIRS, norm_order="pre"), trained="lora", lora_rank=4),
    "continued": ContinuedConfig(body=SMALL_GPT, length=16),
    "preferred": PreferredConfig(body=SMALL_GPT, learned_tokens=(3, 4), trained="lora", lora_rank=4),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", SMALL)
CPU = torch.device("cpu")


def model_of(name: str) -> Any:
    """Every weight moved by chance: a part that begins at zero (RWKV's projections, a head) would hide mistakes."""
    torch.manual_seed(0)
    model = build_model(SMALL[name]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


LEFT_TO_RIGHT = pytest.mark.parametrize("name", [name for name in SMALL if isinstance(model_of(name), LanguageModel)])


def tokens_of(rows: int, length: int) -> torch.Tensor:
    return torch.randint(61, (rows, length), generator=torch.Generator().manual_seed(7))


def test_every_architecture_is_here() -> None:
    assert {config.architecture for config in SMALL.values()} == set(MODELS) == set(SETTINGS)
    assert {kind().task for kind in SETTINGS.values()} <= set(TASKS)


@LEFT_TO_RIGHT
def test_a_later_token_never_changes_an_earlier_logit(name: str) -> None:
    model, tokens = model_of(name), tokens_of(2, 24)
    with torch.inference_mode():
        before = model(tokens)
        for place in (1, 7, 23):
            changed = tokens.clone()
            changed[:, place:] = (changed[:, place:] + 7) % 61
            after = model(changed)
            torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=0)
            assert not torch.allclose(after[:, place], before[:, place])


@LEFT_TO_RIGHT
@pytest.mark.parametrize("pieces", [(24,), (1,) * 24, (10, 1, 1, 12), (1, 22, 1)])
def test_with_a_cache_it_says_the_same(name: str, pieces: tuple[int, ...]) -> None:
    model, tokens = model_of(name), tokens_of(3, 24)
    with torch.inference_mode():
        whole = model(tokens)
        cache = model.new_cache(3)
        for _ in range(2):  # and again after it was cleared
            parts = [model(part, cache) for part in tokens.split(pieces, dim=1)]
            assert cache.length == 24
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)
            cache.clear()


@LEFT_TO_RIGHT
def test_rows_and_what_fills_them_up_do_not_matter(name: str) -> None:
    model, tokens = model_of(name), tokens_of(3, 24)
    lengths = (24, 9, 1)
    with torch.inference_mode():
        together = model(tokens)
        for row, length in enumerate(lengths):
            alone = model(tokens[row : row + 1, :length])
            torch.testing.assert_close(together[row : row + 1, :length], alone, rtol=1e-4, atol=1e-5)


@LEFT_TO_RIGHT
def test_an_endless_model_takes_any_length_with_the_same_memory(name: str) -> None:
    if not SMALL[name].endless:
        pytest.skip("its memory is its context")
    model, cache = model_of(name), model_of(name).new_cache(1)
    sizes = set()
    with torch.inference_mode():
        for _ in range(60):
            model(tokens_of(1, 3), cache)
            sizes.add(sum(tensor.numel() for state in cache.layers for tensor in state))
    assert cache.length == 180
    assert len(sizes) == 1


@EVERY
def test_it_overfits_one_batch(name: str) -> None:
    config = SMALL[name]
    torch.manual_seed(1)
    model, task = build_model(config), TASKS[config.task]
    objective, batch = Objective(model, task), task.example(config, 4)
    optimizer = build_optimizer(model, TrainingConfig(learning_rate=1e-2, optimizer="adamw", precision="fp32"))
    losses = []
    for _ in range(150):
        total, count, *_ = objective(batch)
        (total / count).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(total.detach() / count))
    assert losses[-1] < 0.2 * losses[0]


@EVERY
def test_the_weights_of_attention_can_be_taken_out(name: str) -> None:
    """Of every layer that attends, in the order of the pass; recurrent models have none."""
    config, model = SMALL[name], model_of(name)
    torch.manual_seed(1)
    objective, batch = Objective(model, TASKS[config.task]), TASKS[config.task].example(config, 2)
    with torch.inference_mode():
        plain = objective(batch)
        with watched_attention(model) as seen:
            watched = objective(batch)
    torch.testing.assert_close(watched, plain, rtol=1e-4, atol=1e-4)
    assert len(seen) == sum(isinstance(module, AttentionLayer) for module in model.modules())
    assert bool(seen) != isinstance(config.in_use, LSTMConfig | RWKVConfig)
    rows = batch.inputs.flatten(0, -2) if config.task == "preferences" else batch.inputs  # two answers, two rows
    for weights in seen:
        assert weights.shape[:2] == (len(rows), 4)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@EVERY
def test_kernels_and_recomputation_change_nothing_but_rounding(name: str) -> None:
    config = SMALL[name]
    task = TASKS[config.task]
    torch.manual_seed(1)
    batch = task.example(config, 2)
    found = []
    for execution in (Execution(), Execution(attention="explicit"), Execution(recomputed=True)):
        model = model_of(name).train()
        apply_to_model(model, execution)
        total, *_ = Objective(model, task)(batch)
        total.backward()
        gradients = {
            name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
        }
        found.append((float(total.detach()), gradients))
    for total, gradients in found[1:]:
        assert total == pytest.approx(found[0][0], rel=1e-5)
        assert gradients.keys() == found[0][1].keys()
        for key, gradient in gradients.items():
            torch.testing.assert_close(gradient, found[0][1][key], rtol=1e-3, atol=1e-4, msg=key)


@EVERY
def test_counts_are_those_of_the_model(name: str) -> None:
    config, model = SMALL[name], model_of(name)
    assert trained_parameters(config) == sum(value.numel() for value in model.parameters() if value.requires_grad)
    declared = sum(
        module.get_parameter(key).numel() for module in model.modules() for key in getattr(module, "matrices", {})
    )
    assert parameter_count(config) == sum(parameter.numel() for parameter in model.parameters())
    assert matrix_parameters(config) == declared
    assert training_flops_per_token(config) >= 6 * (declared - idle_parameters(config))


@EVERY
def test_what_a_step_keeps_is_counted(name: str) -> None:
    config, fp32 = SMALL[name], TrainingConfig(precision="fp32", attention="explicit")
    # Who goes to which expert is not known without numbers.
    footprint = footprint_of(config) if name == "gpt, experts" else TracedFootprint(config)
    assert sum(footprint.kept(fp32)) >= 4 * config.width * config.layers
    assert sum(footprint.kept(replace(fp32, recompute=True))) < sum(footprint.kept(fp32))


@EVERY
def test_bfloat16_stays_near(name: str) -> None:
    config = SMALL[name]
    task = TASKS[config.task]
    torch.manual_seed(1)
    batch, model = task.example(config, 2), model_of(name)
    exact, count, *_ = Objective(model, task)(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, *_ = Objective(model, task)(batch)
    assert float(rounded.detach() / count) == pytest.approx(float(exact.detach() / count), rel=0.02)


@LEFT_TO_RIGHT
def test_the_cache_holds_as_many_numbers_as_the_settings_say(name: str) -> None:
    model, cache = model_of(name), model_of(name).new_cache(1)
    with torch.inference_mode():
        model(tokens_of(1, 24), cache)
    if isinstance(cache, KeyValueCache):
        held = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    else:
        held = sum(tensor.numel() for state in cache.layers for tensor in state)
    assert held == SMALL[name].cached_numbers()
