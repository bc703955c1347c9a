"""The receiver's door answered from memory: keep what a live receiver gave, give the same again.

`RecordingReceiver` stands in front of any receiver and keeps each stretch with its end;
`RecordedReceiver` replays them. A station run on the replay has no dice anywhere in its process, so
equal key shows that the protocol saw time tags only. Knows no file format and no twin.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from satqkd.devices.door import Receiver
from satqkd.errors import LocalProtocolError
from satqkd.records import Tags


class Stretch(NamedTuple):
    """What one read gave."""

    until_s: float
    tags: Tags


def join(parts: Sequence[Tags]) -> Tags:
    """Tags of consecutive stretches as one record; empty columns for no parts."""
    if not parts:
        return Tags(np.empty(0, np.int64), np.empty(0, np.uint8))
    return Tags(
        np.concatenate([part.time_ps for part in parts]),
        np.concatenate([part.channel for part in parts]),
    )


class RecordingReceiver:
    """A receiver that passes another's tags on and keeps them in `stretches`."""

    def __init__(self, inner: Receiver) -> None:
        self._inner = inner
        self.stretches: list[Stretch] = []

    def read(self, until_s: float) -> Tags:
        """The inner receiver's tags, unchanged."""
        tags = self._inner.read(until_s)
        self.stretches.append(Stretch(until_s, tags))
        return tags


class RecordedReceiver:
    """A receiver that gives recorded stretches again.

    Read at the recorded ends, each call gives exactly what the live one gave. Read at other times, a
    stretch comes with the first call that reaches its end, whole.
    """

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        ends = [stretch.until_s for stretch in stretches]
        if ends != sorted(ends):
            raise LocalProtocolError(f"recorded receiver: expected stretches in order of time, got {ends}")
        self._waiting = list(reversed(stretches))
        self._read_until_s = -np.inf

    def read(self, until_s: float) -> Tags:
        """Every stretch not given yet whose end is at or before `until_s`."""
        if not until_s >= self._read_until_s:
            raise LocalProtocolError(
                f"recorded receiver: expected to read on from {self._read_until_s} s, got {until_s} s; "
                "until_s never decreases"
            )
        self._read_until_s = until_s
        due = []
        while self._waiting and self._waiting[-1].until_s <= until_s:
            due.append(self._waiting.pop().tags)
        return join(due)
