"""Sixteen 16-bit integers as one value inside numba kernels: an explicit LLVM vector and its operations.

numba's own loops over int16 widen to 64 bits and do not vectorise well; a vector type of the
IR does, on any instruction set (AVX-512, AVX2, SSE, NEON: LLVM splits it where registers are shorter).
Values live inside kernels alone and never cross to Python. Arrays are C-contiguous int16, indices
unchecked: callers check sizes. Unsigned operations read the same bits as uint16.
"""

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES: Final = 16
"""Integers in a vector."""

_SHORT: Final = ir.IntType(16)
_VECTOR: Final = ir.VectorType(_SHORT, LANES)
_MASK: Final = ir.IntType(LANES)
_declare: Any = cgutils.get_or_insert_function


class _Shorts(types.Type):
    """One vector value."""


class _ShortsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, _VECTOR)  # type: ignore[no-untyped-call]


register_model(_Shorts)(_ShortsModel)
_shorts: Final[Any] = _Shorts("Int16x16")


def _constant(value: int) -> Any:
    return ir.Constant(_VECTOR, [value] * LANES)


def _call(builder: Any, name: str, *values: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [value.type for value in values])
    return builder.call(_declare(builder.module, kind, f"llvm.{name}.v{LANES}i16"), values)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _broadcast(builder: Any, single: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, single, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    )


