"""Cascade: both ends run one public schedule, one parity down and one difference up for each block asked.

In a round the schedule names blocks; the satellite says its parity of each, the station answers the
difference (its own parity XOR the satellite's, of the strings as they were before any correction). From the
differences alone both ends derive what to ask next and which bits of the station are wrong. So no position
ever travels, both ends know the errors found, and every bit that crosses is counted: `parities` down and as
many up. All open searches of all frames advance together in a round.

The errors found are those implied by the differences; a frame may still differ (see `Variant.checks`), so
verification must follow. No message, no clock, no randomness; numpy alone unless `compiled`.

Sources: `cascade_variants`; the accounting of both directions: `docs/design/bounds.md`.
"""

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits, pack, unpack
from satqkd.distill.cascade_checks import Checks
from satqkd.distill.cascade_variants import LABEL, VARIANTS, Variant, permutation, variant_of
from satqkd.errors import DataFormatError, LocalProtocolError, RemoteProtocolError
from satqkd.kernels import cascade_plain as plain
from satqkd.kernels import cascade_published as published
from satqkd.kernels.cascade_plain import GIVEN_UP, UNKNOWN, WRONG, Longs, Search, Step, Tables

ROUND_LIMIT: Final = 20_000
"""A frame not done by this round is given up."""
LONGEST_STRING: Final = 100_000_000
"""Bits of all frames together; slots are 32-bit."""

_NOTHING: Final = np.zeros(0, np.int64)

__all__ = ["ROUND_LIMIT", "VARIANTS", "CascadeEnd", "CascadeSchedule", "Variant", "corrected"]


