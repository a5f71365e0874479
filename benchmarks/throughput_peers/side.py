"""What a program's side is: a function that builds its model and gives back how it trains."""

from collections.abc import Callable
from dataclasses import dataclass

from throughput_peers.stopwatch import Stopwatch
from throughput_peers.work import Work


@dataclass(frozen=True)
class Built:
    """``train`` takes batches from the watch until that raises ``Enough``; ``version`` says whose code it is."""

    version: str
    parameters: int
    train: Callable[[Stopwatch], None]


Side = Callable[[Work], Built]
