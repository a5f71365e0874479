"""The lines of a page's ``sh`` blocks, run in this process, small.

``homespun …`` lines run and must end with exit code 0, also behind ``echo … |`` and, as one process, behind
``torchrun … -m``. ``make``, ``cd``, ``git clone`` and ``python FILE`` lines are only checked: the target or the
file must be there. Any other command is an error, so that a page cannot show what no test knows.
"""

import io
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path

import pytest

from homespun.cli.configuration import option_of
from homespun.cli.main import run
from homespun.models.settings import SETTINGS, GPTConfig
from tests.docs.pages import ROOT, Block
from tests.pipeline.conftest import TINY

CAP = "--corpus.maximum-bytes=300000"
QUICK = ["--training.steps=12", "--training.evaluate-every=6", "--training.sample-every=0"]
SMALL = [*(option for option in TINY if option.partition("=")[0] not in {quick.partition("=")[0] for quick in QUICK}),
         *QUICK, CAP]  # fmt: skip
FINETUNING = ("--training.steps", "--training.batch", "--training.pre", "--training.att", "--training.com",
              "--training.thr")  # fmt: skip
PLAN = [CAP, "--training.threads=1", "--training.precision=fp32"]


def command_lines(block: Block) -> Iterator[str]:
    """Whole commands: continued lines joined, comments and blank lines left out."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if shlex.split(line, comments=True):
            yield line.strip()


def small(arguments: list[str]) -> list[str]:
    """The same command with the options of a run of a second, where the page has not set them itself."""
    if arguments[0] == "finetune":
        return [*arguments, *(option for option in SMALL if option.startswith(FINETUNING))]
    if arguments[0] not in ("build", "train") or (arguments[0] == "train" and "--resume" in arguments):
        return arguments
    unfit = {argument.partition("=")[0].replace("_", "-") for argument in arguments}
    if "--model.architecture" in arguments:
        kind = SETTINGS[arguments[arguments.index("--model.architecture") + 1]]
        unfit |= {option_of(f"model.{field.name}") for field in fields(GPTConfig)} - {
            option_of(f"model.{field.name}") for field in fields(kind)
        }
    options = PLAN if "--plan" in arguments else SMALL
    return [*arguments, *(option for option in options if option.partition("=")[0] not in unfit)]


def run_line(line: str, block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run or check one command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = list(lexer)
    if words[0] == "torchrun":
        # One process is as good as several to see whether a command is right; tests/pipeline/test_torchrun.py has more.
        assert "homespun" in words, f"{block}: torchrun of something else than homespun"
        words = words[words.index("homespun") :]
    if words[0] in ("homespun", "echo"):
        run_pipe(words, block, monkeypatch)
    else:
        check_other(words, block)


def run_pipe(words: list[str], block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """``[echo TEXT |] homespun … [| homespun …]``; each stage's standard output is the next one's input."""
    text, stages = b"", [[]]
    for word in words:
        stages.append([]) if word == "|" else stages[-1].append(word)
    for name, *arguments in stages:
        if name == "echo":
            text = (" ".join(arguments) + "\n").encode()
            continue
        assert name == "homespun", f"{block}: the tests do not know the command {name}"
        text = run_homespun(small(arguments), text, block, monkeypatch)


def run_homespun(arguments: list[str], given: bytes, block: Block, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Run one command on standard input ``given``; its standard output."""
    stdin = io.TextIOWrapper(io.BytesIO(given), "utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    typed = iter(["Once upon a time", ""] if arguments[0] == "chat" else [])
    monkeypatch.setattr("builtins.input", lambda prompt="": type_line(typed))
    stdout = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with redirect_stdout(stdout):
        code = run(arguments)
    stdout.flush()
    written = stdout.detach()
    assert code == 0, f"{block}: homespun {shlex.join(arguments)} ended with exit code {code}"
    return written.getvalue()


def type_line(lines: Iterator[str]) -> str:
    """What a person types; at the end Ctrl-D."""
    for line in lines:
        return line
    raise EOFError


def check_other(words: list[str], block: Block) -> None:
    """A line that is not run: what it names must exist."""
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    name = Path(words[0]).name
    if name == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        asked = [word for word in words[1:] if "=" not in word]
        assert set(asked) <= set(targets), f"{block}: no such make target: {' '.join(asked)}"
    elif name in ("python", "python3"):
        files = [word for word in words[1:] if word.endswith(".py")]
        assert files and all((ROOT / file).is_file() for file in files), f"{block}: no such file: {' '.join(words)}"
    elif name == "cd":
        assert words[1] == "homespun" or (ROOT / words[1]).is_dir(), f"{block}: no such folder: {words[1]}"
    else:
        assert words[:2] == ["git", "clone"], f"{block}: the tests do not know the command {words[0]}"
