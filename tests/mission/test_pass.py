"""A whole pass in memory: equal keys in both stores, again from one seed, again from tags alone."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from satqkd.config import Protocol
from satqkd.devices import RecordedReceiver, RecordingReceiver, Stretch, tag_record
from satqkd.distill.authenticate import pass_key_bits
from satqkd.errors import DataFormatError, KeyAlreadyUsed
from satqkd.keys import KeyStore
from satqkd.mission import (
    Contact,
    NodeReport,
    contact_of,
    ensure_authentication,
    fly,
    open_store,
)
from satqkd.mission.run_pass import run_pass, station_terminal, twin_receiver
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.randomness import stream_bytes
from satqkd.records import BEACON_CHANNEL, Tags
from satqkd.security.tails import binary_entropy
from store_copies import copy_store
from toy_pass import (
    AT_UTC,
    PROTOCOL,
    Flight,
    fly_toy,
    link_key,
    repeatable,
    replaced,
    toy_satellite,
    toy_station,
    without_dice,
)

CONTRACT = [
    "pass_id",
    "satellite",
    "station",
    "start_utc",
    "duration_s",
    "max_elevation_deg",
    "min_range_km",
    "pulses",
    "detections",
    "sifted_bits",
    "qber",
    "counts",
    "blocks",
    "frames",
    "frames_failed",
    "reconciliation_efficiency",
    "leaked_bits",
    "authentication_bits_spent",
    "secret_bits",
    "kept_bits",
    "pooled_bits",
    "raw_left_out",
    "epsilon_secrecy",
    "epsilon_correctness",
    "epsilon_authentication",
    "bound",
    "announcement",
    "keys_match",
    "outcome",
    "reason",
    "timings_s",
    "classical",
    "traffic",
    "processes",
    "monitors",
    "eve",
    "verdict",
    "seed",
    "origin",
]
"""Fields of `pass --json`, DESIGN 6."""


def test_both_stores_hold_the_same_key(flight: Flight) -> None:
    above, below = flight.keys
    assert above == below
    (key,) = above.values()
    assert 8 * len(key) == flight.report.secret_bits > 10_000
    ones = int(np.unpackbits(np.frombuffer(key, np.uint8)).sum())
    assert abs(ones - 4 * len(key)) < 6 * (2 * len(key)) ** 0.5
    assert [set(states.values()) for states in flight.states] == [{"confirmed"}] * 2
    assert (flight.report.keys_match, flight.report.outcome, flight.report.reason) == (True, "key", "")


def test_both_ends_report_the_same_block(flight: Flight) -> None:
    assert flight.satellite.reports == flight.station.reports


def test_the_pass_is_what_the_budget_foretold(flight: Flight) -> None:
    contact, report = flight.contact, flight.report
    rows = contact.quantum_rows
    expected = np.trapezoid(contact.rates.detection_hz[rows], contact.look.t_s[rows])
    sifted = np.trapezoid(contact.rates.sifted_hz[rows], contact.look.t_s[rows])
    assert report.detections == pytest.approx(expected, rel=0.02)
    assert report.sifted_bits == pytest.approx(sifted, rel=0.03)
    assert report.qber == pytest.approx(contact.expected_qber, abs=0.001)


def test_one_bit_flipped_at_one_end_makes_both_say_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from satqkd.distill.station_block import StationBlock

    true = StationBlock._distilled

    def flipped(block: StationBlock, *args: Any) -> bytes:
        secret = bytearray(true(block, *args))
        secret[-1] ^= 0x80
        return bytes(secret)

    monkeypatch.setattr(StationBlock, "_distilled", flipped)
    flight = fly_toy(tmp_path)
    assert (flight.report.outcome, flight.report.keys_match) == ("unconfirmed", False)
    assert flight.report.secret_bits == 0
    assert [report.keys_match for end in (flight.satellite, flight.station) for report in end.reports] == [
        False,
        False,
    ]
    assert [set(states.values()) for states in flight.states] == [{"discarded"}] * 2
    assert not any(key.strip(bytes(1)) for keys in flight.keys for key in keys.values())


def same_bytes() -> Any:
    return stream_bytes(5, "tests", "satellite")


class Recording:
    """A live pass on record: the station's tags, and what reached it over the laser link."""

    def __init__(self, folder: Path, label_swap: str = "none") -> None:
        self.folder = folder
        self.arrived: dict[int, list[bytes]] = {}
        self.flight = fly_toy(
            folder,
            station=toy_station(receiver__label_swap=label_swap),
            receiver=self._receiver,
            randbytes=same_bytes(),
            on_the_way=self._on_the_way,
        )

    @property
    def stretches(self) -> list[Stretch]:
        return self._recorder.stretches

    def _receiver(self, contact: Contact) -> RecordingReceiver:
        self._recorder = RecordingReceiver(twin_receiver(contact, 1))
        return self._recorder

    def _on_the_way(self, direction: str, now_s: float, data: bytes) -> bytes:
        if direction == "down":
            self.arrived.setdefault(round(now_s * TICKS_PER_S), []).append(data)
        return data


