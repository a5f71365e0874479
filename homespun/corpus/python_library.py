"""The default source, the word ``python``: the standard library of the running interpreter, code and documentation.

In: the folder of the standard library. Out: for each module two documents, its source file and a page of
documentation in plain text (signatures and docstrings, as ``help()`` shows them), and the topics that
``help("FOR")`` and the like print. It is there without a network wherever Python is: about 11 MB of text.

Modules are parsed with ``ast``, never imported (only ``pydoc_data.topics``, a file of plain strings, is).
Left out: tests, site-packages, idlelib, tables (character encodings, HTML entities, build settings).
"""

import ast
import os
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from homespun.common.errors import HomespunError
from homespun.corpus.document import Document, make_document
from homespun.corpus.source_file import LIBRARY, PYTHON_WORD, SourceFile

SKIPPED_FOLDERS = frozenset(
    (
        "test",
        "tests",
        "idle_test",
        "site-packages",
        "dist-packages",
        "idlelib",
        "encodings",
        "lib-dynload",
        "__pycache__",
    )
)
SKIPPED_FILES = ("_sysconfigdata", "entities.py")
TOPICS = "pydoc_data/topics.py"
INDENT = "    "

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def library_folder() -> Path:
    """Where the standard library's source files are; one clear line when they are zipped away or missing."""
    folder = Path(sysconfig.get_path("stdlib"))
    if not (folder / "ast.py").is_file():
        raise HomespunError(
            f"the source python needs Python's standard library as source files, and there are none in {folder}; "
            "name a folder with text instead"
        )
    return folder


def library_files() -> Iterator[SourceFile]:
    """The modules of the standard library, sorted by path."""
    folder = library_folder()
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if name not in SKIPPED_FOLDERS and name.isidentifier())
        for name in sorted(names):
            if not name.endswith(".py") or name.startswith(SKIPPED_FILES):
                continue
            path = Path(place, name)
            label = f"{PYTHON_WORD}/{path.relative_to(folder).as_posix()}"
            yield SourceFile(path, label, LIBRARY, ".py", "", path.stat().st_size, named=False)


def library_documents(file: SourceFile) -> Iterator[Document]:
    """The documents of one module: its source, then its documentation if it has any."""
    if file.label.endswith(TOPICS):
        yield from topic_documents()
        return
    try:
        with tokenize.open(file.path) as source_file:
            source = source_file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise OSError(f"not Python source: {error}") from error
    module = module_name(file.label)
    yield make_document(source, file.label, metadata={"kind": "source", "module": module})
    if page := documentation_page(source, module):
        yield make_document(page, file.label, metadata={"kind": "documentation", "module": module})


def module_name(label: str) -> str:
    """``python/asyncio/__init__.py`` to ``asyncio``."""
    parts = label.removeprefix(f"{PYTHON_WORD}/").removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def topic_documents() -> Iterator[Document]:
    """The language reference as ``help()`` prints it, one document per topic; nothing where it is not installed."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return
    for topic, text in sorted(topics.items()):
        yield make_document(text, f"{PYTHON_WORD}/{TOPICS}", metadata={"kind": "topic", "topic": topic})


def documentation_page(source: str, module: str) -> str:
    """``Help on module ...``: the module's docstring, then each public class and function that has one.

    Empty when nothing is documented, or when the file is not Python of this version.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in a module is not this reader's affair
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return ""
    head = docstring(tree)
    entries = [entry for node in definitions(tree) for entry in describe(node, "")]
    if not head and not entries:
        return ""
    title = f"Help on module {module}:"
    return "\n\n".join(part for part in (title, head, *entries) if part) + "\n"


def definitions(parent: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """The public classes and functions directly inside ``parent``."""
    for node in parent.body:
        if isinstance(node, Definition) and (not node.name.startswith("_") or node.name == "__init__"):
            yield node


def docstring(node: ast.Module | Definition) -> str:
    """The docstring with its indentation evened out; empty when there is none."""
    return cleandoc(ast.get_docstring(node, clean=False) or "")


def describe(node: Definition, indent: str) -> Iterator[str]:
    """Signature line and docstring of a definition, then those of the methods of a class."""
    text = docstring(node)
    inner_nodes = definitions(node) if isinstance(node, ast.ClassDef) else ()
    members = [entry for inner in inner_nodes for entry in describe(inner, indent + INDENT)]
    if text or members:
        lines = [signature(node), *(INDENT + line if line else "" for line in text.splitlines())]
        yield "\n".join(indent + line if line else "" for line in lines)
        yield from members


def signature(node: Definition) -> str:
    """``class Name(Base)``, ``name(arguments) -> result``."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{prefix}{node.name}({ast.unparse(node.args)}){result}"
