"""The additive Fourier transform over GF(2^128) by carry-less multiplication, four elements at a time.

E takes the coefficients of a polynomial to its values at 2^k points. Offered are E, the inverse of its
transpose, and its transpose, each in two halves (`convert`, `evaluate`) and in place: they make a product
of polynomials transposed, which is a Toeplitz product. A vector is `<8 x i64>`, and `llvm.x86.pclmulqdq`
takes as much of it as the CPU can: 512, 256 or 128 bits. Elsewhere, or when asked, words are multiplied as
integers of every fourth bit, whose sums of at most 15 do not carry into the next.
Data: uint64 (2 * 2^k,), k >= 3: low word, high word of each element of `gf2_tables`. Sizes are not checked.
Knows arrays alone. Its twins: `gf2_tables.times` for the arithmetic, `gf2_plain` for the product it makes.
One file, because the cache of a kernel does not notice an edit of what it calls in another.

Source: Lin, Chung, Han, FOCS 2014 (transform in the basis of products of subspace polynomials); Chen,
Cheng, Kuo, Li, Yang, arXiv:1708.09746 (for binary polynomials); Bostan, Lecerf, Schost, ISSAC 2003
(transposition).
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from satqkd.kernels.jit import njit

LANES: Final = 4
"""Elements of a vector; a transform has at least twice as many."""
NATIVE: Final = None
"""Arithmetic by the CPU's carry-less multiplication where it has one. Kernels are compiled for its type,"""
PORTABLE: Final = 0
"""and again for the type of this: by integer multiplications everywhere."""

Words = NDArray[np.uint64]
Steps = NDArray[np.int64]
Arithmetic = int | None

_WORD: Final = ir.IntType(64)
_LONG: Final = ir.IntType(128)
_INDEX: Final = ir.IntType(32)
_VECTOR: Final = ir.VectorType(_WORD, 2 * LANES)
_TAIL: Final = (1, 2, 7)  # x^128 = 1 + x + x^2 + x^7
_FOLD: Final = ir.Constant(_VECTOR, [0x87] * (2 * LANES))
_CHUNK_LOG: Final = 11  # 32 KiB of elements; its blocks have their twiddles in the table
_declare: Any = cgutils.get_or_insert_function


class _Elements(types.Type):
    """One vector of elements; lives inside kernels alone, never crosses to Python."""


class _ElementsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, _VECTOR)  # type: ignore[no-untyped-call]


register_model(_Elements)(_ElementsModel)
_elements: Final[Any] = _Elements("GF2^128x4")


def native_elements() -> int:
    """Elements that one carry-less instruction of the target CPU takes: 4, 2, 1, or 0 without any."""
    forced = config.CPU_FEATURES  # type: ignore[attr-defined]
    given = get_host_cpu_features() if forced is None else forced  # type: ignore[no-untyped-call]
    features = set(given.split(","))
    if "+pclmul" not in features:
        return 0
    if "+vpclmulqdq" not in features:
        return 1
    return 4 if "+avx512f" in features else 2


def _pick(builder: Any, a: Any, b: Any, order: Iterable[int]) -> Any:
    chosen = list(order)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INDEX, len(chosen)), chosen))


def _sum(builder: Any, *values: Any) -> Any:
    total = values[0]
    for value in values[1:]:
        total = builder.xor(total, value)
    return total


def _raised(builder: Any, a: Any) -> Any:
    """x^64 times the low words."""
    zero = ir.Constant(_VECTOR, [0] * (2 * LANES))
    return _pick(builder, a, zero, (i for lane in range(LANES) for i in (2 * LANES, 2 * lane)))


