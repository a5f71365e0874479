"""Texts that a command works on one by one: words of the command line, or the lines of a file."""

import sys
from pathlib import Path

from homespun.common.errors import UsageError
from homespun.common.files import explain_os_error


def texts_asked(texts: tuple[str, ...], file: Path | None, what: str) -> list[str]:
    """The texts on the command line, or the lines of a file or of standard input; ``what`` is done with them."""
    if bool(texts) == (file is not None):
        raise UsageError(f"give texts to {what}, or a file of lines with --file (- is standard input)")
    if file is None:
        return list(texts)
    try:
        return lines_of(sys.stdin.read() if file == Path("-") else file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(str(explain_os_error(error, "cannot read"))) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 ({error})") from error


def lines_of(text: str) -> list[str]:
    """Lines as every program counts them: by line feeds alone."""
    return text.removesuffix("\n").split("\n")