def _build_load(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return builder.load(_pointer(context, builder, signature.args[0], values[0], values[1]), align=2)


def _build_store(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    builder.store(values[2], _pointer(context, builder, signature.args[0], values[0], values[1]), align=2)
    return context.get_dummy_value()


def _build_fetch(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    pointer = _pointer(context, builder, signature.args[0], values[0], values[1])
    word, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [word, flag, flag, flag])
    function = _declare(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(pointer, word), *(ir.Constant(flag, f) for f in (1, 3, 1))])
    return context.get_dummy_value()


def _build_merge(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    counts = _broadcast(builder, builder.trunc(values[0], _SHORT))
    lane = ir.Constant(_VECTOR, list(range(LANES)))
    return builder.select(builder.icmp_signed("<", lane, counts), values[1], values[2])


def _build_toggle(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    sign = builder.ashr(values[1], _constant(15))
    return builder.sub(builder.xor(values[0], sign), sign)


def _build_negatives(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    mask = builder.bitcast(builder.icmp_signed("<", values[0], _constant(0)), _MASK)
    kind = ir.FunctionType(_MASK, [_MASK])
    count = builder.call(_declare(builder.module, kind, f"llvm.ctpop.i{LANES}"), [mask])
    return builder.zext(count, ir.IntType(64))


def _build_multiply_high(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    wide = ir.VectorType(ir.IntType(32), LANES)
    product = builder.mul(builder.zext(values[0], wide), builder.zext(values[1], wide))
    return builder.trunc(builder.lshr(product, ir.Constant(wide, [16] * LANES)), _VECTOR)


def _build_magnitude(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR, ir.IntType(1)])
    function = _declare(builder.module, kind, f"llvm.abs.v{LANES}i16")
    return builder.call(function, [values[0], ir.Constant(ir.IntType(1), 0)])


def _build_exponent_and_fraction(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    wide = ir.VectorType(ir.IntType(32), LANES)
    number = builder.sitofp(builder.zext(values[0], wide), ir.VectorType(ir.FloatType(), LANES))
    upper = builder.lshr(builder.bitcast(number, wide), ir.Constant(wide, [16] * LANES))
    return builder.trunc(upper, _VECTOR)


def _build_exponential(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    """The value as the upper half of a float, in whole numbers; by halves, as registers interleave them."""
    zero, half, number = _constant(0), ir.VectorType(ir.IntType(32), LANES // 2), ir.IntType(32)
    first = [lane for lane in range(LANES) if lane % 8 < 4]
    parts = []
    for lanes in (first, [lane + 4 for lane in first]):
        pairs = ir.Constant(ir.VectorType(number, LANES), [i for lane in lanes for i in (lane, LANES + lane)])
        floats = builder.bitcast(
            builder.shuffle_vector(zero, values[0], pairs), ir.VectorType(ir.FloatType(), LANES // 2)
        )
        whole = builder.and_(builder.fptosi(floats, half), ir.Constant(half, [0xFFFF] * (LANES // 2)))
        parts.append(builder.bitcast(whole, _VECTOR))
    even = [
        start + step
        for start in (0, 8)
        for part in (0, LANES)
        for step in (part, part + 2, part + 4, part + 6)
    ]
    return builder.shuffle_vector(*parts, ir.Constant(ir.VectorType(number, LANES), even))


def _nullary_of(single: Callable[..., Any]) -> Any:
    return intrinsic(lambda _context, a: (_shorts(types.int16), single))


def _unary(build: Callable[..., Any]) -> Any:
    return intrinsic(lambda _context, a: (_shorts(_shorts), build))


def _binary(build: Callable[..., Any]) -> Any:
    return intrinsic(lambda _context, a, b: (_shorts(_shorts, _shorts), build))


def _operation(name: str) -> Any:
    """A binary intrinsic of LLVM by its name."""
    return _binary(lambda _c, builder, _s, v: _call(builder, name, v[0], v[1]))


splat: Any = _nullary_of(lambda _c, builder, _s, v: _broadcast(builder, v[0]))
"""The same int16 in all lanes."""
load: Any = intrinsic(lambda _context, array, index: (_shorts(array, types.intp), _build_load))
"""load(array, index): the lanes from a flat index on, at any alignment."""
store: Any = intrinsic(
    lambda _context, array, index, a: (types.void(array, types.intp, _shorts), _build_store)
)
"""store(array, index, value)."""
fetch: Any = intrinsic(lambda _context, array, index: (types.void(array, types.intp), _build_fetch))
"""fetch(array, index): soon to be loaded and stored; beyond the array it does nothing."""
merge: Any = intrinsic(lambda _context, count, a, b: (_shorts(types.intp, _shorts, _shorts), _build_merge))
"""merge(count, a, b): lanes below count from a, the rest from b."""
add_saturated: Any = _operation("sadd.sat")
subtract_saturated: Any = _operation("ssub.sat")
add_unsigned_saturated: Any = _operation("uadd.sat")
subtract_unsigned_saturated: Any = _operation("usub.sat")
least_unsigned: Any = _operation("umin")
most_unsigned: Any = _operation("umax")
most: Any = _operation("smax")
add: Any = _binary(lambda _c, builder, _s, v: builder.add(v[0], v[1]))
subtract: Any = _binary(lambda _c, builder, _s, v: builder.sub(v[0], v[1]))
multiply: Any = _binary(lambda _c, builder, _s, v: builder.mul(v[0], v[1]))
multiply_high: Any = _binary(_build_multiply_high)
"""Upper 16 bits of the unsigned product."""
both: Any = _binary(lambda _c, builder, _s, v: builder.and_(v[0], v[1]))
differ: Any = _binary(lambda _c, builder, _s, v: builder.xor(v[0], v[1]))
"""Bitwise exclusive or: its sign is the product of the signs."""
shift_left: Any = _binary(lambda _c, builder, _s, v: builder.shl(v[0], v[1]))
shift_right: Any = _binary(lambda _c, builder, _s, v: builder.lshr(v[0], v[1]))
"""Lane by lane, zeros come in; shifts of 16 and more are not defined."""
magnitude: Any = _unary(_build_magnitude)
"""Absolute value; of -32768 it is 32768, unsigned."""
exponent_and_fraction: Any = _unary(_build_exponent_and_fraction)
"""Upper half of the value, unsigned, as a 32-bit float: seven bits behind its highest one, and above them 142
less the zeros above that one; of 0 it is 0."""
exponential: Any = _unary(_build_exponential)
"""The inverse of that for values up to 142 * 128, 2^15: whole part of the float whose upper half it is."""
toggle: Any = _binary(_build_toggle)
"""The first value, negated where the second is negative."""
choose_at_least: Any = intrinsic(
    lambda _context, a, b, c, d: (
        _shorts(_shorts, _shorts, _shorts, _shorts),
        lambda _c, builder, _s, v: builder.select(builder.icmp_unsigned(">=", v[0], v[1]), v[2], v[3]),
    )
)
"""choose_at_least(a, b, c, d): c where a >= b unsigned, else d."""
negatives: Any = intrinsic(lambda _context, a: (types.int64(_shorts), _build_negatives))
"""How many lanes are negative."""
