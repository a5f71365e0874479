"""The error for an export that is not what was meant."""

from homespun.common.errors import HomespunError


def refuse(difference: str) -> HomespunError:
    """One line; ``difference``: the first that was found, in words."""
    return HomespunError(f"what was written is not the model: {difference}; nothing is left of it, please report this")
