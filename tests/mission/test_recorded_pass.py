"""A pass on record: the same key from the files alone, and nothing from files that are not its own."""

import re
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
import pytest

from satqkd.config import BrightLight, Monitors
from satqkd.devices import text_id
from satqkd.errors import DataFormatError, KeyAlreadyUsed, OriginRefused, ResourceError
from satqkd.keys import KeyStore
from satqkd.mission import PassReport, contact_of, distill_recording, equals_live, open_recording, record_pass
from store_copies import copy_store
from toy_pass import (
    AT_UTC,
    PROTOCOL,
    Flight,
    link_key,
    repeatable,
    replaced,
    toy_satellite,
    toy_station,
    without_dice,
)

NODES = ("toy-satellite", "toy-station")
PAGE = Path(__file__).parents[2] / "docs" / "recorded-pass.md"
Keys = list[dict[str, bytes]]


def recorded(folder: Path, **changes: Any) -> PassReport:
    craft = toy_satellite(**changes.get("satellite", {}))
    ground = toy_station(**changes.get("station", {}))
    return record_pass(contact_of(craft, ground, AT_UTC), changes.get("protocol", PROTOCOL), folder, seed=1)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PassReport]:
    """The toy pass on record, flown once. Look, do not change."""
    folder = tmp_path_factory.mktemp("live")
    return folder, recorded(folder)


@pytest.fixture
def copy(live: tuple[Path, PassReport], tmp_path: Path) -> Path:
    """Its two files alone, to be changed."""
    for name in ("satellite.h5", "station.h5"):
        shutil.copy(live[0] / name, tmp_path / name)
    return tmp_path


def keys(folder: Path) -> Keys:
    found = []
    for node in NODES:
        with KeyStore.open(folder / f"{node}.sqlite", read_only=True) as store:
            key, states = link_key(store)
            assert set(states.values()) <= {"confirmed"}
            found.append(key)
    return found


def distilled(folder: Path, out: Path) -> tuple[PassReport, bool | None]:
    out.mkdir()
    with open_recording(folder) as recording:
        return distill_recording(recording, out), equals_live(recording, out)


