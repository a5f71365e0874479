"""Functions to questions and answers: what is asked, what is left out and why, in bounds, the same each time."""

import ast
import gzip
import inspect
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.python_source import Module, ReadFiles, module_name, python_modules, source_of
from homespun.dialogues import from_python, python_questions
from homespun.dialogues.dialogue import Conversation
from homespun.dialogues.from_python import DECLARE, EXPLAIN, IMPLEMENT, Function, Left, functions_of
from homespun.dialogues.python_questions import FEWEST_FUNCTIONS, count_questions, write_questions

BY_HAND = '''
"""A module."""
from typing import overload


def plain(text: str, width: int = 70, /, *more: str, key=None, **others) -> str:
    """Put the text into lines.

    And more about it, which nobody asks for.
    """
    # A reason.
    return """a

    b"""


async def fetch(url, *, retries=3, wait=compute(1)):
    """fetch(url) -> bytes

    Fetch what is behind an address.
    """
    return await get(url)


class Outer:
    """A class is not asked about."""

    class Inner:
        @property
        @staticmethod
        def value(self):
            "The value of the inner thing."

        @classmethod
        def of(cls, other):
            """Make one
            of another."""

            return cls(other)

    def __len__(self):
        """Return how many there are."""

    def nothing(self):
        return 1


@overload
def several(x: int) -> int:
    """Return several of them."""


def several(x):
    """Return several of them."""
    def local(y):
        """Return one more of them."""
        return y + 1
    return local(x)


if True:
    pass
elif False:
    def hidden(): "Return what is hidden here."
try:
    pass
except ValueError:
    def handled():
        """:param x: nothing to say."""

match 1:
    case 1:
        def matched(): """Do."""
'''


def read(*sources: str) -> tuple[dict[str, Function], Left]:
    left = Left()
    return {one.path: one for one in functions_of([Module("mine", source) for source in sources], left)}, left


def test_of_each_documented_function_what_it_does_and_how_it_is_called() -> None:
    found, left = read(BY_HAND)
    told = {path: (one.call, one.own, one.summary) for path, one in found.items()}
    assert told == {
        "mine.plain": (
            "mine.plain(text, width=70, /, *more, key=None, **others)",
            "plain(text, width=70, /, *more, key=None, **others)",
            "Put the text into lines.",
        ),
        "mine.fetch": (
            "mine.fetch(url, *, retries=3, wait=...)",
            "fetch(url, *, retries=3, wait=...)",
            "Fetch what is behind an address.",
        ),
        "mine.Outer.Inner.value": ("mine.Outer.Inner.value()", "value(self)", "The value of the inner thing."),
        "mine.Outer.Inner.of": ("mine.Outer.Inner.of(other)", "of(cls, other)", "Make one of another."),
        "mine.several": ("mine.several(x)", "several(x)", "Return several of them."),
        "mine.several.local": ("mine.several.local(y)", "local(y)", "Return one more of them."),
        "mine.hidden": ("mine.hidden()", "hidden()", "Return what is hidden here."),
    }
    assert left == Left(seen=12, undocumented=1, special=2, without_sentence=2)
    assert [path for path, one in found.items() if one.asynchronous] == ["mine.fetch"]


def test_code_is_as_in_the_file_without_decorators_and_docstring() -> None:
    found, _ = read(BY_HAND)
    assert found["mine.Outer.Inner.of"].code == "def of(cls, other):\n    return cls(other)"
    assert found["mine.several.local"].code == "def local(y):\n    return y + 1"
    assert found["mine.plain"].code.endswith('    # A reason.\n    return """a\n\n    b"""')
    assert found["mine.hidden"].code == found["mine.Outer.Inner.value"].code == ""


