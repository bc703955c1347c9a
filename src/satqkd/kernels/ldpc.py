"""Layered sum-product decoding of a quasi-cyclic code from its syndrome, in 16-bit integers.

The rows of one block row are independent, so the inner loop runs over the lanes of the circulants, sixteen
at a time (`shorts`). A check adds up phi(a) = -ln tanh(a / 2) of its edges and maps sums back by the same
function, which is its own inverse (Gallager 1963, chapter 4). With log-likelihood ratios in units of 1/128
octave, phi is exponent and fraction of a float read as a number, and back the number read as a float. The
two least reliable edges of a check get the exact sum of the others; all further edges that of the whole row
(A-min*; Jones, Valles, Smith, Villasenor, MILCOM 2003) and what taking their own term out adds to first
order. So sums are mapped back three times a check, not once an edge. Knows arrays alone: no code
construction, no frame, no key length. `ldpc_plain` is the twin, bit for bit.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from satqkd.kernels import shorts as v
from satqkd.kernels.jit import njit

LANES: Final = v.LANES
"""Lifts must be a multiple of this."""
AHEAD: Final = 96
"""Lanes by which posteriors are fetched beforehand: a row reads a stream a circulant, too many for the
hardware to foresee. Beyond a column's end it fetches in vain."""
LLR_SCALE: Final = 128 / np.log(2)
"""Units of a log-likelihood ratio in a nat."""
LLR_LIMIT: Final = 1920
"""Largest channel value, units: 15 octaves, what one check can say."""
KNOWN_LLR: Final = 32767
"""Stands for certainty: a shortened bit."""

Shorts = NDArray[np.int16]
Ints = NDArray[np.int32]


@njit
def _phi(a: Any) -> Any:
    """phi of magnitudes in units of 1/128 octave, in units of 2^-14: 2^15 halved each octave, with the
    chord of an octave for the curve, which is what a float's exponent and fraction make of it; below an
    octave and a bit two lines stand for what the power lacks."""
    far = v.exponential(v.subtract_unsigned_saturated(v.splat(np.int16(142 * 128)), a))
    near = v.shift_left(v.subtract_unsigned_saturated(v.splat(np.int16(150)), a), v.splat(np.int16(6)))
    nearest = v.shift_left(v.subtract_unsigned_saturated(v.splat(np.int16(38)), a), v.splat(np.int16(9)))
    return v.add(far, v.add(near, nearest))


@njit
def _phi_back(s: Any, log: Any, bow: Any) -> Any:
    """phi of sums in units of 2^-14, in units of 1/128 octave, 0 to 1920: log2(2 / s), which is exponent and
    fraction of a float, with a parabola for the curve of an octave and a line for what the logarithm lacks;
    beyond 2, two lines for 2 exp(-s). log, bow: as `_logarithm` gives them of s."""
    lacks = v.shift_right(v.subtract_unsigned_saturated(s, v.splat(np.int16(8192))), v.splat(np.int16(9)))
    near = v.subtract(
        v.subtract(v.add(v.splat(np.int16(142 * 128)), lacks), log), v.shift_right(bow, v.splat(np.int16(12)))
    )
    over = v.subtract_unsigned_saturated(s, v.splat(np.int16(-32768)))
    steep = v.subtract_unsigned_saturated(v.splat(np.int16(50)), v.shift_right(over, v.splat(np.int16(9))))
    flat = v.subtract(v.splat(np.int16(26)), v.shift_right(over, v.splat(np.int16(11))))
    return v.choose_at_least(s, v.splat(np.int16(-32768)), v.most(steep, flat), near)


@njit
def _logarithm(s: Any) -> tuple[Any, Any, Any]:
    """s, at least 1; its exponent and fraction f (of 128); and 11 f (128 - f), the bow of a logarithm."""
    s = v.most_unsigned(s, v.splat(np.int16(1)))
    log = v.exponent_and_fraction(s)
    part = v.both(log, v.splat(np.int16(127)))
    bow = v.multiply(v.multiply(part, v.subtract(v.splat(np.int16(128)), part)), v.splat(np.int16(11)))
    return s, log, bow


@njit
def _back(s: Any) -> Any:
    s, log, bow = _logarithm(s)
    return _phi_back(s, log, bow)


@njit
def _back_and_slope(s: Any) -> tuple[Any, Any, Any]:
    """phi of a sum s, and power and K such that a term t of it adds (t power K) / 2^16 when it is taken
    out: to first order t / sinh(s) in units of 1/128 octave, with 1 / s by a parabola and s / sinh(s) by a
    line."""
    s, log, bow = _logarithm(s)
    zeros = v.subtract(v.splat(np.int16(142)), v.shift_right(log, v.splat(np.int16(7))))
    part = v.both(log, v.splat(np.int16(127)))
    inverse = v.subtract(v.subtract(v.splat(np.int16(256)), part), v.shift_right(bow, v.splat(np.int16(11))))
    scaled = v.add(inverse, v.shift_right(v.multiply(inverse, v.splat(np.int16(113))), v.splat(np.int16(8))))
    slope = v.multiply_high(scaled, v.subtract(v.splat(np.int16(-1)), s))
    return _phi_back(s, log, bow), v.shift_left(v.splat(np.int16(1)), zeros), slope


