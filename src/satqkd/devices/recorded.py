"""Recorded devices: keep what live ones gave, give the same again.

Recording doors stand in front of a live device and hand everything on to `keep`; recorded doors answer
from columns. A pass run on the replay has no dice anywhere in its process, so equal key shows that the
protocol saw time tags and settings only. Columns are arrays or datasets of a file, whatever gives rows for
a slice, and are read piece by piece. Knows no file format and no twin.

What stands in these records is raw key: none of it shows in text.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.devices.door import Monitored, Receiver, Transmitter, TurnsPlate, check_slots
from satqkd.errors import DataFormatError, LocalProtocolError
from satqkd.randomness import RandBytes
from satqkd.records import Settings, Tags

PAGE_ROWS: Final = 65_536
"""Rows of settings that a recorded transmitter holds at once."""
LARGEST_SETTING: Final = 0b1110
"""Vacuum, X, 1: no packed settings are above."""
_BASIS, _BIT, _CLASSES, _ONE = np.uint8(2), np.uint8(3), np.uint8(3), np.uint8(1)


class Column(Protocol):
    """Rows of one kind, in memory or in a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


class Stretch(NamedTuple):
    """What one read gave."""

    until_s: float
    tags: Tags


class TagRecord(msgspec.Struct, frozen=True, eq=False):
    """A station's tags, with the ends of the reads that gave them."""

    until_s: NDArray[np.float64]
    """Of each stretch, as the read was asked; not decreasing."""
    end_row: NDArray[np.int64]
    """Of each stretch: first row after it."""
    time_ps: Column
    channel: Column

    def __repr__(self) -> str:
        return f"TagRecord({self.until_s.size} stretches)"


class SettingRecord(msgspec.Struct, frozen=True, eq=False):
    """A sender's settings of the slots that it was asked for."""

    slot: Column
    """int64, strictly increasing."""
    setting: Column
    """uint8, as `packed` gives it."""
    page_slots: NDArray[np.int64]
    """Every PAGE_ROWS-th slot, from row 0: where to look for a slot."""

    def __repr__(self) -> str:
        return f"SettingRecord({len(self.slot)} slots)"


def packed(settings: Settings) -> NDArray[np.uint8]:
    """Settings in one byte a slot: class + 4 basis + 8 bit."""
    setting: NDArray[np.uint8] = settings.intensity_class | settings.basis << _BASIS | settings.bit << _BIT
    return setting


def unpacked(setting: NDArray[np.uint8]) -> Settings:
    """What `packed` packed."""
    return Settings(setting & _CLASSES, setting >> _BASIS & _ONE, setting >> _BIT)


def join(parts: Sequence[Tags]) -> Tags:
    """Tags of consecutive stretches as one record; empty columns for no parts."""
    if not parts:
        return Tags(np.empty(0, np.int64), np.empty(0, np.uint8))
    return Tags(
        np.concatenate([part.time_ps for part in parts]),
        np.concatenate([part.channel for part in parts]),
    )


def tag_record(stretches: Sequence[Stretch]) -> TagRecord:
    """Stretches in memory as one record. Raises LocalProtocolError when they are out of order."""
    ends = [stretch.until_s for stretch in stretches]
    if ends != sorted(ends):
        raise LocalProtocolError(f"recorded receiver: expected stretches in order of time, got {ends}")
    tags = join([stretch.tags for stretch in stretches])
    sizes = np.array([len(stretch.tags) for stretch in stretches], np.int64)
    return TagRecord(np.array(ends, np.float64), np.cumsum(sizes), tags.time_ps, tags.channel)


class RecordingReceiver:
    """A receiver that passes another's tags on and gives each stretch to `keep`; default: `stretches`."""

    def __init__(self, inner: Receiver, keep: Callable[[Stretch], None] | None = None) -> None:
        self._inner = inner
        self.stretches: list[Stretch] = []
        self._keep = self.stretches.append if keep is None else keep
        if isinstance(inner, TurnsPlate):
            self.turn_plate = inner.turn_plate  # it has a plate if the other has; tags are of light as turned
        if isinstance(inner, Monitored):
            self.readings = inner.readings  # it tells the other's bias currents, and keeps none

    def read(self, until_s: float) -> Tags:
        """The inner receiver's tags, unchanged."""
        tags = self._inner.read(until_s)
        self._keep(Stretch(until_s, tags))
        return tags


class RecordedReceiver:
    """A receiver that gives recorded stretches again.

    Read at the recorded ends, each call gives exactly what the live one gave. Read at other times, a
    stretch comes with the first call that reaches its end, whole.
    """

    def __init__(self, record: TagRecord) -> None:
        self._record = record
        self._given = self._row = 0
        self._read_until_s = -np.inf

    def read(self, until_s: float) -> Tags:
        """Every stretch not given yet whose end is at or before `until_s`."""
        if not until_s >= self._read_until_s:
            raise LocalProtocolError(
                f"recorded receiver: expected to read on from {self._read_until_s} s, got {until_s} s; "
                "until_s never decreases"
            )
        self._read_until_s = until_s
        due = int(np.searchsorted(self._record.until_s, until_s, "right"))
        start = self._row
        if due > self._given:
            self._given, self._row = due, int(self._record.end_row[due - 1])
        rows = slice(start, self._row)
        return Tags(self._record.time_ps[rows], self._record.channel[rows])


