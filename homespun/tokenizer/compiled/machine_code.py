"""Kernels -> machine code, made once and kept.

In: the name of a kernel, such as ``encode-gpt2``. Out: a Python function that runs it, without the interpreter's lock.
Another room makes its own kernels known with ``add_kernel``.

numba turns the Python of the kernel files into LLVM code, and llvmlite that into machine code of this processor. The
machine code goes into a file of the cache folder, so that every later process only reads it: 0.1 s, without importing
numba at all. The file's name is a hash of all that decides the code; its first 32 bytes are the SHA-256 of the rest.
The folder is ``$HOMESPUN_CACHE``, else ``$XDG_CACHE_HOME/homespun``, else ``~/.cache/homespun``; only files that belong
to the user are run.
"""

import ctypes
import hashlib
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from homespun.common.cache import cache_folder

Kernel = Callable[..., int]

# Where each kernel is made, and how many int64 it takes. Those with a pattern in their name are made for that pattern.
PATTERN_KERNELS = {
    "split": ("splitting_kernel", "make_split_kernel", 1),
    "count": ("counting_kernel", "make_count", 1),
    "encode": ("encoding_kernel", "make_encode", 1),
}
KERNELS = {
    "fill_pairs": ("merging", "fill_pairs", 5),
    "rehash": ("piece_table", "rehash", 4),
    "add_counts": ("counting_kernel", "add_counts", 5),
    "count_clusters": ("counting_kernel", "count_clusters", 4),
    "lay_out": ("learning_kernel", "lay_out", 6),
    "learn": ("learning_kernel", "learn", 1),
    "move_pairs": ("learning_kernel", "move_pairs", 5),
}
PACKAGE = "homespun.tokenizer.compiled"
# Machine code of another version of homespun may still be in use for so long.
DAYS_KEPT = 60
# All that LLVM may call by itself in code that calls nothing.
LINKED = {"memcpy", "memmove", "memset"}


class NoMachineCode(Exception):
    """There is no numba here, or it does not work; the plain path has to do."""


def add_kernel(name: str, module: str, function: str, arguments: int) -> None:
    """Make a kernel of another room known, by the full name of its module and how many int64 it takes.

    The sources beside that module and in the folder above, too, decide which machine code is the right one.
    """
    KERNELS[name] = (module, function, arguments)


@cache
def load_kernel(name: str) -> Kernel:
    """Return a kernel, compiled if it never was; ``NoMachineCode`` says why it cannot be."""
    try:
        import llvmlite.binding as llvm

        engine = make_engine()
    except Exception as error:
        raise NoMachineCode(f"llvmlite does not work here ({type(error).__name__}: {error})") from error
    path = code_path(name)
    code = read_code(path)
    if code is None:
        code = compile_once(name, path)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol(name))
    if not address:
        raise NoMachineCode(f"{path} lacks its function; delete it")
    return callable_at(address, find_maker(name)[2])


def is_ready(name: str) -> bool:
    """Tell whether a kernel could be used without compiling."""
    try:
        return read_code(code_path(name)) is not None
    except Exception:
        return False


def callable_at(address: int, arguments: int) -> Kernel:
    """Wrap a native function of numba: ``status f(result*, exception**, int64...)``."""
    integers = [ctypes.c_int64] * arguments
    native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *integers)(address)

    def call(*values: int) -> int:
        result, exception = ctypes.c_int64(), ctypes.c_void_p()
        status = native(ctypes.addressof(result), ctypes.addressof(exception), *values)
        if status != 0:
            raise AssertionError(f"a kernel raised (status {status}); none of them contains a raise")
        return result.value

    return call


def find_maker(name: str) -> tuple[str, str, int]:
    """Return the module, the function, and the number of arguments of a kernel."""
    module, function, arguments = KERNELS[name] if name in KERNELS else PATTERN_KERNELS[name.partition("-")[0]]
    return (module if "." in module else f"{PACKAGE}.{module}"), function, arguments


def code_path(name: str) -> Path:
    """Return where a kernel's machine code is kept; that of another room has a hash of its own sources in the name."""
    module, _, _ = find_maker(name)
    own = "" if module.startswith(PACKAGE) else f"{source_hash(module)}-"
    return cache_folder() / f"{name}-{own}{fingerprint()}.o"