class CascadeSchedule:
    """The public part: what is asked, what the answers imply. Two schedules fed alike stay alike.

    Bounded whatever the answers: a frame of n bits is asked for at most n parities (then it is `given_up`), a
    schedule ends within ROUND_LIMIT rounds. Memory with a `CascadeEnd`: about 25 bytes per bit for several
    frames of one length, 60 where each frame has its own.
    """

    def __init__(
        self,
        frame_lengths: Sequence[int],
        qber: float,
        *,
        variant: str = "least-leak",
        label: str = LABEL,
        compiled: bool = False,
    ) -> None:
        """Frames of these lengths lie one after the other in the string; both ends must agree on all of it.

        qber: expected error rate in [0, 0.5], as a float that both ends hold bit for bit. compiled: use the
        numba kernel; results are the same. Raises LocalProtocolError for values out of range.
        """
        if not 0 <= qber <= 0.5 or min(frame_lengths, default=0) < 1:
            raise LocalProtocolError(
                "Cascade: expected a QBER in [0, 0.5] and frames of at least one bit each, "
                f"got {qber} and {list(frame_lengths)}"
            )
        if sum(frame_lengths) > LONGEST_STRING:
            raise LocalProtocolError(
                f"Cascade: expected at most {LONGEST_STRING} bits, got {sum(frame_lengths)}; cut the string"
            )
        self.variant = variant_of(variant)
        self.rounds = 0
        self.parities = 0
        self._tables = _tables(frame_lengths, qber, self.variant, label)
        self._search = _nothing_known(self._tables)
        self._checks = Checks(self._tables, self.variant, label)
        self._compiled = compiled and not self.variant.as_published
        self._served = _NOTHING
        low, high, implied = _all_blocks(self._tables, self.variant)
        self._low, self._end = low[~implied], high[~implied]
        self._search.spent[:] = np.bincount(
            plain.frames_of(self._low, self._tables), minlength=self._search.spent.size
        )
        self._search.spent[self._checks.frames] += self.variant.checks

    @property
    def n_bits(self) -> int:
        """Bits of all frames together."""
        return int(self._tables.starts[-1])

    @property
    def leaked_bits(self) -> int:
        """Key-dependent bits that crossed so far, both ways: 2 `parities` (`docs/design/bounds.md`)."""
        return 2 * self.parities

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        return self.asked == 0

    @property
    def asked(self) -> int:
        """Parities of this round: so many bits down, then so many up; at least 1 unless `done`."""
        return self._low.size + self._checks.asked

    @property
    def frame_parities(self) -> NDArray[np.int64]:
        """(frames,) parities asked of each frame, this round's included; never more than it has bits."""
        return np.asarray(self._search.spent & (GIVEN_UP - 1))

    @property
    def given_up(self) -> NDArray[np.bool_]:
        """(frames,) frames whose search was stopped: at their own length in parities, or at ROUND_LIMIT."""
        return np.asarray(self._search.spent >= GIVEN_UP)

    def errors(self) -> Bits:
        """uint8 (n_bits,): 1 where the station's bit is wrong, as far as found."""
        return np.asarray(self._search.bits == WRONG).astype(np.uint8)

    def in_order(self, bits: Bits) -> Bits:
        """A string's bits in the order of slots: pass by pass, frame by frame; uint8 (passes n_bits,)."""
        tables, n_bits = self._tables, self.n_bits
        ordered = np.empty(tables.order.shape[0] * n_bits, np.uint8)
        ordered[:n_bits] = bits
        for number, order in enumerate(tables.order[1:], 1):
            for start, end, origin in zip(
                tables.starts[:-1].tolist(), tables.starts[1:].tolist(), tables.origin.tolist(), strict=True
            ):
                positions = order[origin : origin + end - start]
                ordered[number * n_bits + start : number * n_bits + end] = bits[start:end][positions]
        return ordered

    def take(self, differences: Bits) -> None:
        """Take the round's differences, uint8 0/1 (asked,), in the order asked; name the next blocks.

        Raises RemoteProtocolError for another shape, dtype or value, and when no pair of strings has these
        differences; then the schedule is of no further use. LocalProtocolError when it is `done`.
        """
        self._check(differences)
        self.parities += self.asked
        self.rounds += 1
        of_blocks, of_checks = differences[: self._low.size], differences[self._low.size :]
        if self.rounds == 1:
            self._open(of_blocks)
            of_blocks = of_blocks[:0]
        found = self._checks.take(of_checks, self._search)
        while True:
            step = self._advance(of_blocks, found)
            if step.contradiction:
                raise RemoteProtocolError(
                    f"Cascade round {self.rounds}: expected differences that some pair of strings has, got "
                    "ones that contradict each other; the session ends"
                )
            self._search, self._served = step.search, step.asked
            found = self._checks.proceed(self._search)
            if not found.size:
                break
            self._take_back()
            of_blocks = of_blocks[:0]
        self._checks.charge(self._search)
        if self.rounds >= ROUND_LIMIT:
            self._stop()
        self._low = self._search.low[self._served]
        self._end = (self._low + self._search.high[self._served]) >> 1

    def _take_back(self) -> None:
        """Uncount what the round was about to ask: a check found more without asking."""
        frame = plain.frames_of(self._search.low[self._served], self._tables)
        np.subtract.at(self._search.spent, frame, 1)
        self._served = _NOTHING

    def _check(self, differences: Bits) -> None:
        if self.done:
            raise LocalProtocolError("Cascade: expected no differences after the last round")
        shaped = differences.shape == (self.asked,) and differences.dtype == np.uint8
        if not shaped or differences.max() > 1:
            raise RemoteProtocolError(
                f"Cascade round {self.rounds + 1}: expected {self.asked} differences of 0 or 1 (uint8), got "
                f"{differences.dtype} of shape {differences.shape}; the session ends"
            )

    def _open(self, said: Bits) -> None:
        """Take the first round: blocks that are odd are open; of a frame's later passes one is implied."""
        low, high, implied = _all_blocks(self._tables, self.variant)
        odd = np.zeros(low.size, np.uint8)
        odd[~implied] = said
        frame, passes = plain.frames_of(low, self._tables), low // self.n_bits
        group = np.flatnonzero(np.diff(passes * self._tables.starts.size + frame, prepend=-1))
        sums = np.bitwise_xor.reduceat(odd, group)
        whole = np.zeros(self._tables.starts.size, np.uint8)
        whole[frame[group][passes[group] == 0]] = sums[passes[group] == 0]
        last = np.append(group[1:], low.size) - 1
        odd[last] ^= np.where(implied[last], sums ^ whole[frame[group]], 0).astype(np.uint8)
        opened = odd == 1
        searches = np.ones(np.count_nonzero(opened) * self.variant.as_published, np.int64)
        self._search = self._search._replace(low=low[opened], high=high[opened], searches=searches)

    def _advance(self, differences: Bits, found: Longs) -> Step:
        tables, search, served = self._tables, self._search, self._served
        if self.variant.as_published:
            return published.advance(tables, search, served, differences)
        reach = plain.ALL if self.variant.reach is None else self.variant.reach
        if self._compiled:
            from satqkd.kernels import cascade

            return cascade.advance(
                tables, search, served, differences, found, reach=reach, few=self.variant.few
            )
        return plain.advance(tables, search, served, differences, found, reach=reach, few=self.variant.few)

    def _stop(self) -> None:
        """Give up every frame that still asks."""
        self._search.spent[self._search.busy] |= GIVEN_UP
        self._search.spent[self._checks.running] |= GIVEN_UP
        self._served = _NOTHING
        self._checks.stop()


