"""The files of a recorded pass: what is written comes back, in little memory; what is wrong is refused."""

import hashlib
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.devices import (
    NewSatelliteFile,
    NewStationFile,
    RecordedCourse,
    RecordHeader,
    SatelliteFile,
    StationFile,
    Stretch,
    text_id,
)
from satqkd.devices import recorded_files as reader
from satqkd.devices.recorded import unpacked
from satqkd.devices.recording import COLUMNS
from satqkd.errors import DataFormatError, ResourceError
from satqkd.records import Settings, Tags

COURSE = RecordedCourse(np.array([-1.0, 2.0, 20.0]), np.array([6e5, 5e5, 7e5]), np.array([0.3, 1.2, 0.4]))
SLOTS = 10**6


def header(**changes: Any) -> RecordHeader:
    texts = {"satellite": '{"name": "a"}', "station": "{}", "protocol": "{}"}
    values: dict[str, Any] = {
        "pass_id": "a.b.1",
        "satellite": "a",
        "station": "b",
        "epoch_utc": "2026-01-02T03:04:05Z",
        "origin": "twin",
        "pulse_rate_hz": 1e5,
        "slots": SLOTS,
        "expected_qber": 0.01,
        "link_start_s": -3.0,
        "link_end_s": 15.0,
        "seed": 1,
        **{f"{name}_settings": text for name, text in texts.items()},
        **{f"{name}_config_id": text_id(text) for name, text in texts.items()},
    }
    return RecordHeader(**(values | changes))


