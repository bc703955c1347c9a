"""Layered sum-product decoding of a quasi-cyclic code from its syndrome, sixteen lanes at a time.

The rows of one block row are independent, so the inner loop runs over the lanes of the circulants with
an explicit LLVM vector (`<16 x float>`): numba's own loops do not vectorise here (facts: kernels, 1).
The check rule is A-min* (Jones, Vallés, Smith, Villasenor, MILCOM 2003) with two exclusions: the two least
reliable edges of a check get the exact box-plus of the others, all further edges that of the whole row.
In the tanh domain that is one exponential and one division an edge, and three logarithms a check.
Knows arrays alone: no code construction, no frame, no key length. `ldpc_plain` is the twin.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from satqkd.kernels.jit import njit

LANES: Final = 16
"""Lifts must be a multiple of this."""
LLR_LIMIT: Final = 12.0
"""Largest finite channel log-likelihood ratio: below what one check can say (about 13.8)."""
KNOWN_LLR: Final = 1e4
"""Stands for certainty: a shortened bit, which no message of the decoder outweighs."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bits = NDArray[np.uint8]

_VECTOR: Final = ir.VectorType(ir.FloatType(), LANES)
_INTEGERS: Final = ir.VectorType(ir.IntType(32), LANES)
_SMALLEST: Final = 2e-6  # of 1 - tanh: a product of a hundred float32 factors is good to about this


class _Lanes(types.Type):
    """One vector register; lives inside kernels alone, never crosses to Python."""


class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, _VECTOR)  # type: ignore[no-untyped-call]


register_model(_Lanes)(_LanesModel)
_lanes: Final[Any] = _Lanes("Float32x16")
_declare: Any = cgutils.get_or_insert_function


def _constant(value: float) -> Any:
    return ir.Constant(_VECTOR, [float(np.float32(value))] * LANES)


def _integer(value: int) -> Any:
    return ir.Constant(_INTEGERS, [value] * LANES)


def _call(builder: Any, name: str, *values: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(values))
    function = _declare(builder.module, kind, f"llvm.{name}.v{LANES}f32")
    return builder.call(function, values)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _polynomial(builder: Any, x: Any, coefficients: tuple[float, ...]) -> Any:
    total = _constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = _call(builder, "fmuladd", total, x, _constant(coefficient))
    return total


def _fit(function: Callable[..., Any], start: float) -> tuple[float, ...]:
    """Power coefficients, lowest first, of the degree-5 Chebyshev interpolant on [start, start + 1]."""
    fit = np.polynomial.Chebyshev.interpolate(function, 5, (start, start + 1))
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


_EXP: Final = _fit(lambda z: np.exp(-z), 0.0)
_LOG2: Final = _fit(np.log2, 1.0)


