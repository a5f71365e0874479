"""BERT: sees both sides, keeps texts and padding apart, has the published first weights."""

import math
from dataclasses import replace

import pytest
import torch

from homespun.common.errors import UsageError
from homespun.models.arithmetic import forward_flops_per_token, matrix_parameters
from homespun.models.bert import BERT
from homespun.models.settings import BERTConfig, model_settings
from homespun.tokenizer.special import CLASS, MASK, SEPARATOR

CONFIG = BERTConfig(vocabulary_size=53, context=16, layers=2, width=32, heads=4)


def model_of(config: BERTConfig = CONFIG) -> BERT:
    """With weights so large that everything matters."""
    torch.manual_seed(3)
    model = BERT(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def tokens_of(rows: int, length: int, seed: int = 5) -> torch.Tensor:
    return torch.randint(53, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_every_token_matters_to_every_logit() -> None:
    model, tokens = model_of(), tokens_of(1, 9)
    logits = model(tokens)
    assert logits.shape == (1, 9, 53)
    for place in range(9):
        changed = tokens.clone()
        changed[0, place] = (tokens[0, place] + 1) % 53
        assert ((model(changed) - logits).abs().amax(-1) > 1e-4).all()


@torch.no_grad()
def test_texts_of_one_row_do_not_see_each_other_and_padding_is_not_seen() -> None:
    model = model_of()
    lengths = [5, 16, 1, 9]
    rows = [tokens_of(1, length, seed) for seed, length in enumerate(lengths)]
    padded = torch.cat([torch.nn.functional.pad(row, (0, 16 - row.shape[1]), value=7) for row in rows])
    documents = torch.tensor([[1] * length + [0] * (16 - length) for length in lengths])
    together = model(padded, documents)
    for row, length, found in zip(rows, lengths, together, strict=True):
        torch.testing.assert_close(found[:length], model(row)[0], rtol=1e-5, atol=1e-5)
    two = torch.cat([rows[0], rows[3]], dim=1)
    of_both = model(two, torch.tensor([[1] * 5 + [2] * 9]))
    torch.testing.assert_close(of_both[:, :5], model(rows[0]), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(of_both[:, :5], model(two)[:, :5], atol=1e-3)


@torch.no_grad()
def test_segments_are_the_first_text_where_none_are_given() -> None:
    model, tokens = model_of(), tokens_of(2, 7)
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1]] * 2)
    torch.testing.assert_close(model(tokens), model(tokens, segments=torch.zeros_like(segments)))
    assert not torch.allclose(model(tokens), model(tokens, segments=segments), atol=1e-3)


@torch.no_grad()
def test_a_part_of_the_logits_is_a_part_of_all_of_them() -> None:
    model, tokens = model_of(), tokens_of(2, 7)
    hidden = model.hidden(tokens)
    torch.testing.assert_close(model.logits(hidden[:, 2:4]), model(tokens)[:, 2:4])


def test_operations_are_counted_where_they_are_done() -> None:
    config = replace(CONFIG, next_sentence=True, masked_share=0.25)
    blocks = 2 * matrix_parameters(config) + 2 * 2 * 32 * 16 * 2
    head = 0.25 * 2 * (53 * 32 + 32 * 32) + 2 * 32 * 32 / 16
    assert matrix_parameters(config) == 2 * 12 * 32 * 32
    assert forward_flops_per_token(config) == pytest.approx(blocks + head)


@torch.no_grad()
@pytest.mark.parametrize(("width", "deviation"), [(192, 0.04), (768, 0.02), (1024, 0.02)])
def test_the_first_weights(width: int, deviation: float) -> None:
    torch.manual_seed(1)
    model = BERT(replace(CONFIG, width=width, layers=1, vocabulary_size=1000, next_sentence=True))
    for name, parameter in model.state_dict().items():
        if parameter.dim() >= 2:
            assert float(parameter.abs().max()) <= 2 * deviation + 1e-6, name
            assert 0.75 < float(parameter.std()) / deviation < 0.98, name  # cut off: 0.88
        else:
            wanted = 0.0 if name.endswith("bias") else 1.0
            assert bool((parameter == wanted).all()), name
    assert model.head.weight is model.token_embedding.weight
    tokens = torch.randint(1000, (4, 16))
    loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
    assert float(loss) == pytest.approx(math.log(1000), abs=1.0)


def test_the_names_of_its_marks_are_the_tokenizers() -> None:
    assert BERTConfig.special_tokens == (MASK, CLASS, SEPARATOR)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"masked_share": 0.0}, "masked_share"), ({"masked_share": 1.0}, "masked_share"), ({"heads": 5}, "heads"),
        ({"context": 7}, "context"), ({"feedforward_width": -1}, "feedforward_width"), ({"window": 3}, "window"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_built_are_one_line(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        model_settings({"architecture": "bert", "width": 64, "heads": 4} | change)
    assert "\n" not in str(raised.value)