class RecordingTransmitter:
    """A transmitter that answers as another does and gives slots and settings to `keep`.

    The record stands in order of slots, as the protocol asks for them: each call begins after the last
    slot of the one before (LocalProtocolError).
    """

    def __init__(
        self, inner: Transmitter, keep: Callable[[NDArray[np.int64], NDArray[np.uint8]], None]
    ) -> None:
        self._inner, self._keep = inner, keep
        self._last = -1

    @property
    def horizon_slots(self) -> int | None:
        """The inner transmitter's."""
        return self._inner.horizon_slots

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """The inner transmitter's settings, unchanged."""
        if slots.size and slots[0] <= self._last:
            raise LocalProtocolError(
                f"recording transmitter: expected slots after {self._last}, got {int(slots[0])}; a recording "
                "keeps slots in increasing order and each once"
            )
        settings = self._inner.settings(slots)
        if slots.size:
            self._keep(slots, packed(settings))
            self._last = int(slots[-1])
        return settings


class RecordedTransmitter:
    """A transmitter that answers from a record; memory is one page of it and the answer."""

    horizon_slots: int | None = None

    def __init__(self, record: SettingRecord) -> None:
        self._record = record
        self._page_number = -1
        self._page = (np.empty(0, np.int64), np.empty(0, np.uint8))

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """Class, basis and bit of the slots; int64, shape (n,), >= 0, strictly increasing.

        Raises LocalProtocolError for slots out of order, or never recorded.
        """
        check_slots(slots, "recorded transmitter")
        pages = np.searchsorted(self._record.page_slots, slots, "right") - 1
        setting = np.empty(slots.size, np.uint8)
        for page in np.unique(pages):
            asked = pages == page
            setting[asked] = self._look_up(int(page), slots[asked])
        return unpacked(setting)

    def _look_up(self, page: int, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        known, setting = self._load(page)
        row = np.searchsorted(known, slots)
        there = row < known.size
        there[there] = known[row[there]] == slots[there]
        if not there.all():
            raise LocalProtocolError(
                f"recorded transmitter: slot {int(slots[np.argmin(there)])} is not on record (it holds "
                f"{len(self._record.slot)} slots); a slot that was never kept cannot be redrawn: take both "
                "files of one pass, and the station's settings as they were in it"
            )
        return setting[row]

    def _load(self, page: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        if page >= 0 and page != self._page_number:
            rows = slice(page * PAGE_ROWS, (page + 1) * PAGE_ROWS)
            self._page = (self._record.slot[rows], self._record.setting[rows])
            self._page_number = page
        return self._page


def recording_coins(inner: RandBytes, keep: Callable[[bytes], None]) -> RandBytes:
    """A `randbytes` that gives another's bytes and hands each draw to `keep`."""

    def draw(n_bytes: int) -> bytes:
        coins = inner(n_bytes)
        keep(coins)
        return coins

    return draw


class RecordedCoins:
    """A `randbytes` that gives recorded draws again, to reproduce a pass; never to make a second key.

    Each draw is given once: the oldest one of the length asked for. So the order in which blocks under way
    at the same time draw does not matter, which depends on when messages came. Memory is 16 bytes a draw.
    """

    def __init__(self, coins: Column, draw_bytes: NDArray[np.int64], name: str) -> None:
        """name: of the record, for messages."""
        self._coins, self._name = coins, name
        order = np.argsort(draw_bytes, kind="stable")
        starts = (np.cumsum(draw_bytes) - draw_bytes)[order]
        lengths, first = np.unique(draw_bytes[order], return_index=True)
        self._starts = dict(zip(lengths.tolist(), np.split(starts, first[1:]), strict=False))
        self._given = dict.fromkeys(self._starts, 0)

    def __call__(self, n_bytes: int) -> bytes:
        """The next draw of so many bytes; none for 0. Raises DataFormatError when there is none left."""
        if n_bytes == 0:
            return b""
        starts, given = self._starts.get(n_bytes, ()), self._given.get(n_bytes, 0)
        if given >= len(starts):
            raise DataFormatError(
                f"{self._name}: expected a draw of {n_bytes} bytes, got none after {given} of this length; "
                "the recorded pass never tossed these coins: its link ended before, or the files are of two "
                "passes or changed. Distil with fresh coins: the key is another then"
            )
        self._given[n_bytes] = given + 1
        start = int(starts[given])
        return self._coins[start : start + n_bytes].tobytes()
