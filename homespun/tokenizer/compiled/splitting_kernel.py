"""The kernel of splitting: a text -> where its pieces end. Encoding and counting take the same steps.

In: a workspace whose TEXT, SIZE and OUT are set. Out: OUT_COUNT ends, int32 each. Used by tests and reports.
"""

from typing import Any

from homespun.tokenizer.compiled.intrinsics import store_32
from homespun.tokenizer.compiled.walk import get, make_step, put
from homespun.tokenizer.compiled.workspace import DONE, OUT, OUT_COUNT, SIZE, TEXT, UNICODE


def make_split_kernel(pattern: str) -> Any:
    """The kernel for one split pattern."""
    step = make_step(pattern)

    def split(work):
        text, size, table, out = get(work, TEXT), get(work, SIZE), get(work, UNICODE), get(work, OUT)
        place, run_end, count, window, starts = 0, 0, 0, 0, 0
        while place < size:
            place, run_end, window, starts = step(text, place, size, table, run_end, window, starts)
            store_32(out + 4 * count, place)
            count += 1
        put(work, OUT_COUNT, count)
        return DONE

    return split
