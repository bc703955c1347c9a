"""The surrogate's counts: one satellite over one station, many passes in one call, a coarse grid.

The mean link budget at a few Gauss-Legendre instants of each window, on either side of the edge of the
Earth's shadow where it has one. A loss on top weakens the satellite's light alone: sky, Moon, dark counts and
neighbouring lasers stay as they are. Knows no bound and no key; no dice.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config import Satellite, Station
from satqkd.mission.course import course_of, site_of
from satqkd.optics import ExpectedRates, LinkLosses, expected_rates
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.sky import look, orbit_of, surroundings

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]

NODES: Final = 16
"""Instants of a pass at which the surrogate asks the budget."""
_PLACE, _WEIGHT = np.polynomial.legendre.leggauss(NODES)
"""Where they stand between -1 and 1, and how much each counts; shape (NODES,), weights of sum 2."""
LEAST_WINDOW_S: Final = 1.0
"""Nothing comes of a link that runs shorter."""
_BISECTIONS: Final = 12
"""To a tenth of a second of a pass."""
_LEAST_PIECE_S: Final = 0.1
"""An edge of the shadow nearer than this to an end of a pass is where the pass begins or ends."""


def weakened(losses: LinkLosses, loss_db: ArrayLike) -> LinkLosses:
    """The same link with a loss on top, negative for a gain; loss_db broadcasts with the budget's shape.

    Names of parts and total stay the mean budget's.
    """
    kept = 10 ** (-np.asarray(loss_db, dtype=np.float64) / 10)
    return msgspec.structs.replace(losses, transmittance=np.minimum(losses.transmittance * kept, 1.0))


class _Pieces(NamedTuple):
    """Stretches of passes in which nothing jumps; arrays of shape (pieces,), in order of time."""

    of_pass: Rows
    start_s: Floats
    end_s: Floats


class WindowLight(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Windows of one link and the budget at their instants."""

    craft: Satellite
    ground: Station
    windows: int
    of_pass: Rows
    """Window of each piece."""
    share: Floats
    """Pulses of each piece that are no header."""
    losses: LinkLosses
    """At the instants, piece by piece; columns of shape (pieces * NODES,)."""
    rates: ExpectedRates | None = None
    """Of these losses, where they are known."""

    def counts(self, loss_db: ArrayLike | None = None) -> tuple[Floats, Floats]:
        """Expected detections and errors of each window, shape (windows, 2, 3), basis Z and signal first.

        loss_db: on top of the budget, one for all or of each window.
        """
        rates = self._rates(loss_db)
        z_sent = self.craft.source.basis_z_probability
        sent = np.outer((z_sent, 1 - z_sent), self.craft.source.probabilities)

        def summed(gain: Floats) -> Floats:
            mean = (gain.reshape(3, 2, len(self.share), NODES) @ (_WEIGHT / 2)).transpose(2, 1, 0)
            total = np.zeros((self.windows, 2, 3))
            np.add.at(total, self.of_pass, self.share[:, None, None] * mean)
            return total * sent

        return summed(rates.matched_gain), summed(rates.wrong_gain)

    @property
    def detections(self) -> Floats:
        """Accepted slots of all bases and classes, headers aside, at the budget's loss; shape (windows,)."""
        gain = np.tensordot(self.craft.source.probabilities, self._rates(None).class_gain, axes=1)
        mean = gain.reshape(len(self.share), NODES) @ (_WEIGHT / 2)
        return np.bincount(self.of_pass, self.share * mean, minlength=self.windows).astype(np.float64)

    def taken(self, rows: Rows) -> "WindowLight":
        """Some of the windows, in the order given, which rises."""
        place = np.full(self.windows, -1)
        place[rows] = np.arange(len(rows))
        kept = place[self.of_pass] >= 0
        points = np.repeat(kept, NODES)
        losses = {name: getattr(self.losses, name)[points] for name in LinkLosses.__struct_fields__}
        return msgspec.structs.replace(
            self,
            windows=len(rows),
            of_pass=place[self.of_pass[kept]],
            share=self.share[kept],
            losses=LinkLosses(**losses),
            rates=None,
        )

    def _rates(self, loss_db: ArrayLike | None) -> ExpectedRates:
        if loss_db is None and self.rates is not None:
            return self.rates
        each = np.broadcast_to(
            np.asarray(0.0 if loss_db is None else loss_db, dtype=np.float64), (self.windows,)
        )
        losses = weakened(self.losses, np.repeat(each[self.of_pass], NODES))
        return expected_rates(losses, satellite=self.craft, station=self.ground)


