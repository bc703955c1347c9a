r"""Key of a pass whose loss is not known beforehand: the mean over the loss, and what to reckon with.

A pass has the loss of its budget and :math:`\sigma z` dB on top, :math:`z` standard normal: the mean in dB is
kept. Length follows counts, so with :math:`\ell(z)` the key at one loss and :math:`z^*` the loss above which
there is none,

.. math:: E = \int_{-\infty}^{z^*} \ell(z)\,\varphi(z)\,dz, \qquad \Pr[\text{key}] = \Phi(z^*),

by Gauss-Legendre nodes up to :math:`z^*`: key has a kink there, which Gauss-Hermite nodes fall astride. Key
falls with loss, so its quantiles are the keys at the quantiles of the loss. Knows no pass: it is given a
function of z. No dice.
"""

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Bits = Callable[[Rows, Floats], Floats]
"""Bits of some passes, each at its own z; below 0 where costs exceed what is secret."""

REACH: Final = 5.0
"""Standard deviations beyond which nothing is looked for."""
TAIL_Z: Final = 1.2815515655446004
"""One pass in ten loses more, one in ten less."""
_LUCKY: Final = (0.0, -1.0, -2.0, -3.5, -REACH)
"""Where key is looked for; the last alone would miss it where so much light blinds the detectors."""
_EXACT_NODES: Final = 16
_BISECTIONS: Final = 10
"""To a hundredth of a standard deviation."""
_PLACES: Final = (-3.0, -1.0, 1.0, 3.0)
"""Where the surrogate asks first, each only if there was key at the one before."""
_REFINEMENTS: Final = 3
_FAST_NODES: Final = 24
_LOOK: Final = 33
"""Places between key and none at which the interpolation is asked where it crosses 0."""
_MARGIN: Final = 0.15
"""Of a bracket: a guess so near to its ends gives way to its middle."""


