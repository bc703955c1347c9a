"""The plate follows what blocks that are over taught, by counts and slot numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from satqkd.config import Polarisation, Station
from satqkd.devices import RecordedReceiver, RecordingReceiver, TwinReceiver, tag_record
from satqkd.errors import LocalProtocolError
from satqkd.mission import Contact
from satqkd.mission.run_pass import twin_receiver
from satqkd.randomness import stream_bytes
from satqkd.records import BEACON_CHANNEL, Tags
from toy_pass import PROTOCOL, Flight, fly_toy, repeatable, replaced, toy_satellite, toy_station

TURN_RAD = np.radians(6.0)
BLOCKS = replaced(PROTOCOL, blocks=3)
RATE_HZ = 3e6
"""A third of the toy's pulses: 14 000 sifted bits a block."""
Setting = tuple[float, int]


def ground(**polarisation: Any) -> Station:
    axes = {"static_angle_rad": TURN_RAD} | polarisation
    return toy_station(receiver__polarisation=Polarisation(**axes))


class Turned:
    """The twin, with what its plate was asked; photons of some slots may be taken out of its tags."""

    def __init__(self, contact: Contact, *, dark_s: tuple[float, float] = (0.0, 0.0)) -> None:
        self._twin = twin_receiver(contact, 1)
        self._dark_ps = tuple(1e12 * each for each in dark_s)
        self.settings: list[Setting] = []

    def read(self, until_s: float) -> Tags:
        tags = self._twin.read(until_s)
        early, late = self._dark_ps
        lit = (tags.channel == BEACON_CHANNEL) | (tags.time_ps < early) | (tags.time_ps >= late)
        return Tags(tags.time_ps[lit], tags.channel[lit])

    def turn_plate(self, angle_rad: float, from_slot: int) -> None:
        self.settings.append((angle_rad, from_slot))
        self._twin.turn_plate(angle_rad, from_slot)


class Flown:
    """A pass of three blocks, and what the plate was asked."""

    def __init__(
        self, folder: Path, station: Station, *, dark_s: tuple[float, float] = (0.0, 0.0), **how: Any
    ) -> None:
        self.lines: list[dict[str, Any]] = []
        craft = toy_satellite(source__pulse_rate_hz=RATE_HZ, lasercom__frame_loss=how.pop("loss", 0.0))
        how = {"protocol": BLOCKS, "randbytes": stream_bytes(5, "tests", "satellite")} | how
        self.flight: Flight = fly_toy(
            folder,
            satellite=craft,
            station=station,
            receiver=lambda contact: self._receiver(contact, dark_s),
            lines=self.lines,
            **how,
        )

    def _receiver(self, contact: Contact, dark_s: tuple[float, float]) -> RecordingReceiver:
        self.turned = Turned(contact, dark_s=dark_s)
        self.recorder = RecordingReceiver(self.turned)
        return self.recorder

    @property
    def settings(self) -> list[Setting]:
        return self.turned.settings

    @property
    def qber(self) -> list[float]:
        return [row["errors"] / row["sifted_bits"] for row in self.flight.report.blocks]

    def told(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if (line["stage"], line["event"]) == ("polarisation", event)]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Flown:
    return Flown(tmp_path_factory.mktemp("followed"), ground())


def test_errors_fall_from_the_third_block_on(followed: Flown, tmp_path: Path) -> None:
    """sin^2 6 degrees is 1.09 %, of a contrast of 97.9 %; without the loop it stays."""
    base = 0.0115
    assert followed.qber[:2] == pytest.approx([base + 0.0107] * 2, abs=0.004)
    assert followed.qber[2] == pytest.approx(base, abs=0.003)
    assert (followed.flight.report.blocks[0]["polarisation"].plate_deg) == 0.0
    still = Flown(tmp_path, ground(), protocol=replaced(BLOCKS, polarisation_sample=0))
    assert still.qber[2] == pytest.approx(base + 0.0107, abs=0.004)
    assert still.settings == []
    assert still.qber[:2] == followed.qber[:2]
    assert [row["polarisation"] for row in still.flight.report.blocks] == [None] * 3


def test_the_angle_is_told_and_the_plate_undoes_it_from_its_blocks_first_slot(followed: Flown) -> None:
    angles = [row["polarisation"] for row in followed.flight.report.blocks]
    assert tuple(angles) == followed.flight.station.report().polarisation
    assert followed.flight.satellite.report().polarisation == ()
    for angle, expected_deg in zip(angles, (6.0, 6.0, 0.0), strict=True):
        assert abs(0.979 * expected_deg - angle.angle_deg) < 4 * angle.standard_error_deg < 2.0
        assert 10_000 < angle.rounds < 20_000
    slot = followed.flight.station.parameters.first_slot(2)
    assert followed.settings == [(pytest.approx(np.radians(angles[0].angle_deg)), slot)]
    assert angles[2].plate_deg == angles[0].angle_deg
    assert [line["block"] for line in followed.told("estimated")] == [0, 1, 2]
    (turned,) = followed.told("turned")
    assert (turned["block"], turned["plate_deg"]) == (2, pytest.approx(angles[0].angle_deg, abs=1e-4))


def test_the_other_sign_is_followed_the_other_way(tmp_path: Path) -> None:
    other = Flown(tmp_path, ground(static_angle_rad=-TURN_RAD))
    assert other.settings[0][0] == pytest.approx(-TURN_RAD, abs=0.02)
    assert other.qber[2] == pytest.approx(0.0115, abs=0.003)


