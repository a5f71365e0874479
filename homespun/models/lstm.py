"""The LSTM language model: token ids (B, T) in, logits (B, T, V) out; what came before is one vector, not a list.

Where a transformer looks back at every token, this reads from left to right and carries a state of fixed size. The
stack of Zaremba et al. 2014, "Recurrent Neural Network Regularization": dropout between layers, never in time; the
embedding as read-out (Press & Wolf 2017).

Shapes: B batch, T positions in this call, C width, V vocabulary.
"""

import torch
from torch import nn

from homespun.layers.cache import StateCache
from homespun.layers.recurrent import GATES, LSTMLayer
from homespun.models.language_model import LanguageModel
from homespun.models.settings import LSTMConfig


class LSTM(LanguageModel[LSTMConfig]):
    """Embed tokens, pass them through the layers, read logits off the last activations."""

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent_layers = nn.ModuleList(LSTMLayer(config.width) for _ in range(config.layers))
        self.head = self.make_head()
        initialize(self)

    def hidden(
        self, tokens: torch.Tensor, cache: StateCache | None = None, documents: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Token ids (B, T) -> activations (B, T, C) before the head; a cache continues earlier calls."""
        if documents is not None:
            raise ValueError("a recurrent model reads one text per row")
        x = self.dropout(self.token_embedding(tokens))
        for index, layer in enumerate(self.recurrent_layers):
            x, state = layer(x, cache.layers[index] if cache is not None else None)
            x = self.dropout(x)
            if cache is not None:
                cache.layers[index] = state
        if cache is not None:
            cache.length += tokens.shape[1]
        return x

    def new_cache(self, batch: int) -> StateCache:
        """An empty cache."""
        return StateCache(self.config.layers)


def initialize(model: LSTM) -> None:
    """As PyTorch's own LSTM, but what is new is not forgotten at first (Jozefowicz et al. 2015, section 2.2).

    | weight              | distribution                         |
    | matrices            | uniform within 1 / sqrt(width)       |
    | bias                | 0, that of the forget gate 1         |
    | head                | normal, deviation 1 / sqrt(width)    |
    | embedding           | normal, deviation 1, tied or not     |

    Nothing here normalizes, so a small embedding would leave the gates unmoved (docs/experiments.md).
    """
    bound = model.config.width**-0.5
    nn.init.normal_(model.head.weight, std=bound)
    nn.init.normal_(model.token_embedding.weight)
    for layer in model.recurrent_layers:
        assert isinstance(layer, LSTMLayer)
        nn.init.uniform_(layer.from_input, -bound, bound)
        nn.init.uniform_(layer.from_state, -bound, bound)
        with torch.no_grad():
            layer.bias.zero_().view(GATES, layer.width)[1] = 1.0
