"""The pages are code: excerpts are the source's own lines, examples and commands run, names and links exist."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from cyclopts import App

from homespun.cli.main import app, run
from homespun.common.configuration import flatten
from homespun.pipeline.configuration import Options
from tests.docs.pages import ROOT, Block, Page, all_pages, is_excerpt
from tests.docs.shell import command_lines, run_line

PAGES = all_pages()
OPTION = re.compile(r"(?<![\w-])--[a-z][\w.-]*")
MODULE = re.compile(r"homespun(?:\.\w+)+")
OUR_PATH = re.compile(r"(?:homespun|tests|benchmarks|docs|recipes|examples)/[\w./-]*")
SECTIONS = "corpus replay tokenizer images labelled conversations pairs preferences model training sampling"
KEY = re.compile(rf"(?:{SECTIONS.replace(' ', '|')})\.(\w+)")
FILE_ENDINGS = ("json", "jsonl", "toml", "py", "safetensors", "txt", "md")

every_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def test_there_is_a_page_for_every_stage_and_the_index_names_it() -> None:
    numbered = [page.path.name for page in PAGES if page.path.name[0].isdigit()]
    assert [name.split("-")[0] for name in numbered] == [str(number) for number in range(1, 18)]
    assert set(numbered) <= set(Page(ROOT / "docs" / "README.md").links())


@every_page
def test_excerpts_are_lines_of_the_source(page: Page) -> None:
    for block in page.all_blocks():
        if block.file:
            source = ROOT / block.file
            assert source.is_file(), f"{block}: there is no file {block.file}"
            found = is_excerpt(block.text, source.read_text("utf-8"))
            assert found, f"{block}: not an excerpt of {block.file}"


@every_page
def test_examples_run(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in page.blocks("python"):
        if not block.file:
            program = compile("\n" * block.line + block.text, page.name, "exec")
            exec(program, {"__name__": "example"})


@every_page
def test_commands_run(page: Page, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in page.blocks("sh"):
        for line in command_lines(block):
            run_line(line, block, monkeypatch)


def test_the_estimate_on_its_page_is_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = Page(ROOT / "docs" / "7-the-plan.md")
    commands = (line for block in page.blocks("sh") for line in command_lines(block))
    command = next(line for line in commands if line.startswith("homespun estimate"))
    (told,) = page.blocks("text")
    assert run(shlex.split(command)[1:]) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == told.text.splitlines()


@every_page
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links():
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.path.parent / file).resolve() if file else page.path
        assert target.exists(), f"{page.name}: the link {link} leads nowhere"
        if anchor:
            assert anchor in Page(target).anchors(), f"{page.name}: {target.name} has no heading for {link}"


@every_page
def test_names_in_backticks_exist(page: Page) -> None:
    keys, options = set(flatten(Options())), all_options(app)
    for word in page.code_words():
        for module in MODULE.findall(word):
            assert can_be_found(module), f"{page.name}: {module} does not exist"
        for option in OPTION.findall(word):
            assert option.rstrip(".") in options, f"{page.name}: no command has the option {option}"
        if OUR_PATH.fullmatch(word):
            assert (ROOT / word).exists(), f"{page.name}: there is no {word}"
        key = KEY.fullmatch(word)
        if key and key[1] not in FILE_ENDINGS:
            assert word in keys, f"{page.name}: the configuration has no key {word}"


def can_be_found(path: str) -> bool:
    """Whether a dotted path is a module, or something in one."""
    module, _, rest = path, "", ""
    while True:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest = f"{last}.{rest}".strip(".")
            if not module:
                return False
    for name in filter(None, rest.split(".")):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def all_options(command: App) -> set[str]:
    """Every option of a command and of those below it."""
    names = {*command.help_flags, *command.version_flags}
    if command.default_command:
        names |= {name for argument in command.assemble_argument_collection() for name in argument.names}
    for name in command:
        if not name.startswith("-"):
            names |= all_options(command[name])
    return {name for name in names if name.startswith("--")}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("return x\n", True),
        ("    y = 1\n    return y\n", True),
        ("y = 1\nreturn y\n", True),
        ("y = 1\nreturn x\n", False),
        ("y = 1\n    return y\n", False),
        ("y = 1 \n", True),
        ("\n", False),
    ],
)
def test_what_counts_as_an_excerpt(block: str, expected: bool) -> None:
    assert is_excerpt(block, "def f(x):\n    return x\n\n\ndef g():\n    y = 1\n    return y\n") is expected


def test_what_is_missing_is_noticed() -> None:
    assert can_be_found("homespun.layers.attention.attend") and can_be_found("homespun.models")
    assert not can_be_found("homespun.layers.attention.absent") and not can_be_found("homespun.absent.attend")
    assert {"--model.no-biases", "--top-k", "--resume", "--help", "--run", "--tokenizer"} <= all_options(app)
    assert "--absent" not in all_options(app)


@pytest.mark.parametrize(
    "line",
    [
        "torchrun train.py",
        "make absent",
        "cd absent",
        "python benchmarks/absent.py",
        "homespun generate runs/absent",
        "homespun build my-texts/ --absent",
        "echo hello | cat",
    ],
)
def test_a_command_that_does_not_work_is_noticed(line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match=r"page\.md, line 1"):
        run_line(line, Block("page.md", 1, "sh", "", line), monkeypatch)
