"""What numba lacks for text: bytes and words at any address, vector compares, bit counts; as single instructions.

In and out: ``address``, ``value`` and ``mask`` are int64. ``numba.extending.intrinsic`` lets Python name the LLVM
instructions themselves, so machine code of this kind needs no compiler on the user's machine. Nothing is checked:
callers stay inside the buffers that ``encoder.py``, ``counter.py`` and ``learner.py`` hand over.

Importing this file imports numba (0.4 s); it happens only when something has to be compiled.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LONG = types.int64
I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
LANES = 32
BYTES_16 = ir.VectorType(I8, 16)

# Every function of a kernel becomes part of it: calls inside the loop over a text would cost more than their work.
inlined = njit(error_model="numpy", forceinline=True)
# For what is rare or long: called, so that it is compiled once.
called = njit(error_model="numpy")


def instruction(emit: Callable[..., Any], arguments: int, returns: bool = True) -> Any:
    """Make a function for kernels of ``emit(builder, *values)``, which takes and returns 64-bit LLVM values."""
    signature = (LONG if returns else types.void)(*[LONG] * arguments)

    def code_generator(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        result = emit(builder, *values)
        return result if returns else context.get_dummy_value()

    # numba reads the number of parameters from the function itself.
    if arguments == 1:

        def typed(typing_context: Any, a: Any) -> Any:
            return signature, code_generator
    elif arguments == 2:

        def typed(typing_context: Any, a: Any, b: Any) -> Any:
            return signature, code_generator
    else:
        raise ValueError("an instruction takes one or two values")
    return intrinsic(typed)


def at(builder: Any, address: Any, kind: Any) -> Any:
    """Return ``address`` as a pointer to ``kind``."""
    return builder.inttoptr(address, kind.as_pointer())


def mask_of(builder: Any, address: Any, compare: Callable[[Any, Callable[[int], Any]], Any], lanes: int) -> Any:
    """Return one bit per byte from an address on: does ``compare`` hold for it?"""
    kind = ir.VectorType(I8, lanes)

    def all_lanes(value: int) -> Any:
        return ir.Constant(kind, [value] * lanes)

    bits = builder.bitcast(compare(builder.load(at(builder, address, kind), align=1), all_lanes), ir.IntType(lanes))
    return bits if lanes == 64 else builder.zext(bits, I64)


def in_range(first: int, count: int, lanes: int, ignored_bits: int = 0) -> Any:
    """Make the instruction: which bytes are one of ``count`` from ``first`` on, if ``ignored_bits`` are set?"""

    def emit(builder: Any, address: Any) -> Any:
        def compare(vector: Any, all_lanes: Callable[[int], Any]) -> Any:
            if ignored_bits:
                vector = builder.or_(vector, all_lanes(ignored_bits))
            return builder.icmp_unsigned("<", builder.sub(vector, all_lanes(first)), all_lanes(count))

        return mask_of(builder, address, compare, lanes)

    return instruction(emit, 1)


def emit_prefetch(builder: Any, address: Any) -> Any:
    pointer = at(builder, address, I8)
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
    # For reading, to be kept in all caches, of data.
    return builder.call(function, [pointer, ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1)])


load_8 = instruction(lambda builder, address: builder.zext(builder.load(at(builder, address, I8)), I64), 1)
load_32 = instruction(lambda builder, address: builder.zext(builder.load(at(builder, address, I32), align=1), I64), 1)
load_64 = instruction(lambda builder, address: builder.load(at(builder, address, I64), align=1), 1)
store_8 = instruction(
    lambda builder, address, value: builder.store(builder.trunc(value, I8), at(builder, address, I8)), 2, returns=False
)
store_32 = instruction(
    lambda builder, address, value: builder.store(builder.trunc(value, I32), at(builder, address, I32), align=1),
    2,
    returns=False,
)
store_64 = instruction(
    lambda builder, address, value: builder.store(value, at(builder, address, I64), align=1), 2, returns=False
)
# target, source: 16 bytes at once.
copy_16 = instruction(
    lambda builder, target, source: builder.store(
        builder.load(at(builder, source, BYTES_16), align=1), at(builder, target, BYTES_16), align=1
    ),
    2,
    returns=False,
)
# Bit i: is the i-th byte at the address of this kind? An upper and a lower letter differ in the bit 0x20.
CASE = 0x20
letters_32 = in_range(ord("a"), 26, 32, CASE)
capitals_32 = in_range(ord("A"), 26, 32)
letters_64 = in_range(ord("a"), 26, 64, CASE)
capitals_64 = in_range(ord("A"), 26, 64)
digits_64 = in_range(ord("0"), 10, 64)
controls_64 = in_range(ord("\t"), 5, 64)  # tab, line feed, vertical tab, form feed, carriage return
feeds_64 = in_range(ord("\n"), 1, 64)
returns_64 = in_range(ord("\r"), 1, 64)
blanks_64 = in_range(ord(" "), 1, 64)
apostrophes_64 = in_range(ord("'"), 1, 64)
slashes_64 = in_range(ord("/"), 1, 64)
underscores_64 = in_range(ord("_"), 1, 64)
continuations_64 = in_range(0x80, 0x40, 64)  # the later bytes of a character beyond ASCII
leads_64 = in_range(0xC0, 0x40, 64)  # its first one
leading_zeros = instruction(lambda builder, value: builder.ctlz(value, ir.Constant(ir.IntType(1), 0)), 1)
trailing_zeros = instruction(lambda builder, value: builder.cttz(value, ir.Constant(ir.IntType(1), 0)), 1)
# Begin to bring the memory at an address near; it is not waited for.
prefetch = instruction(emit_prefetch, 1, returns=False)
# Arithmetic that may run over. numba's own * + - promise LLVM that no result leaves int64, and code that breaks the
# promise is compiled to anything at all: hashes and masks came out wrong, here and there.
multiply = instruction(lambda builder, left, right: builder.mul(left, right), 2)
add = instruction(lambda builder, left, right: builder.add(left, right), 2)
without_lowest_bit = instruction(lambda builder, value: builder.and_(value, builder.sub(value, ir.Constant(I64, 1))), 1)
# As if the number had no sign; Python's >> copies the sign bit.
shift_right = instruction(lambda builder, value, bits: builder.lshr(value, bits), 2)
