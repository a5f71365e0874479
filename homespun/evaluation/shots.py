"""Few-shot prompts: some solved examples, then the one to be solved.

The examples shown are drawn once and stand before every prompt, so that what they cost is paid once
(``sharing.py``). The example that is asked is never among those shown, nor is any with the same prompt: another takes
its place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from homespun.common.errors import UsageError
from homespun.evaluation.rows import Row


@dataclass(frozen=True)
class Shots:
    """``solved``: prompts and their whole texts with the answer, one more than is shown. None at all: zero-shot."""

    solved: tuple[tuple[str, str], ...]
    count: int
    separator: str

    def before(self, prompt: str) -> str:
        """The prompt with the solved examples before it."""
        shown = [text for other, text in self.solved if other != prompt][: self.count]
        return self.separator.join([*shown, prompt])


def draw_shots(
    rows: Sequence[Row], solve: Callable[[Row], tuple[str, str]], count: int, separator: str, seed: int
) -> Shots:
    """``count`` examples to show, drawn from ``rows``; ``solve`` gives the prompt and the whole text of one."""
    if count == 0:
        return Shots((), 0, separator)
    solved: dict[str, str] = {}
    for place in np.random.default_rng(seed).permutation(len(rows)):
        prompt, whole = solve(rows[place])
        solved.setdefault(prompt, whole)
        if len(solved) > count:
            return Shots(tuple(solved.items()), count, separator)
    raise UsageError(f"--shots is {count}, and there are only {len(solved)} different examples to draw them from")
