"""Gaps: where they are, what is guessed for them, and one clear line for what cannot be filled."""

import json
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from homespun.common.errors import HomespunError, UsageError
from homespun.inference.fill import fill, guesses_of, with_gaps
from homespun.inference.settings import SamplingConfig
from homespun.inference.uses import CONTINUE, FILL, USES, check_use, with_gap
from homespun.inference.writers import WRITERS
from homespun.models.bert import BERT
from homespun.models.settings import SETTINGS, BERTConfig, GPTConfig
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS, MASK
from homespun.tokenizer.tokenizer import Tokenizer

MERGES = [(ord(" "), ord("c")), (256, ord("a")), (257, ord("t")), (ord("T"), ord("h")), (259, ord("e"))]
TOKENIZER = Tokenizer("homespun", MERGES, (*DEFAULT_SPECIAL_TOKENS, *BERTConfig.special_tokens))
M = TOKENIZER.special_id(MASK)
CAT = 258  # " cat"


def model_of(context: int = 24) -> BERT:
    torch.manual_seed(4)
    config = BERTConfig(vocabulary_size=TOKENIZER.vocabulary_size, context=context, layers=2, width=32, heads=2)
    model = BERT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("The [MASK] sat", ["The", M, " sat"]),
        ("[MASK] sat", [M, " sat"]),
        ("The[MASK]", ["The", M]),
        ("The <|mask|>.", ["The", M, "."]),
        ("a [MASK] [MASK]  [MASK] b", ["a", M, M, " ", M, " b"]),
        ("[MASK]", [M]),
        ("[mask] <|endoftext|> [MASK]", ["[mask] <|endoftext|>", M]),
    ],
)
def test_a_space_before_a_gap_belongs_to_the_gap(text: str, parts: list[str | int]) -> None:
    expected = [ids for part in parts for ids in (TOKENIZER.encode(part) if isinstance(part, str) else [part])]
    assert with_gaps(text, TOKENIZER) == expected


@given(st.text("abc T[.é", max_size=20), st.text("abc T[.é", max_size=20))
def test_filling_a_hidden_token_with_itself_gives_the_text_back(before: str, after: str) -> None:
    ids = with_gaps(f"{before} [MASK]{after}", TOKENIZER)
    assert TOKENIZER.decode([CAT if token == M else token for token in ids]) == f"{before} cat{after}"


@torch.no_grad()
def test_guesses_are_the_models_own_chances() -> None:
    model = model_of()
    found = fill(model, TOKENIZER, "The [MASK] sat, [MASK]", top=7)
    first, last = TOKENIZER.special_id("<|class|>"), TOKENIZER.special_id("<|separator|>")
    row = [first, *TOKENIZER.encode("The"), M, *TOKENIZER.encode(" sat,"), M, last]
    chances = model(torch.tensor([row]))[0].softmax(-1)
    marks = set(TOKENIZER.special_tokens.values())
    assert len(found.gaps) == 2
    for place, guesses in zip([place for place, token in enumerate(row) if token == M], found.gaps, strict=True):
        order = [token for token in chances[place].argsort(descending=True).tolist() if token not in marks]
        assert [guess.token for guess in guesses] == order[:7]
        for guess in guesses:
            assert guess.probability == pytest.approx(float(chances[place, guess.token]), rel=1e-4)
            assert guess.text == TOKENIZER.decode([guess.token])
        assert all(one.probability >= other.probability for one, other in pairwise(guesses))
    one, other = (guesses[0].token for guesses in found.gaps)
    ids = [one if place == 1 + len(TOKENIZER.encode("The")) else token for place, token in enumerate(row)]
    ids[-2] = other
    assert found.text == TOKENIZER.decode(ids[1:-1])


def test_marks_fill_no_gap_and_ties_go_to_the_lower_id() -> None:
    logits = torch.zeros(TOKENIZER.vocabulary_size)
    logits[list(TOKENIZER.special_tokens.values())] = 9.0
    guesses = guesses_of(logits, TOKENIZER, 3)
    assert [guess.token for guess in guesses] == [0, 1, 2]
    assert 0 < guesses[0].probability < math.exp(-8)


@pytest.mark.parametrize(
    ("text", "top", "words"),
    [
        ("The cat sat", 5, "no [MASK] in 'The cat sat'"),
        ("", 5, "no [MASK]"),
        ("The [MASK]", 0, "--top"),
        ("The [MASK]", 9999, "--top"),
    ],
)
def test_what_cannot_be_asked_is_one_line(text: str, top: int, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        fill(model_of(), TOKENIZER, text, top)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_text_longer_than_the_model_sees_is_one_line() -> None:
    with pytest.raises(HomespunError, match=r"has 23 tokens, and the model sees 22 at once"):
        fill(model_of(), TOKENIZER, "x" * 22 + "[MASK]")
    assert len(fill(model_of(), TOKENIZER, "x" * 21 + "[MASK]").gaps) == 1


@pytest.mark.parametrize("prompt", ["", "The", "The cat sat on", "word " * 40, "w" * 300, "a [MASK] b", "\n\n"])
def test_the_sample_of_a_training_run_shows_a_gap_and_guesses(prompt: str) -> None:
    text = WRITERS["masked"](model_of(), TOKENIZER, prompt, SamplingConfig())
    _, shown, guesses = text.split("\n", 2)
    assert "[MASK]" in shown and guesses.count("%") >= 1


def test_a_word_in_the_middle_is_missing() -> None:
    assert with_gap("one two three") == "one [MASK] three"
    assert with_gap("one") == with_gap("") == "[MASK]"


def test_every_model_has_a_use_and_other_uses_are_refused() -> None:
    assert {config().task for config in SETTINGS.values()} <= set(USES)
    check_use(BERTConfig(), FILL, "runs/x")
    check_use(GPTConfig(), CONTINUE, "runs/x")
    with pytest.raises(UsageError, match=r"runs/x holds a model \(bert\) that fills gaps in texts: .* --fill"):
        check_use(BERTConfig(), CONTINUE, "runs/x")
    with pytest.raises(UsageError, match=r"runs/x holds a model \(gpt\) that continues texts: .* --prompt"):
        check_use(GPTConfig(), FILL, "runs/x")
    assert json.dumps(USES["masked"].commands_for("runs/x", "'a [MASK] b'"))
