"""What may befall a frame besides fading: bursts, delays out of order, second copies, changed bytes.

Burst loss is the chain of two states of Gilbert (1960), stepped once per frame: every frame is lost in the
bad state, none in the good one. Eight random numbers are drawn per frame, whatever becomes of it, so that
the n-th frame's fate depends on settings and generator alone: not on sizes, not on other fates, on no clock.
"""

from typing import Final

import msgspec
import numpy as np

from satqkd.config.lasercom import Impairments

_DRAWS: Final = 8
_MOST_CHANGED_BYTES: Final = 3


class Fate(msgspec.Struct, frozen=True, gc=False):
    """Of one frame."""

    lost: bool
    """In a burst."""
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


class Fates:
    """The fates of the frames of one direction, one after the other."""

    def __init__(self, impairments: Impairments, rng: np.random.Generator) -> None:
        self._impairments = impairments
        self._rng = rng
        self._recovers = 1 / impairments.burst_frames
        self._worsens = self._recovers * impairments.burst_loss / max(1 - impairments.burst_loss, 1e-12)
        self._bad = float(rng.random()) < impairments.burst_loss

    def next(self) -> Fate:
        """Of the next frame."""
        state, late, late_share, copy, copy_share, damage, *where = self._rng.random(_DRAWS).tolist()
        lost = self._bad
        self._bad = state >= self._recovers if self._bad else state < self._worsens
        settings = self._impairments
        return Fate(
            lost,
            late_share * settings.delay_spread_s if late < settings.reordered else None,
            copy_share * settings.delay_spread_s if copy < settings.duplicated else None,
            _changes(*where) if damage < settings.corrupted else (),
        )


def _changes(place: float, what: float) -> tuple[tuple[float, int], ...]:
    """One to three neighbours in a row of thirds of the frame; every mask changes something."""
    count = 1 + int(what * _MOST_CHANGED_BYTES)
    mask = 1 + int(what * 1e6) % 255
    return tuple(((place + third / 3) % 1.0, mask) for third in range(count))