class KeySpread(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Columns of one length, a row a pass; clear sky."""

    key_bits: Floats
    """Expected, no key counted as 0; whole, rounded down."""
    key_probability: Floats
    """That the pass gives any key."""
    low_bits: Floats
    """One pass in ten gives less."""
    high_bits: Floats
    """One in ten gives more."""

    @classmethod
    def certain(cls, key_bits: Floats) -> "KeySpread":
        """Of passes whose loss is their budget's."""
        return cls(
            key_bits=key_bits,
            key_probability=(key_bits > 0).astype(np.float64),
            low_bits=key_bits,
            high_bits=key_bits,
        )

    def put(self, rows: Rows, part: "KeySpread") -> None:
        """Write the columns of some passes."""
        for name in self.__struct_fields__:
            getattr(self, name)[rows] = getattr(part, name)


def no_key(passes: int) -> KeySpread:
    """Columns of zeros, to be filled."""
    return KeySpread(**{name: np.zeros(passes) for name in KeySpread.__struct_fields__})


def spread_of(bits: Callable[[float], float]) -> KeySpread:
    """One row, from a function of z that falls, is never below 0 and may be slow: some 30 calls at most."""
    lucky = next((z for z in _LUCKY if bits(z) > 0), None)
    if lucky is None:
        return no_key(1)
    top = _last_with_key(bits, lucky)
    place, weight = _nodes(-REACH, top, _EXACT_NODES)
    expected = float(np.dot(weight, [bits(z) for z in place.tolist()]))
    return KeySpread(
        key_bits=np.floor([expected]),
        key_probability=ndtr([top]) if top < REACH else np.ones(1),
        low_bits=np.floor([bits(TAIL_Z)]),
        high_bits=np.floor([bits(-TAIL_Z)]),
    )


def fast_spread_of(bits: Bits, passes: int, *, deviation_db: float) -> KeySpread:
    """All passes at once, some six calls of `bits` each: key per light is interpolated between them.

    It moves slowly with the loss, and is smooth down to the loss at which it is gone, which is looked for.
    """
    spread, asked = no_key(passes), _Asked(bits, passes, deviation_db)
    rows = np.flatnonzero(asked.with_key)
    if rows.size:
        spread.put(rows, asked.taken(rows).spread())
    return spread


class _Asked:
    """Key of passes at some z; arrays of shape (passes, places), NaN where nothing was asked."""

    def __init__(self, bits: Bits, passes: int, deviation_db: float) -> None:
        self.deviation_db = deviation_db
        shape = (passes, len(_PLACES) + _REFINEMENTS)
        self.z, self.per_light = np.full(shape, np.nan), np.full(shape, np.nan)
        self._ask(bits)

    def _ask(self, bits: Bits) -> None:
        rows = np.arange(len(self.z))
        for k, place in enumerate(_PLACES):
            self._put(bits, rows, k, np.full(len(rows), place))
            rows = rows[self.per_light[rows, k] > 0]
        rows = np.flatnonzero(self.with_key & (self.per_light <= 0).any(axis=1))
        for k in range(len(_PLACES), self.z.shape[1]):
            part = self.taken(rows)
            (low, high), guess = part.bracket(), part.root()
            margin = _MARGIN * (high - low)
            inside = (guess > low + margin) & (guess < high - margin)
            self._put(bits, rows, k, np.where(inside, guess, (low + high) / 2))

    def _put(self, bits: Bits, rows: Rows, k: int, z: Floats) -> None:
        if rows.size:
            self.z[rows, k] = z
            self.per_light[rows, k] = bits(rows, z) / self.light(z)

    @property
    def with_key(self) -> NDArray[np.bool_]:
        """Passes that give key when they are lucky."""
        return np.asarray(self.per_light[:, 0] > 0)

    def light(self, z: Floats) -> Floats:
        """Of the mean loss's."""
        return np.asarray(10 ** (-self.deviation_db * z / 10))

    def taken(self, rows: Rows) -> "_Asked":
        """Some of the passes."""
        part = _Asked.__new__(_Asked)
        part.deviation_db, part.z, part.per_light = self.deviation_db, self.z[rows], self.per_light[rows]
        return part

    def bracket(self) -> tuple[Floats, Floats]:
        """Largest z with key, smallest without, infinite where there is none."""
        low = np.where(self.per_light > 0, self.z, -np.inf).max(axis=1)
        return low, np.where(self.per_light <= 0, self.z, np.inf).min(axis=1)

    def interpolated(self, z: Floats) -> Floats:
        """Key per light, (passes, m), by the polynomial in one over the root of the light.

        Costs of a block are in it to the second power, what chance takes from its counts to the first.
        """
        known = self.per_light > 0  # without light all that is left are costs, which fit no polynomial
        node = np.where(known, self.light(np.where(known, self.z, 0.0)) ** -0.5, 0.0)
        apart = np.where(known[:, :, None] & known[:, None, :], node[:, :, None] - node[:, None, :], 1.0)
        apart[:, range(apart.shape[1]), range(apart.shape[1])] = 1.0
        weight = np.where(known, 1 / apart.prod(axis=2), 0.0)[:, None, :]
        distance = self.light(z)[:, :, None] ** -0.5 - node[:, None, :]
        share = weight / np.where(distance == 0, 1e-12, distance)
        value = np.where(known, self.per_light, 0.0)[:, None, :]
        return np.asarray((share * value).sum(axis=2) / share.sum(axis=2))

    def root(self) -> Floats:
        """Where the interpolation says that key ends, within the brackets."""
        low, high = self.bracket()
        z = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _LOOK)
        gone = self.interpolated(z) <= 0
        gone[:, -1] = True
        first = np.maximum(gone.argmax(axis=1), 1)
        rows = np.arange(len(z))
        return np.asarray((z[rows, first - 1] + z[rows, first]) / 2)

    def spread(self) -> KeySpread:
        """Of passes that give key somewhere."""
        _, high = self.bracket()
        ends = np.isfinite(high)
        top = np.full(len(high), REACH)
        if ends.any():
            top[ends] = self.taken(np.flatnonzero(ends)).root()
        place, weight = _nodes(np.full(len(top), -REACH), top, _FAST_NODES)
        tails = np.broadcast_to([TAIL_Z, -TAIL_Z], (len(top), 2))
        at_tails = np.where(tails < top[:, None], self._bits(tails), 0.0)
        return KeySpread(
            key_bits=np.floor((weight * self._bits(place)).sum(axis=1)),
            key_probability=np.where(ends, ndtr(top), 1.0),
            low_bits=np.floor(at_tails[:, 0]),
            high_bits=np.floor(at_tails[:, 1]),
        )

    def _bits(self, z: Floats) -> Floats:
        top = np.where(np.isnan(self.z), -np.inf, self.z).max(axis=1)[:, None]
        return np.maximum(self.interpolated(np.minimum(z, top)), 0.0) * self.light(z)


def _last_with_key(bits: Callable[[float], float], low: float) -> float:
    """low: where there is some."""
    high = REACH
    if bits(high) > 0:
        return high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if bits(middle) > 0 else (low, middle)
    return (low + high) / 2


def _nodes(low: float | Floats, high: float | Floats, count: int) -> tuple[Floats, Floats]:
    """Places and weights, the normal density in them; shape (count,) or (n, count)."""
    place, weight = np.polynomial.legendre.leggauss(count)
    half = np.asarray(high - low)[..., None] / 2
    z = np.asarray(low)[..., None] + half * (place + 1)
    return z, np.asarray(half * weight * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
