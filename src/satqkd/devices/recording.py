"""The files of a recorded pass, as they are written: `satellite.h5` (settings) and `station.h5` (tags).

Version 1 of the format; every attribute and dataset stands in `docs/recorded-pass.md`. Rows are appended
chunk by chunk, so that memory does not grow with the pass. A file is written beside its name and renamed
when it is closed whole. `recorded_files` reads them. h5py is loaded when a file is opened, not before.
Knows no protocol and no twin.

What stands in these files is raw key and the coins of its distillation: only their owner may read them.
"""

from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final, Literal, Self

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from satqkd.config import config_id
from satqkd.devices.door import Receiver, Transmitter
from satqkd.devices.recorded import RecordingReceiver, RecordingTransmitter, Stretch, recording_coins
from satqkd.errors import DataFormatError, ResourceError
from satqkd.randomness import RandBytes

FORMAT: Final = "satqkd recorded pass"
VERSION: Final = 1
CHUNK_ROWS: Final = 65_536
"""Rows of a chunk as written. With shuffle and gzip level 1 a tag takes 3.8 of its 9 bytes; 6.7 million tags
a second are written and 40 million read on one core (h5py 3.16). Level 4 saves 4 % more and costs 20 %."""

Node = Literal["satellite", "station"]
Json = str
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class RecordHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What both files of a pass say of it; each field is an attribute of the file."""

    pass_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,180}$")]
    satellite: str
    station: str
    epoch_utc: str
    """Of slot 0."""
    origin: Literal["twin", "recorded"]
    """Of key made from it: `recorded` for everything but the twin."""
    pulse_rate_hz: Annotated[float, Meta(gt=0, le=1e12)]
    slots: Annotated[int, Meta(ge=1, lt=2**62)]
    expected_qber: Annotated[float, Meta(ge=0, le=0.5)]
    """Foretold before the pass: used where too few values are revealed to estimate it."""
    link_start_s: Annotated[float, Meta(ge=-86_400, le=86_400)]
    link_end_s: Annotated[float, Meta(gt=0, le=86_400)]
    """Pass times between which the laser link is up."""
    satellite_settings: Json
    station_settings: Json
    protocol_settings: Json
    satellite_config_id: Digest
    """SHA-256 of the text of the settings; likewise below."""
    station_config_id: Digest
    protocol_config_id: Digest
    seed: Annotated[int, Meta(ge=0, lt=2**53)] | None = None
    """Of the twin."""
    software: str = ""

    def __post_init__(self) -> None:
        if not self.link_start_s < self.link_end_s:
            raise DataFormatError(
                f"attribute link_end_s: expected a time after link_start_s {self.link_start_s}, got "
                f"{self.link_end_s}; say when the laser link was up"
            )
        for name in ("satellite", "station", "protocol"):
            expected = text_id(getattr(self, f"{name}_settings"))
            if getattr(self, f"{name}_config_id") != expected:
                raise DataFormatError(
                    f"attribute {name}_config_id: expected {expected}, the SHA-256 of the text of "
                    f"{name}_settings, got {getattr(self, f'{name}_config_id')}; write both anew"
                )


class RecordedCourse(msgspec.Struct, frozen=True, eq=False):
    """Where the satellite was as the station saw it; columns of one length."""

    t_s: NDArray[np.float64]
    """Pass time, strictly increasing, from 0 or earlier to the last slot or later."""
    range_m: NDArray[np.float64]
    elevation_rad: NDArray[np.float64]


_COINS: Final[dict[str, np.dtype[Any]]] = {"coins": np.dtype(np.uint8), "draw_bytes": np.dtype(np.int64)}
COLUMNS: Final[dict[Node, dict[str, np.dtype[Any]]]] = {
    "satellite": {"slot": np.dtype(np.int64), "setting": np.dtype(np.uint8), **_COINS},
    "station": {
        "time_ps": np.dtype(np.int64),
        "channel": np.dtype(np.uint8),
        "until_s": np.dtype(np.float64),
        "end_row": np.dtype(np.int64),
        "course_t_s": np.dtype(np.float64),
        "course_range_m": np.dtype(np.float64),
        "course_elevation_rad": np.dtype(np.float64),
        **_COINS,
    },
}
"""Datasets of each file, little-endian, of shape (n,)."""


def text_id(text: str) -> str:
    """SHA-256 of a text, 64 hex digits; of settings as `msgspec` encodes them it is their `config_id`."""
    return config_id(msgspec.Raw(text))  # raw: hashed as it stands


class _Appended:
    """One growing dataset: rows wait in memory until they fill a chunk."""

    def __init__(self, dataset: Any, chunk_rows: int) -> None:
        self._dataset = dataset
        self._waiting = np.empty(chunk_rows, dataset.dtype)
        self._filled = 0

    def append(self, rows: NDArray[Any]) -> None:
        while rows.size:
            part = rows[: self._waiting.size - self._filled]
            self._waiting[self._filled : self._filled + part.size] = part
            self._filled += part.size
            rows = rows[part.size :]
            if self._filled == self._waiting.size:
                self.flush()

    def flush(self) -> None:
        start = self._dataset.shape[0]
        try:
            self._dataset.resize((start + self._filled,))
            self._dataset[start:] = self._waiting[: self._filled]
        except OSError as error:
            raise ResourceError(
                f"{self._dataset.file.filename}: cannot be written ({error}); free some space, or choose "
                "another folder"
            ) from None
        self._filled = 0


class _NewFile:
    """A file under way: `with` closes it whole and gives it its name, or leaves nothing."""

    node: Node

    def __init__(self, path: Path, header: RecordHeader, *, chunk_rows: int = CHUNK_ROWS) -> None:
        """Raises ResourceError when the file is there already or cannot be made."""
        import h5py  # type: ignore[import-untyped]

        if path.exists():
            raise ResourceError(f"{path} exists; record into another folder")
        self.path = path
        self._partial = path.with_name(path.name + ".partial")
        try:
            self._partial.unlink(missing_ok=True)
            self._partial.touch(mode=0o600, exist_ok=False)
            self._file = h5py.File(self._partial, "w")
        except OSError as error:
            raise ResourceError(
                f"{path}: cannot be written ({error.strerror}); choose another folder"
            ) from None
        for name, value in _attributes(header, self.node).items():
            self._file.attrs[name] = value
        self._columns = {
            name: _Appended(self._dataset(name, dtype, chunk_rows), chunk_rows)
            for name, dtype in COLUMNS[self.node].items()
        }

    def _dataset(self, name: str, dtype: np.dtype[Any], chunk_rows: int) -> Any:
        return self._file.create_dataset(
            name, (0,), dtype, maxshape=(None,), chunks=(chunk_rows,),
            shuffle=True, compression="gzip", compression_opts=1, fletcher32=True,
        )  # fmt: skip

    def append(self, **columns: NDArray[Any]) -> None:
        """Rows to the ends of some datasets."""
        for name, rows in columns.items():
            self._columns[name].append(rows)

    def keep_coins(self, coins: bytes) -> None:
        """One draw of this end."""
        self.append(coins=np.frombuffer(coins, np.uint8), draw_bytes=np.array([len(coins)], np.int64))

    def coins(self, inner: RandBytes) -> RandBytes:
        """This end's coins, kept as they are drawn."""
        return recording_coins(inner, self.keep_coins)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            if kind is None:
                for column in self._columns.values():
                    column.flush()
            self._file.close()
            if kind is None:
                self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)


