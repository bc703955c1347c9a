"""What a station saw of a block besides its counts, stretch by stretch: stretches add up, in any order.

Kept in the journal, so that a block is judged by all of its light though its process died in the middle.
"""

from typing import Self

import msgspec

Four = tuple[int, int, int, int]


class Watched(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A stretch of one block."""

    clicks: Four = (0, 0, 0, 0)
    """Inside the gate, by detector H, V, +, -."""
    by_second: dict[int, int] = {}
    """Slots that clicked, by second of pass time; a slot whose clicks two stretches part counts in both."""
    both_bases: int = 0
    """Slots with clicks in both bases."""
    readings: int = 0
    """Of the bias currents, of all four detectors at once."""
    largest_a: float = 0.0
    """The largest of all, as the two below."""
    largest_detector: int = 0
    largest_s: float = 0.0
    """Pass time."""

    @property
    def largest_rate_hz(self) -> float:
        """Of the busiest detector in the busiest second."""
        return max(self.clicks) / max(sum(self.clicks), 1) * max(self.by_second.values(), default=0)

    def plus(self, other: Self) -> "Watched":
        """Both stretches."""
        h, v, p, m = (one + two for one, two in zip(self.clicks, other.clicks, strict=True))
        seconds = self.by_second.keys() | other.by_second.keys()
        largest = other if other.largest_a > self.largest_a or not self.readings else self
        return Watched(
            clicks=(h, v, p, m),
            by_second={
                each: self.by_second.get(each, 0) + other.by_second.get(each, 0) for each in sorted(seconds)
            },
            both_bases=self.both_bases + other.both_bases,
            readings=self.readings + other.readings,
            largest_a=largest.largest_a,
            largest_detector=largest.largest_detector,
            largest_s=largest.largest_s,
        )
