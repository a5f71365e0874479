"""The tasks of BERT against their definition on all logits; accumulation, evaluation, sharing, learning."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from homespun.batches.batch import IGNORED, Batch
from homespun.models.bert import BERT
from homespun.models.settings import BERTConfig
from homespun.training import masked as module
from homespun.training.losses import Objective
from homespun.training.masked import MaskedPairs
from homespun.training.tasks import TASKS
from homespun.training.validation import exact_loss

CPU = torch.device("cpu")
CONFIG = BERTConfig(vocabulary_size=40, context=12, layers=2, width=32, heads=2, next_sentence=True)


def model_of(config: BERTConfig = CONFIG) -> BERT:
    torch.manual_seed(2)
    model = BERT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def batch_of(rows: int, seed: int = 1, ignored: float = 0.0) -> Batch:
    """Chance rows of 12 tokens, 3 of them to be told."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(40, (rows, 12), generator=generator)
    places = torch.stack([torch.randperm(12, generator=generator)[:3] for _ in range(rows)])
    targets = torch.randint(40, (rows, 3), generator=generator)
    targets[torch.rand(targets.shape, generator=generator) < ignored] = IGNORED
    segments = (torch.arange(12) > 5).long().repeat(rows, 1)
    documents = torch.ones_like(tokens)
    documents[-1, 9:] = 0
    follows = torch.randint(2, (rows,), generator=generator)
    return Batch(tokens, targets, documents=documents, segments=segments, places=places, follows=follows)


def by_definition(model: BERT, batch: Batch) -> dict[str, Any]:
    """From logits at every place."""
    hidden = model.hidden(batch.inputs, batch.documents, batch.segments)
    logits, wanted = model.logits(hidden), torch.full(batch.inputs.shape, IGNORED)
    for row, (places, targets) in enumerate(zip(batch.places.tolist(), batch.targets.tolist(), strict=True)):
        for place, target in zip(places, targets, strict=True):
            wanted[row, place] = target
    told = wanted != IGNORED
    verdicts = model.next_sentence(hidden)
    return {
        "tokens": cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum"),
        "count": int(told.sum()),
        "hits": int((logits.argmax(-1) == wanted)[told].sum()),
        "rows": cross_entropy(verdicts, batch.follows, reduction="none"),
        "right": verdicts.argmax(-1) == batch.follows,
    }


@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize("at_once", [1 << 24, 80])
def test_sums_are_those_of_the_definition(ignored: float, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", at_once)
    model, batch = model_of().eval(), batch_of(5, ignored=ignored)
    expected = by_definition(model, batch)
    per_row = (batch.targets != IGNORED).sum(1)
    nats, count, hits, right = MaskedPairs().loss(model, batch)
    torch.testing.assert_close(nats, expected["tokens"], rtol=1e-5, atol=1e-5)
    assert (int(count), int(hits)) == (expected["count"], expected["hits"])
    assert int(right) == int((expected["right"] * per_row).sum())
    nats, count = MaskedPairs().loss(model.train(), batch)
    torch.testing.assert_close(nats, expected["tokens"] + (expected["rows"] * per_row).sum(), rtol=1e-5, atol=1e-5)


def test_with_as_many_targets_in_each_row_the_loss_is_the_mean_of_one_task_plus_the_mean_of_the_other() -> None:
    model, batch = model_of(), batch_of(6)
    nats, count = MaskedPairs().loss(model, batch)
    expected = by_definition(model, batch)
    torch.testing.assert_close(nats / count, expected["tokens"] / 18 + expected["rows"].mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_are_those_of_the_definition(tied: bool) -> None:
    ours = model_of(replace(CONFIG, tied_embeddings=tied))
    plain, batch = copy.deepcopy(ours), batch_of(4, ignored=0.3)
    MaskedPairs().loss(ours, batch)[0].backward()
    expected = by_definition(plain, batch)
    (expected["tokens"] + (expected["rows"] * (batch.targets != IGNORED).sum(1)).sum()).backward()
    for (name, one), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("next_sentence", [False, True])
def test_parts_of_a_batch_make_the_whole(next_sentence: bool) -> None:
    config = replace(CONFIG, next_sentence=next_sentence)
    task, model, batch = TASKS[config.task], model_of(config), batch_of(5)
    for training in (True, False):
        model.train(training)
        whole = torch.stack([value.double() for value in task.loss(model, batch)])
        parts = [torch.stack([value.double() for value in task.loss(model, part)]) for part in batch.split(2)]
        torch.testing.assert_close(sum(parts), whole, rtol=1e-6, atol=1e-6)
        assert len(whole) == 2 + (0 if training else len(task.measures))


@torch.no_grad()
def test_the_exact_loss_tells_the_share_of_right_answers_and_no_bits() -> None:
    model, batches = model_of(), [batch_of(4, seed=1), batch_of(2, seed=2, ignored=0.5)]
    found = exact_loss(Objective(model, MaskedPairs()), batches, None, CPU, "fp32", measures=MaskedPairs.measures)
    expected = [by_definition(model.eval(), batch) for batch in batches]
    count = sum(part["count"] for part in expected)
    assert found.bits_per_byte is None and found.tokens == count
    assert found.loss == pytest.approx(float(sum(part["tokens"] for part in expected)) / count, rel=1e-5)
    assert found.measures["accuracy"] == pytest.approx(sum(part["hits"] for part in expected) / count)
    assert 0 <= found.measures["next_sentence_accuracy"] <= 1


def test_rows_that_only_fill_up_a_share_count_for_nothing() -> None:
    model, batch = model_of().eval(), batch_of(3)
    whole = torch.stack([value.double() for value in MaskedPairs().loss(model, batch)])
    shares = [MaskedPairs().loss(model, batch.share(rank, 2)) for rank in range(2)]
    torch.testing.assert_close(sum(torch.stack([value.double() for value in share]) for share in shares), whole)


@pytest.mark.parametrize("next_sentence", [False, True])
def test_an_example_has_the_form_of_the_real_batches(next_sentence: bool) -> None:
    config = replace(CONFIG, next_sentence=next_sentence, context=40)
    batch = TASKS[config.task].example(config, 3)
    assert batch.inputs.shape == (3, 40) and batch.places.shape == batch.targets.shape == (3, 6)
    assert int(batch.tokens()) == 3 * 40
    nats, count = TASKS[config.task].loss(model_of(config), batch)
    assert bool(nats.isfinite()) and int(count) == 18


def test_only_hidden_places_reach_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, rows = model_of(), batch_of(5), []
    before_head = model.before_head
    monkeypatch.setattr(model, "before_head", lambda hidden: rows.append(hidden.shape[0]) or before_head(hidden))
    MaskedPairs().loss(model, batch)
    assert rows == [15]


@pytest.mark.parametrize("next_sentence", [False, True])
def test_it_learns_a_batch_by_heart(next_sentence: bool) -> None:
    config = replace(CONFIG, next_sentence=next_sentence)
    torch.manual_seed(1)
    task, model, batch = TASKS[config.task], BERT(config), batch_of(8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        nats, count = task.loss(model.train(), batch)
        optimizer.zero_grad()
        (nats / count).backward()
        optimizer.step()
    with torch.no_grad():
        nats, count, *measured = task.loss(model.eval(), batch)
    assert float(nats / count) < 0.1 and all(float(value) == int(count) for value in measured)