class Pass:
    """A small recorded pass of noise."""

    def __init__(self, *, tags: int = 1000, cuts: tuple[int, ...] = (0, 10, 10, 600), seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.tags = Tags(
            np.sort(rng.integers(-(10**6), 10**13, tags)), rng.integers(0, 5, tags).astype(np.uint8)
        )
        self.rows = [0, *sorted(cuts), tags]
        self.ends_s = 0.05 * np.arange(1, len(self.rows)) - 0.07
        self.slots = np.sort(rng.choice(SLOTS, tags, replace=False))
        self.draws = [rng.bytes(n) for n in (5, 1, 1, 0, 40)]

    def settings(self, slots: Any) -> Settings:
        return unpacked((slots % 3 + slots // 3 % 4 * 4).astype(np.uint8))

    horizon_slots = None

    def stretches(self) -> Iterator[Stretch]:
        for end_s, a, b in zip(self.ends_s, self.rows[:-1], self.rows[1:], strict=True):
            yield Stretch(float(end_s), Tags(self.tags.time_ps[a:b], self.tags.channel[a:b]))

    def write(self, folder: Path, **options: Any) -> None:
        draws = iter(self.draws)
        with (
            NewSatelliteFile(folder / "satellite.h5", header(), **options) as sent,
            NewStationFile(folder / "station.h5", header(), COURSE, **options) as tagged,
        ):
            transmitter, toss = sent.transmitter(self), sent.coins(lambda n: next(draws))
            for part in np.array_split(self.slots, 7):
                transmitter.settings(part)
            for draw in self.draws:
                assert toss(len(draw)) == draw
                tagged.keep_coins(draw)
            for stretch in self.stretches():
                tagged.keep_stretch(stretch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Pass().write(tmp_path)
    return tmp_path


def same(one: Any, other: Any) -> bool:
    names = one.__struct_fields__
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@settings(max_examples=30, deadline=None)
@given(
    tags=st.integers(0, 400),
    cuts=st.lists(st.integers(0, 400), max_size=9),
    chunk_rows=st.sampled_from([1, 7, 64, 1000]),
    seed=st.integers(0, 99),
)
def test_each_read_gives_again_what_the_live_one_gave(
    tmp_path_factory: pytest.TempPathFactory, tags: int, cuts: list[int], chunk_rows: int, seed: int
) -> None:
    """However the pass was cut and whatever the chunks: stretch by stretch, slot by slot, coin by coin."""
    one = Pass(tags=tags, cuts=tuple(min(cut, tags) for cut in cuts), seed=seed)
    place = tmp_path_factory.mktemp("pass")
    one.write(place, chunk_rows=chunk_rows)
    with StationFile(place / "station.h5") as station, SatelliteFile(place / "satellite.h5") as satellite:
        receiver, transmitter = station.receiver(), satellite.transmitter()
        for stretch in one.stretches():
            assert same(receiver.read(stretch.until_s), stretch.tags)
        whole = station.receiver().read(np.inf)
        assert same(whole, one.tags) and station.tags == tags
        for part in np.array_split(one.slots, 3):
            assert same(transmitter.settings(part), one.settings(part))
        for coins in (station.coins(), satellite.coins()):
            assert coins is not None and [coins(len(draw)) for draw in one.draws] == one.draws
        assert same(station.course(), COURSE)
        assert satellite.header == station.header == header()


def test_files_are_their_owners_alone_and_whole_or_not_there(folder: Path, tmp_path: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"satellite.h5", "station.h5"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    before = (folder / "station.h5").read_bytes()
    with pytest.raises(ResourceError, match=r"station\.h5 exists"):
        NewStationFile(folder / "station.h5", header(), COURSE)
    assert (folder / "station.h5").read_bytes() == before
    with pytest.raises(KeyboardInterrupt), NewSatelliteFile(tmp_path / "other.h5", header()) as sent:
        sent.append(slot=np.arange(10**5), setting=np.zeros(10**5, np.uint8))
        assert [path.stat().st_mode & 0o777 for path in tmp_path.glob("other*")] == [0o600]
        raise KeyboardInterrupt
    assert not [*tmp_path.glob("other*")]


def test_a_killed_run_leaves_a_name_that_nobody_reads_and_the_next_replaces(tmp_path: Path) -> None:
    left = tmp_path / "satellite.h5.partial"
    left.write_bytes(b"half")
    left.chmod(0o644)
    with pytest.raises(DataFormatError, match="no such file"):
        SatelliteFile(tmp_path / "satellite.h5")
    with NewSatelliteFile(tmp_path / "satellite.h5", header()):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["satellite.h5"]
    assert (tmp_path / "satellite.h5").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        NewSatelliteFile(tmp_path / "nowhere" / "satellite.h5", header())


Damage = Callable[[Any], None]


def put(name: str, row: int, value: Any) -> Damage:
    def damage(file: Any) -> None:
        file[name][row] = value

    return damage


def drop(name: str) -> Damage:
    return lambda file: file.__delitem__(name)


def told(name: str, value: Any) -> Damage:
    def damage(file: Any) -> None:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return damage


def as_type(name: str, dtype: Any) -> Damage:
    def damage(file: Any) -> None:
        rows = file[name][:]
        del file[name]
        file[name] = rows.astype(dtype)

    return damage


def resized(name: str, change: int) -> Damage:
    def damage(file: Any) -> None:
        file[name].resize((file[name].shape[0] + change,))

    return damage


def with_rows(name: str, rows: Any) -> Damage:
    def damage(file: Any) -> None:
        del file[name]
        file[name] = rows

    return damage


def grouped(name: str) -> Damage:
    def damage(file: Any) -> None:
        del file[name]
        file.create_group(name)

    return damage


SENT: dict[str, tuple[Damage, str]] = {
    "format": (told("format", "photon-hdf5"), "format 'satqkd recorded pass', got 'photon-hdf5'"),
    "no format": (told("format", None), "format 'satqkd recorded pass', got None"),
    "version": (told("version", 2), "expected version 1 of the format, got 2"),
    "node": (told("node", "station"), "satellite's file, got attribute node 'station'"),
    "origin": (told("origin", "hardware"), r"'hardware' - at `\$\.origin`"),
    "no slots": (told("slots", None), "missing required field `slots`"),
    "slots": (told("slots", 0), r">= 1 - at `\$\.slots`"),
    "rate": (told("pulse_rate_hz", "fast"), r"float.*str.*pulse_rate_hz"),
    "rate nan": (told("pulse_rate_hz", np.nan), r"pulse_rate_hz"),
    "attribute of several": (told("slots", np.array([1, 2])), "slots"),
    "link": (told("link_end_s", -4.0), "link_end_s"),
    "settings": (told("satellite_settings", '{"name": "b"}'), "satellite_config_id: expected [0-9a-f]{64}"),
    "slot order": (put("slot", 500, 0), r"slot row 500: expected a value above \d+ of the row before, got 0"),
    "slot twice": (with_rows("slot", np.array([5, 5])), "expected 2 rows|row 1"),
    "slot below 0": (put("slot", 0, -1), r"slot row 0: expected a slot in 0\.\.999999, got -1"),
    "slot beyond": (put("slot", 999, SLOTS), r"slot row 999: expected a slot in 0\.\.999999, got 1000000"),
    "class 3": (put("setting", 7, 3), r"setting row 7: expected class \+ 4 basis \+ 8 bit.*got 3"),
    "setting bits": (put("setting", 7, 16), "setting row 7: .*got 16"),
    "no setting": (drop("setting"), "expected a dataset setting, got none"),
    "group": (grouped("setting"), "expected a dataset setting, got a group"),
    "dtype": (
        as_type("slot", np.int32),
        r"slot: expected int64 of one dimension, got int32 of shape \(1000,\)",
    ),
    "float": (as_type("slot", np.float64), "slot: expected int64"),
    "big endian": (as_type("slot", ">i8"), "slot: expected int64"),
    "shape": (with_rows("setting", np.zeros((500, 2), np.uint8)), r"got uint8 of shape \(500, 2\)"),
    "scalar": (with_rows("setting", np.uint8(3)), r"got uint8 of shape \(\)"),
    "fewer settings": (resized("setting", -1), "setting: expected 1000 rows, as many as slot has, got 999"),
    "coins alone": (drop("draw_bytes"), "coins and draw_bytes, or neither, got coins alone"),
    "draws alone": (drop("coins"), "coins and draw_bytes, or neither, got draw_bytes alone"),
    "coins cut": (resized("coins", -2), "coins: expected 47 rows, the sum of draw_bytes, got 45"),
    "negative draw": (put("draw_bytes", 1, -1), "draw_bytes row 1: expected a length"),
}
TAGGED: dict[str, tuple[Damage, str]] = {
    "unsorted": (put("time_ps", 321, -(10**7)), r"time_ps row 321: expected a value not below .*-10000000;"),
    "overflow": (put("time_ps", 999, -(2**63)), "time_ps row 999"),
    "channel": (put("channel", 44, 9), r"channel row 44: expected a channel in 0\.\.8, got 9"),
    "no times": (drop("time_ps"), "expected a dataset time_ps"),
    "fewer channels": (resized("channel", -3), "channel: expected 1000 rows, as many as time_ps has, got 9"),
    "more rows": (put("end_row", 4, 999), "time_ps: expected 999 rows, the last of end_row, got 1000"),
    "fewer rows": (put("end_row", 4, 1001), r"end_row row 4: expected a row number in 0\.\.1000, got 1001"),
    "rows back": (put("end_row", 2, 2), "end_row row 2: expected a value not below 10 of the row before"),
    "no stretch": (
        lambda f: (with_rows("until_s", np.empty(0))(f), with_rows("end_row", np.empty(0, "i8"))(f)),
        "time_ps: expected 0 rows",
    ),
    "ends back": (put("until_s", 3, -1.0), "until_s row 3: expected a value not below"),
    "nan": (put("until_s", 1, np.nan), "until_s row 1: expected a finite number"),
    "ends": (resized("until_s", 1), "end_row: expected 6 rows, as many as until_s has, got 5"),
    "course rows": (resized("course_range_m", 1), "course_range_m: expected 3 rows"),
    "course order": (put("course_t_s", 1, -1.0), "course_t_s row 1: expected a value above"),
    "course short": (put("course_t_s", 2, 9.0), "course_t_s: expected two rows or more"),
    "range": (put("course_range_m", 0, -1.0), "course_range_m row 0"),
    "elevation": (put("course_elevation_rad", 0, 45.0), "course_elevation_rad row 0: expected an angle"),
}  # fmt: skip
CASES = [
    *((name, SatelliteFile, "satellite.h5", *case) for name, case in SENT.items()),
    *((name, StationFile, "station.h5", *case) for name, case in TAGGED.items()),
]


@pytest.mark.parametrize(
    ("kind", "name", "damage", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_is_wrong_is_refused_with_its_place(
    folder: Path, kind: Any, name: str, damage: Damage, message: str
) -> None:
    kind(folder / name).close()
    with h5py.File(folder / name, "r+") as file:
        damage(file)
    with pytest.raises(DataFormatError, match=message) as refusal:
        kind(folder / name)
    assert str(folder / name) in str(refusal.value) and "\n" not in str(refusal.value)


def test_no_file_is_cut_off_or_damaged_without_notice(folder: Path) -> None:
    path = folder / "station.h5"
    whole = path.read_bytes()
    for size in (0, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataFormatError, match=r"expected a whole HDF5 file"):
            StationFile(path)
    with h5py.File(folder / "satellite.h5") as file:
        place = file["setting"].id.get_chunk_info(0)
    data = bytearray((folder / "satellite.h5").read_bytes())
    data[place.byte_offset + place.size // 2] ^= 1
    (folder / "satellite.h5").write_bytes(data)
    with pytest.raises(DataFormatError, match=r"setting: cannot be read from row 0 on .*damaged"):
        SatelliteFile(folder / "satellite.h5")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "station.h5"
    for make in (lambda: path.write_text("time,channel\n"), lambda: h5py.File(path, "w").close()):
        make()
        with pytest.raises(DataFormatError, match=r"station\.h5: expected"):
            StationFile(path)


def test_stretches_and_chunks_have_a_largest_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LARGEST_STRETCH", 500)
    with pytest.raises(DataFormatError, match="end_row row 3: expected stretches of at most 500 tags"):
        StationFile(folder / "station.h5")
    monkeypatch.setattr(reader, "LARGEST_CHUNK_ROWS", 1000)
    with pytest.raises(DataFormatError, match="chunks of at most 1000 rows, got 65536"):
        SatelliteFile(folder / "satellite.h5")


def test_other_ways_of_storing_are_read(folder: Path) -> None:
    """Without chunks and filters, text of fixed length, no coins, more than is known."""
    path = folder / "satellite.h5"
    with h5py.File(path) as file:
        columns = {name: file[name][:] for name in ("slot", "setting")}
        attributes = {
            name: np.bytes_(value) if isinstance(value, str) else value for name, value in file.attrs.items()
        }
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes | {"weather": "clear"})
        for name, rows in (columns | {"more": np.zeros(3)}).items():
            file[name] = rows
    with SatelliteFile(path) as satellite:
        assert satellite.header == header()
        assert satellite.coins() is None and not satellite.has_coins
        assert same(satellite.transmitter().settings(columns["slot"]), Pass().settings(columns["slot"]))


def test_the_id_of_settings_is_that_of_the_package() -> None:
    from satqkd.config import Protocol, config_id

    text = msgspec.json.encode(Protocol(), order="deterministic").decode()
    assert text_id(text) == config_id(Protocol()) == hashlib.sha256(text.encode()).hexdigest()


def test_the_page_names_every_attribute_and_dataset() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recorded-pass.md").read_text(encoding="utf-8")
    names = {"format", "version", "node", *RecordHeader.__struct_fields__, *COLUMNS["satellite"]}
    assert [name for name in names | set(COLUMNS["station"]) if f"`{name}`" not in page] == []


def test_a_million_tags_take_little_memory(tmp_path: Path) -> None:
    """All tags at once would be 9 MB, and as many slots 9 more."""
    tags, step = 10**6, 5000
    rng = np.random.default_rng(1)
    tracemalloc.start()
    try:
        with (
            NewStationFile(tmp_path / "station.h5", header(), COURSE, chunk_rows=4096) as tagged,
            NewSatelliteFile(tmp_path / "satellite.h5", header(slots=2 * tags), chunk_rows=4096) as sent,
        ):
            for start in range(0, tags, step):
                time_ps = 10**6 * np.arange(start, start + step)
                channel = rng.integers(0, 5, step).astype(np.uint8)
                tagged.keep_stretch(Stretch(start * 1e-6, Tags(time_ps, channel)))
                sent.append(slot=np.arange(start, start + step), setting=channel & np.uint8(1))
        read = 0
        with (
            StationFile(tmp_path / "station.h5") as station,
            SatelliteFile(tmp_path / "satellite.h5") as above,
        ):
            receiver, transmitter = station.receiver(), above.transmitter()
            for start in range(0, tags, step):
                channel = receiver.read(start * 1e-6).channel
                bits = transmitter.settings(np.arange(start, start + step)).intensity_class
                assert np.array_equal(channel & 1, bits)
                read += channel.size
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == tags
    assert peak_bytes < 4e6


SOAK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import numpy as np
from test_recording import COURSE, header
from satqkd.devices import NewStationFile, StationFile, Stretch
from satqkd.records import Tags

path, tags, step = Path({path!r}), 10**8, 12_500
def stretch(number):
    rng = np.random.default_rng(number)
    time_ps = number * 5 * 10**10 + np.sort(rng.integers(0, 5 * 10**10, step))
    return Stretch(0.05 * number, Tags(time_ps, rng.integers(0, 5, step).astype(np.uint8)))
def mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
import h5py
before = mib()
with NewStationFile(path, header(), COURSE) as tagged:
    for number in range(tags // step):
        tagged.keep_stretch(stretch(number))
with StationFile(path) as station:
    receiver = station.receiver()
    assert station.tags == tags
    for number in range(tags // step):
        want, got = stretch(number), receiver.read(0.05 * number)
        assert np.array_equal(want.tags.time_ps, got.time_ps)
        assert np.array_equal(want.tags.channel, got.channel)
print(mib() - before, path.stat().st_size / tags)
"""


@pytest.mark.soak
def test_a_hundred_million_tags_take_bounded_memory(tmp_path: Path) -> None:
    """A whole pass of 400 s at 250 kHz, 900 MB: written, checked and read in a few tens of MiB."""
    code = SOAK.format(tests=str(Path(__file__).parent), path=str(tmp_path / "station.h5"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    more_mib, bytes_a_tag = map(float, done.stdout.split())
    assert more_mib < 60
    assert bytes_a_tag < 6


def test_neither_nodes_nor_commands_load_h5py_before_a_file_is_opened() -> None:
    code = "import sys, satqkd.cli, satqkd.node.process, satqkd.mission; sys.exit('h5py' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
