"""What numba lacks for text: bytes and words at any address, vector compares, bit counts; as single instructions.

In and out: ``address``, ``value`` and ``mask`` are int64. ``numba.extending.intrinsic`` lets Python name the LLVM
instructions themselves, so machine code of this kind needs no compiler on the user's machine. Nothing is checked:
callers stay inside the buffers that ``compiled/machine.py`` handed over.

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
BYTES_32 = ir.VectorType(I8, LANES)
BYTES_16 = ir.VectorType(I8, 16)

# Every function of a kernel becomes part of it: calls inside the loop over a text would cost more than their work.
inlined = njit(error_model="numpy", forceinline=True, _nrt=False)
# For what is rare or long: called, so that it is compiled once.
called = njit(error_model="numpy", _nrt=False)


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


def letters_of(builder: Any, vector: Any, fold_case: bool, first: str) -> Any:
    """Return one bit per lane: is it one of the 26 letters from ``first`` on?"""
    if fold_case:
        vector = builder.or_(vector, ir.Constant(BYTES_32, [0x20] * LANES))
    vector = builder.sub(vector, ir.Constant(BYTES_32, [ord(first)] * LANES))
    is_letter = builder.icmp_unsigned("<", vector, ir.Constant(BYTES_32, [26] * LANES))
    return builder.zext(builder.bitcast(is_letter, I32), I64)


def emit_letters(builder: Any, address: Any) -> Any:
    return letters_of(builder, builder.load(at(builder, address, BYTES_32), align=1), True, "a")


def emit_capitals(builder: Any, address: Any) -> Any:
    return letters_of(builder, builder.load(at(builder, address, BYTES_32), align=1), False, "A")


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
# Bit i: is the i-th of the 32 bytes at the address an ASCII letter? A capital?
letters_32 = instruction(emit_letters, 1)
capitals_32 = instruction(emit_capitals, 1)
trailing_zeros = instruction(lambda builder, value: builder.cttz(value, ir.Constant(ir.IntType(1), 0)), 1)
# As if the number had no sign; Python's >> copies the sign bit.
shift_right = instruction(lambda builder, value, bits: builder.lshr(value, bits), 2)
