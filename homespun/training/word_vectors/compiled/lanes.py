"""Sixteen float32 at once, as single LLVM instructions; and single ones, at any address.

In and out: ``address`` is int64, ``Lanes`` a type of its own that only these functions make and take. numba could turn
plain loops into such instructions by itself, but only where it can prove that two rows do not overlap, and with a check
for the rest of a row each time.
"""

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

    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


def at(builder, address, kind):
    """Return ``address`` as a pointer."""
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def load_lanes(typing_context, address):
    def emit(context, builder, signature, values):
        return builder.load(at(builder, values[0], VECTOR), align=4)

    return LANES_TYPE(types.int64), emit


@intrinsic
def store_lanes(typing_context, address, lanes):
    def emit(context, builder, signature, values):
        builder.store(values[1], at(builder, values[0], VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, LANES_TYPE), emit


@intrinsic
def zeros(typing_context):
    def emit(context, builder, signature, values):
        return ir.Constant(VECTOR, [0.0] * LANES)

    return LANES_TYPE(), emit


@intrinsic
def spread(typing_context, value):
    """All lanes are ``value`` (float32)."""

    def emit(context, builder, signature, values):
        first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), values[0], ir.Constant(INDEX, 0))
        places = ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), places)

    return LANES_TYPE(types.float32), emit


@intrinsic
def add_product(typing_context, left, right, rest):
    """left * right + rest, in one instruction where the processor has it."""

    def emit(context, builder, signature, values):
        kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, VECTOR])
        return builder.call(get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32"), values)

    return LANES_TYPE(LANES_TYPE, LANES_TYPE, LANES_TYPE), emit


@intrinsic
def add(typing_context, left, right):
    def emit(context, builder, signature, values):
        return builder.fadd(values[0], values[1])

    return LANES_TYPE(LANES_TYPE, LANES_TYPE), emit


@intrinsic
def total(typing_context, lanes):
    """The sum of all lanes (float32): halves are added to halves."""

    def emit(context, builder, signature, values):
        vector, width = values[0], LANES
        while width > 1:
            width //= 2
            kind = ir.VectorType(INDEX, width)
            halves = [
                builder.shuffle_vector(vector, vector, ir.Constant(kind, list(range(start, start + width))))
                for start in (0, width)
            ]
            vector = builder.fadd(*halves)
        return builder.extract_element(vector, ir.Constant(INDEX, 0))

    return types.float32(LANES_TYPE), emit


@intrinsic
def load_float(typing_context, address):
    def emit(context, builder, signature, values):
        return builder.load(at(builder, values[0], FLOAT), align=4)

    return types.float32(types.int64), emit


@intrinsic
def store_float(typing_context, address, value):
    def emit(context, builder, signature, values):
        builder.store(values[1], at(builder, values[0], FLOAT), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), emit
