"""Passages from anywhere in a text that is too long to hold: every place is as likely as any other.

In: texts that can be read twice, once to count places and once to cut. Out: passages of one length, all from within one
text each, and their two parts.
"""

import numpy as np

from homespun.evaluation.kind import Texts


def passages(texts: Texts, count: int, characters: int, seed: int) -> list[str]:
    """``count`` passages in the order of the text, fewer where there are not so many places; none if all is shorter."""
    total = sum(max(0, len(text) - characters + 1) for text in texts())
    chance = np.random.default_rng(seed)
    chosen = sorted(chance.choice(total, min(count, total), replace=False).tolist()) if total else []
    found, before, place = [], 0, 0
    for text in texts():
        here = max(0, len(text) - characters + 1)
        while place < len(chosen) and chosen[place] < before + here:
            start = chosen[place] - before
            found.append(text[start : start + characters])
            place += 1
        before += here
    return found


def cut_in_two(passage: str, characters: int) -> tuple[str, str]:
    """Prompt and what follows it: cut before the last white space of the first ``characters``, if there is any."""
    cut = max(passage.rfind(space, 1, characters + 1) for space in " \n\t")
    cut = characters if cut < 1 else cut
    return passage[:cut], passage[cut:]