@cache
def source_hash(module: str) -> str:
    """Return a hash of the sources beside a module and in the folder above, none of which is imported for it."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise NoMachineCode(f"the source of {module} is missing; install homespun again")
    digest = hashlib.sha256()
    folder = Path(found.origin).parent
    for path in [*sorted(folder.glob("[!_]*.py")), *sorted(folder.parent.glob("[!_]*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def symbol(name: str) -> str:
    """Return the name of a kernel's function in its machine code."""
    return "homespun_" + name.replace("-", "_")


@cache
def make_engine() -> Any:
    """Return the one place of this process where machine code lives."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), make_target())


def make_target() -> Any:
    """Return this very processor as LLVM's target."""
    import llvmlite.binding as llvm

    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )


@cache
def fingerprint() -> str:
    """Return a hash of the kernels' sources, the compiler and the processor."""
    import llvmlite.binding as llvm

    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in [*sorted(here.glob("[!_]*.py")), here.parent / "unicode_classes.py"]:
        digest.update(path.read_bytes())
    parts = (llvm.llvm_version_info, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), sys.platform)
    digest.update(repr(parts).encode())
    return digest.hexdigest()[:24]


def read_code(path: Path) -> bytes | None:
    """Return the machine code of a file, or None if there is none that is whole and ours."""
    try:
        with path.open("rb") as file:
            if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            raw = file.read()
    except OSError:
        return None
    code = raw[32:]
    return code if len(raw) > 32 and hashlib.sha256(code).digest() == raw[:32] else None


def write_code(path: Path, code: bytes) -> None:
    """Keep machine code; where nothing can be written, each process compiles for itself."""
    from homespun.common.errors import HomespunError
    from homespun.common.files import write_atomic

    with suppress(OSError, HomespunError):
        write_atomic(path, hashlib.sha256(code).digest() + code)
        remove_unused(path.parent)


def remove_unused(folder: Path) -> None:
    """Remove machine code of other versions that was made long ago."""
    for path in folder.glob("*.o"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > DAYS_KEPT * 86_400 and not path.stem.endswith(fingerprint()):
                path.unlink()


def compile_once(name: str, path: Path) -> bytes:
    """Compile while other processes that want the same wait for it."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock(path.with_name(f"{name}.lock")):
        code = read_code(path)
        if code is None:
            code = compile_kernel(name)
            write_code(path, code)
    return code


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a file's lock, where the system and the folder allow one."""
    try:
        import fcntl

        file = path.open("w")
    except (ImportError, OSError):
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def announce(name: str) -> None:
    """Say what takes so long, once in the life of an installation."""
    print(f"homespun: compiling {name} for this processor; this happens once and takes some seconds", file=sys.stderr)


def compile_kernel(name: str) -> bytes:
    """Compile a kernel to an object file."""
    try:
        import llvmlite.binding as llvm
        from numba import cfunc, types
    except Exception as error:
        raise NoMachineCode(f"numba does not work here ({type(error).__name__}: {error})") from error
    announce(name)
    module_name, function_name, arguments = find_maker(name)
    module = importlib.import_module(module_name)
    function = getattr(module, function_name)
    if name not in KERNELS:
        function = function(name.partition("-")[2])
    function = getattr(function, "py_func", function)
    compiled = cfunc(types.int64(*[types.int64] * arguments), error_model="numpy")(function)
    return object_code(llvm.parse_assembly(compiled.inspect_llvm()), compiled.native_name, symbol(name))


def object_code(module: Any, wrapper_name: str, wanted_name: str) -> bytes:
    """Return the object file of numba's function alone, without the wrapper that would need Python and numba to run."""
    import llvmlite.binding as llvm

    native_name = wrapper_name.removeprefix("cfunc.")
    for function in module.functions:
        if not function.is_declaration and function.name != native_name:
            function.linkage = "internal"
    module.get_function(native_name).name = wanted_name
    target = make_target()
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(3)))
    foreign = {function.name for function in module.functions if function.is_declaration}
    foreign = {name for name in foreign if name not in LINKED and not name.startswith("llvm.")}
    if foreign:
        raise AssertionError(f"{wanted_name} is not self-contained, it calls {', '.join(sorted(foreign))}")
    return target.emit_object(module)
