"""What one process measures: a model's shape, a way to run it, and for how long. Nothing of homespun is imported here.

Peers run in an interpreter of their own, so a ``Work`` travels as JSON.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """One decoder as all programs build it: no biases in its linear layers, no dropout, one embedding for both ends."""

    layers: int
    heads: int
    width: int
    vocabulary_size: int
    context: int
    batch_size: int

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.context

    @property
    def training_flops_per_token(self) -> float:
        """Operations of GPT-2's parts: Kaplan et al. 2020, section 2.1; three forward passes, of attention its half.

        12 layers x width^2 weights in the blocks and vocabulary x width in the head; a multiply and an add are two
        operations. Queries times keys and weights times values cost 4 x width x context / 2 a layer: the half that
        the causal mask leaves.
        """
        weights = 12 * self.layers * self.width**2 + self.vocabulary_size * self.width
        attention = 2 * self.layers * self.width * self.context
        return 3.0 * (2 * weights + attention)


@dataclass(frozen=True)
class Way:
    """How a step is run. ``parts`` and ``attention`` are ours to choose; a peer has one of each."""

    precision: str = "fp32"  # fp32, or bf16: matrix products under autocast
    compiled: bool = False
    parts: str = ""
    attention: str = ""


@dataclass(frozen=True)
class Work:
    """One process: ``checkout`` is the folder of a peer that is brought along, empty for one that is installed."""

    shape: Shape
    way: Way
    device: str
    threads: int
    seconds: float
    checkout: str = ""
