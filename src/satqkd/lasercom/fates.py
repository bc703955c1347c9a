"""What may befall a frame besides fading: bursts, delays out of order, second copies, changed bytes.

Bursts are the two states of Gilbert and Elliott in continuous time: what begins to be sent in the bad one is
lost, nothing in the good one; both last for exponential times, whether anybody sends or not. Of the rest,
seven random numbers are drawn per frame, whatever becomes of it, so that the n-th frame's fate depends on
settings and generator alone: not on sizes, not on other fates, on no clock.
"""

from typing import Final

import msgspec
import numpy as np

from satqkd.config.lasercom import Impairments

_DRAWS: Final = 7
_MOST_CHANGED_BYTES: Final = 3
_FIRST_S: Final = -1000.0
"""Bursts are drawn from this pass time on; before it there is none."""
_CHUNK: Final = 4096


class Fate(msgspec.Struct, frozen=True, gc=False):
    """Of one frame."""

    late_s: float | None
    """Behind its time of arrival, when later frames may overtake it."""
    copy_late_s: float | None
    """The same of a second copy, where there is one."""
    changes: tuple[tuple[float, int], ...]
    """Changed bytes: where, as a share of the length, and what they are combined with by exclusive or."""

    def damaged(self, datagram: bytes) -> bytes:
        """The datagram with its bytes changed."""
        spoilt = bytearray(datagram)
        for place, mask in self.changes:
            spoilt[int(place * len(spoilt))] ^= mask
        return bytes(spoilt)


class Bursts:
    """Stretches in which everything is lost. Asked with times that do not decrease."""

    def __init__(self, impairments: Impairments, rng: np.random.Generator) -> None:
        loss = impairments.burst_loss
        self._rng = rng
        self._means_s = (impairments.burst_s * (1 - loss) / max(loss, 1e-12), impairments.burst_s)
        self._ever = loss > 0
        self._bad = float(rng.random()) < loss
        self._until_s = _FIRST_S
        self._draws: list[float] = []

    def at(self, now_s: float) -> bool:
        """Whether there is one."""
        while self._ever and now_s >= self._until_s:
            if not self._draws:
                self._draws = self._rng.standard_exponential(_CHUNK).tolist()
            self._bad = not self._bad
            self._until_s += self._means_s[self._bad] * self._draws.pop()
        return self._ever and self._bad and now_s >= _FIRST_S


class Fates:
    """The fates of the frames of one direction, one after the other."""

    def __init__(self, impairments: Impairments, rng: np.random.Generator) -> None:
        self._impairments = impairments
        self._rng, bursts_rng = rng.spawn(2)
        self.bursts = Bursts(impairments, bursts_rng)

    def next(self) -> Fate:
        """Of the next frame."""
        late, late_share, copy, copy_share, damage, *where = self._rng.random(_DRAWS).tolist()
        settings = self._impairments
        return Fate(
            late_share * settings.delay_spread_s if late < settings.reordered else None,
            copy_share * settings.delay_spread_s if copy < settings.duplicated else None,
            _changes(*where) if damage < settings.corrupted else (),
        )


def _changes(place: float, what: float) -> tuple[tuple[float, int], ...]:
    """One to three neighbours in a row of thirds of the frame; every mask changes something."""
    count = 1 + int(what * _MOST_CHANGED_BYTES)
    mask = 1 + int(what * 1e6) % 255
    return tuple(((place + third / 3) % 1.0, mask) for third in range(count))
