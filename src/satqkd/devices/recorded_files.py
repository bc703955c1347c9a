"""The files of a recorded pass, as they are read: checked from end to end, then answered from.

`SatelliteFile` and `StationFile` open one file each, refuse what is not as `docs/recorded-pass.md` says
before anything is answered from it, and give the doors of a recorded pass. Both checking and answering
read piece by piece: memory does not grow with the pass. Knows no protocol and no twin.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.devices.recorded import (
    LARGEST_SETTING,
    PAGE_ROWS,
    RecordedCoins,
    RecordedReceiver,
    RecordedTransmitter,
    SettingRecord,
    TagRecord,
)
from satqkd.devices.recording import COLUMNS, FORMAT, VERSION, Node, RecordedCourse, RecordHeader
from satqkd.errors import DataFormatError
from satqkd.records import BEACON_CHANNEL, LARGEST_CHANNEL, VACUUM

LARGEST_CHUNK_ROWS: Final = 2**20
"""HDF5 reads whole chunks: larger ones are refused."""
LARGEST_STRETCH: Final = 2**22
"""Tags of one stretch, which are handed over at once."""
LARGEST_TABLE: Final = 2**24
"""Rows of a dataset that is held whole: stretches, draws, course."""
_CACHE_BYTES: Final = 8 * LARGEST_CHUNK_ROWS
_PAGE: Final = "docs/recorded-pass.md"
_AGAIN: Final = f"record again, or write the file as {_PAGE} says"


class _Stored:
    """A dataset of a file as a column: slices are read when asked for."""

    def __init__(self, path: Path, name: str, dataset: Any) -> None:
        self.path, self.name, self._dataset = path, name, dataset

    def __len__(self) -> int:
        return int(self._dataset.shape[0])

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        try:
            part: NDArray[Any] = self._dataset[rows]
        except OSError as error:
            raise DataFormatError(
                f"{self.path}: {self.name}: cannot be read from row {rows.start} on ({error}); the file is "
                "damaged: get it again"
            ) from None
        return part

    def refuse(self, row: int, expected: str, got: object) -> DataFormatError:
        """The error that names file, dataset and row."""
        return DataFormatError(
            f"{self.path}: {self.name} row {row}: expected {expected}, got {got}; {_AGAIN}"
        )

    def whole(self) -> NDArray[Any]:
        """All rows at once, of a dataset that must be short."""
        if len(self) > LARGEST_TABLE:
            raise self.refuse(LARGEST_TABLE, f"at most {LARGEST_TABLE} rows", f"{len(self)} rows")
        return self[0 : len(self)]

    def check(self, good: Callable[[NDArray[Any]], NDArray[np.bool_]], expected: str) -> None:
        """Every row by itself."""
        for start in range(0, len(self), PAGE_ROWS):
            part = self[start : start + PAGE_ROWS]
            right = good(part)
            if not right.all():
                row = int(np.argmin(right))
                raise self.refuse(start + row, expected, part[row])

    def check_order(self, *, strictly: bool) -> NDArray[Any]:
        """Every row against the one before; returns every PAGE_ROWS-th row, from row 0."""
        pages, before = [], None
        for start in range(0, len(self), PAGE_ROWS):
            part = self[start : start + PAGE_ROWS]
            previous = np.concatenate([part[:1] if before is None else before, part[:-1]])
            right = part > previous if strictly else part >= previous
            right[0] |= before is None
            if not right.all():
                row = int(np.argmin(right))
                word = "above" if strictly else "not below"
                raise self.refuse(start + row, f"a value {word} {previous[row]} of the row before", part[row])
            pages.append(part[0])
            before = part[-1:]
        return np.array(pages, self._dataset.dtype)


class _File(ABC):
    """What both files share: header, datasets, coins."""

    node: Node

    def __init__(self, path: Path) -> None:
        """Raises DataFormatError for what is no whole file of this format, with file, dataset and row."""
        self.path = path
        self._file = _opened(path)
        try:
            self.header = _header(self._file, path, self.node)
            self._columns = {
                name: _dataset(self._file, path, name, dtype)
                for name, dtype in COLUMNS[self.node].items()
                if name in self._file or name not in ("coins", "draw_bytes")
            }
            self._check_coins()
            self._check()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def has_coins(self) -> bool:
        """Whether the coins of this end are on record."""
        return "coins" in self._columns

    def coins(self) -> RecordedCoins | None:
        """The coins of this end as drawn in the pass; None where they were not recorded."""
        if not self.has_coins:
            return None
        name = f"{self.path}: coins"
        return RecordedCoins(self._columns["coins"], self._columns["draw_bytes"].whole(), name)

    @abstractmethod
    def _check(self) -> None:
        """What only this file holds."""

    def _check_coins(self) -> None:
        there = [name for name in ("coins", "draw_bytes") if name in self._columns]
        if len(there) == 1:
            raise DataFormatError(
                f"{self.path}: expected datasets coins and draw_bytes, or neither, got {there[0]} alone; "
                f"{_AGAIN}"
            )
        if there:
            draws = self._columns["draw_bytes"]
            draws.check(lambda part: (part >= 0) & (part < 2**31), "a length in 0..2^31")
            self._require_rows("coins", int(draws.whole().sum()), "the sum of draw_bytes")

    def _require_rows(self, name: str, rows: int, why: str) -> None:
        got = len(self._columns[name])
        if got != rows:
            raise DataFormatError(
                f"{self.path}: {name}: expected {rows} rows, {why}, got {got}; the file is cut off or put "
                f"together wrongly: {_AGAIN}"
            )


class SatelliteFile(_File):
    """`satellite.h5` of a recorded pass."""

    node = "satellite"

    def transmitter(self) -> RecordedTransmitter:
        """The sender on record."""
        columns = self._columns
        return RecordedTransmitter(SettingRecord(columns["slot"], columns["setting"], self._page_slots))

    def _check(self) -> None:
        slot, setting, slots = self._columns["slot"], self._columns["setting"], self.header.slots
        self._require_rows("setting", len(slot), "as many as slot has")
        self._page_slots = slot.check_order(strictly=True)
        slot.check(lambda part: (part >= 0) & (part < slots), f"a slot in 0..{slots - 1}")
        setting.check(
            lambda part: (part <= LARGEST_SETTING) & (part & 3 <= VACUUM),
            "class + 4 basis + 8 bit, with class 0..2 and the others 0 or 1",
        )


class StationFile(_File):
    """`station.h5` of a recorded pass."""

    node = "station"

    @property
    def tags(self) -> int:
        """How many tags are on record."""
        return len(self._columns["time_ps"])

    def receiver(self) -> RecordedReceiver:
        """The detectors on record."""
        columns = self._columns
        return RecordedReceiver(
            TagRecord(self._until_s, self._end_row, columns["time_ps"], columns["channel"])
        )

    def require_labels_unswapped(self) -> None:
        """Raises DataFormatError where a tag says that labels were swapped: for settings that say never."""
        self._columns["channel"].check(
            lambda part: part <= BEACON_CHANNEL,
            f'a channel in 0..{BEACON_CHANNEL}, for label_swap is "none" in station_settings',
        )

    def course(self) -> RecordedCourse:
        """Where the satellite was."""
        columns = self._columns
        return RecordedCourse(
            *(columns[f"course_{name}"].whole() for name in RecordedCourse.__struct_fields__)
        )

    def _check(self) -> None:
        time_ps, channel = self._columns["time_ps"], self._columns["channel"]
        self._require_rows("channel", len(time_ps), "as many as time_ps has")
        time_ps.check_order(strictly=False)
        channel.check(lambda part: part <= LARGEST_CHANNEL, f"a channel in 0..{LARGEST_CHANNEL}")
        self._check_stretches()
        self._check_course()

    def _check_stretches(self) -> None:
        until_s, end_row, tags = self._columns["until_s"], self._columns["end_row"], self.tags
        self._require_rows("end_row", len(until_s), "as many as until_s has")
        until_s.check(np.isfinite, "a finite number of seconds")
        until_s.check_order(strictly=False)
        end_row.check(lambda part: (part >= 0) & (part <= tags), f"a row number in 0..{tags}")
        end_row.check_order(strictly=False)
        self._until_s, self._end_row = until_s.whole(), end_row.whole()
        self._require_rows(
            "time_ps", int(self._end_row[-1]) if self._end_row.size else 0, "the last of end_row"
        )
        sizes = np.diff(self._end_row, prepend=0)
        if sizes.size and sizes.max() > LARGEST_STRETCH:
            raise end_row.refuse(
                int(sizes.argmax()), f"stretches of at most {LARGEST_STRETCH} tags", f"{sizes.max()} tags"
            )

    def _check_course(self) -> None:
        t_s, range_m, elevation_rad = (
            self._columns[f"course_{name}"] for name in RecordedCourse.__struct_fields__
        )
        for each in (range_m, elevation_rad):
            self._require_rows(each.name, len(t_s), "as many as course_t_s has")
        t_s.check(np.isfinite, "a finite number of seconds")
        t_s.check_order(strictly=True)
        range_m.check(lambda part: (part >= 0) & (part < 1e12), "a distance in m, 0 or more")
        elevation_rad.check(lambda part: np.abs(part) <= np.pi / 2, "an angle within pi/2")
        times, end_s = t_s.whole(), self.header.slots / self.header.pulse_rate_hz
        if len(t_s) < 2 or times[0] > 0 or times[-1] < end_s:
            raise DataFormatError(
                f"{self.path}: course_t_s: expected two rows or more, from 0 s or earlier to the last slot's "
                f"{end_s:.6f} s or later, got {times[:1]} to {times[-1:]}; {_AGAIN}"
            )


def _opened(path: Path) -> Any:
    import h5py  # type: ignore[import-untyped]

    if not path.is_file():
        raise DataFormatError(f"{path}: no such file; make it with `satqkd record`, or as {_PAGE} says")
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES)
    except PermissionError:
        raise
    except OSError as error:
        raise DataFormatError(
            f"{path}: expected a whole HDF5 file, got another or one cut off ({error}); get it again"
        ) from None


def _header(file: Any, path: Path, node: Node) -> RecordHeader:
    try:
        told = {name: _plain(value) for name, value in file.attrs.items()}
    except (OSError, TypeError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{path}: attributes cannot be read ({error}); {_AGAIN}") from None
    if told.get("format") != FORMAT:
        raise DataFormatError(
            f"{path}: expected attribute format {FORMAT!r}, got {told.get('format')!r}: another kind of file"
        )
    if told.get("version") != VERSION:
        raise DataFormatError(
            f"{path}: expected version {VERSION} of the format, got {told.get('version')!r}; read it with "
            "the satqkd that wrote it, or a newer one"
        )
    if told.get("node") != node:
        raise DataFormatError(f"{path}: expected the {node}'s file, got attribute node {told.get('node')!r}")
    try:
        return msgspec.convert(told, RecordHeader)
    except msgspec.ValidationError as error:
        raise DataFormatError(f"{path}: attributes: {error}; {_AGAIN}") from None
    except DataFormatError as error:
        raise DataFormatError(f"{path}: {error}") from None


def _plain(value: Any) -> Any:
    """An attribute as a plain number or text."""
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else value


def _dataset(file: Any, path: Path, name: str, dtype: np.dtype[Any]) -> _Stored:
    import h5py

    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise DataFormatError(
            f"{path}: expected a dataset {name}, got {'none' if dataset is None else 'a group'}; {_AGAIN}"
        )
    if dataset.dtype != dtype or dataset.ndim != 1:
        raise DataFormatError(
            f"{path}: {name}: expected {dtype} of one dimension, got {dataset.dtype} of shape "
            f"{dataset.shape}; {_AGAIN}"
        )
    if dataset.chunks is not None and dataset.chunks[0] > LARGEST_CHUNK_ROWS:
        raise DataFormatError(
            f"{path}: {name}: expected chunks of at most {LARGEST_CHUNK_ROWS} rows, got {dataset.chunks[0]}; "
            f"{_AGAIN}"
        )
    return _Stored(path, name, dataset)