def test_both_directions_in_several_wordings() -> None:
    modules = [
        Module("many", f'def f{n}(a):\n    """Return {n} things."""\n    {"return a" * (n % 2)}\n') for n in range(99)
    ]
    pairs = [list(one.conversations()) for one in functions_of(modules, Left())]
    assert all(len(both) == 2 for both in pairs) and len(pairs) == 99
    asked = [one.messages[0].content for both in pairs for one in both]
    for wordings in (EXPLAIN, IMPLEMENT, DECLARE):
        for wording in wordings:
            beginning = wording.partition("{")[0]
            assert any(question.startswith(beginning) for question in asked), wording
    answers = {both[1].messages[1].content for both in pairs}
    assert "def f4(a):" in answers and "def f5(a):\n    return a" in answers
    assert {both[0].messages[1].content for both in pairs} == {f"Return {n} things." for n in range(99)}


def test_the_same_function_comes_once_wherever_it_stands() -> None:
    source = 'def again(x):\n    """Return it again."""\n'
    found, left = read(source, source, source.replace("it", "that"))
    assert len(found) == 1 and left.duplicates == 1 and left.seen == 3  # the third has another answer, and is kept
    assert found["mine.again"].summary == "Return that again."


@pytest.mark.parametrize(
    "source", ["def broken(:", "x = (" * 5000, "-" * 20_000 + "1", "a\0b", 'x = "\\q"\nprint "two"']
)
def test_what_does_not_parse_is_counted(source: str) -> None:
    found, left = read(source)
    assert not found and left.modules_not_parsed == 1


def test_a_long_chain_of_branches_is_no_recursion() -> None:
    chain = (
        "if a:\n    pass\n" + "elif b:\n    pass\n" * 900 + 'else:\n    def last():\n        """Return the last."""\n'
    )
    tree = ast.parse(chain)
    assert [node.name for _, node in from_python.definitions(tree, "")] == ["last"]


@pytest.mark.parametrize(
    ("documentation", "summary"),
    [
        ("Short.", ""),
        ("supercalifragilistic", ""),
        ("これは何かを返す関数です", "これは何かを返す関数です"),
        ("name(x) -> y", ""),
        ("Parameters of the thing are as follows:", ""),
        (">>> 1 + 1 is a doctest", ""),
        ("One sentence. " * 30, ("One sentence. " * 17).strip()),
        ("\n    Wrapped\n    words here.\n\n    More.", "Wrapped words here."),
    ],
)
def test_the_first_paragraph_is_the_answer_if_it_is_one(documentation: str, summary: str) -> None:
    assert from_python.summary_of(inspect.cleandoc(documentation), "name") == summary


def test_what_is_too_long_and_what_is_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ", ".join(f"argument_{number}" for number in range(20))
    found, left = read(f'def f({many}):\n    """Return all of them."""\ndef g(x):\n    """{"word " * 100}"""\n')
    assert not found and left.too_long == 2
    monkeypatch.setattr(from_python, "MOST_FUNCTIONS", 3)
    found, left = read("".join(f'def f{n}():\n    """Return number {n}."""\n' for n in range(8)))
    assert len(found) == 3 and left.beyond_the_most == 5


NAMES = st.text("abcdef_", min_size=1, max_size=8).filter(
    lambda name: name.isidentifier() and not name.startswith("__")
)


@given(st.lists(st.tuples(NAMES, st.lists(NAMES, unique=True, max_size=4), st.text(max_size=300), st.booleans())))
def test_any_documentation_gives_conversations_within_bounds(
    functions: list[tuple[str, list[str], str, bool]],
) -> None:
    """What was written with ``ast.unparse`` is read back; every answer is short and can be stored."""
    source = "\n".join(
        f"{'async ' * asynchronous}def {name}({', '.join(arguments)}):\n    {documentation!r}\n    return 1"
        for name, arguments, documentation, asynchronous in functions
    )
    found, left = read(source)
    assert left.seen == len(functions)
    left_out = sum(value for key, value in vars(left).items() if key not in ("seen", "modules_not_parsed"))
    assert left_out + len({one.identity for one in found.values()}) >= len(found)
    for function in found.values():
        for one in function.conversations():
            question, answer = (message.content for message in one.messages)
            assert len(answer) <= max(from_python.LONGEST_CODE, from_python.LONGEST_CALL + 20)
            assert len(question) <= from_python.LONGEST_CALL + from_python.LONGEST_SUMMARY + 60
            assert Conversation.from_record(json.loads(json.dumps(one.record()).encode())) == one
        ast.parse(function.code)