RECEIVER = ("satqkd.mission.run_pass", "satqkd.devices", "satqkd.devices.twin"), "TwinReceiver"
TRANSMITTER = ("satqkd.mission.satellite_end", "satqkd.devices", "satqkd.devices.twin"), "TwinTransmitter"
SETTINGS = ("satqkd.devices", "satqkd.devices.twin", "satqkd.devices.dice"), "settings_of"


def remove(monkeypatch: pytest.MonkeyPatch, *parts: tuple[tuple[str, ...], str]) -> None:
    """Whoever asks these parts of the twin fails."""
    for modules, name in parts:
        for module in modules:
            monkeypatch.setattr(sys.modules[module], name, without_dice)


@pytest.mark.parametrize("label_swap", ["none", "random"])
def test_recorded_tags_alone_give_the_identical_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label_swap: str
) -> None:
    """The dice are gone from the station in the second run: it saw time tags and no settings.

    Swapped labels are in the tags: the second run asks no modulator.
    """
    live = Recording(_folder(tmp_path, "live"), label_swap)
    remove(monkeypatch, RECEIVER)
    with pytest.raises(AssertionError, match="dice"):
        twin_receiver(live.flight.contact, 1)
    replay = fly_toy(
        _folder(tmp_path, "replay"),
        station=toy_station(receiver__label_swap=label_swap),
        receiver=lambda _: RecordedReceiver(tag_record(live.stretches)),
        randbytes=same_bytes(),
    )
    assert live.flight.report.outcome == "key"
    assert replay.keys == live.flight.keys
    assert repeatable(replay.report) == repeatable(live.flight.report)
    channels = np.unique(np.concatenate([stretch.tags.channel for stretch in live.stretches]))
    assert channels.size == {"none": 5, "random": 9}[label_swap]


def test_swapped_labels_change_no_rate_but_the_bits(flight: Flight, tmp_path: Path) -> None:
    """Numbers of two passes that share dice and most clicks: within 1 %, the errors within 6 sigma."""
    other = fly_toy(tmp_path, station=toy_station(receiver__label_swap="random"))
    report, plain = other.report, flight.report
    assert (report.outcome, report.keys_match) == ("key", True)
    assert report.detections == pytest.approx(plain.detections, rel=0.01)
    assert report.sifted_bits == pytest.approx(plain.sifted_bits, rel=0.01)
    assert report.qber == pytest.approx(plain.qber, abs=6 * (2 * plain.qber / plain.sifted_bits) ** 0.5)
    assert report.secret_bits == pytest.approx(plain.secret_bits, rel=0.1)
    assert other.keys[0] == other.keys[1]


def test_labels_that_nobody_swaps_end_the_pass(tmp_path: Path) -> None:
    """Settings that say random before a receiver that turns nothing: no key under that name."""
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    with pytest.raises(DataFormatError, match="128 slots in a row alike; mend the modulator"):
        fly_toy(
            tmp_path,
            station=toy_station(receiver__label_swap="random"),
            receiver=lambda _: twin_receiver(contact, 1),
        )


