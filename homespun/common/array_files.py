"""What NumPy and ``zipfile`` raise for an ``.npz`` file that is damaged, or made to be: one tuple to catch, one line.

The header of an array is written as Python's words, and NumPy's parser of them fails in as many ways as there are.
"""

import tokenize
import zipfile
import zlib

DAMAGED_ARRAYS: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # encrypted, or packed in a way that Python does not know; nested too deep
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    tokenize.TokenError,
    MemoryError,  # a header that promises more than there is
)


def in_one_line(error: Exception) -> str:
    """The words of an error, some of which NumPy writes over several lines."""
    return " ".join(str(error).split()) or type(error).__name__
