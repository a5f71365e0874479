"""Is what was written what was meant? An export, read back by the way that imports go, against the model it is of.

In: the model in memory and the ``Weights`` that were read from the written files. Out: ``Verified``, what was compared
and how near it came, or a ``HomespunError`` that names the first difference. Nothing is taken from the writer: files
are parsed by their bytes, a model is built from them, and both models are asked the same.
"""

from dataclasses import dataclass
from typing import Any

import torch

from homespun.common.errors import HomespunError
from homespun.interchange.formats import ROUNDING
from homespun.interchange.forms import find_fault, model_of
from homespun.interchange.hostile_texts import hostile_texts
from homespun.interchange.weights import Weights
from homespun.models.encoder_decoder import EncoderDecoder
from homespun.models.settings import TextModelConfig
from homespun.tokenizer.tokenizer import Tokenizer

ROWS, LONGEST_ROW, SEED = 2, 64, 20
NEAR = 1e-4  # how far logits of the same weights may lie apart, as a share of the largest


@dataclass(frozen=True)
class Verified:
    """``difference``: the largest among all logits. ``exact``: every weight is the same to the bit."""

    tensors: int
    exact: bool
    tokens: int
    difference: float
    texts: int

    def words(self) -> str:
        """For people, one line."""
        how = "to the bit" if self.exact else "within the rounding of their type"
        return (
            f"read back: {self.tensors} tensors equal {how}, logits of {self.tokens} tokens within "
            f"{self.difference:.2g}, ids of {self.texts} hostile texts equal"
        )


def verify(model: Any, tokenizer: Tokenizer, found: Weights, number: str) -> Verified:
    """Compare the model that was exported with what the files hold; ``number`` is the type of weights they have."""
    tensors = {name: value.detach() for name, value in model.named_parameters()}
    compare_sizes(model.config, found.config)
    compare_tensors(tensors, found.tensors, ROUNDING[number])
    texts = compare_tokenizers(tokenizer, found.tokenizer)
    batch = fixed_batch(model.config)
    with torch.inference_mode():
        wanted, given = logits_of(model.eval(), batch), logits_of(model_of(found), batch)
    difference = float((wanted - given).abs().max())
    if not difference <= NEAR * max(1.0, float(wanted.abs().max())) and not ROUNDING[number]:
        raise refuse(f"the logits of a fixed batch differ by {difference:.3g}")
    if not bool(given.isfinite().all()):
        raise refuse("the logits of a fixed batch are not finite")
    return Verified(len(tensors), not ROUNDING[number], batch.numel(), difference, texts)


def logits_of(model: Any, batch: torch.Tensor) -> torch.Tensor:
    """What the model says of a batch (B, T); one that translates is shown it as source and target."""
    return model(batch, batch) if isinstance(model, EncoderDecoder) else model(batch)


def compare_sizes(wanted: TextModelConfig, found: TextModelConfig) -> None:
    """What logits on a short batch would not show."""
    for key in ("vocabulary_size", "context"):
        if getattr(wanted, key) != getattr(found, key):
            raise refuse(f"{key} is {getattr(found, key)} instead of {getattr(wanted, key)}")


def compare_tensors(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor], rounding: float) -> None:
    """Names, shapes, and every number up to rounding."""
    if fault := find_fault({name: tuple(value.shape) for name, value in wanted.items()}, found):
        raise refuse(fault)
    for name, value in wanted.items():
        if rounding == 0:
            near = torch.equal(value, found[name])
        else:
            near = bool((value - found[name]).abs().max() <= rounding * value.abs().max())
        if not near:
            raise refuse(f"the numbers of the tensor {name} are others")


def compare_tokenizers(wanted: Tokenizer, found: Tokenizer) -> int:
    """The same ids for every hostile text, with special tokens and without; the same marks. How many texts."""
    for key in ("special_tokens", "end_of_text", "chat_template", "vocabulary_size"):
        if getattr(wanted, key) != getattr(found, key):
            raise refuse(f"the tokenizer has another {key.replace('_', ' ')}")
    names = tuple(wanted.special_tokens)
    texts = hostile_texts(names)
    for text in texts:
        for allowed in ((), names):
            if wanted.encode(text, allowed) != found.encode(text, allowed):
                raise refuse(f"the tokenizer gives other ids for {text!r}")
    return len(texts)


def fixed_batch(config: TextModelConfig) -> torch.Tensor:
    """The same token ids (B, T) every time."""
    chance = torch.Generator().manual_seed(SEED)
    return torch.randint(config.vocabulary_size, (ROWS, min(LONGEST_ROW, config.context)), generator=chance)


def refuse(difference: str) -> HomespunError:
    """The error for an export that is not what was meant."""
    return HomespunError(f"what was written is not the model: {difference}; nothing is left of it, please report this")