def _carryless(builder: Any, a: Any, b: Any, halves: int) -> Any:
    """One word of each element by one of the other's: digits of `halves`, b then a, 1 for the high word."""
    width = 2 * native_elements()
    kind = ir.VectorType(_WORD, width)
    name = "llvm.x86.pclmulqdq" + ("" if width == 2 else f".{64 * width}")
    function = _declare(builder.module, ir.FunctionType(kind, [kind, kind, ir.IntType(8)]), name)
    parts = []
    for at in range(0, 2 * LANES, width):
        pair = (_pick(builder, x, x, range(at, at + width)) for x in (a, b))
        parts.append(builder.call(function, [*pair, ir.Constant(ir.IntType(8), halves)]))
    while len(parts) > 1:
        joined = range(2 * parts[0].type.count)
        parts = [_pick(builder, a, b, joined) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _build_native(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    """a b as (a_0 + x^64 a_1) b, with x^64 b reduced first: what depends on b alone leaves a loop."""
    a, b = values[:2]
    lifted = _sum(builder, _raised(builder, b), _carryless(builder, b, _FOLD, 0x01))
    low = _sum(builder, _carryless(builder, a, b, 0x00), _carryless(builder, a, lifted, 0x01))
    high = _sum(builder, _carryless(builder, a, b, 0x10), _carryless(builder, a, lifted, 0x11))
    return _sum(builder, low, _raised(builder, high), _carryless(builder, high, _FOLD, 0x01))


def _define(module: Any, name: str, argument: Any, body: Callable[..., Any]) -> Any:
    """A function of two arguments with an i128 result, once in a module."""
    if name not in module.globals:
        function = ir.Function(module, ir.FunctionType(_LONG, [argument, argument]), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block())
        builder.ret(body(builder, *function.args))
    return module.globals[name]


def _word_product(builder: Any, a: Any, b: Any) -> Any:
    """Two words, carry-less. The top four bits of a go apart: no product then sums more than 15 ones."""

    def every_fourth(x: Any, first: int) -> Any:
        return builder.zext(builder.and_(x, ir.Constant(_WORD, 0x1111111111111111 << first)), _LONG)

    short = builder.and_(a, ir.Constant(_WORD, (1 << 60) - 1))
    left, right = ([every_fourth(x, i) for i in range(4)] for x in (short, b))
    total = ir.Constant(_LONG, 0)
    for k in range(4):
        counts = _sum(builder, *(builder.mul(left[i], right[(k - i) % 4]) for i in range(4)))
        mask = ir.Constant(_LONG, (1 << 128) // 15 << k)
        total = builder.xor(total, builder.and_(counts, mask))
    for i in range(60, 64):
        bit = builder.trunc(builder.lshr(a, ir.Constant(_WORD, i)), ir.IntType(1))
        shifted = builder.shl(builder.zext(b, _LONG), ir.Constant(_LONG, i))
        total = builder.xor(total, builder.select(bit, shifted, ir.Constant(_LONG, 0)))
    return total


def _element_product(builder: Any, a: Any, b: Any) -> Any:
    """Two elements: Karatsuba over words, then reduced."""
    shift = ir.Constant(_LONG, 64)

    def product(x: Any, y: Any) -> Any:
        function = _define(builder.module, "satqkd_gf2_word", _WORD, _word_product)
        return builder.call(function, [builder.trunc(x, _WORD), builder.trunc(y, _WORD)])

    a_high, b_high = builder.lshr(a, shift), builder.lshr(b, shift)
    low, high = product(a, b), product(a_high, b_high)
    both = product(builder.xor(a, a_high), builder.xor(b, b_high))
    middle = _sum(builder, both, low, high)
    low = builder.xor(low, builder.shl(middle, shift))
    high = builder.xor(high, builder.lshr(middle, shift))
    over = _sum(builder, high, *(builder.lshr(high, ir.Constant(_LONG, 128 - i)) for i in _TAIL))
    return _sum(builder, low, over, *(builder.shl(over, ir.Constant(_LONG, i)) for i in _TAIL))


def _build_portable(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    kind = ir.VectorType(_LONG, LANES)
    a, b = (builder.bitcast(value, kind) for value in values[:2])
    function = _define(builder.module, "satqkd_gf2_element", _LONG, _element_product)
    total = ir.Constant(kind, ir.Undefined)
    for lane in range(LANES):
        at = ir.Constant(_INDEX, lane)
        pair = [builder.extract_element(x, at) for x in (a, b)]
        total = builder.insert_element(total, builder.call(function, pair), at)
    return builder.bitcast(total, _VECTOR)


def _typed_multiply(_context: Any, a: Any, b: Any, arithmetic: Any) -> Any:
    native = isinstance(arithmetic, types.NoneType) and native_elements()
    return _elements(_elements, _elements, arithmetic), _build_native if native else _build_portable


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    word = builder.shl(index, ir.Constant(index.type, 1))
    return builder.bitcast(builder.gep(data, [word]), kind.as_pointer())


def _build_load(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    array, index = values
    return builder.load(_pointer(context, builder, signature.args[0], array, index, _VECTOR), align=8)


def _build_store(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    array, index, value = values
    builder.store(value, _pointer(context, builder, signature.args[0], array, index, _VECTOR), align=8)
    return context.get_dummy_value()


def _build_toggle(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    array, to, source = values
    one = ir.VectorType(_WORD, 2)
    target, other = (_pointer(context, builder, signature.args[0], array, at, one) for at in (to, source))
    total = builder.xor(builder.load(target, align=8), builder.load(other, align=8))
    builder.store(total, target, align=8)
    return context.get_dummy_value()


def _build_splat(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
    low, high = (
        builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(_INDEX, 0))
        for value in values
    )
    return _pick(builder, low, high, [0, 2 * LANES] * LANES)


def _shuffle(*order: int) -> Any:
    """Four of the eight elements of two vectors."""
    words = [2 * element + half for element in order for half in (0, 1)]
    return intrinsic(
        lambda _context, a, b: (
            _elements(_elements, _elements),
            lambda _c, builder, _s, values: _pick(builder, values[0], values[1], words),
        )
    )


_multiply: Any = intrinsic(_typed_multiply)
_add: Any = intrinsic(
    lambda _context, a, b: (
        _elements(_elements, _elements),
        lambda _c, builder, _s, v: builder.xor(v[0], v[1]),
    )
)
_splat: Any = intrinsic(lambda _context, low, high: (_elements(types.uint64, types.uint64), _build_splat))
_load: Any = intrinsic(lambda _context, array, index: (_elements(array, types.intp), _build_load))
_store: Any = intrinsic(
    lambda _context, array, index, a: (types.void(array, types.intp, _elements), _build_store)
)
_toggle: Any = intrinsic(  # one element: array[to] ^= array[source]
    lambda _context, array, to, source: (types.void(array, types.intp, types.intp), _build_toggle)
)
_reversed: Any = intrinsic(
    lambda _context, word: (types.uint64(types.uint64), lambda _c, builder, _s, v: builder.bitreverse(v[0]))
)
_twice: Any = _shuffle(0, 0, 1, 1)
_evens: Any = _shuffle(0, 2, 4, 6)
_odds: Any = _shuffle(1, 3, 5, 7)
_firsts: Any = _shuffle(0, 1, 4, 5)
_lasts: Any = _shuffle(2, 3, 6, 7)
_cross_evens: Any = _shuffle(0, 4, 2, 6)
_cross_odds: Any = _shuffle(1, 5, 3, 7)
_zip_firsts: Any = _shuffle(0, 4, 1, 5)
_zip_lasts: Any = _shuffle(2, 6, 3, 7)


@njit
def _twiddle(basis: Words, block: int) -> Any:
    """The sum of the basis elements that the bits of the block number select."""
    low = np.uint64(0)
    high = np.uint64(0)
    at = 0
    while block:
        if block & 1:
            low ^= basis[at]
            high ^= basis[at + 1]
        block >>= 1
        at += 2
    return _splat(low, high)


@njit
def _toggle_rows(data: Words, to: int, source: int, count: int) -> None:
    """data[to : to + count] ^= data[source : source + count], ranges apart."""
    for e in range(0, count - LANES + 1, LANES):
        _store(data, to + e, _add(_load(data, to + e), _load(data, source + e)))
    for e in range(count - count % LANES, count):
        _toggle(data, to + e, source + e)


@njit
def _rows(data: Words, u: int, w: int, count: int, t: Any, arithmetic: Arithmetic) -> None:
    """Of f = f_0 + s_i f_1, where s_i is t on one half of the points and t + 1 on the other, both halves."""
    for e in range(0, count, LANES):
        second = _load(data, w + e)
        first = _add(_load(data, u + e), _multiply(second, t, arithmetic))
        _store(data, u + e, first)
        _store(data, w + e, _add(second, first))


@njit
def _rows_transposed(data: Words, u: int, w: int, count: int, t: Any, arithmetic: Arithmetic) -> None:
    """The transpose of `_rows`."""
    for e in range(0, count, LANES):
        second = _load(data, w + e)
        first = _add(_load(data, u + e), second)
        _store(data, u + e, first)
        _store(data, w + e, _add(second, _multiply(first, t, arithmetic)))


@njit
def _last_two(
    data: Words, start: int, size: int, basis: Words, table: Words, dual: bool, arithmetic: Arithmetic
) -> None:
    """The levels whose rows of two elements and one are shorter than a vector, eight elements at a time."""
    far = _twiddle(basis, start >> 2)
    near = _twiddle(basis, start >> 1)
    for e in range(0, size, 2 * LANES):
        x = _load(data, start + e)
        y = _load(data, start + e + LANES)
        u = _firsts(x, y)
        w = _lasts(x, y)
        t = _load(table, e >> 2)
        t = _add(_twice(t, t), far)
        if dual:
            u, w = w, u
        u = _add(u, _multiply(w, t, arithmetic))
        w = _add(w, u)
        if dual:
            u, w = w, u
        x = _cross_evens(u, w)
        y = _cross_odds(u, w)
        t = _add(_load(table, e >> 1), near)
        if dual:
            x, y = y, x
        x = _add(x, _multiply(y, t, arithmetic))
        y = _add(y, x)
        if dual:
            x, y = y, x
        _store(data, start + e, _zip_firsts(x, y))
        _store(data, start + e + LANES, _zip_lasts(x, y))


@njit
def _first_two_transposed(
    data: Words, start: int, size: int, basis: Words, table: Words, arithmetic: Arithmetic
) -> None:
    """The transpose of `_last_two`."""
    far = _twiddle(basis, start >> 2)
    near = _twiddle(basis, start >> 1)
    for e in range(0, size, 2 * LANES):
        x = _load(data, start + e)
        y = _load(data, start + e + LANES)
        u = _evens(x, y)
        w = _odds(x, y)
        u = _add(u, w)
        w = _add(w, _multiply(u, _add(_load(table, e >> 1), near), arithmetic))
        x = _cross_evens(u, w)
        y = _cross_odds(u, w)
        x = _add(x, y)
        t = _load(table, e >> 2)
        y = _add(y, _multiply(x, _add(_twice(t, t), far), arithmetic))
        _store(data, start + e, _firsts(x, y))
        _store(data, start + e + LANES, _lasts(x, y))


@njit
def evaluate(data: Words, log: int, basis: Words, table: Words, dual: bool, arithmetic: Arithmetic) -> None:
    """Coefficients of products of s_i made values; `dual`: the inverse of the transpose of that.

    data: (2 * 2^log,). basis, table: `gf2_tables.twiddles()`. With `dual` the two halves change places.
    """
    size = 1 << log
    chunk_log = min(log, _CHUNK_LOG)
    for level in range(log - 1, chunk_log - 1, -1):
        half = 1 << level
        u, w = (half, 0) if dual else (0, half)
        for block in range(size >> (level + 1)):
            at = block << (level + 1)
            if block:
                _rows(data, at + u, at + w, half, _twiddle(basis, block), arithmetic)
            else:  # s_i is 0 and 1 there
                _toggle_rows(data, w, u, half)
    for start in range(0, size, 1 << chunk_log):
        for level in range(chunk_log - 1, 1, -1):
            half = 1 << level
            u, w = (start + half, start) if dual else (start, start + half)
            offset = _twiddle(basis, start >> (level + 1))
            for block in range(1 << (chunk_log - level - 1)):
                at = block << (level + 1)
                if start or block:
                    t = _add(_splat(table[2 * block], table[2 * block + 1]), offset)
                    _rows(data, at + u, at + w, half, t, arithmetic)
                else:
                    _toggle_rows(data, w, u, half)
        _last_two(data, start, 1 << chunk_log, basis, table, dual, arithmetic)


@njit
def evaluate_transposed(data: Words, log: int, basis: Words, table: Words, arithmetic: Arithmetic) -> None:
    """The transpose of `evaluate` without `dual`."""
    size = 1 << log
    chunk_log = min(log, _CHUNK_LOG)
    for start in range(0, size, 1 << chunk_log):
        _first_two_transposed(data, start, 1 << chunk_log, basis, table, arithmetic)
        for level in range(2, chunk_log):
            half = 1 << level
            offset = _twiddle(basis, start >> (level + 1))
            for block in range(1 << (chunk_log - level - 1)):
                at = start + (block << (level + 1))
                if at:
                    t = _add(_splat(table[2 * block], table[2 * block + 1]), offset)
                    _rows_transposed(data, at, at + half, half, t, arithmetic)
                else:
                    _toggle_rows(data, 0, half, half)
    for level in range(chunk_log, log):
        half = 1 << level
        for block in range(size >> (level + 1)):
            at = block << (level + 1)
            if block:
                _rows_transposed(data, at, at + half, half, _twiddle(basis, block), arithmetic)
            else:
                _toggle_rows(data, 0, half, half)


@njit
def _step(data: Words, start: int, size: int, half: int, shift: int, dual: bool) -> None:
    """Blocks of 2 half coefficients divided by x^half + x^shift; `dual`: the inverse of the transpose."""
    for at in range(start, start + size, 2 * half):
        middle = at + half
        if dual:
            _toggle_rows(data, middle + half - shift, middle, shift)
            _toggle_rows(data, middle, at + shift, half - shift)
        else:
            _toggle_rows(data, middle, middle + half - shift, shift)
            _toggle_rows(data, at + shift, middle, half - shift)


@njit
def _step_transposed(data: Words, start: int, size: int, half: int, shift: int) -> None:
    """The transpose of `_step` without `dual`."""
    for at in range(start, start + size, 2 * half):
        middle = at + half
        _toggle_rows(data, middle, at + shift, half - shift)
        _toggle_rows(data, middle + half - shift, middle, shift)


@njit
def convert(data: Words, log: int, steps: Steps, local: Steps, dual: bool) -> None:
    """Coefficients of x^i made those of products of s_i; `dual`: the inverse of the transpose of that.

    data: (2 * 2^log,). steps, local: of `gf2_tables.conversion(log)`.
    """
    size = 1 << log
    block = min(size, 1 << local[0, 0])
    small = min(size, 1 << local[1, 0])
    for s in range(local[0, 1]):
        _step(data, 0, size, steps[s, 0], steps[s, 1], dual)
    for start in range(0, size, block):
        for s in range(local[0, 1], local[1, 1]):
            _step(data, start, block, steps[s, 0], steps[s, 1], dual)
        for at in range(start, start + block, small):
            for s in range(local[1, 1], steps.shape[0]):
                _step(data, at, small, steps[s, 0], steps[s, 1], dual)


@njit
def convert_transposed(data: Words, log: int, steps: Steps, local: Steps) -> None:
    """The transpose of `convert` without `dual`; arguments as there."""
    size = 1 << log
    block = min(size, 1 << local[0, 0])
    small = min(size, 1 << local[1, 0])
    for start in range(0, size, block):
        for at in range(start, start + block, small):
            for s in range(steps.shape[0] - 1, local[1, 1] - 1, -1):
                _step_transposed(data, at, small, steps[s, 0], steps[s, 1])
        for s in range(local[1, 1] - 1, local[0, 1] - 1, -1):
            _step_transposed(data, start, block, steps[s, 0], steps[s, 1])
    for s in range(local[0, 1] - 1, -1, -1):
        _step_transposed(data, 0, size, steps[s, 0], steps[s, 1])


@njit
def add_products(total: Words, a: Words, b: Words, arithmetic: Arithmetic) -> None:
    """total += a b, element by element; a multiple of four elements each."""
    for e in range(0, total.size // 2, LANES):
        product = _multiply(_load(a, e), _load(b, e), arithmetic)
        _store(total, e, _add(_load(total, e), product))


@njit
def load_windows(words: Words, first: int, shift: int, windows: Words) -> None:
    """Element i holds the 128 bits from 64 (first + i - 1) - shift on of packed words, in the dual basis.

    words: bit order of `satqkd.bits`; first at least 1; first + n + 1 words. shift: 0 to 63. windows: (2 n,).
    Dual basis: bit i of the string is the coefficient of x^127 in x^i times the element.
    """
    up = np.uint64(shift)
    down = np.uint64(63 - shift)
    one = np.uint64(1)
    top = _reversed((words[first] << up) | (words[first - 1] >> down >> one))
    for i in range(windows.size // 2):
        at = first + i
        low = _reversed((words[at + 1] << up) | (words[at] >> down >> one))
        last = top >> np.uint64(63)
        windows[2 * i] = low ^ (top >> np.uint64(57)) ^ (last << one) ^ last ^ (top >> np.uint64(62) & one)
        windows[2 * i + 1] = top
        top = low