@pytest.mark.parametrize("label_swap", ["none", "random"])
def test_a_station_alone_with_tags_and_datagrams_finds_the_identical_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label_swap: str
) -> None:
    """No satellite and no settings anywhere: a copy of its store, the tags, the datagrams it was sent."""
    folder, copy = _folder(tmp_path, "live"), tmp_path / "copy.sqlite"
    contact = contact_of(toy_satellite(), toy_station(receiver__label_swap=label_swap), AT_UTC)
    with open_store(folder, "toy-satellite") as above, open_store(folder, "toy-station") as below:
        ensure_authentication(above, below, contact, PROTOCOL)
    copy_store(folder / "toy-station.sqlite", copy)
    live = Recording(folder, label_swap)
    remove(monkeypatch, RECEIVER, TRANSMITTER, SETTINGS)
    with KeyStore.open(copy, node_id="toy-station") as store:
        receiver = RecordedReceiver(tag_record(live.stretches))
        station = station_terminal(
            contact, PROTOCOL, store, seed=1, receiver=receiver, tie_bits=stream_bytes(1, "station", "ties")
        )
        for tick in range(int(contact.link_start_s * TICKS_PER_S), max(live.arrived) + 1):
            station.step(tick / TICKS_PER_S, live.arrived.get(tick, []))
        keys, states = link_key(store)
    assert keys == live.flight.keys[1]
    assert set(states.values()) == {"confirmed"}
    assert station.reports == live.flight.station.reports


def test_other_tags_give_another_key(tmp_path: Path) -> None:
    """The recorded tags decide: with one stretch emptied, the key is another (the tests above have power)."""
    live = Recording(_folder(tmp_path, "live"))
    stretches = [_dimmed(each) if i == 250 else each for i, each in enumerate(live.stretches)]
    other = fly_toy(
        _folder(tmp_path, "other"),
        receiver=lambda _: RecordedReceiver(tag_record(stretches)),
        randbytes=same_bytes(),
    )
    assert other.report.detections < live.flight.report.detections
    assert other.keys[0] == other.keys[1] != live.flight.keys[0]


def _dimmed(stretch: Stretch) -> Stretch:
    rows = stretch.tags.channel == BEACON_CHANNEL
    assert not rows.all()
    return stretch._replace(tags=Tags(stretch.tags.time_ps[rows], stretch.tags.channel[rows]))


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def test_one_seed_gives_the_same_pass_and_another_key(flight: Flight, tmp_path: Path) -> None:
    again = fly_toy(tmp_path, seed=1)
    assert repeatable(again.report) == repeatable(flight.report)
    assert again.keys[0] == again.keys[1]
    assert again.keys[0] != flight.keys[0]


def test_another_seed_is_another_pass(flight: Flight, tmp_path: Path) -> None:
    other = fly_toy(tmp_path, seed=2)
    assert other.report.outcome == "key"
    assert other.report.detections != flight.report.detections


def test_a_lossy_laser_link_changes_no_number(flight: Flight, tmp_path: Path) -> None:
    """What decides about key is slots, frames and counts, never when a message came."""
    lossy = fly_toy(
        tmp_path,
        satellite=toy_satellite(lasercom__frame_loss=0.2),
        station=toy_station(lasercom__frame_loss=0.2),
        randbytes=stream_bytes(1, "tests", "satellite"),
    )
    assert lossy.report.classical["up"]["lost"] > flight.report.classical["up"]["lost"]
    assert repeatable(lossy.report) == repeatable(flight.report)
    assert lossy.keys == flight.keys


def test_run_pass_is_that_pass(flight: Flight, tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    report = run_pass(
        toy_satellite(),
        toy_station(),
        at_utc=AT_UTC,
        protocol=PROTOCOL,
        folder=tmp_path,
        progress=lambda now_s, end_s: seen.append((now_s, end_s)),
    )
    assert repeatable(report) == repeatable(flight.report)
    assert [now_s for now_s, _ in seen] == sorted(now_s for now_s, _ in seen)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "satellite.json",
        "station.json",
        "toy-satellite.sqlite",
        "toy-station.sqlite",
    }
    told = msgspec.json.decode((tmp_path / "station.json").read_bytes(), type=NodeReport)
    assert told.blocks[0].secret_bits == report.secret_bits
    with KeyStore.open(tmp_path / "toy-satellite.sqlite") as store:
        assert store.available_bits("toy-station", "link", demo=True) == report.secret_bits
    with KeyStore.open(tmp_path / "toy-station.sqlite") as store:
        assert store.available_bits("toy-satellite", "link") == 0
        assert {row.origin for row in store.list_blocks() if row.kind == "link"} == {"twin"}
    with pytest.raises(KeyAlreadyUsed, match="in the store"):
        fly(flight.contact, PROTOCOL, tmp_path, seed=1)


