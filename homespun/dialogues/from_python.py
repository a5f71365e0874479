"""Python source code -> conversations: questions on its functions, and answers from their own documentation.

In: modules as text. Out: ``Function`` for each that says what it does, and of each two conversations:

- what it does: its name and arguments are asked about, the answer is the beginning of its docstring;
- the other way round: from that sentence to the code, where the function is short, else to its first line.

How a question is worded, the hash of the function decides: the same in every run, and several wordings for each kind.
Modules are parsed, never imported or run. What is left out, and why, is counted in ``Left``.
"""

import ast
import hashlib
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from inspect import cleandoc

from homespun.corpus.python_source import Module
from homespun.dialogues.dialogue import ASSISTANT, USER, Conversation, Message, clean

SHORTEST_SUMMARY, LONGEST_SUMMARY = 12, 240  # characters
LONGEST_CALL = 120
LONGEST_CODE = 400
MOST_FUNCTIONS = 20_000  # some 30 MB; more than a small model can make use of

EXPLAIN = (
    "What does {call} do?",
    "What is {call} for?",
    "Explain {call}.",
    "Describe {call} in a sentence.",
)
IMPLEMENT = (
    "Write the function {own}: {summary}",
    "Write {own} in Python. {summary}",
    "Implement {own}. {summary}",
)
DECLARE = (
    "Write the first line of a function: {summary}",
    "How does a function begin that does this: {summary}",
    "Name a function and its arguments: {summary}",
)
Definition = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (ast.stmt, ast.excepthandler, ast.match_case)
SELVES = ("self", "cls")


@dataclass
class Left:
    """Functions that were seen, and why some of them are not used."""

    seen: int = 0
    undocumented: int = 0
    special: int = 0  # __len__ and the like, and stubs of overloads
    without_sentence: int = 0  # the docstring begins with something else, or says next to nothing
    too_long: int = 0
    duplicates: int = 0
    beyond_the_most: int = 0
    modules_not_parsed: int = 0