class CascadeEnd:
    """One end: its own string beside the schedule. Never passes anything but parities on."""

    def __init__(self, schedule: CascadeSchedule, bits: Bits) -> None:
        """bits: uint8 0/1 (schedule.n_bits,), frames one after the other; copied into prefix parities.

        Raises DataFormatError for another shape or dtype.
        """
        if bits.shape != (schedule.n_bits,) or bits.dtype != np.uint8:
            raise DataFormatError(
                f"Cascade: expected a string of shape ({schedule.n_bits},) and dtype uint8, got "
                f"{bits.dtype} of shape {bits.shape}"
            )
        self._schedule, self._bits = schedule, bits.copy()
        self._prefix = prefix_parities(schedule.in_order(bits))

    def __repr__(self) -> str:
        return f"CascadeEnd({self._bits.size} bits, round {self._schedule.rounds})"

    def parities(self) -> Bits:
        """Own parities of what the schedule asks for in this round, uint8 (schedule.asked,)."""
        low, end = self._schedule._low, self._schedule._end
        of_blocks = self._prefix[low] ^ self._prefix[end]
        if not self._schedule._checks.asked:
            return of_blocks
        return np.concatenate([of_blocks, self._schedule._checks.parities_of(self._bits)])


def prefix_parities(bits: Bits) -> Bits:
    """Parity of the first i bits for i = 0 ... bits.size, uint8; summed 64 at a time."""
    words = pack(np.append(np.uint8(0), bits))
    for shift in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(shift)
    carried = np.bitwise_xor.accumulate((words >> np.uint64(63)).astype(np.uint8))
    words[1:] ^= np.uint64(0) - carried[:-1].astype(np.uint64)
    return unpack(words, bits.size + 1)


def corrected(bits: Bits, schedule: CascadeSchedule) -> Bits:
    """The station's string with the errors found so far turned, uint8 (n_bits,)."""
    return bits ^ schedule.errors()


def _tables(lengths: Sequence[int], qber: float, variant: Variant, label: str) -> Tables:
    """Orders of all passes, one for each length of frame."""
    blocks = np.array([variant.block_sizes(length, qber) for length in lengths], np.int32)
    starts = np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))])
    kinds = sorted(set(lengths))
    origins = dict(zip(kinds, itertools.accumulate(kinds, initial=0), strict=False))
    passes = [
        [permutation(length, number, label=label) for length in kinds]
        for number in range(1, len(variant.errors) + 1)
    ]
    order, place = (
        np.array([np.concatenate([pair[side] for pair in pairs]) for pairs in passes]) for side in (0, 1)
    )
    origin = np.array([origins[length] for length in lengths], np.int64)
    return Tables(order, place, origin, np.ascontiguousarray(blocks.T), starts)


def _nothing_known(tables: Tables) -> Search:
    passes, frames = tables.blocks.shape
    n_bits = int(tables.starts[-1])
    return Search(
        marks=np.zeros(passes * n_bits + 1, np.uint8),
        bits=np.full(n_bits, UNKNOWN, np.uint8),
        reached=np.zeros(frames, np.int32),
        spent=np.zeros(frames, np.int64),
        busy=np.zeros(frames, bool),
        low=_NOTHING,
        high=_NOTHING,
        wrong=_NOTHING,
        searches=_NOTHING,
    )


def _all_blocks(tables: Tables, variant: Variant) -> tuple[Longs, Longs, NDArray[np.bool_]]:
    """Slots of all blocks, ascending, their ends, and which follow from the frame's parity and the others."""
    lows, highs, implied = [_NOTHING], [_NOTHING], [np.zeros(0, bool)]
    for number, sizes in enumerate(tables.blocks.tolist()):
        base = number * int(tables.starts[-1])
        for size, start, end in zip(
            sizes, tables.starts[:-1].tolist(), tables.starts[1:].tolist(), strict=True
        ):
            if size:
                low = np.arange(start, end, size, dtype=np.int64) + base
                lows.append(low)
                highs.append(np.append(low[1:], end + base))
                implied.append(
                    np.arange(low.size) == (low.size - 1 if number and not variant.as_published else -1)
                )
    return np.concatenate(lows), np.concatenate(highs), np.concatenate(implied)