def test_the_report_has_the_fields_of_the_contract(flight: Flight) -> None:
    assert list(msgspec.to_builtins(flight.report)) == CONTRACT
    for row in msgspec.to_builtins(flight.report)["counts"]:
        assert set(row) == {"basis", "class", "intensity", "probability", "detections", "errors"}


def test_the_report_adds_up(flight: Flight) -> None:
    report = flight.report
    keyed = [row for row in report.counts if row.class_name == "signal"]
    assert [(row.basis, row.class_name) for row in report.counts] == [
        (basis, name) for basis in "ZX" for name in ("signal", "decoy", "vacuum")
    ]
    assert report.sifted_bits == sum(row.detections for row in keyed)
    assert report.qber == sum(row.errors for row in keyed) / report.sifted_bits
    assert report.pulses == flight.contact.slots
    assert report.authentication_bits_spent == pass_key_bits(1)
    assert report.frames == 4
    assert report.frames_failed == 0
    assert report.reconciliation_efficiency is not None
    limit = sum(row.detections * binary_entropy(row.errors / row.detections) for row in keyed)
    counts_bits = report.leaked_bits - report.reconciliation_efficiency * limit
    assert 0 < counts_bits < 64  # the error counts of both bases, which are leaked besides
    # Four small frames and a class chosen from a hundred errors among decoys.
    assert 1.05 < report.reconciliation_efficiency < 1.6
    assert (report.bound, report.announcement, report.seed, report.origin) == (
        "variable-sharp",
        "deferred",
        1,
        "twin",
    )
    assert report.start_utc.endswith("Z")
    assert 0 < report.timings_s["last_photon_to_key"] < 5
    assert set(report.classical) == {"down", "up", "outages", "wall_s"}
    assert set(report.classical["up"]) == {"bytes", "frames", "lost", "resent"}


def test_the_links_bytes_are_those_of_the_tap(flight: Flight) -> None:
    for way in ("down", "up"):
        mine = [data for direction, _, data in flight.datagrams if direction == way]
        assert flight.report.classical[way]["bytes"] == sum(map(len, mine))
        assert flight.report.classical[way]["frames"] == len(mine)


def test_both_ends_agree_on_parameters_before_they_speak(flight: Flight) -> None:
    ours, theirs = flight.satellite.parameters, flight.station.parameters
    assert (ours, ours.digest) == (theirs, theirs.digest)
    other = flight.contact.parameters(replaced(PROTOCOL, epsilon_secrecy=2e-9), seed=1)
    assert other.digest != ours.digest


def test_one_keyed_basis_and_keyed_decoys(tmp_path: Path) -> None:
    protocol = replaced(PROTOCOL, keyed_bases=("Z",), keyed_classes=("signal", "decoy"))
    report = fly_toy(tmp_path, protocol=protocol).report
    assert report.outcome == "key"
    assert report.sifted_bits == sum(row.detections for row in report.counts[:2])


def test_events_are_told_in_order_of_time(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    fly_toy(tmp_path, lines=lines)
    for node in ("satellite", "station"):
        times = [line["t_s"] for line in lines if line["node"] == node]
        assert times == sorted(times)
    assert all({"t_s", "node", "stage", "event"} <= set(line) for line in lines)
    assert [line["event"] for line in lines].count("confirmed") == 2


def test_authentication_key_moves_on_from_pass_to_pass(tmp_path: Path) -> None:
    fly_toy(tmp_path, seed=1)
    fly_toy(tmp_path, seed=2)
    for node, peer in (("toy-satellite", "toy-station"), ("toy-station", "toy-satellite")):
        with KeyStore.open(tmp_path / f"{node}.sqlite") as store:
            assert store.auth_position(peer) == 2 * pass_key_bits(1)
            assert store.check().faults == ()
            assert store.check().balanced


def test_the_station_makes_its_kernels_ready_before_the_first_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the satellite does not: it never loads them."""
    asked: list[Protocol] = []
    for module in ("terminal", "satellite_terminal", "station_terminal"):
        monkeypatch.setattr(f"satqkd.mission.{module}.warm_up", asked.append, raising=False)

    def before(one: object, other: object) -> None:
        assert asked == [PROTOCOL]
        raise InterruptedError("seen enough")

    with pytest.raises(InterruptedError):
        fly_toy(tmp_path, before=before)
