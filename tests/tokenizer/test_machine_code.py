"""Machine code: made once, kept, checked, and done without where it cannot be had; small texts never wait for it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from homespun.common.cache import cache_folder
from homespun.tokenizer.compiled import machine_code
from homespun.tokenizer.compiled.machine_code import (
    NoMachineCode,
    compile_kernel,
    is_ready,
    load_kernel,
    object_code,
    read_code,
)
from homespun.tokenizer.compiled.workspace import SLOT
from tests.tokenizer.conftest import run_python

# The kernel that compiles fastest.
KERNEL = "rehash"
# Machine code lives as long as its engine.
ENGINES: list[object] = []
MAKE_ENGINE = machine_code.make_engine.__wrapped__


def new_engine() -> object:
    ENGINES.append(MAKE_ENGINE())
    return ENGINES[-1]


@pytest.fixture(scope="module")
def code() -> bytes:
    return compile_kernel(KERNEL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; nothing that was loaded before is there."""
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine_code, "make_engine", new_engine)
    assert cache_folder() == tmp_path / "cache"
    return tmp_path / "cache"


@pytest.fixture
def compiled(code: bytes, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was compiled; compiling takes no time here."""
    names: list[str] = []

    def compile_at_once(name: str) -> bytes:
        names.append(name)
        return code

    monkeypatch.setattr(machine_code, "compile_kernel", compile_at_once)
    return names


def load_afresh() -> None:
    """Load the kernel as a new process would, and see that it works."""
    kernel = load_kernel.__wrapped__(KERNEL)
    old, new = np.zeros((2, SLOT // 8), np.int64), np.zeros((4, SLOT // 8), np.int64)
    old[1] = (ord("a"), 1 << 56, 7, 9)
    assert kernel(old.ctypes.data, 1, new.ctypes.data, 2) == 0
    assert [row for row in new.tolist() if any(row)] == [old[1].tolist()]


def file_of(folder: Path) -> Path:
    (found,) = folder.glob(f"{KERNEL}-*.o")
    return found


def test_a_kernel_is_compiled_once(folder: Path, compiled: list[str]) -> None:
    assert not is_ready(KERNEL)
    load_afresh()
    load_afresh()
    assert compiled == [KERNEL]
    assert is_ready(KERNEL)
    assert folder.stat().st_mode & 0o077 == 0


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "short": lambda raw: raw[:20],
    "only the checksum": lambda raw: raw[:32],
    "truncated": lambda raw: raw[:-1],
    "longer": lambda raw: raw + b"\0",
    "one bit of the code": lambda raw: raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:],
    "one bit of the checksum": lambda raw: bytes([raw[0] ^ 1]) + raw[1:],
    "something else": lambda raw: b"x" * len(raw),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_again(damage: str, folder: Path, compiled: list[str]) -> None:
    load_afresh()
    good = file_of(folder).read_bytes()
    file_of(folder).write_bytes(DAMAGES[damage](good))
    assert read_code(file_of(folder)) is None
    assert not is_ready(KERNEL)
    load_afresh()
    assert compiled == [KERNEL, KERNEL]
    assert file_of(folder).read_bytes() == good


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")
def test_files_of_others_are_not_run(folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    load_afresh()
    me = os.getuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: me + 1)
        assert read_code(file_of(folder)) is None
        assert not is_ready(KERNEL)
        load_afresh()
    assert compiled == [KERNEL, KERNEL]
    assert is_ready(KERNEL)


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "file" / "cache"))
    load_afresh()
    load_afresh()
    assert compiled == [KERNEL, KERNEL]
    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "closed"))
    load_afresh()


def test_a_folder_in_the_place_of_the_file(folder: Path, compiled: list[str]) -> None:
    load_afresh()
    path = file_of(folder)
    path.unlink()
    path.mkdir()
    load_afresh()
    assert compiled == [KERNEL, KERNEL]


def test_systems_without_locks_of_files(folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    load_afresh()
    assert compiled == [KERNEL]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOMESPUN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/homespun")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/homespun")


def test_machine_code_that_calls_others_is_refused() -> None:
    import llvmlite.binding as llvm
    from numba import cfunc, types

    def talks(value: int) -> int:
        print(value)
        return value

    made = cfunc(types.int64(types.int64))(talks)
    with pytest.raises(AssertionError, match="homespun_talks is not self-contained, it calls "):
        object_code(llvm.parse_assembly(made.inspect_llvm()), made.native_name, "homespun_talks")


def test_a_missing_function_is_said(folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code, "symbol", lambda name: "another_name")
    with pytest.raises(NoMachineCode, match="lacks its function; delete it"):
        load_kernel.__wrapped__(KERNEL)


def succeeded(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """The lines that a process printed; it must have ended well."""
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_two_processes_compile_once(tmp_path: Path) -> None:
    code = f"from homespun.tokenizer.compiled.machine_code import load_kernel; load_kernel({KERNEL!r})"
    environment = {**os.environ, "HOMESPUN_CACHE": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(len(text.splitlines()) for text in said) == [0, 1]


USE = """
    import sys
    from homespun.tokenizer import engine, training
    from homespun.tokenizer.settings import TokenizerConfig
    from homespun.tokenizer.tokenizer import Tokenizer
    from homespun.tokenizer.training import train_tokenizer
    text = "the cat sat on the mat " * {times}
    tokenizer = train_tokenizer([text], TokenizerConfig(vocabulary_size=280))[0]
    ids = Tokenizer("homespun", [(97, 116)]).encode(text)
    print(len(tokenizer.merges), len(ids), sorted({{"numba", "llvmlite", "numpy"}} & set(sys.modules)))
"""
PER_TIME = len("the cat sat on the mat ") - 3


def test_small_texts_never_wait(tmp_path: Path) -> None:
    done = run_python(USE.format(times=50), HOMESPUN_CACHE=str(tmp_path))
    assert succeeded(done)[0].startswith(f"12 {PER_TIME * 50} ")
    assert done.stderr == ""
    assert "numba" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_plain_means_plain(tmp_path: Path) -> None:
    code = "import homespun.tokenizer.engine as engine\nengine.WORTH_COMPILING = 1\n"
    code += "import homespun.tokenizer.training as training\ntraining.WORTH_COMPILING = 1\n"
    done = run_python(code + dedent(USE.format(times=5000)), HOMESPUN_CACHE=str(tmp_path), HOMESPUN_PLAIN="1")
    assert succeeded(done) == [f"12 {PER_TIME * 5000} []"]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["numba", "llvmlite"])
def test_without_a_compiler_the_plain_path_does_it(missing: str, tmp_path: Path) -> None:
    before = f"""
        import sys
        sys.modules[{missing!r}] = None
        import homespun.tokenizer.engine as engine, homespun.tokenizer.training as training
        engine.WORTH_COMPILING = training.WORTH_COMPILING = 1000
    """
    done = run_python(dedent(before) + dedent(USE.format(times=5000)), HOMESPUN_CACHE=str(tmp_path))
    assert succeeded(done)[0].startswith(f"12 {PER_TIME * 5000} ")
    warnings = [line for line in done.stderr.splitlines() if "plain Python" in line]
    assert len(warnings) == 2, done.stderr  # one of learning, one of encoding
    assert all(missing in line for line in warnings)
    assert "Traceback" not in done.stderr


def test_importing_the_tokenizer_imports_nothing_heavy() -> None:
    done = run_python(
        "import sys, homespun.tokenizer.tokenizer, homespun.tokenizer.training\n"
        "print({'numpy', 'numba', 'llvmlite', 'torch', 'regex'} & set(sys.modules))"
    )
    assert succeeded(done) == ["set()"]


def test_compiled_code_is_used_without_numba() -> None:
    for name in ("encode-homespun", "fill_pairs"):
        load_kernel(name)
    done = run_python(
        """
        import sys
        from homespun.tokenizer.tokenizer import Tokenizer
        tokenizer = Tokenizer("homespun", [(97, 98)])
        ids = tokenizer.encode("abc " * 10_000)
        print(len(ids), len(tokenizer._engine._idle), "llvmlite" in sys.modules, "numba" in sys.modules)
        """
    )
    assert succeeded(done) == ["30000 1 True False"]
    assert done.stderr == ""


def test_threads_may_load_at_once() -> None:
    load_kernel("fill_pairs")
    done = run_python(
        """
        from concurrent.futures import ThreadPoolExecutor
        from threading import Barrier
        from homespun.tokenizer.compiled.machine_code import load_kernel
        barrier = Barrier(8)
        def load(_):
            barrier.wait()
            return load_kernel("fill_pairs")
        with ThreadPoolExecutor(8) as pool:
            print(len(list(pool.map(load, range(8)))))
        """
    )
    assert succeeded(done) == ["8"]