@njit
def _row(
    posterior: Shorts,
    messages: Shorts,
    first: int,
    last: int,
    column: Ints,
    shift: Ints,
    lift: int,
    signs: Shorts,
    signs_at: int,
    incoming: Shorts,
) -> int:
    """One block row: checks of all lanes, then the mirrored tails of its columns. Returns how many of
    its checks the hard decision did not satisfy before."""
    stride = lift + LANES
    weight = last - first
    half = weight * LANES
    wrong = 0
    # sliced, their indices start at a zero the compiler sees, and it drops the test for negative ones
    column = column[first:last]
    shift = shift[first:last]
    for lane in range(0, lift, LANES):
        here = first * lift + lane * weight
        sign = v.load(signs, signs_at + lane)
        parity = sign
        rest = v.splat(np.int16(0))
        t1 = rest
        t2 = rest
        for edge in range(weight):
            at = lane + shift[edge]
            if at >= lift:
                at -= lift
            before = v.load(posterior, column[edge] * stride + at)
            v.fetch(posterior, column[edge] * stride + at + AHEAD)
            value = v.subtract_saturated(before, v.load(messages, here + edge * LANES))
            parity = v.differ(parity, before)
            sign = v.differ(sign, value)
            t = _phi(v.magnitude(value))
            v.store(incoming, edge * LANES, value)
            v.store(incoming, half + edge * LANES, t)
            rest = v.add_unsigned_saturated(rest, v.least_unsigned(t, t2))
            t2 = v.most_unsigned(t2, v.least_unsigned(t1, t))
            t1 = v.most_unsigned(t1, t)
        wrong += v.negatives(parity)
        with_second = v.add_unsigned_saturated(rest, t2)
        of_all, power, slope = _back_and_slope(v.add_unsigned_saturated(with_second, t1))
        without_first = _back(with_second)
        without_second = _back(v.add_unsigned_saturated(rest, t1))
        for edge in range(weight):
            at = lane + shift[edge]
            if at >= lift:
                at -= lift
            value = v.load(incoming, edge * LANES)
            t = v.load(incoming, half + edge * LANES)
            without = v.add(of_all, v.multiply_high(v.multiply(t, power), slope))
            without = v.choose_at_least(t, t2, without_second, without)
            message = v.choose_at_least(t, t1, without_first, without)
            message = v.toggle(message, v.differ(sign, value))
            v.store(messages, here + edge * LANES, message)
            v.store(posterior, column[edge] * stride + at, v.add_saturated(value, message))
    for edge in range(weight):
        head = column[edge] * stride
        tail = head + lift
        whole = v.merge(shift[edge] % LANES, v.load(posterior, tail), v.load(posterior, head))
        v.store(posterior, head, whole)
        v.store(posterior, tail, whole)
    return wrong


@njit
def unsatisfied(
    posterior: Shorts, row_start: Ints, column: Ints, shift: Ints, lift: int, signs: Shorts
) -> int:
    """How many checks the hard decision does not satisfy; arguments as in `sweeps`."""
    stride = lift + LANES
    wrong = 0
    for row in range(row_start.size - 1):
        for lane in range(0, lift, LANES):
            parity = v.load(signs, row * lift + lane)
            for edge in range(row_start[row], row_start[row + 1]):
                at = lane + shift[edge]
                if at >= lift:
                    at -= lift
                parity = v.differ(parity, v.load(posterior, column[edge] * stride + at))
            wrong += v.negatives(parity)
    return wrong


@njit
def sweeps(
    posterior: Shorts,
    messages: Shorts,
    row_start: Ints,
    column: Ints,
    shift: Ints,
    lift: int,
    signs: Shorts,
    incoming: Shorts,
    max_iterations: int,
    patience: int,
) -> int:
    """Layered sweeps in place until the hard decision has the target syndrome.

    posterior: flat (columns, lift + 16) log-likelihood ratios in units of 1/128 octave, positive for 0,
    each column followed by a mirror of its first 16 lanes. messages: flat (edges * lift,), zero,
    scratch in an order of its own. row_start: (rows + 1,) edges of block row r are
    row_start[r]:row_start[r + 1]; check (r, lane) holds bit (column, (lane + shift) mod lift). signs:
    flat (rows, lift), -1 where the syndrome is 1, else 0. incoming: scratch, 32 times the largest row weight.
    lift: a multiple of 16; sizes are not checked. patience: sweeps without fewer unsatisfied checks
    after which it gives up. Returns the sweeps used, or minus one minus them when they did not suffice.
    """
    if unsatisfied(posterior, row_start, column, shift, lift, signs) == 0:
        return 0
    fewest = signs.size + 1
    since = 0
    for iteration in range(1, max_iterations + 1):
        wrong = 0
        for row in range(row_start.size - 1):
            first, last = row_start[row], row_start[row + 1]
            wrong += _row(posterior, messages, first, last, column, shift, lift, signs, row * lift, incoming)
        if wrong * 32 < signs.size:
            wrong = unsatisfied(posterior, row_start, column, shift, lift, signs)
            if wrong == 0:
                return iteration
        if wrong < fewest:
            fewest = wrong
            since = iteration
        elif iteration - since >= patience:
            return -1 - iteration
    return -1 - max_iterations
