"""How much of somebody's examples is not used, by the reason: what labelled texts and dialogues have in common.

What is left out is never passed over in silence: these counts stand in the manifest, on the screen and in the report.
"""

from dataclasses import dataclass


@dataclass
class LeftOut:
    """``malformed``: cannot be parsed. ``empty``: says nothing. ``duplicates``: told before."""

    malformed: int = 0
    empty: int = 0
    duplicates: int = 0
