"""How much of a model is held in few bits: what counts it says so in these words. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Packed:
    """What of a model is held in few bits: so many ``numbers``, in ``bytes``; ``largest``: numbers of one matrix."""

    numbers: int = 0
    bytes: int = 0
    largest: int = 0
