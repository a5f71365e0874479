"""The authors' names and shapes of RWKV-7's tensors beside ours. Source: RWKV-LM, RWKV-v7/train_temp/README.md.

Their vectors over channels have the shape (1, 1, C), or (H, D) by heads; their low-rank matrices multiply from the
right: (C, R) and (R, C).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from homespun.models.settings import RWKVConfig

FORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "same": lambda theirs: theirs,
    "vector": torch.Tensor.flatten,
    "transposed": lambda theirs: theirs.T,
}
SHARES = {"receptance": "r", "decay": "w", "key": "k", "value": "v", "rate": "a", "gate": "g"}
NORMS = {"time_norm": "ln1", "channel_norm": "ln2", "time.head_norm": "att.ln_x"}
# Layer 0 has no use for these three, but some checkpoints have them.
USELESS = frozenset({"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"})


@dataclass(frozen=True)
class Pair:
    """One tensor under both names; ``shape`` is theirs, ``FORMS[form]`` makes ours of it."""

    ours: str
    theirs: str
    shape: tuple[int, ...]
    form: str = "same"

    def from_theirs(self, theirs: torch.Tensor) -> torch.Tensor:
        """As our model has it."""
        return FORMS[self.form](theirs.reshape(self.shape)).contiguous()

    def to_theirs(self, ours: torch.Tensor) -> torch.Tensor:
        """As their checkpoints have it."""
        return (ours.T if self.form == "transposed" else ours.reshape(self.shape)).contiguous()


def pairs_of(config: RWKVConfig) -> list[Pair]:
    """Every tensor of the model that ``config`` describes; the head among them, tied or not."""
    table = (config.vocabulary_size, config.width)
    pairs = [Pair("token_embedding.weight", "emb.weight", table), *norm("embedding_norm", "blocks.0.ln0", config.width)]
    for layer in range(config.layers):
        pairs += block(config, layer)
    return [*pairs, *norm("final_norm", "ln_out", config.width), Pair("head.weight", "head.weight", table)]


def norm(ours: str, theirs: str, width: int) -> list[Pair]:
    """Gain and bias of a normalization."""
    return [Pair(f"{ours}.{part}", f"{theirs}.{part}", (width,)) for part in ("weight", "bias")]


def block(config: RWKVConfig, layer: int) -> list[Pair]:
    """The tensors of one block."""
    width, hidden, vector = config.width, config.hidden_width, (1, 1, config.width)
    pairs = [Pair(f"time.shares.{name}", f"att.x_{letter}", vector, "vector") for name, letter in SHARES.items()]
    pairs += low_rank("decay", "w", width, config.rank_of_decay)
    pairs += low_rank("rate", "a", width, config.rank_of_rate)
    pairs += low_rank("first_value", "v", width, config.rank_of_value) if layer else []
    pairs += low_rank("gate", "g", width, config.rank_of_gate)[:2]  # it has no offset
    pairs += [
        Pair("time.removal_scale", "att.k_k", vector, "vector"),
        Pair("time.rate_in_key", "att.k_a", vector, "vector"),
        Pair("time.bonus", "att.r_k", (width // config.width_of_head, config.width_of_head), "vector"),
        *(Pair(f"time.{name}.weight", f"att.{name}.weight", (width, width))
          for name in ("receptance", "key", "value", "output")),
        Pair("channels.share", "ffn.x_k", vector, "vector"),
        Pair("channels.key.weight", "ffn.key.weight", (hidden, width)),
        Pair("channels.value.weight", "ffn.value.weight", (width, hidden)),
    ]  # fmt: skip
    for ours, theirs in NORMS.items():
        pairs += norm(ours, theirs, width)
    before = f"blocks.{layer}."
    return [Pair(before + pair.ours, before + pair.theirs, pair.shape, pair.form) for pair in pairs]


def low_rank(name: str, letter: str, width: int, rank: int) -> list[Pair]:
    """Both thin matrices and the offset behind them."""
    return [
        Pair(f"time.{name}.narrow.weight", f"att.{letter}1", (width, rank), "transposed"),
        Pair(f"time.{name}.widen.weight", f"att.{letter}2", (rank, width), "transposed"),
        Pair(f"time.{name}_offset", f"att.{letter}0", (1, 1, width), "vector"),
    ]
