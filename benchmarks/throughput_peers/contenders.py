"""Who takes part: every program in the ways that it can run, by name."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from throughput_peers.work import Way


@dataclass(frozen=True)
class Contender:
    """``side`` is the file that runs it: ``nanogpt`` is ``nanogpt_side.py``."""

    side: str
    way: Way

    @property
    def name(self) -> str:
        words = [self.side, self.way.parts, self.way.precision, "compiled" if self.way.compiled else ""]
        return "-".join(word for word in [*words, self.way.attention] if word)


OURS = "homespun"
PRECISIONS, COMPILED = ("fp32", "bf16"), (False, True)
CONTENDERS = {
    contender.name: contender
    for contender in (
        *(Contender("nanogpt", Way(precision, compiled)) for precision in PRECISIONS for compiled in COMPILED),
        # litgpt compiles always, and takes bf16 unless told otherwise.
        *(Contender("litgpt", Way(precision, compiled=True)) for precision in PRECISIONS),
        Contender("book", Way()),
        *(
            Contender(OURS, Way(precision, compiled, parts, attention))
            for parts in ("gpt2", "default")
            for precision in PRECISIONS
            for compiled in COMPILED
            for attention in ("fused", "explicit")
        ),
    )
}
# What nanoGPT's README runs: without a GPU fp32 and --compile=False, with one its train.py's own defaults.
README = {"cpu": "nanogpt-fp32", "cuda": "nanogpt-bf16-compiled"}


def chosen(patterns: list[str]) -> list[Contender]:
    """Those whose name fits one of the patterns (``homespun-gpt2-*``)."""
    return [one for name, one in CONTENDERS.items() if any(fnmatchcase(name, pattern) for pattern in patterns)]