class NewSatelliteFile(_NewFile):
    """`satellite.h5` while a pass is recorded."""

    node = "satellite"

    def transmitter(self, inner: Transmitter) -> RecordingTransmitter:
        """The sender, its answers kept."""
        return RecordingTransmitter(inner, lambda slots, setting: self.append(slot=slots, setting=setting))


class NewStationFile(_NewFile):
    """`station.h5` while a pass is recorded."""

    node = "station"

    def __init__(
        self, path: Path, header: RecordHeader, course: RecordedCourse, *, chunk_rows: int = CHUNK_ROWS
    ) -> None:
        super().__init__(path, header, chunk_rows=chunk_rows)
        self._rows = 0
        self.append(
            course_t_s=course.t_s, course_range_m=course.range_m, course_elevation_rad=course.elevation_rad
        )

    def receiver(self, inner: Receiver) -> RecordingReceiver:
        """The detectors, their tags kept."""
        return RecordingReceiver(inner, self.keep_stretch)

    def keep_stretch(self, stretch: Stretch) -> None:
        """What one read gave."""
        self._rows += len(stretch.tags)
        self.append(
            time_ps=stretch.tags.time_ps,
            channel=stretch.tags.channel,
            until_s=np.array([stretch.until_s]),
            end_row=np.array([self._rows], np.int64),
        )


def _attributes(header: RecordHeader, node: Node) -> dict[str, Any]:
    told = {name: value for name, value in msgspec.structs.asdict(header).items() if value is not None}
    return {"format": FORMAT, "version": VERSION, "node": node, **told}
