"""Months of operation: a schedule made window by window, flown under a sampled sky, relayed, used up.

    operate(read_scenario(path), seed=1)

Whoever chooses the passes of a window knows probabilities and what is on board, never the sampled sky. At
the end of each period old link key is given up, satellites relay, pairs combine and use. Reads no clock.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError
from satqkd.plan.books import Books
from satqkd.plan.flow import FOREVER, Carried, State, periods_of
from satqkd.plan.ledger import Bits, Ledger
from satqkd.plan.network import Network
from satqkd.plan.nothing import without_passes
from satqkd.plan.operation_policy import USUAL, Policy, need_of
from satqkd.plan.operation_result import Operation, SatelliteService
from satqkd.plan.operation_windows import window_at
from satqkd.plan.planner import MOST_AT_ONCE, Offer, baseline, offer_of, require_something
from satqkd.plan.relaying import share_out
from satqkd.plan.rolling import Part, part_of
from satqkd.plan.schedule import choose
from satqkd.plan.search import Search
from satqkd.plan.solver import relative_gap
from satqkd.plan.tally import Tally
from satqkd.plan.weather import SkyModel
from satqkd.sky import format_utc

Flags = NDArray[np.bool_]
SKY_STEP_S: Final = 3600.0
"""Of the sampled sky."""


def operate(
    network: Network,
    *,
    seed: int,
    policy: Policy = USUAL,
    ledger: Ledger | None = None,
    offer: Offer | None = None,
) -> Operation:
    """The horizon of a network operated under the sky of a seed.

    ledger: empty; None: `Books`. offer: the network's, where it is known. The same arguments give the same
    answer, whatever the ledger. Raises ConfigError for a scenario in which nothing can be planned and for a
    window that cuts periods, LocalProtocolError when the ledger contradicts what was done.
    """
    found = offer_of(network) if offer is None else offer
    require_something(network, found)
    return _Run(network, seed, policy, Books(network) if ledger is None else ledger, found).all()


def idle(network: Network, *, seed: int, policy: Policy = USUAL, offer: Offer) -> Operation:
    """The horizon without any contact: what comes of a network in which nothing can be planned."""
    return _Run(network, seed, policy, Books(network), without_passes(offer)).all()


def require_whole_periods(network: Network, policy: Policy) -> None:
    """Raises ConfigError for a window that cuts periods."""
    if policy.window_s % network.service.period_s:
        raise ConfigError(
            f"operation, window: expected whole periods of {network.service.period_s:g} s, got "
            f"{policy.window_s:g} s; round it, or change service.period_s"
        )


def flown_sky(network: Network, offer: Offer, seed: int) -> Flags:
    """Whether the sampled sky is clear over the station of each pass, in the hour of its culmination."""
    if network.sky is None or network.weather is None:
        return np.ones(len(offer.passes), dtype=np.bool_)
    steps = int(network.duration_s // SKY_STEP_S) + 1
    model = SkyModel(network.sky, network.weather)
    clear = model.sample(network.start, step_s=SKY_STEP_S, steps=steps, seed=seed)
    return clear[offer.passes.station, (offer.passes.culmination_s // SKY_STEP_S).astype(np.intp)]


class _Run:
    """An operation under way."""

    def __init__(self, network: Network, seed: int, policy: Policy, ledger: Ledger, offer: Offer) -> None:
        self.network, self.seed, self.policy, self.ledger, self.offer = network, seed, policy, ledger, offer
        require_whole_periods(network, policy)
        self.period_s = network.service.period_s
        count = int(np.ceil(network.duration_s / self.period_s))
        ends_s = np.minimum(self.period_s * np.arange(1, count + 1), network.duration_s)
        self.tally = Tally(network, tuple(int(each) for each in ends_s))
        self.windows, self.gap = 0, 0.0
        self.clear = flown_sky(network, offer, seed)
        self.flown = np.zeros(len(offer.passes), dtype=np.bool_)
        self.key_bits = (offer.key_bits // 8 * 8).astype(np.int64)
        self.ends = np.array([(pair.a, pair.b) for pair in network.pairs], dtype=np.intp).reshape(-1, 2)
        wishes = [pair.wish for pair in network.pairs]
        self.demand_bit_s = np.array([each.demand_bit_s for each in wishes], dtype=np.float64)
        self.need = np.array([need_of(network, k) for k in range(len(wishes))], dtype=np.float64)

    def all(self) -> Operation:
        """Window by window, period by period."""
        first, count = 0, len(self.tally.ends_s)
        while first < count:
            from_s = first * self.period_s
            window = window_at(self.offer.passes.end_s, from_s, self.period_s, self.policy)
            after = min(first + window.periods, count)
            until_s = min(after * self.period_s, self.network.duration_s)
            self._schedule(from_s, until_s, min(window.seen_s, self.network.duration_s - from_s))
            for period in range(first, after):
                with self.ledger.period():
                    self._operate(period)
            first = after
        self.tally.check(self.ledger.accounts())
        return self._told()

    def _schedule(self, from_s: float, until_s: float, seen_s: float) -> None:
        """Choose the passes that end in a window."""
        self.windows += 1
        passes, value = self.offer.passes, self.offer.value_bits
        part = part_of(self.network, passes, value, from_s, seen_s, self.flown)
        if part.rows.size:
            chosen = part.rows[self._chosen(part, from_s)]
            self.flown[chosen[passes.end_s[chosen] <= until_s]] = True

    def _chosen(self, part: Part, from_s: float) -> NDArray[np.intp]:
        network, passes, value, policy = part.network, part.passes, part.value_bits, self.policy
        if policy.method != "exact":
            return baseline(network, passes, value, policy.method)
        search = Search(gap=policy.gap, time_limit_s=policy.time_limit_s)
        state, large = self._state(part, from_s), len(passes) > MOST_AT_ONCE
        choice = choose(network, passes, value, search, state, large=large)
        self.gap = max(self.gap, relative_gap(choice.objective, choice.bound))
        return np.flatnonzero(choice.flown)

    def _state(self, part: Part, from_s: float) -> State:
        """What was before a window, for who chooses in it."""
        most, carried = periods_of(part.network), []
        for piece in self.ledger.pieces():
            life = self._life(from_s - piece.came_s, most.length_s)
            if life >= 0:
                carried.append(Carried(piece.satellite, piece.station, float(piece.bits), life))
        return State(tuple(carried), tuple(self.tally.key.astype(float).tolist()))

    def _life(self, age_s: float, period_s: float) -> int:
        """The last period at whose end key of an age can be relayed; -1: none."""
        life_s = self.network.service.key_life_s
        return FOREVER if life_s is None else max(-1, int((life_s - age_s) // period_s) - 1)

    def _operate(self, period: int) -> None:
        now_s = self.tally.ends_s[period]
        self._fly(period)
        if (life_s := self.network.service.key_life_s) is not None:
            self.tally.expired += self.ledger.expire(now_s - int(life_s), now_s=now_s)
        self._relay(now_s)
        for k, pair in enumerate(self.network.pairs):
            if pair.wish.satellites > 1:
                self.tally.combine(k, self.ledger.combine(k, now_s=now_s))
        self._use(period, now_s)
        self.tally.levels[:, period] = self.tally.usable

    def _fly(self, period: int) -> None:
        """Contacts that end in a period, in order of their ends."""
        passes, most_bits = self.offer.passes, self.network.service.store_bits
        for row in self._contacts(period):
            link = int(passes.satellite[row]), int(passes.station[row])
            bits = kept = int(self.key_bits[row])
            if most_bits is not None:
                kept = min(bits, 8 * int((most_bits - int(self.tally.left[link])) // 8))
            if kept >= 8:
                self.ledger.receive(*link, kept, now_s=int(passes.end_s[row]))
            self.tally.came_in(*link, bits, max(kept, 0))

    def _contacts(self, period: int) -> Iterator[int]:
        """Rows that are flown under a clear sky."""
        end_s, begin_s = self.offer.passes.end_s, period * self.period_s
        ends_here = (end_s > begin_s) & (end_s <= begin_s + self.period_s)
        rows = np.flatnonzero(self.flown & self.clear & ends_here)
        yield from rows[np.argsort(end_s[rows], kind="stable")].tolist()

    def _relay(self, now_s: int) -> None:
        """Satellite after satellite, by the key that each pair has and what waits of this satellite's."""
        if not self.network.pairs:
            return
        waiting = self._waiting()
        stock_bits = np.where(self.demand_bit_s > 0, self.policy.stock_s * self.demand_bit_s, np.inf)
        for satellite, live_bits in enumerate(self.ledger.link_bits()):
            level = (self.tally.key + waiting[:, satellite]) / self.need
            most_bits = stock_bits - (self.tally.usable + waiting[:, satellite]).astype(np.float64)
            bits = share_out(live_bits, self.ends, level, self.need, most_bits)
            for pair in np.flatnonzero(bits).tolist():
                self.ledger.relay(satellite, pair, int(bits[pair]), now_s=now_s)
                self.tally.relay(satellite, pair, int(bits[pair]))

    def _waiting(self) -> Bits:
        """Key relayed by each satellite that waits for others', shape (pairs, satellites)."""
        bits = np.zeros((len(self.network.pairs), len(self.network.satellites)), dtype=np.int64)
        for k, pair in enumerate(self.network.pairs):
            if pair.wish.satellites > 1:
                for satellite, waits in self.ledger.waiting(k).items():
                    bits[k, satellite] = waits
        return bits

    def _use(self, period: int, now_s: int) -> None:
        before_s = self.tally.ends_s[period - 1] if period else 0
        for k, pair in enumerate(self.network.pairs):
            due, was_due = (8 * int(pair.wish.demand_bit_s * t_s // 8) for t_s in (now_s, before_s))
            met = min(due - was_due, int(self.tally.usable[k]))
            if met:
                self.ledger.use(k, met, now_s=now_s)
            self.tally.use(k, period, due - was_due, met)

    def _told(self) -> Operation:
        return Operation(
            name=self.network.name,
            seed=self.seed,
            method=self.policy.method,
            start_utc=format_utc(self.network.start),
            duration_s=self.network.duration_s,
            period_s=self.period_s,
            window_s=self.policy.window_s,
            windows=self.windows,
            gap=self.gap if self.policy.method == "exact" and np.isfinite(self.gap) else None,
            pairs=self.tally.pair_services(),
            links=self.tally.link_services(),
            satellites=tuple(self._satellites()),
            alarms=self.tally.alarms(tuple(self._marks())),
            levels=tuple(tuple(each) for each in self.tally.levels.tolist()),
        )

    def _satellites(self) -> Iterator[SatelliteService]:
        passes = self.offer.passes
        for k, craft in enumerate(self.network.satellites):
            mine = self.flown & (passes.satellite == k)
            yield SatelliteService(
                satellite=craft.name,
                contacts=int(mine.sum()),
                cloudy=int((mine & ~self.clear).sum()),
                contact_s=float(passes.duration_s[mine].sum()),
            )

    def _marks(self) -> Iterator[float]:
        for pair in self.network.pairs:
            usual = pair.wish.demand_bit_s * self.policy.low_s
            yield usual if self.policy.low_bits is None else self.policy.low_bits