def _build_half_tanh(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    """tanh(a / 2) for a >= 0: exp(-a), a below 16, is the 16th power of a polynomial on [0, 1]."""
    z = _call(builder, "minnum", builder.fmul(values[0], _constant(1 / 16)), _constant(1.0))
    e = _polynomial(builder, z, _EXP)
    for _ in range(4):
        e = builder.fmul(e, e)
    return builder.fdiv(builder.fsub(_constant(1.0), e), builder.fadd(_constant(1.0), e))


def _build_magnitude(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    """ln((1 + p) / (1 - p)), the inverse of tanh(a / 2), with 1 - p kept off zero."""
    below = _call(builder, "maxnum", builder.fsub(_constant(1.0), values[0]), _constant(_SMALLEST))
    ratio = builder.fdiv(builder.fadd(_constant(1.0), values[0]), below)
    bits = builder.bitcast(ratio, _INTEGERS)
    exponent = builder.sub(builder.lshr(bits, _integer(23)), _integer(127))
    mantissa = builder.or_(builder.and_(bits, _integer(0x7FFFFF)), _integer(0x3F800000))
    log2 = _polynomial(builder, builder.bitcast(mantissa, _VECTOR), _LOG2)
    total = builder.fadd(log2, builder.sitofp(exponent, _VECTOR))
    return _call(builder, "maxnum", builder.fmul(total, _constant(np.log(2))), _constant(0.0))


def _build_toggle(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    """The first value with its sign flipped where the second is negative."""
    first, second = (builder.bitcast(value, _INTEGERS) for value in values)
    sign = builder.and_(second, _integer(0x80000000))
    return builder.bitcast(builder.xor(first, sign), _VECTOR)


def _build_choose(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    """The third value where first <= second, else the fourth."""
    first, second, yes, no = values
    return builder.select(builder.fcmp_ordered("<=", first, second), yes, no)


def _build_load(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    pointer = _pointer(context, builder, signature.args[0], values[0], values[1])
    return builder.load(pointer, align=4)


def _build_store(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    pointer = _pointer(context, builder, signature.args[0], values[0], values[1])
    builder.store(values[2], pointer, align=4)
    return context.get_dummy_value()


def _build_splat(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, values[0], ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(single, undefined, zeros)


def _build_merge(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    """Lanes below the count from the second value, the rest from the third."""
    count = builder.trunc(values[0], ir.IntType(32))
    undefined = ir.Constant(_INTEGERS, ir.Undefined)
    single = builder.insert_element(undefined, count, ir.Constant(ir.IntType(32), 0))
    counts = builder.shuffle_vector(single, undefined, _integer(0))
    lane = ir.Constant(_INTEGERS, list(range(LANES)))
    return builder.select(builder.icmp_signed("<", lane, counts), values[1], values[2])


def _unary(build: Callable[..., Any]) -> Any:
    return intrinsic(lambda _context, a: (_lanes(_lanes), build))


def _binary(build: Callable[..., Any]) -> Any:
    return intrinsic(lambda _context, a, b: (_lanes(_lanes, _lanes), build))


_half_tanh = _unary(_build_half_tanh)
_magnitude = _unary(_build_magnitude)
_absolute = _unary(lambda _c, builder, _s, v: _call(builder, "fabs", v[0]))
_add = _binary(lambda _c, builder, _s, v: builder.fadd(v[0], v[1]))
_subtract = _binary(lambda _c, builder, _s, v: builder.fsub(v[0], v[1]))
_multiply = _binary(lambda _c, builder, _s, v: builder.fmul(v[0], v[1]))
_least = _binary(lambda _c, builder, _s, v: _call(builder, "minnum", v[0], v[1]))
_most = _binary(lambda _c, builder, _s, v: _call(builder, "maxnum", v[0], v[1]))
_toggle = _binary(_build_toggle)
_choose: Any = intrinsic(lambda _context, a, b, c, d: (_lanes(_lanes, _lanes, _lanes, _lanes), _build_choose))
_splat: Any = intrinsic(lambda _context, a: (_lanes(types.float32), _build_splat))
_load: Any = intrinsic(lambda _context, array, index: (_lanes(array, types.intp), _build_load))
_store: Any = intrinsic(
    lambda _context, array, index, a: (types.void(array, types.intp, _lanes), _build_store)
)
_merge: Any = intrinsic(lambda _context, count, a, b: (_lanes(types.intp, _lanes, _lanes), _build_merge))

_ONE: Final = np.float32(1.0)
_FAR: Final = np.float32(1e9)


@njit
def _row(
    posterior: Floats,
    messages: Floats,
    first: int,
    last: int,
    column: Ints,
    shift: Ints,
    lift: int,
    signs: Floats,
    signs_at: int,
    incoming: Floats,
) -> None:
    """One block row: checks of all lanes, then the mirrored tails of its columns."""
    stride = lift + LANES
    for lane in range(0, lift, LANES):
        sign = _load(signs, signs_at + lane)
        rest = _splat(_ONE)
        t1 = rest
        t2 = rest
        a1 = _splat(_FAR)
        a2 = a1
        for edge in range(first, last):
            at = lane + shift[edge]
            if at >= lift:
                at -= lift
            v = _subtract(_load(posterior, column[edge] * stride + at), _load(messages, edge * lift + lane))
            _store(incoming, (edge - first) * LANES, v)
            a = _absolute(v)
            t = _half_tanh(a)
            sign = _toggle(sign, v)
            rest = _multiply(rest, _most(t, t2))
            t2 = _least(t2, _most(t1, t))
            t1 = _least(t1, t)
            a2 = _least(a2, _most(a1, a))
            a1 = _least(a1, a)
        without_first = _toggle(_magnitude(_multiply(rest, t2)), sign)
        without_second = _toggle(_magnitude(_multiply(rest, t1)), sign)
        of_all = _toggle(_magnitude(_multiply(_multiply(rest, t1), t2)), sign)
        for edge in range(first, last):
            at = lane + shift[edge]
            if at >= lift:
                at -= lift
            v = _load(incoming, (edge - first) * LANES)
            a = _absolute(v)
            message = _choose(a, a1, without_first, _choose(a, a2, without_second, of_all))
            message = _toggle(message, v)
            _store(messages, edge * lift + lane, message)
            _store(posterior, column[edge] * stride + at, _add(v, message))
    for edge in range(first, last):
        head = column[edge] * stride
        tail = head + lift
        whole = _merge(shift[edge] % LANES, _load(posterior, tail), _load(posterior, head))
        _store(posterior, head, whole)
        _store(posterior, tail, whole)


@njit
def _satisfied(
    posterior: Floats, row_start: Ints, column: Ints, shift: Ints, lift: int, target: Bits, parity: Bits
) -> bool:
    """Whether the hard decision has the target syndrome; stops at the first block row that differs."""
    stride = lift + LANES
    for row in range(row_start.size - 1):
        for lane in range(lift):
            parity[lane] = target[row * lift + lane]
        for edge in range(row_start[row], row_start[row + 1]):
            head = column[edge] * stride
            turn = lift - shift[edge]
            for lane in range(turn):
                parity[lane] ^= posterior[head + lane + shift[edge]] < 0
            for lane in range(turn, lift):
                parity[lane] ^= posterior[head + lane - turn] < 0
        wrong = 0
        for lane in range(lift):
            wrong += parity[lane]
        if wrong:
            return False
    return True


@njit
def sweeps(
    posterior: Floats,
    messages: Floats,
    row_start: Ints,
    column: Ints,
    shift: Ints,
    lift: int,
    target: Bits,
    signs: Floats,
    incoming: Floats,
    max_iterations: int,
) -> int:
    """Layered sweeps in place until the hard decision has the target syndrome.

    posterior: flat (columns, lift + 16) log-likelihood ratios, positive for 0, each column followed by a
    mirror of its first 16 lanes. messages: flat (edges, lift), zero at the start. row_start: (rows + 1,)
    edges of block row r are row_start[r]:row_start[r + 1]; check (r, lane) holds bit
    (column, (lane + shift) mod lift). target: flat (rows, lift) syndrome; signs: 1 - 2 target.
    incoming: scratch of 16 times the largest row weight. lift: a multiple of 16; sizes are not checked.
    Returns the iterations used, or -1 when max_iterations did not suffice.
    """
    parity = np.empty(lift, np.uint8)
    for iteration in range(max_iterations):
        if _satisfied(posterior, row_start, column, shift, lift, target, parity):
            return iteration
        for row in range(row_start.size - 1):
            first, last = row_start[row], row_start[row + 1]
            _row(posterior, messages, first, last, column, shift, lift, signs, row * lift, incoming)
    if _satisfied(posterior, row_start, column, shift, lift, target, parity):
        return max_iterations
    return -1
