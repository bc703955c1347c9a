"""Random-subset checks of Cascade: parities that find what the passes left, searched one at a time.

Each frame's checks are parities over public random subsets of its bits. While the errors found leave any of
them odd, and no segment of the frame is open, the lowest odd one is searched by halves, in the order of the
bits; halves once known are not asked again. An error pattern that all passes miss slips through all checks
with probability 2^-checks. Sees differences only; rare work, plain Python over frames.
"""

import numpy as np

from satqkd.bits import Bits
from satqkd.distill.cascade_variants import Variant, memberships
from satqkd.errors import RemoteProtocolError
from satqkd.kernels.cascade_plain import GIVEN_UP, WRONG, Longs, Search, Tables

_NOTHING = np.zeros(0, np.int64)


class _Halving:
    """The search of one check: an odd range of positions in the list of its bits."""

    def __init__(self, bits: Longs, check_parity: int, halves: dict[int, int]) -> None:
        self.bits, self.low, self.high = bits, 0, bits.size
        self.prefixes = halves
        self.prefixes.update({0: 0, bits.size: check_parity})

    @property
    def middle(self) -> int:
        return (self.low + self.high) >> 1

    @property
    def left(self) -> Longs:
        """Bits of the left half, whose parity is asked for."""
        return self.bits[self.low : self.middle]

    def descend(self, search: Search) -> bool:
        """Halve as far as parities are known; whether a single bit is left."""
        while self.high - self.low > 1 and self.middle in self.prefixes:
            odd = self.prefixes[self.middle] ^ self.prefixes[self.low]
            odd ^= int(np.count_nonzero(search.bits[self.left] == WRONG)) & 1
            self.low, self.high = (self.low, self.middle) if odd else (self.middle, self.high)
        return self.high - self.low == 1


class Checks:
    """The checks of all frames of a schedule: public state, alike at both ends; asked in order of frames."""

    def __init__(self, tables: Tables, variant: Variant, label: str) -> None:
        self._tables, self._count, self._label = tables, variant.checks, label
        self.frames: Longs = np.flatnonzero((tables.blocks[0] > 1) & (variant.checks > 0))
        """Frames that have checks."""
        self._said = np.zeros(tables.starts.size - 1, np.int64)
        self._unsettled = np.zeros(tables.starts.size - 1, bool)
        self._unsettled[self.frames] = True
        self._running: dict[int, _Halving] = {}
        self._halves: dict[tuple[int, int], dict[int, int]] = {}
        self._first = True

    @property
    def asked(self) -> int:
        """Parities asked for: at first of all checks, then of one half for each running search."""
        return self.frames.size * self._count if self._first else len(self._running)

    @property
    def running(self) -> list[int]:
        """Frames with a running search."""
        return list(self._running)

    def parities_of(self, bits: Bits) -> Bits:
        """A string's parities of what is asked for, uint8 (asked,); bits: uint8 (n_bits,)."""
        if not self._first:
            if not self._running:
                return np.zeros(0, np.uint8)
            halves = [bits[halving.left] for halving in self._running.values()]
            return np.array([np.bitwise_xor.reduce(half) for half in halves], np.uint8)
        words = np.zeros(self.frames.size, np.uint16)
        for index, frame in enumerate(self.frames.tolist()):
            start, end = self._tables.starts[frame : frame + 2]
            members = memberships(int(end - start), label=self._label)
            words[index] = np.bitwise_xor.reduce(members * bits[start:end])
        return ((words[:, None] >> np.arange(self._count)) & 1).astype(np.uint8).reshape(-1)

    def take(self, differences: Bits, search: Search) -> Longs:
        """Take the differences of what was asked for; returns the bits that are wrong by them, ascending."""
        if self._first:
            self._first = False
            said = differences.reshape(self.frames.size, self._count).astype(np.int64)
            self._said[self.frames] = (said << np.arange(self._count)).sum(axis=1)
        if not self._running:
            return _NOTHING
        for halving, difference in zip(self._running.values(), differences.tolist(), strict=True):
            halving.prefixes[halving.middle] = halving.prefixes[halving.low] ^ difference
        return self._descend(search)

    def proceed(self, search: Search) -> Longs:
        """Start a search in each frame with nothing open and an odd check. Returns as `take` does."""
        quiet = self._unsettled & ~search.busy
        if not quiet.any():
            return _NOTHING
        for frame in np.flatnonzero(quiet).tolist():
            if frame not in self._running:
                self._start(frame, search)
        self._running = dict(sorted(self._running.items()))
        return self._descend(search)

    def charge(self, search: Search) -> None:
        """Count what is asked for; a frame that would exceed its own length in parities is given up."""
        for frame in self.running:
            length = self._tables.starts[frame + 1] - self._tables.starts[frame]
            if search.spent[frame] < length:
                search.spent[frame] += 1
            else:
                search.spent[frame] |= GIVEN_UP
                del self._running[frame]

    def stop(self) -> None:
        """Ask for nothing more."""
        self._running.clear()

    def _start(self, frame: int, search: Search) -> None:
        """Search the lowest check that the errors found leave odd; without one the frame is settled."""
        start, end = self._tables.starts[frame : frame + 2]
        members = memberships(int(end - start), label=self._label)
        explained = np.bitwise_xor.reduce(members[search.bits[start:end] == WRONG])
        odd = (int(self._said[frame]) ^ int(explained)) & ((1 << self._count) - 1)
        if odd == 0 or search.spent[frame] >= GIVEN_UP:
            self._unsettled[frame] = False
            return
        check = (odd & -odd).bit_length() - 1
        bits = np.flatnonzero(members >> check & 1) + start
        if not bits.size:
            raise RemoteProtocolError(
                f"Cascade, check {check} of frame {frame}: expected difference 0 of a check without bits, "
                "got 1; the session ends"
            )
        halves = self._halves.setdefault((frame, check), {})
        self._running[frame] = _Halving(bits, int(self._said[frame]) >> check & 1, halves)

    def _descend(self, search: Search) -> Longs:
        done = [frame for frame, halving in self._running.items() if halving.descend(search)]
        halvings = [self._running.pop(frame) for frame in done]
        return np.sort(np.array([halving.bits[halving.low] for halving in halvings], np.int64))
