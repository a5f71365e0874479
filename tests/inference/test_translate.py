"""Several texts translated at once come out as each by itself."""

import pytest
import torch

from homespun.inference.settings import BeamConfig
from homespun.inference.translate import Translator
from homespun.models.encoder_decoder import EncoderDecoder
from homespun.models.settings import EncoderDecoderConfig
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS
from homespun.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer("homespun", [], (*DEFAULT_SPECIAL_TOKENS, *EncoderDecoderConfig.special_tokens))


def endless_translator() -> Translator:
    """No text ends by itself: all go to their limit."""
    torch.manual_seed(2)
    config = EncoderDecoderConfig(
        vocabulary_size=TOKENIZER.vocabulary_size, context=128, layers=1, width=16, heads=2, logit_biases=True
    )
    model = EncoderDecoder(config)
    with torch.no_grad():
        model.head.bias[TOKENIZER.end_of_text] = -1e4
    return Translator(model, TOKENIZER)


def test_what_a_text_is_translated_with_does_not_matter() -> None:
    translator, texts = endless_translator(), ["a", "", "a text that is longer than the first", "abc"]
    together = translator.translate(texts, BeamConfig(1))
    for text, found in zip(texts, together, strict=True):
        (alone,) = translator.translate([text], BeamConfig(1))
        assert (found.source, found.text, found.complete) == (text, alone.text, alone.complete)
        assert found.score == pytest.approx(alone.score, abs=1e-4)


def test_a_target_may_be_fifty_tokens_longer_than_its_own_source() -> None:
    found = endless_translator().search([[5], [5] * 9, [5] * 100], BeamConfig(1))
    assert [len(one.tokens) for one in found] == [52, 60, 128]  # the separator counts; no more than the context
