"""What a model with a limited context sees of a text that grew longer than it.

The window does not slide with every token (the cache would be worthless then): when the text outgrows
the context, the older half is let go at once. Both generators ask this one function.
"""

import sys

from homespun.models.settings import TextModelConfig


def visible_tokens(config: TextModelConfig) -> int:
    """How many tokens the model can be given: its context, or any number if it carries a state through the text."""
    return sys.maxsize if config.endless else config.context


def window_start(length: int, context: int) -> int:
    """First visible position of a text of ``length`` tokens; at most ``context`` tokens are visible."""
    if length <= context:
        return 0
    stride = max(1, context // 2)
    return -(-(length - context) // stride) * stride
