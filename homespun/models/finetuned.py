"""A language model that is being finetuned as a language model: for answers, pairs or preferences.

In: any pretrained model that reads from left to right, or an encoder-decoder. Out: the same model, of which so much
moves as the settings say. ``merged`` gives the plain model that is left when training is over: differences are added to
their matrices, and nothing tells any more how it was trained. Of a base that was held in few bits these are the
matrices as it was trained with, unpacked, and not those before: so the plain model computes what was trained.
"""

from typing import Any

from torch import nn

from homespun.layers.learned_rows import learn_rows, settle_rows
from homespun.layers.lora import merge_adapters
from homespun.layers.quantized import dequantize_linears
from homespun.models.settings import FinetunedConfig
from homespun.models.trained import TRAINED


class Finetuned(nn.Module):
    """``body``: a ``LanguageModel`` or an ``EncoderDecoder``; whoever wants activations or logits asks it."""

    def __init__(self, config: FinetunedConfig, body: Any) -> None:
        super().__init__()
        self.config = config
        self.body = body
        TRAINED[config.trained](body, config)
        if config.learned_tokens:
            learn_rows(body, config.learned_tokens)

    def merged(self) -> Any:
        """The body as a plain model; this one is used up."""
        settle_rows(self.body)
        return dequantize_linears(merge_adapters(self.body)).requires_grad_(True)