class Link:
    """One satellite over one station, and some of its passes."""

    def __init__(self, network: Network, craft: Satellite, ground: Station) -> None:
        self.epoch, self.craft, self.ground = network.start, craft, ground
        self.orbit, self.site = orbit_of(craft.orbit), site_of(ground)

    def windows(self, passes: Opportunities, rows: Rows) -> tuple[Floats, Floats]:
        """When the quantum link runs: above the mask and, where the station has a limit, in range."""
        start_s, end_s, top_s = (
            column[rows] for column in (passes.start_s, passes.end_s, passes.culmination_s)
        )
        limit_m = self.ground.maximum_range_m
        if limit_m is None:
            return start_s, end_s

        def near(t_s: Floats) -> Flags:
            return np.asarray(look(self.orbit, self.site, self.epoch, t_s).range_m <= limit_m)

        return (
            np.where(near(start_s), start_s, _change_s(near, top_s, start_s)),
            np.where(near(end_s), end_s, _change_s(near, top_s, end_s)),
        )

    def light(self, start_s: Floats, end_s: Floats) -> WindowLight:
        """The budget of windows, each longer than `LEAST_WINDOW_S`."""
        pieces = self._pieces(start_s, end_s)
        length_s = pieces.end_s - pieces.start_s
        t_s = pieces.start_s[:, None] + length_s[:, None] * (_PLACE + 1) / 2
        pulses = _keyed_pulses(self.craft, end_s - start_s)[pieces.of_pass]
        course = course_of(self.craft, self.ground, self.orbit, self.epoch, t_s.ravel())
        return WindowLight(
            craft=self.craft,
            ground=self.ground,
            windows=len(start_s),
            of_pass=pieces.of_pass,
            share=pulses * length_s / (end_s - start_s)[pieces.of_pass],
            losses=course.losses,
            rates=course.rates,
        )

    def _pieces(self, start_s: Floats, end_s: Floats) -> _Pieces:
        """Windows cut where the satellite comes out of the Earth's shadow or goes in; once at most."""
        cut_s = end_s
        if self.craft.sunlit_magnitude is not None:
            both_lit = self._sunlit(np.concatenate([start_s, end_s])).reshape(2, -1)
            rows = np.flatnonzero(both_lit[0] != both_lit[1])
            if rows.size:
                begins_lit = both_lit[0, rows]
                cut_s = end_s.copy()
                cut_s[rows] = _change_s(
                    lambda t_s: self._sunlit(t_s) == begins_lit, start_s[rows], end_s[rows]
                )
        is_cut = (cut_s - start_s > _LEAST_PIECE_S) & (end_s - cut_s > _LEAST_PIECE_S)
        rows, cut_s = np.arange(len(start_s)), np.where(is_cut, cut_s, end_s)
        order = np.argsort(np.concatenate([start_s, cut_s[is_cut]]), kind="stable")
        return _Pieces(
            np.concatenate([rows, rows[is_cut]])[order],
            np.concatenate([start_s, cut_s[is_cut]])[order],
            np.concatenate([cut_s, end_s[is_cut]])[order],
        )

    def _sunlit(self, t_s: Floats) -> Flags:
        order = np.argsort(t_s, kind="stable")
        lit = np.empty(len(t_s), dtype=np.bool_)
        lit[order] = surroundings(look(self.orbit, self.site, self.epoch, t_s[order])).sunlit
        return lit


def _change_s(holds: Callable[[Floats], Flags], true_s: Floats, false_s: Floats) -> Floats:
    """Where something ends to hold between an instant at which it does and one at which it may not."""
    inside, outside = true_s, false_s
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        still = holds(middle)
        inside, outside = np.where(still, middle, inside), np.where(still, outside, middle)
    return inside


def _keyed_pulses(craft: Satellite, duration_s: Floats) -> Floats:
    """Pulses of a window that are no header; a share, where a pass counts them one by one."""
    rate_hz, header = craft.source.pulse_rate_hz, craft.header
    share = 0.0 if header is None else header.header_slots(rate_hz) / header.interval_slots(rate_hz)
    return np.floor(duration_s * rate_hz) * (1 - share)