@dataclass(frozen=True)
class Function:
    """``path``: how it is called from outside, ``own``: as it is defined; ``summary``: one paragraph; ``code`` may be
    empty."""

    path: str
    own: str
    asynchronous: bool
    call: str
    summary: str
    code: str

    @property
    def identity(self) -> bytes:
        """The same name, arguments and words are the same function, wherever they stand."""
        told = "\0".join((self.path.rpartition(".")[2], self.own, self.summary))
        return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=16).digest()

    def conversations(self) -> Iterator[Conversation]:
        """What it does, and the other way round."""
        chosen = int.from_bytes(self.identity[:8], "little")
        words = {"call": self.call, "own": self.own, "summary": self.summary}
        yield exchange(EXPLAIN[chosen % len(EXPLAIN)].format(**words), self.summary)
        wordings = IMPLEMENT if self.code else DECLARE
        beginning = f"{'async ' if self.asynchronous else ''}def {self.own}:"
        yield exchange(wordings[chosen // len(EXPLAIN) % len(wordings)].format(**words), self.code or beginning)


def exchange(question: str, answer: str) -> Conversation:
    """One question, one answer."""
    return Conversation((Message(USER, clean(question)), Message(ASSISTANT, clean(answer))))


def functions_of(modules: Iterable[Module], left: Left) -> Iterator[Function]:
    """Each function that says what it does, once; at most ``MOST_FUNCTIONS`` of them."""
    taken: set[bytes] = set()
    for module in modules:
        tree = parsed(module.source)
        if tree is None:
            left.modules_not_parsed += 1
            continue
        lines = module.source.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # as the parser counts them
        for prefix, node in definitions(tree, module.name):
            left.seen += 1
            function = described(prefix, node, lines, left)
            if function is None:
                continue
            if function.identity in taken:
                left.duplicates += 1
            elif len(taken) >= MOST_FUNCTIONS:
                left.beyond_the_most += 1
            else:
                taken.add(function.identity)
                yield function


def parsed(source: str) -> ast.Module | None:
    """None for what is not Python of this version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in a module is not this reader's affair
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last: nested too deep for the parser
            return None


def definitions(tree: ast.Module, name: str) -> Iterator[tuple[str, Definition]]:
    """Every function in the order of the text, with the path of what it stands in. No recursion: an ``elif`` stands in
    the ``else`` of the one before it, and there may be thousands."""
    waiting: list[tuple[str, ast.AST]] = [(name, tree)]
    while waiting:
        prefix, node = waiting.pop()
        if isinstance(node, Definition):
            yield prefix, node
        if isinstance(node, Definition | ast.ClassDef):
            prefix = f"{prefix}.{node.name}" if prefix else node.name
        inside = [child for child in ast.iter_child_nodes(node) if isinstance(child, BRANCHES)]
        waiting += [(prefix, child) for child in reversed(inside)]


def described(prefix: str, node: Definition, lines: list[str], left: Left) -> Function | None:
    """None, and counted, where there is nothing to ask."""
    if (node.name.startswith("__") and node.name.endswith("__")) or is_overload(node):
        left.special += 1
        return None
    documentation = ast.get_docstring(node, clean=False)
    if not documentation or not documentation.strip():
        left.undocumented += 1
        return None
    summary = summary_of(cleandoc(documentation), node.name)
    if not summary:
        left.without_sentence += 1
        return None
    path = f"{prefix}.{node.name}" if prefix else node.name
    arguments = arguments_of(node.args)
    outside = arguments[1:] if arguments and arguments[0] in SELVES else arguments
    call, own = f"{path}({', '.join(outside)})", f"{node.name}({', '.join(arguments)})"
    if len(summary) > LONGEST_SUMMARY or max(len(call), len(own)) > LONGEST_CALL:
        left.too_long += 1
        return None
    return Function(path, own, isinstance(node, ast.AsyncFunctionDef), call, summary, code_of(node, lines))


def is_overload(node: Definition) -> bool:
    """One of the faces of a function, for type checkers alone."""
    names = (one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in node.decorator_list)
    return "overload" in names


def summary_of(documentation: str, name: str) -> str:
    """The first paragraph, or as many of its sentences as are not too long; empty if it is none.

    A docstring may begin with a line that repeats the call; then the next paragraph is the first.
    """
    paragraphs = [" ".join(one.split()) for one in documentation.split("\n\n")]
    if paragraphs[0].startswith(f"{name}("):
        paragraphs = paragraphs[1:]
    if not paragraphs or not paragraphs[0][:1].isalpha() or paragraphs[0].endswith(":"):
        return ""
    summary = paragraphs[0]
    while len(summary) > LONGEST_SUMMARY and ". " in summary:
        summary = summary.rpartition(". ")[0] + "."
    usual = any(one.isspace() for one in summary) or not summary.isascii()
    return summary if len(summary) >= SHORTEST_SUMMARY and usual else ""


def arguments_of(arguments: ast.arguments) -> list[str]:
    """``["text", "width=70", "/", "*", "key=None", "**others"]``: without types."""
    before = [*arguments.posonlyargs, *arguments.args]
    missing = len(before) - len(arguments.defaults)
    found = [written(one, default) for one, default in zip(before, [None] * missing + arguments.defaults, strict=True)]
    if arguments.posonlyargs:
        found.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg:
        found.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        found.append("*")
    found += [written(one, default) for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return [*found, f"**{arguments.kwarg.arg}"] if arguments.kwarg else found


def written(argument: ast.arg, default: ast.expr | None) -> str:
    """``width`` or ``width=70``; a default that is no plain value or name is told as ``...``."""
    if default is None:
        return argument.arg
    plain = isinstance(default, ast.Constant | ast.Name | ast.Attribute | ast.UnaryOp | ast.Tuple)
    try:
        told = ast.unparse(default) if plain else "..."
    except RecursionError:
        told = "..."
    return f"{argument.arg}={told if len(told) <= 20 else '...'}"


def code_of(node: Definition, lines: list[str]) -> str:
    """The function as it stands in the file, without decorators and docstring; empty if it is long, or nothing else."""
    first, *rest = node.body
    if not rest or first.lineno == node.lineno or rest[0].lineno == first.end_lineno:
        return ""
    head, body = lines[node.lineno - 1 : first.lineno - 1], lines[(first.end_lineno or 0) : node.end_lineno]
    while not body[0].strip():  # there is a statement behind the docstring
        body = body[1:]
    code = textwrap.dedent("\n".join([*head, *body]))
    return code if len(code) <= LONGEST_CODE else ""
