"""How a model is shown, by its architecture: one line each. Others are shown without a drawing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from homespun.report.diagram import decoder_drawing, decoder_sizes
from homespun.report.encoder_diagram import encoder_drawing, encoder_sizes


@dataclass(frozen=True)
class Shown:
    """``lead``: the model in a sentence. From a configuration: a ``drawing``, and sizes that it leaves open."""

    lead: str
    drawing: Callable[[dict[str, Any]], str] = lambda _: ""
    sizes: Callable[[dict[str, Any]], dict[str, int]] = lambda _: {}


RECURRENT = Shown("A stack of recurrent layers; each reads token by token and carries on what is worth remembering.")
SHOWN: dict[str, Shown] = {
    "gpt": Shown(
        "A stack of equal blocks; each lets every token look back at the ones before it, and then think it over.",
        decoder_drawing,
        decoder_sizes,
    ),
    "bert": Shown(
        "A stack of equal blocks; each lets every token look at all others, before it and behind it, "
        "and then think it over.",
        encoder_drawing,
        encoder_sizes,
    ),
    "vit": Shown(
        "A stack of equal blocks; each lets every patch of an image look at all others, and then think it over."
    ),
    "lstm": RECURRENT,
    "rwkv": RECURRENT,
    "encoder_decoder": Shown(
        "One stack of blocks reads the source text; another one writes the target, looking at both."
    ),
}
OTHER = Shown("What it is made of.")
