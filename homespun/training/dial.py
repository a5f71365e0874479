"""The one thing a user sets for a whole run: time, text read, or size of the model. The plan finds the other two.

Imports no torch: the command line reads it in milliseconds.
"""

import re
from dataclasses import dataclass

from homespun.common.errors import UsageError

UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, for a first guess only
TOKENS_PER_MINUTE = 600_000  # of two processor cores and a small model, for a first guess only


@dataclass(frozen=True)
class Dial:
    """Exactly one is given: ``minutes`` for everything, ``tokens`` of training, or ``parameters`` of the model.

    ``seconds_kept``: as many of the minutes are for what comes after the run.
    """

    minutes: float | None = None
    tokens: int | None = None
    parameters: int | None = None
    seconds_kept: float = 0.0

    def __post_init__(self) -> None:
        given = [value for value in (self.minutes, self.tokens, self.parameters) if value is not None]
        if len(given) != 1:
            raise UsageError("give one of --minutes, --tokens and --size: the plan finds the other two")
        if self.minutes is not None and not self.minutes > 0:
            raise UsageError(f"--minutes is {self.minutes}; it must be above 0")

    @property
    def rough_minutes(self) -> float:
        """About how long, before anything is measured: how much text is worth reading depends on it."""
        if self.minutes is not None:
            return self.minutes
        tokens = self.tokens or TOKENS_PER_PARAMETER * (self.parameters or 0)
        return max(0.5, tokens / TOKENS_PER_MINUTE)


def amount(text: str, option: str) -> int:
    """``124M``, ``1.5b``, ``2e6`` or ``50000`` as a number; UsageError that names ``option`` for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?(?:e\d+)?)([kmbt]?)", text.strip().lower().replace("_", "").replace(",", ""))
    value = round(float(found[1]) * UNITS[found[2]]) if found else 0
    if value < 1:
        raise UsageError(f"{option} is {text!r}; give a number above 0 such as 500k, 10M or 1.5B")
    return value
