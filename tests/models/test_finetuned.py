"""What of a base moves when it learns to answer; merged it computes the same; more tokens change nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.batches.batch import IGNORED
from homespun.batches.conversations import conversation_rows
from homespun.common.errors import UsageError
from homespun.models.arithmetic import Packed
from homespun.models.counting import count
from homespun.models.more_tokens import with_vocabulary
from homespun.models.registry import build_model
from homespun.models.settings import (
    AssistantConfig,
    BERTConfig,
    ClassifierConfig,
    EncoderDecoderConfig,
    FinetunedConfig,
    GPTConfig,
    LSTMConfig,
    PairedConfig,
    PreferredConfig,
    RWKVConfig,
    TextModelConfig,
)
from homespun.models.stored import shapes_of, stored_tensors
from homespun.training.answers import Answers
from homespun.training.losses import Objective
from homespun.training.memory import training_memory
from homespun.training.optimizer import build_optimizer
from homespun.training.paired import Paired
from homespun.training.settings import TrainingConfig
from tests.batches.test_conversation_batches import TOKENIZER, rows_in

SIZE = TOKENIZER.vocabulary_size
GPT = GPTConfig(vocabulary_size=SIZE, context=128, layers=2, width=32, heads=2)
BODIES: dict[str, TextModelConfig] = {
    "tied": GPT,
    "untied": replace(GPT, tied_embeddings=False, value_embeddings=1),
    "learned positions": replace(GPT, positions="learned", normalization="layer", feedforward="gelu", biases=True),
    "lstm": LSTMConfig(vocabulary_size=SIZE, context=128, layers=1, width=32),
    "rwkv": RWKVConfig(vocabulary_size=SIZE, context=128, layers=2, width=32, head_width=16),
}
CONTROL = (SIZE - 3, SIZE - 2)
EVERY = pytest.mark.parametrize("name", BODIES)


def finetuned(config: FinetunedConfig) -> Any:
    torch.manual_seed(3)
    return build_model(config)


def moved(model: Any) -> Any:
    """After a few steps on chance tokens."""
    optimizer = build_optimizer(model, TrainingConfig(learning_rate=1e-2, optimizer="adamw", precision="fp32"))
    torch.manual_seed(4)
    batch = Answers().example(replace(model.config, length=16), 4)
    objective = Objective(model, Answers())
    for _ in range(5):
        objective(batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@EVERY
@pytest.mark.parametrize("trained", ["full", "last-layers", "lora"])
def test_merged_it_computes_the_same_and_is_a_plain_model(name: str, trained: Any) -> None:
    if (name, trained) == ("lstm", "lora"):
        pytest.skip("an LSTM has no linear layers")
    config = AssistantConfig(
        body=BODIES[name], trained=trained, lora_rank=2, learned_tokens=() if trained == "full" else CONTROL
    )
    model = moved(finetuned(config)).eval()
    tokens = torch.randint(SIZE, (2, 12))
    tokens[0, 3], tokens[1, 4] = CONTROL
    with torch.inference_mode():
        before = model.body(tokens)
    merged = model.merged()
    with torch.inference_mode():
        torch.testing.assert_close(merged(tokens), before, rtol=0, atol=1e-5)
    plain = build_model(BODIES[name])
    assert {key: value.shape for key, value in merged.named_parameters()} == {
        key: value.shape for key, value in plain.named_parameters()
    }
    assert all(parameter.requires_grad for parameter in merged.parameters())


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", ["tied", "learned positions", "rwkv"])
def test_a_base_in_few_bits_learns_stays_as_it_is_and_is_merged_to_what_was_trained(name: str, bits: Any) -> None:
    config = AssistantConfig(
        body=BODIES[name], trained="lora", lora_rank=2, lora_layers="attention", learned_tokens=CONTROL, base_bits=bits
    )
    before = {key: value.clone() for key, value in stored_tensors(finetuned(config)).items()}
    model = moved(finetuned(config)).eval()
    after = stored_tensors(model)
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed == {key for key, value in model.named_parameters() if value.requires_grad}
    assert any(value.dtype == torch.uint8 for value in after.values())
    tokens = torch.randint(SIZE, (2, 12))
    with torch.inference_mode():
        trained = model.body(tokens)
        torch.testing.assert_close(model.merged()(tokens), trained, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bits", [8, 4])
def test_numbers_in_few_bits_are_counted_as_such(bits: Any) -> None:
    plain = AssistantConfig(body=replace(GPT, width=64), trained="lora", lora_rank=2)
    few = replace(plain, base_bits=bits)
    ours, theirs = count(few), count(plain)
    assert replace(ours, packed=theirs.packed) == theirs and theirs.packed == Packed()
    model = finetuned(few)
    buffers = set(stored_tensors(model)) - {key for key, _ in model.named_parameters()}
    assert ours.packed.bytes == sum(stored_tensors(model)[key].nbytes for key in buffers)
    training = TrainingConfig(optimizer="adamw", precision="fp32")
    saved = training_memory(plain, training, 4).weights - training_memory(few, training, 4).weights
    assert saved == 4 * ours.packed.numbers - ours.packed.bytes > 0.7 * 4 * ours.packed.numbers
    assert shapes_of(model) == shapes_of(finetuned(plain))


def test_a_base_must_have_room_before_it_is_packed() -> None:
    body = replace(GPT, width=256, layers=4)
    config = AssistantConfig(body=body, trained="lora", lora_rank=2, base_bits=4, length=4)
    training = TrainingConfig(optimizer="adamw", precision="fp32", micro_batch_size=1)
    memory = training_memory(config, training, 1)
    assert memory.reading > 0 and memory.total == pytest.approx(4 * count(config).parameters)
    assert training_memory(config, training, 1, gpu=True).reading == 0
    assert training_memory(replace(config, length=128), training, 64).reading == 0


@pytest.mark.parametrize("name", ["tied", "untied", "rwkv"])
@pytest.mark.parametrize("trained", ["last-layers", "lora"])
def test_only_what_is_meant_to_move_moves(name: str, trained: Any) -> None:
    config = AssistantConfig(body=BODIES[name], trained=trained, lora_rank=2, learned_tokens=CONTROL)
    plain = dict(finetuned(replace(config, trained="full", learned_tokens=())).body.named_parameters())
    merged = moved(finetuned(config)).merged()
    for key, value in merged.named_parameters():
        same = (value == plain[key]).flatten(1).all(1) if value.dim() > 1 else value == plain[key]
        if key in ("token_embedding.weight", "head.weight"):
            assert same.sum() == SIZE - len(CONTROL) and not same[list(CONTROL)].any(), key
        elif trained == "lora":
            assert value.dim() > 1 or same.all(), key
        elif key.startswith(("blocks.0.", "value_embeddings")):
            assert same.all(), key


def test_the_optimizer_holds_what_moves_alone() -> None:
    config = AssistantConfig(body=replace(GPT, width=64), trained="lora", lora_rank=2, learned_tokens=CONTROL)
    model = finetuned(config)
    optimizer = build_optimizer(model, TrainingConfig(optimizer="adamw"))
    held = {name.split("/")[0] for name in optimizer.tensors()}
    assert held == {name for name, value in model.named_parameters() if value.requires_grad}
    assert held == {name for name in dict(model.named_parameters()) if name.endswith((".up", ".down", ".rows"))}
    moments = sum(value.numel() for value in optimizer.tensors().values())
    assert moments < 0.1 * 2 * sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("trained", ["full", "last-layers", "lora"])
def test_of_an_encoder_decoder_too(trained: Any) -> None:
    body = EncoderDecoderConfig(vocabulary_size=SIZE, context=32, layers=2, width=32, heads=2, norm_order="pre")
    model = finetuned(PairedConfig(body=body, trained=trained, lora_rank=2))
    known = {name for name, _ in build_model(body).named_parameters()}
    plain = {name: value.detach().clone() for name, value in model.body.named_parameters() if name in known}
    optimizer = build_optimizer(model, TrainingConfig(learning_rate=1e-2, optimizer="adamw", precision="fp32"))
    torch.manual_seed(4)
    batch = Paired().example(replace(model.config, length=16), 4)
    for _ in range(5):
        Objective(model, Paired())(batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    source, target = torch.randint(SIZE, (2, 12)), torch.randint(SIZE, (2, 9))
    with torch.inference_mode():
        before = model.body(target, source)
    merged = model.merged()
    with torch.inference_mode():
        torch.testing.assert_close(merged(target, source), before, rtol=0, atol=1e-5)
    moved_ones = {name for name, value in merged.named_parameters() if not torch.equal(value, plain[name])}
    assert merged.config == body and dict(merged.named_parameters()).keys() == known == plain.keys()
    if trained == "last-layers":
        last = ("decoder.1.", "decoder_norm.")
        assert moved_ones == {name for name in plain if name.startswith(last)}
    elif trained == "lora":
        assert moved_ones and all("weight" in name and plain[name].dim() == 2 for name in moved_ones)
        assert "token_embedding.weight" not in moved_ones


@EVERY
def test_more_tokens_are_rows_of_the_mean_and_change_no_other_logit(name: str) -> None:
    model = finetuned(AssistantConfig(body=BODIES[name])).body.eval()
    larger = with_vocabulary(model, SIZE + 2)
    assert with_vocabulary(model, SIZE) is model and larger.config.vocabulary_size == SIZE + 2
    tokens = torch.randint(SIZE, (2, 12))
    with torch.inference_mode():
        before, after = model(tokens), larger(tokens)
    torch.testing.assert_close(after[..., :SIZE], before, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(after[..., SIZE], after[..., :SIZE].mean(-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(larger.token_embedding.weight[SIZE:], model.token_embedding.weight.mean(0).expand(2, -1))
    assert (larger.head.weight is larger.token_embedding.weight) == BODIES[name].tied_embeddings


@EVERY
def test_the_loss_is_that_of_each_conversation_alone(name: str, tmp_path: Path) -> None:
    body = BODIES[name]
    rows = rows_in(tmp_path / "rows")
    several = conversation_rows(rows, 128, body.shares_rows)
    config = AssistantConfig(body=body, packed=body.shares_rows)
    model = finetuned(config).eval()
    batch = several.batch(np.arange(len(several)))
    with torch.inference_mode():
        total, count = Answers().loss(model, batch)
        wanted, told = 0.0, 0
        for number in range(len(rows)):
            ids, learned = rows.row(number)
            logits = model.body(torch.from_numpy(ids[None, :-1]))[0]
            targets = torch.from_numpy(np.where(learned, ids, IGNORED)[1:])
            wanted += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            told += int((targets != IGNORED).sum())
    assert int(count) == told
    assert float(total) == pytest.approx(wanted, rel=1e-5)
    assert not body.shares_rows or len(several) < len(rows)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AssistantConfig(body=BERTConfig()), "does not go on with a text"),
        (lambda: AssistantConfig(body=EncoderDecoderConfig()), "does not go on with a text"),
        (lambda: PairedConfig(body=GPT), "has no encoder and decoder"),
        (lambda: AssistantConfig(body=LSTMConfig(), packed=True), "keep the texts of a row apart"),
        (lambda: AssistantConfig(body=replace(GPT, positions="learned"), packed=True), "keep the texts of a row apart"),
        (lambda: AssistantConfig(body=GPT, length=129), "reads 128 tokens at most"),
        (lambda: AssistantConfig(body=GPT, dropout=0.1), "that of its base"),
        (lambda: AssistantConfig(body=GPT, base_bits=4), "model.base_bits is 4, .* add --train lora"),
        (lambda: ClassifierConfig(body=GPT, trained="head", base_bits=8), "model.base_bits is 8, .* add --train lora"),
        (lambda: AssistantConfig(body=GPT, trained="lora", base_bits=5), "choose one of 32, 8, 4"),
        (lambda: PreferredConfig(body=GPT, beta=0.0), "model.beta is 0.0"),
        (lambda: PreferredConfig(body=GPT, preference_smoothing=0.5), "below 0.5"),
    ],
)
def test_settings_that_cannot_be_are_one_line(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