def test_files_are_read_in_the_encoding_that_they_name(tmp_path: Path) -> None:
    assert source_of("# coding: latin-1\nx = 'é'".encode("latin-1")).endswith("'é'")
    assert source_of("\ufeffx = 'é'".encode()) == "x = 'é'"
    assert "привет" in source_of("# Документация этой функции говорит привет, и ещё раз привет".encode("cp1251"))
    assert source_of(b"# coding: no-such-thing\nx = 1").endswith("x = 1")
    assert source_of(b"# coding: rot13\nx = 1").endswith("x = 1")
    (tmp_path / "a.py.gz").write_bytes(gzip.compress(b"x = 1"))
    (tmp_path / "b.py").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "c.py").write_bytes(b"#" * ((1 << 20) + 1))
    (tmp_path / "d.pyi").write_bytes(b"x: int")
    (tmp_path / "e.txt").write_bytes(b"x = 1")
    (tmp_path / "f.py.gz").write_bytes(gzip.compress(b"x = 1" * 1000)[:30])
    files = ReadFiles()
    assert {one.source for one in python_modules([str(tmp_path)], 0, files)} == {"x = 1", "x: int"}
    assert files == ReadFiles(read=2, too_large=1, unreadable=2)
    assert len(list(python_modules([str(tmp_path)], 3, ReadFiles()))) == 1


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("python/asyncio/tasks.py", "asyncio.tasks"),
        ("python/asyncio/__init__.py", "asyncio"),
        ("mine/__init__.py", "mine"),
        ("mine.py", "mine"),
        ("mine/my-tools/one/two.py.gz", "one.two"),
        ("mine/one/make-it.py", ""),
    ],
)
def test_a_module_is_named_as_it_would_be_imported(label: str, name: str) -> None:
    assert module_name(label) == name


def many_functions(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        text = f'def number_{number}(x):\n    """Return x and {number}."""\n    return x, {number}\n'
        (folder / f"module_{number}.py").write_text(text, "utf-8")


def test_a_folder_of_questions_is_the_same_each_time_and_no_function_is_in_both_splits(tmp_path: Path) -> None:
    many_functions(tmp_path / "code", 50)
    for name in ("one", "two"):
        write_questions([str(tmp_path / "code")], 0, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["manifest.json", "train.jsonl", "validation.jsonl"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    train, validation = ((tmp_path / "one" / file).read_text("utf-8") for file in files[1:])
    assert (len(train.splitlines()), len(validation.splitlines())) == (90, 10)
    numbers = [number for number in range(50) if f"number_{number}(" in validation]
    assert len(numbers) == 5 and not any(f"number_{number}(" in train for number in numbers)
    assert count_questions(tmp_path / "one") == 90 and count_questions(tmp_path / "absent") == 0


def test_sources_without_functions_have_no_questions(tmp_path: Path) -> None:
    many_functions(tmp_path / "code", FEWEST_FUNCTIONS - 1)
    write_questions([str(tmp_path / "code")], 0, tmp_path / "few")
    assert count_questions(tmp_path / "few") == 0
    manifest = json.loads((tmp_path / "few" / "manifest.json").read_text("utf-8"))
    assert manifest["functions"] == FEWEST_FUNCTIONS - 1
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text(inspect.getsource(textwrap), "utf-8")
    write_questions([str(tmp_path / "text")], 0, tmp_path / "none")
    assert count_questions(tmp_path / "none") == 0


def test_the_library_has_questions_and_a_part_of_it_is_an_even_sample(tmp_path: Path) -> None:
    write_questions(["python"], 300_000, tmp_path / "part")
    manifest = json.loads((tmp_path / "part" / "manifest.json").read_text("utf-8"))
    assert manifest["functions"] > 50 and manifest["left_out"]["modules_not_parsed"] == 0
    assert python_questions.count_questions(tmp_path / "part") > 100
