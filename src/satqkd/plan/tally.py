"""What an operation counts by itself as it goes on, and how that is held against its ledger at the end.

Knows no schedule and no sky.
"""

from collections import Counter
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from satqkd.errors import LocalProtocolError
from satqkd.plan.ledger import TAG_BITS, Account, Bits, Combined
from satqkd.plan.network import Network, Pair
from satqkd.plan.operation_result import Alarm, LinkService, PairService
from satqkd.sky import format_utc


class Tally:
    """Bits by link and by pair, and the level of each pair's store at the end of each period."""

    def __init__(self, network: Network, ends_s: tuple[int, ...]) -> None:
        self.network, self.ends_s = network, ends_s
        links, pairs = (len(network.satellites), len(network.stations)), len(network.pairs)
        self.came, self.overflow, self.relayed, self.tags, self.expired = (
            np.zeros(links, dtype=np.int64) for _ in range(5)
        )
        self.given, self.combined, self.key, self.used = (np.zeros(pairs, dtype=np.int64) for _ in range(4))
        self.wanted = np.zeros((pairs, len(ends_s)), dtype=np.int64)
        self.met = np.zeros_like(self.wanted)
        self.levels = np.zeros_like(self.wanted)
        self._several = np.array([pair.wish.satellites > 1 for pair in network.pairs], dtype=np.bool_)

    @property
    def usable(self) -> Bits:
        """Key in the store of each pair."""
        return self.key - self.used

    @property
    def waiting(self) -> Bits:
        """Relayed and not combined."""
        return np.where(self._several, self.given - self.combined, 0)

    @property
    def left(self) -> Bits:
        """Link key that is on board, by these sums."""
        return self.came - self.overflow - self.relayed - self.tags - self.expired

    def came_in(self, satellite: int, station: int, bits: int, kept: int) -> None:
        """Key of a contact, and how much of it had room."""
        self.came[satellite, station] += bits
        self.overflow[satellite, station] += bits - kept

    def relay(self, satellite: int, number: int, bits: int) -> None:
        """Key of a pair over one satellite."""
        pair = self.network.pairs[number]
        for station in (pair.a, pair.b):
            self.relayed[satellite, station] += bits
            self.tags[satellite, station] += TAG_BITS
        self.given[number] += bits
        if pair.wish.satellites == 1:
            self.key[number] += bits

    def combine(self, number: int, found: Combined) -> None:
        """Key of a pair over several."""
        self.combined[number] += found.spent_bits
        self.key[number] += found.bits

    def use(self, number: int, period: int, wanted: int, met: int) -> None:
        """Of a period's demand."""
        self.wanted[number, period], self.met[number, period] = wanted, met
        self.used[number] += met

    def check(self, accounts: tuple[Account, ...]) -> None:
        """Raises LocalProtocolError unless the ledger's accounts are these sums, at both ends."""
        found, told = dict.fromkeys(self._accounts()), dict.fromkeys(accounts)
        for each in (*found, *told):
            if each not in found or each not in told:
                raise LocalProtocolError(
                    f"operation: the ledger and the sums of what was done differ in {each.kind} key of "
                    f"{each.node} with {each.peer}: {each} stands in one of them alone"
                )

    def link_services(self) -> tuple[LinkService, ...]:
        """Of the links that brought key."""
        found = np.argwhere(self.came > 0).tolist()
        return tuple(
            LinkService(
                satellite=self.network.satellites[s].name,
                station=self.network.stations[g].name,
                key_bits=int(self.came[s, g]),
                overflow_bits=int(self.overflow[s, g]),
                relayed_bits=int(self.relayed[s, g]),
                tag_bits=int(self.tags[s, g]),
                expired_bits=int(self.expired[s, g]),
                left_bits=int(self.left[s, g]),
            )
            for s, g in found
        )

    def pair_services(self) -> tuple[PairService, ...]:
        """Of all pairs."""
        return tuple(self._pair(k, pair) for k, pair in enumerate(self.network.pairs))

    def _pair(self, k: int, pair: Pair) -> PairService:
        wanted, met, levels = int(self.wanted[k].sum()), int(self.met[k].sum()), self.levels[k]
        lengths_s = np.diff((0, *self.ends_s))
        return PairService(
            pair=pair.name,
            ends=(self.network.stations[pair.a].name, self.network.stations[pair.b].name),
            satellites=pair.wish.satellites,
            demand_bit_s=pair.wish.demand_bit_s,
            wanted_bits=wanted,
            used_bits=met,
            share=met / wanted if wanted else 1.0,
            share_of_periods=float((self.met[k] == self.wanted[k]).mean()),
            lowest_bits=int(levels.min()),
            longest_empty_s=float(longest(levels == 0, lengths_s)),
            relayed_bits=int(self.given[k]),
            combined_bits=int(self.combined[k]),
            waiting_bits=int(self.waiting[k]),
            key_bits=int(self.key[k]),
            left_bits=int(self.usable[k]),
        )

    def alarms(self, marks_bits: tuple[float, ...]) -> tuple[Alarm, ...]:
        """Of each pair that fell below its mark."""
        return tuple(
            Alarm(
                pair=pair.name,
                begin_utc=self._utc(first),
                end_utc=None if after == len(self.ends_s) else self._utc(after),
                lowest_bits=int(self.levels[k, first:after].min()),
            )
            for k, pair in enumerate(self.network.pairs)
            for first, after in runs(self.levels[k] < marks_bits[k])
        )

    def _utc(self, period: int) -> str:
        return format_utc(self.network.start + timedelta(seconds=self.ends_s[period]))

    def _accounts(self) -> list[Account]:
        spent, left = self.relayed + self.tags, self.left
        found = []
        for s, g in np.argwhere(self.came - self.overflow > 0).tolist():
            bits = (int(left[s, g]), int(spent[s, g]), int(self.expired[s, g]))
            names = self.network.satellites[s].name, self.network.stations[g].name
            found += [Account(*names, "link", *bits), Account(*names[::-1], "link", *bits)]
        live: Counter[tuple[str, str]] = Counter()
        used: Counter[tuple[str, str]] = Counter()
        for k, pair in enumerate(self.network.pairs):
            ends = self.network.stations[pair.a].name, self.network.stations[pair.b].name
            for names in (ends, ends[::-1]):
                live[names] += int(self.usable[k] + self.waiting[k])
                used[names] += int(self.used[k] + self.combined[k])
        names_of = (names for names in live if live[names] or used[names])
        return found + [Account(*names, "pair", live[names], used[names], 0) for names in names_of]


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First of each stretch of true ones, and the one after it."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def longest(flags: NDArray[np.bool_], lengths_s: NDArray[np.int64]) -> int:
    """Seconds of the longest stretch of true ones."""
    return max((int(lengths_s[first:after].sum()) for first, after in runs(flags)), default=0)
