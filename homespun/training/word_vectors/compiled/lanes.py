"""Sixteen float32 at once, as single LLVM instructions; and single ones, at any address.

In and out: ``address`` is int64, ``Lanes`` a type of its own that only these functions make and take. numba could turn
plain loops into such instructions by itself, but only where it can prove that two rows do not overlap, and with a check
for the rest of a row each time.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic, models, register_model

from homespun.training.word_vectors.tables import LANES

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
INDEX = ir.IntType(32)
BYTES = 4 * LANES


class Lanes(types.Type):
    """The type, as numba sees it."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES_TYPE = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """How numba holds it: as LLVM's vector."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


def instruction(emit: Callable[..., Any], returns: Any, *takes: Any) -> Any:
    """Make a function for kernels of ``emit(builder, *values)``, by numba's types of what it returns and takes."""
    signature = returns(*takes)

    def code(context, builder, _signature, values):
        result = emit(builder, *values)
        return context.get_dummy_value() if returns is types.void else result

    # numba reads the number of parameters from the function itself.
    of_arity = (
        lambda _0: (signature, code),
        lambda _0, _1: (signature, code),
        lambda _0, _1, _2: (signature, code),
        lambda _0, _1, _2, _3: (signature, code),
    )
    return intrinsic(of_arity[len(takes)])


def at(builder: Any, address: Any, kind: Any) -> Any:
    """Return ``address`` as a pointer."""
    return builder.inttoptr(address, kind.as_pointer())


def emit_spread(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(INDEX, 0))
    places = ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), places)


def emit_add_product(builder: Any, left: Any, right: Any, rest: Any) -> Any:
    kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, VECTOR])
    return builder.call(get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32"), [left, right, rest])


def emit_total(builder: Any, vector: Any) -> Any:
    width = LANES
    while width > 1:
        width //= 2
        kind = ir.VectorType(INDEX, width)
        halves = [
            builder.shuffle_vector(vector, vector, ir.Constant(kind, list(range(start, start + width))))
            for start in (0, width)
        ]
        vector = builder.fadd(*halves)
    return builder.extract_element(vector, ir.Constant(INDEX, 0))


def emit_within(builder: Any, lanes: Any, limit: Any) -> Any:
    lanes = builder.select(builder.fcmp_ordered("<", lanes, limit), lanes, limit)
    lowest = builder.fneg(limit)
    return builder.select(builder.fcmp_ordered(">", lanes, lowest), lanes, lowest)


load_lanes = instruction(
    lambda builder, address: builder.load(at(builder, address, VECTOR), align=4), LANES_TYPE, types.int64
)
store_lanes = instruction(
    lambda builder, address, lanes: builder.store(lanes, at(builder, address, VECTOR), align=4),
    types.void, types.int64, LANES_TYPE,
)  # fmt: skip
load_float = instruction(
    lambda builder, address: builder.load(at(builder, address, FLOAT), align=4), types.float32, types.int64
)
store_float = instruction(
    lambda builder, address, value: builder.store(value, at(builder, address, FLOAT), align=4),
    types.void, types.int64, types.float32,
)  # fmt: skip
zeros = instruction(lambda _: ir.Constant(VECTOR, [0.0] * LANES), LANES_TYPE)
# All lanes are one value.
spread = instruction(emit_spread, LANES_TYPE, types.float32)
# left * right + rest, in one instruction where the processor has it.
add_product = instruction(emit_add_product, LANES_TYPE, LANES_TYPE, LANES_TYPE, LANES_TYPE)
add = instruction(lambda builder, left, right: builder.fadd(left, right), LANES_TYPE, LANES_TYPE, LANES_TYPE)
multiply = instruction(lambda builder, left, right: builder.fmul(left, right), LANES_TYPE, LANES_TYPE, LANES_TYPE)
divide = instruction(lambda builder, left, right: builder.fdiv(left, right), LANES_TYPE, LANES_TYPE, LANES_TYPE)
# Each lane between minus and plus the limit; what is no number becomes the limit.
within = instruction(emit_within, LANES_TYPE, LANES_TYPE, LANES_TYPE)
# The sum of all lanes: halves are added to halves.
total = instruction(emit_total, types.float32, LANES_TYPE)