def test_a_plate_turned_the_wrong_way_doubles_the_angle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above have power."""
    true = TwinReceiver.turn_plate
    monkeypatch.setattr(TwinReceiver, "turn_plate", lambda twin, angle, slot: true(twin, -angle, slot))
    wrong = Flown(tmp_path, ground())
    assert wrong.qber[2] == pytest.approx(0.0115 + np.sin(2 * TURN_RAD) ** 2, abs=0.008)


def test_blocks_in_flight_have_no_say_and_the_finished_one_has(followed: Flown, tmp_path: Path) -> None:
    """Half of the photons of blocks 1 and 2 taken away: the same setting; of block 0: another."""
    edge_s = followed.flight.station.parameters.end_s(0)
    later = Flown(_folder(tmp_path, "later"), ground(), dark_s=(edge_s + 0.3, edge_s + 2.0))
    assert later.flight.report.detections < followed.flight.report.detections
    assert later.settings == followed.settings
    early = Flown(_folder(tmp_path, "early"), ground(), dark_s=(edge_s - 2.0, edge_s - 0.3))
    assert [slot for _, slot in early.settings] == [slot for _, slot in followed.settings]
    assert early.settings != followed.settings


def test_a_lossy_link_changes_no_setting_and_no_number(followed: Flown, tmp_path: Path) -> None:
    lossy = Flown(tmp_path, replaced(ground(), lasercom__frame_loss=0.2), loss=0.2)
    assert lossy.told("turned")[0]["t_s"] > followed.told("turned")[0]["t_s"]
    assert lossy.settings == followed.settings
    assert repeatable(lossy.flight.report) == repeatable(followed.flight.report)


def test_an_answer_that_comes_too_late_leaves_the_plate(tmp_path: Path) -> None:
    silent = Flown(
        tmp_path, ground(), on_the_way=lambda way, now_s, data: None if 2.5 < now_s < 5.5 else data
    )
    assert silent.settings == []
    assert [line["block"] for line in silent.told("late")] == [2]
    assert silent.qber[2] == pytest.approx(0.022, abs=0.004)


def test_recorded_tags_give_the_same_pass_and_have_no_plate(followed: Flown, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    replay = fly_toy(
        tmp_path,
        satellite=toy_satellite(source__pulse_rate_hz=RATE_HZ),
        station=ground(),
        protocol=BLOCKS,
        receiver=lambda _: RecordedReceiver(tag_record(followed.recorder.stretches)),
        randbytes=stream_bytes(5, "tests", "satellite"),
        lines=lines,
    )
    assert repeatable(replay.report) == repeatable(followed.flight.report)
    assert replay.keys == followed.flight.keys
    assert {line["event"] for line in lines if line["stage"] == "polarisation"} == {"estimated"}


def test_an_angle_that_drifts_is_followed_two_blocks_late(tmp_path: Path) -> None:
    """Each setting is the whole angle of the block it was learned from, that block's own setting included."""
    drift_rad_s = np.radians(0.3)
    drifting = Flown(
        tmp_path,
        replaced(ground(drift_rad_s=drift_rad_s), maximum_range_m=647.3e3),
        protocol=replaced(BLOCKS, blocks=5),
    )
    station = drifting.flight.station
    middle_s = [station.parameters.end_s(block) - station.parameters.end_s(0) / 2 for block in range(5)]
    true_rad = TURN_RAD + drift_rad_s * np.array(middle_s)
    slots = [station.parameters.first_slot(block) for block in (2, 3, 4)]
    assert [slot for _, slot in drifting.settings] == slots
    error_rad = np.radians(station.conversation.account.angles[0].standard_error_deg)
    found_rad = np.array([angle_rad for angle_rad, _ in drifting.settings])
    assert (np.abs(found_rad - np.array([0.979, 0.979, 1.0]) * true_rad[:3]) < 4 * error_rad).all()
    assert np.diff(true_rad[:3]).min() > 2 * error_rad


def test_without_compensation_there_is_no_plate(tmp_path: Path) -> None:
    """The frame turns by itself then; the angle is told all the same."""
    bare = Flown(tmp_path, ground(compensation="none", static_angle_rad=0.0))
    assert bare.settings == []
    assert len(bare.told("estimated")) == 3


def test_short_blocks_are_served_later(followed: Flown) -> None:
    station = followed.flight.station
    assert [station._block_served_by(block) for block in range(3)] == [2, None, None]
    shorter = replaced(station.parameters, protocol__blocks=7)
    station.parameters, true = shorter, station.parameters
    try:
        assert [station._block_served_by(block) for block in range(7)] == [4, 5, 6, None, None, None, None]
    finally:
        station.parameters = true


def test_a_plate_is_not_turned_for_light_that_is_made(followed: Flown) -> None:
    twin = twin_receiver(followed.flight.contact, 1)
    twin.read(1.0)
    with pytest.raises(LocalProtocolError, match="not made yet"):
        twin.turn_plate(0.1, int(RATE_HZ))
    twin.turn_plate(0.1, int(1.5 * RATE_HZ))
    with pytest.raises(LocalProtocolError, match="after 4500000"):
        twin.turn_plate(0.2, int(1.5 * RATE_HZ))


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name
