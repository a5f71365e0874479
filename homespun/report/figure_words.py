"""A figure and its 95 % interval, as a record has them -> words for people."""

from typing import Any

from homespun.report.lookup import number, text
from homespun.report.wording import EN_DASH, UNKNOWN, decimal, tenths


def figure_in_words(figure: Any) -> str:
    """``97.3 % (96.1–98.2 %)``."""
    value, low, high = (number(figure, key) for key in ("value", "low", "high"))
    write = tenths if text(figure, "unit") == "share" else decimal
    if value is None:
        return UNKNOWN
    return write(value) if low is None or high is None else f"{write(value)} ({write(low)}{EN_DASH}{write(high)})"