def changed(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    with h5py.File(folder / name, "r+") as file:
        change(file)


def test_the_recorded_pass_is_the_live_one(live: tuple[Path, PassReport], flight: Flight) -> None:
    """Recording changes nothing: the numbers of the same pass without it."""
    assert repeatable(live[1]) == repeatable(flight.report)
    names = {path.name for path in live[0].iterdir()}
    assert names >= {
        "satellite.h5",
        "station.h5",
        "pass.json",
        "course.json",
        "satellite.json",
        "station.json",
    }
    assert not [name for name in names if name.endswith(".partial")]


def test_files_alone_give_the_live_key_bit_for_bit(
    live: tuple[Path, PassReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = {"TwinReceiver": "satqkd.mission.run_pass", "TwinTransmitter": "satqkd.mission.satellite_end"}
    for name, home in homes.items():
        for module in (home, "satqkd.devices", "satqkd.devices.twin"):
            monkeypatch.setattr(sys.modules[module], name, without_dice)
    monkeypatch.setattr(sys.modules["satqkd.devices.twin"], "settings_of", without_dice)
    with pytest.raises(AssertionError, match="dice"):
        recorded(tmp_path)
    report, same = distilled(live[0], tmp_path / "out")
    assert (report.outcome, report.keys_match, same) == ("key", True, True)
    above, below = keys(tmp_path / "out")
    assert [above, below] == keys(live[0])
    (key,) = above.values()
    assert 8 * len(key) == live[1].secret_bits > 10_000
    assert repeatable(report) == repeatable(live[1])
    assert (report.pass_id, report.seed, report.origin) == (live[1].pass_id, 1, "twin")
    assert (report.max_elevation_deg, report.min_range_km) == (
        live[1].max_elevation_deg,
        live[1].min_range_km,
    )
    assert (report.start_utc, report.duration_s) == (live[1].start_utc, live[1].duration_s)


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy pass on record behind a receiver that swaps its labels. Look, do not change."""
    folder = tmp_path_factory.mktemp("swapped")
    recorded(folder, station={"receiver__label_swap": "random"})
    return folder


def test_swapped_labels_are_on_record_in_the_channels(swapped: Path, tmp_path: Path) -> None:
    with h5py.File(swapped / "station.h5") as file:
        assert set(np.unique(file["channel"][:])) == set(range(9))
    report, same = distilled(swapped, tmp_path / "out")
    assert (report.outcome, report.keys_match, same) == ("key", True, True)


@pytest.mark.parametrize(
    ("told", "channels", "message"),
    [
        ("none", lambda channel: channel, r"channel row \d+: expected a channel in 0..4, for label_swap is"),
        ("random", lambda channel: np.where(channel > 4, channel - 5, channel), "slots in a row alike"),
    ],
    ids=["told none, swapped", "told random, standing still"],
)
def test_labels_that_are_not_as_the_settings_say_are_refused(
    swapped: Path, tmp_path: Path, told: str, channels: Callable[[Any], Any], message: str
) -> None:
    folder, station = tmp_path / "run", toy_station(receiver__label_swap=told)
    folder.mkdir()
    for name in ("satellite.h5", "station.h5"):
        shutil.copy(swapped / name, folder / name)
    text = msgspec.json.encode(station, order="deterministic").decode()

    def relabelled(file: Any) -> None:
        file.attrs["station_settings"], file.attrs["station_config_id"] = text, text_id(text)
        if "channel" in file:
            file["channel"][:] = channels(file["channel"][:])

    changed(folder, "satellite.h5", relabelled)
    changed(folder, "station.h5", relabelled)
    with pytest.raises(DataFormatError, match=message):
        distilled(folder, tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_station_with_monitors_is_distilled_again_without_its_currents(
    tmp_path: Path,
) -> None:
    """Live it is judged by its bias currents, which no file holds: the recording tells so, and goes on."""
    watched = {
        "receiver__bright_light": BrightLight(
            avalanche_electrons=1e8, linear_electrons=50, blinding_w=4e-7, current_noise_a=2e-8
        ),
        "receiver__monitors": Monitors(bias_current_limit_a=5e-6),
    }
    (tmp_path / "live").mkdir()
    live = recorded(tmp_path / "live", station=watched)
    again, equal = distilled(tmp_path / "live", tmp_path / "again")
    (live_reading,), (reading,) = live.monitors, again.monitors
    assert (live.outcome, live_reading.alarm, live_reading.reading is None) == ("key", False, False)
    assert (again.outcome, reading.alarm, reading.reading) == ("key", False, None)
    assert equal and keys(tmp_path / "live") == keys(tmp_path / "again")


def test_its_key_is_for_demonstrations(live: tuple[Path, PassReport], tmp_path: Path) -> None:
    distilled(live[0], tmp_path / "out")
    with KeyStore.open(tmp_path / "out" / "toy-satellite.sqlite") as store:
        assert store.available_bits("toy-station", "link") == 0
        with pytest.raises(OriginRefused):
            store.spend("toy-station", "link", 8, purpose="test", reference="-")
        store.spend("toy-station", "link", 8, purpose="test", reference="-", demo=True)


def test_blocks_on_another_laser_link_still_get_their_own_coins(tmp_path: Path) -> None:
    """Two blocks over a live link that lost many frames: in the second run messages come at other times."""
    live = recorded(
        tmp_path,
        satellite={"source__pulse_rate_hz": 3e7, "lasercom__frame_loss": 0.3},
        station={"lasercom__frame_loss": 0.3},
        protocol=replaced(PROTOCOL, blocks=2),
    )
    report, _ = distilled(tmp_path, tmp_path / "out")
    assert live.classical["up"]["lost"] > 0 == report.classical["up"]["lost"]
    assert report.timings_s["stages"] != live.timings_s["stages"]
    assert keys(tmp_path / "out") == keys(tmp_path)
    assert len(keys(tmp_path)[0]) > 1
    assert repeatable(report) == repeatable(live)


def test_a_block_that_the_live_link_cut_off_needs_fresh_coins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live station hears nothing from 8.2 s on: no coins for amplification, but the tags are there."""
    from satqkd.mission.emulator import DOWN, LinkEmulator

    due = LinkEmulator.due
    monkeypatch.setattr(
        LinkEmulator,
        "due",
        lambda link, way, now_s: [] if way == DOWN and now_s > 8.2 else due(link, way, now_s),
    )
    live = recorded(tmp_path)
    assert live.outcome == "no_key" and live.detections > 10_000
    with pytest.raises(DataFormatError, match="its link ended before"):
        distilled(tmp_path, tmp_path / "out")
    (tmp_path / "fresh").mkdir()
    with open_recording(tmp_path) as recording:
        report = distill_recording(recording, tmp_path / "fresh", fresh_coins=True)
    assert (report.outcome, report.detections) == ("key", live.detections)
    above, below = keys(tmp_path / "fresh")
    assert above == below and above


@pytest.mark.parametrize("outcome", ["aborted", "no_key"])
def test_a_pass_without_key_is_recorded_and_reproduced(tmp_path: Path, outcome: str) -> None:
    error = {"aborted": 0.2, "no_key": 0.045}[outcome]
    live = recorded(tmp_path, station={"receiver__optical_error": error})
    assert live.outcome == outcome
    report, same = distilled(tmp_path, tmp_path / "out")
    assert repeatable(report) == repeatable(live)
    assert same is True


def _settings_of_matching_rounds(file: Any) -> None:
    file["setting"][1000:1100] ^= 8


def _channels(file: Any) -> None:
    channel = file["channel"][5000:5200]
    file["channel"][5000:5200] = np.where(channel < 4, channel ^ 1, channel)


@pytest.mark.parametrize(
    ("name", "change"), [("satellite.h5", _settings_of_matching_rounds), ("station.h5", _channels)]
)
def test_the_files_decide(
    live: tuple[Path, PassReport], copy: Path, name: str, change: Callable[[Any], None]
) -> None:
    """A few bits flipped at one end are that many more errors, and another key."""
    changed(copy, name, change)
    report, _ = distilled(copy, copy / "out")
    errors = [sum(row.errors for row in each.counts) for each in (report, live[1])]
    assert errors[0] > errors[1] + 10
    assert report.detections == live[1].detections
    above, below = keys(copy / "out")
    assert above == below and above != keys(live[0])[0]


def test_other_coins_give_another_key(live: tuple[Path, PassReport], copy: Path) -> None:
    def flip(file: Any) -> None:
        file["coins"][-1] ^= 1

    changed(copy, "satellite.h5", flip)
    for node in NODES:
        copy_store(live[0] / f"{node}.sqlite", copy / f"{node}.sqlite")
    report, same = distilled(copy, copy / "out")
    assert (report.outcome, same) == ("key", False)
    assert repeatable(report) == repeatable(live[1])


def test_without_coins_fresh_ones_are_drawn(live: tuple[Path, PassReport], copy: Path) -> None:
    def forget(file: Any) -> None:
        del file["coins"], file["draw_bytes"]

    for name in ("satellite.h5", "station.h5"):
        changed(copy, name, forget)
    first, same = distilled(copy, copy / "first")
    second, _ = distilled(copy, copy / "second")
    assert first.outcome == second.outcome == "key"
    assert same is None
    one, other = keys(copy / "first"), keys(copy / "second")
    assert one[0] == one[1] and other[0] == other[1] and one[0] != other[0] != keys(live[0])[0]


def test_coins_that_run_dry_are_named(copy: Path) -> None:
    def cut(file: Any) -> None:
        (n,) = file["draw_bytes"].shape
        last = int(file["draw_bytes"][-1])
        file["draw_bytes"].resize((n - 1,))
        file["coins"].resize((file["coins"].shape[0] - last,))

    changed(copy, "satellite.h5", cut)
    with pytest.raises(
        DataFormatError, match=r"satellite\.h5: coins: expected a draw of \d+ bytes, got none"
    ):
        distilled(copy, copy / "out")


def test_live_key_that_is_used_is_not_compared(live: tuple[Path, PassReport], copy: Path) -> None:
    for node in NODES:
        copy_store(live[0] / f"{node}.sqlite", copy / f"{node}.sqlite")
    _, same = distilled(copy, copy / "out")
    assert same is True
    with KeyStore.open(copy / "toy-satellite.sqlite") as store:
        store.spend("toy-station", "link", 64, purpose="test", reference="-", demo=True)
    with open_recording(copy) as recording:
        assert equals_live(recording, copy / "out") is None


def test_a_pass_is_distilled_into_a_store_once(live: tuple[Path, PassReport], copy: Path) -> None:
    distilled(copy, copy / "out")
    before = keys(copy / "out")
    with open_recording(copy) as recording, pytest.raises(KeyAlreadyUsed, match="in the store"):
        distill_recording(recording, copy / "out")
    with open_recording(live[0]) as recording, pytest.raises(KeyAlreadyUsed, match="in the store"):
        distill_recording(recording, live[0])
    assert keys(copy / "out") == before


def test_a_recording_is_not_written_over(copy: Path) -> None:
    before = (copy / "satellite.h5").read_bytes()
    with pytest.raises(ResourceError, match=r"satellite\.h5 exists"):
        recorded(copy)
    (copy / "satellite.h5").rename(copy / "elsewhere.h5")
    with pytest.raises(ResourceError, match=r"station\.h5 exists"):
        recorded(copy)
    assert {path.name for path in copy.iterdir()} == {"elsewhere.h5", "station.h5"}
    assert (copy / "elsewhere.h5").read_bytes() == before


def test_a_pass_that_cannot_be_flown_leaves_no_files(live: tuple[Path, PassReport], tmp_path: Path) -> None:
    for node in NODES:
        copy_store(live[0] / f"{node}.sqlite", tmp_path / f"{node}.sqlite")
    with pytest.raises(KeyAlreadyUsed):
        recorded(tmp_path)
    assert not [*tmp_path.glob("*.h5*")]


def _told(name: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        file.attrs[name] = value
        if name.endswith("_settings"):
            file.attrs[name.replace("settings", "config_id")] = text_id(value)

    return change


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("satellite", "other", r"attribute satellite: expected toy-satellite as in the settings, got other"),
        ("station", "other", "attribute station: expected toy-station"),
        ("pulse_rate_hz", 2e7, "attribute pulse_rate_hz: expected 10000000.0"),
        ("epoch_utc", "yesterday", "attribute epoch_utc: .*ISO 8601"),
        ("protocol_settings", '{"frames": 3}', "attribute protocol_settings: .*unknown field `frames`"),
        ("protocol_settings", '{"keyed_bases": []}', "attribute protocol_settings: protocol.keyed_bases"),
        ("station_settings", "{", "attribute station_settings: .*truncated"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(copy: Path, name: str, value: Any, message: str) -> None:
    for file in ("satellite.h5", "station.h5"):
        changed(copy, file, _told(name, value))
    with pytest.raises(DataFormatError, match=message), open_recording(copy):
        pass


def test_files_of_two_passes_are_refused(copy: Path) -> None:
    changed(copy, "station.h5", _told("pass_id", "another"))
    with pytest.raises(DataFormatError, match=r"pass_id: .*files of two passes"), open_recording(copy):
        pass


def test_the_example_of_the_page_runs_and_prints_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    (output,) = re.findall(r"^```output\n(.*?)^```$", text, re.M | re.S)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.umask", lambda mask: 0)
    names: dict[str, Any] = {}
    with redirect_stdout(StringIO()) as printed:
        for example in examples:
            exec(example, names)
    assert printed.getvalue() == output
    stores = []
    for node in ("micius", "xinglong"):
        with KeyStore.open(tmp_path / "lab" / "distilled" / f"{node}.sqlite", read_only=True) as store:
            stores.append(link_key(store)[0])
            assert {row.origin for row in store.list_blocks() if row.kind == "link"} == {"recorded"}
    assert stores[0] == stores[1] and stores[0]


def test_slots_that_are_not_in_the_file_are_told_and_nothing_is_left(copy: Path) -> None:
    def cut(file: Any) -> None:
        for name in ("setting", "slot"):
            file[name].resize((file[name].shape[0] // 2,))

    changed(copy, "satellite.h5", cut)
    with pytest.raises(DataFormatError, match=rf"{re.escape(str(copy))}: .*is not on record"):
        distilled(copy, copy / "out")
    assert [*(copy / "out").iterdir()] == []


def test_tags_that_hold_no_beacons_end_with_no_lock_and_say_so(copy: Path) -> None:
    def forget(file: Any) -> None:
        channel = file["channel"][:]
        file["channel"][:] = np.where(channel < 4, channel, 0)

    changed(copy, "station.h5", forget)
    report, _ = distilled(copy, copy / "out")
    assert report.outcome != "key"
    assert "never locked on the beacons (0 tags of them seen)" in report.reason


@pytest.mark.parametrize("make", ["record", "distill"])
def test_an_interrupted_pass_leaves_nothing(
    copy: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, make: str
) -> None:
    """Broken off when the key is in both stores: neither key nor report nor recording stays."""

    def broken_off(folder: Path, *_: Any) -> None:
        assert {path.name for path in folder.iterdir()} >= {f"{node}.sqlite" for node in NODES}
        raise KeyboardInterrupt

    monkeypatch.setattr("satqkd.mission.recording.write_pass_folder", broken_off)
    monkeypatch.setattr("satqkd.mission.recording.write_pass_report", broken_off)
    out = tmp_path_factory.mktemp("out")
    (out / "mine.txt").write_text("stays")
    with pytest.raises(KeyboardInterrupt):
        if make == "record":
            recorded(out)
        else:
            with open_recording(copy) as recording:
                distill_recording(recording, out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
