"""BERT against the library transformers with the same random weights: logits of both heads, and every gradient."""

import warnings
from types import ModuleType
from typing import Any

import pytest
import torch

from homespun.interchange.huggingface.families import FAMILIES
from homespun.models.bert import BERT
from homespun.models.settings import BERTConfig
from tests.models.test_against_transformers import Tensors, randomize


@pytest.fixture(scope="module")
def transformers() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def to_ours(theirs: Tensors, names: list[str]) -> Tensors:
    """Their tensors in our layout, for the parameters of ours with these names."""
    return {name: torch.cat([theirs[stored] for stored in FAMILIES["bert"].stored_names(name)]) for name in names}


def pair_of(transformers: ModuleType, next_sentence: bool) -> tuple[Any, BERT]:
    """Their model and ours with the same weights."""
    config = transformers.BertConfig(
        vocab_size=61, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=80,
        max_position_embeddings=24, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0,
        attn_implementation="eager",
    )  # fmt: skip
    kind = transformers.BertForPreTraining if next_sentence else transformers.BertForMaskedLM
    theirs = kind(config).eval()
    ours = BERT(BERTConfig(vocabulary_size=61, context=24, layers=3, width=48, heads=4, feedforward_width=80,
                           next_sentence=next_sentence)).eval()  # fmt: skip
    assert ours.config.norm_epsilon == config.layer_norm_eps
    randomize(theirs)
    names = [name for name, _ in ours.named_parameters()]
    weights = to_ours(dict(theirs.named_parameters()), names)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(weights[name])
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    return theirs, ours


def batch_of(rows: int, length: int) -> dict[str, torch.Tensor]:
    """Ids, segments and texts that end at different places; 0 is never an id, for they keep its gradient at zero."""
    generator = torch.Generator().manual_seed(length)
    tokens = torch.randint(1, 61, (rows, length), generator=generator)
    second = torch.randint(length + 1, (rows, 1), generator=generator)
    ends = torch.randint(1, length + 1, (rows, 1), generator=generator)
    ends[0] = length
    places = torch.arange(length)
    return {"tokens": tokens, "segments": (places >= second).long(), "documents": (places < ends).long()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("next_sentence", [False, True], ids=["masked", "both heads"])
def test_logits_and_gradients(transformers: ModuleType, next_sentence: bool) -> None:
    theirs, ours = pair_of(transformers, next_sentence)
    for rows, length in ((1, 1), (2, 7), (4, 24)):
        batch = batch_of(rows, length)
        tokens, segments, seen = batch["tokens"], batch["segments"], batch["documents"].bool()
        plain = theirs(input_ids=tokens)
        torch.testing.assert_close(ours(tokens), plain[0], rtol=1e-4, atol=1e-4)
        expected = theirs(input_ids=tokens, token_type_ids=segments, attention_mask=batch["documents"])
        hidden = ours.hidden(tokens, batch["documents"], segments)
        torch.testing.assert_close(ours.logits(hidden)[seen], expected[0][seen], rtol=1e-4, atol=1e-4)
        if next_sentence:
            torch.testing.assert_close(ours.next_sentence(hidden), expected[1], rtol=1e-4, atol=1e-4)
    targets = torch.randint(61, tokens.shape, generator=torch.Generator().manual_seed(1))
    follows = torch.tensor([0, 1, 1, 0])
    for logits, *verdicts in ((expected[0], *expected[1:]), (ours.logits(hidden), *verdicts_of(ours, hidden))):
        loss = torch.nn.functional.cross_entropy(logits[seen], targets[seen])
        for verdict in verdicts:
            loss = loss + torch.nn.functional.cross_entropy(verdict, follows)
        loss.backward()
    names = [name for name, _ in ours.named_parameters()]
    gradients = to_ours({name: parameter.grad for name, parameter in theirs.named_parameters()}, names)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[name], rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def verdicts_of(model: BERT, hidden: torch.Tensor) -> list[torch.Tensor]:
    """What the second head says, if there is one."""
    return [] if model.next_sentence is None else [model.next_sentence(hidden)]
