"""What a model with a limited context sees of a text that grew longer than it.

The window does not slide with every token (the cache would be worthless then): when the text outgrows
the context, the older half is let go at once. Both generators ask this one function.
"""


def window_start(length: int, context: int) -> int:
    """First visible position of a text of ``length`` tokens; at most ``context`` tokens are visible."""
    if length <= context:
        return 0
    stride = max(1, context // 2)
    return -(-(length - context) // stride) * stride
