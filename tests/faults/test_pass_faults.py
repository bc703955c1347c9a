"""Noise, darkness, a spoilt or broken link, a node that dies: outcomes with counts, never half a key."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wiretap
from satqkd.distill.authenticate import pass_key_bits
from satqkd.errors import KeyExhausted, RemoteProtocolError
from satqkd.keys import KeyStore, provision
from satqkd.mission import contact_of, open_store
from satqkd.mission.contact import Window
from satqkd.mission.emulator import LinkEmulator
from satqkd.mission.run_pass import station_terminal, step_through
from satqkd.mission.satellite_end import satellite_terminal
from satqkd.mission.satellite_terminal import SatelliteTerminal
from satqkd.mission.station_terminal import StationTerminal
from satqkd.randomness import stream_bytes
from session_pair import kind_of
from toy_pass import AT_UTC, PROTOCOL, fly_toy, repeatable, replaced, toy_satellite, toy_station


def confirmed(states: tuple[dict[str, str], ...]) -> list[str]:
    return [block for end in states for block, state in end.items() if state == "confirmed"]


def test_fifteen_percent_of_errors_abort_with_counts(tmp_path: Path) -> None:
    flight = fly_toy(tmp_path, station=toy_station(receiver__optical_error=0.15))
    report = flight.report
    assert (report.outcome, report.secret_bits, report.keys_match) == ("aborted", 0, False)
    assert "QBER" in report.reason
    assert report.qber == pytest.approx(0.15, abs=0.01)
    assert report.detections > 200_000
    assert sum(row.detections for row in report.counts) > 100_000
    assert flight.keys == ({}, {})
    assert flight.satellite.reports == flight.station.reports


def test_nothing_but_background_gives_no_key(tmp_path: Path) -> None:
    station = toy_station(calibration_loss_db=200.0, receiver__detector__dark_rate_hz=2000.0)
    flight = fly_toy(tmp_path, station=station)
    report = flight.report
    assert report.outcome in ("aborted", "no_key")
    assert report.reason
    assert (report.secret_bits, report.keys_match) == (0, False)
    assert report.detections > 100
    assert report.qber == pytest.approx(0.5, abs=0.1)
    assert flight.keys == ({}, {})


def test_utter_darkness_gives_no_key(tmp_path: Path) -> None:
    station = toy_station(
        calibration_loss_db=200.0, receiver__detector__dark_rate_hz=0.0, field_of_view_rad=1e-15
    )
    report = fly_toy(tmp_path, station=station).report
    assert (report.outcome, report.detections, report.qber) == ("no_key", 0, None)
    assert report.leaked_bits == 0


def without_done(satellite: SatelliteTerminal, station: StationTerminal) -> None:
    """The station's last word never leaves."""
    true = station.session.data_to_send

    def data_to_send() -> list[bytes]:
        return [data for data in true() if kind_of(data) != "Done"]

    station.session.data_to_send = data_to_send  # type: ignore[method-assign]


def test_a_block_confirmed_at_one_end_only_is_unconfirmed(tmp_path: Path) -> None:
    flight = fly_toy(tmp_path, before=without_done)
    report = flight.report
    assert (report.outcome, report.secret_bits) == ("unconfirmed", 0)
    assert "satellite" in report.reason
    assert report.blocks[0]["outcome"] == "unconfirmed"
    assert report.blocks[0]["secret_bits"] == 0
    assert set(flight.states[0].values()) == {"unconfirmed"}
    assert report.detections > 0
    assert report.timings_s["last_photon_to_key"] is None


def test_a_link_that_breaks_before_the_close_ends_as_an_outcome(tmp_path: Path) -> None:
    """Up to 5 s all arrives, then nothing."""
    flight = fly_toy(tmp_path, on_the_way=lambda _, now_s, data: data if now_s < 5 else None)
    report = flight.report
    assert (report.outcome, report.secret_bits, report.keys_match) == ("no_key", 0, False)
    assert "laser link ended" in report.reason
    assert flight.keys == ({}, {})
    assert report.authentication_bits_spent == pass_key_bits(1)


def test_a_pass_that_breaks_off_still_tells_its_detections(tmp_path: Path) -> None:
    flight = fly_toy(tmp_path, on_the_way=lambda _, now_s, data: data if now_s < 5 else None)
    assert flight.report.detections > 100_000


def test_a_link_that_breaks_while_two_of_three_blocks_are_closed_keeps_those(tmp_path: Path) -> None:
    protocol = replaced(PROTOCOL, blocks=3, epsilon_secrecy=1e-4)
    satellite = toy_satellite(source__pulse_rate_hz=2.5e7)
    contact = contact_of(satellite, toy_station(), AT_UTC)
    last_s = contact.parameters(protocol, seed=1).end_s(2)
    flight = fly_toy(
        tmp_path,
        satellite=satellite,
        protocol=protocol,
        on_the_way=lambda _, now_s, data: data if now_s < last_s else None,
    )
    report = flight.report
    assert [row["outcome"] for row in report.blocks] == ["key", "key", "no_key"]
    assert report.blocks[2]["detections"] > 100_000
    assert report.outcome == "key"
    assert "laser link ended" in report.reason
    assert flight.keys[0] == flight.keys[1]
    assert len(confirmed(flight.states)) == 4
    assert report.epsilon_secrecy == pytest.approx(2e-4), "the epsilons of the key's blocks add up"
    assert report.epsilon_correctness == pytest.approx(2 * protocol.epsilon_correctness)


def test_a_link_that_never_comes_up_takes_no_key(tmp_path: Path) -> None:
    flight = fly_toy(tmp_path, on_the_way=lambda *_: None)
    assert (flight.report.outcome, flight.report.secret_bits) == ("no_key", 0)
    assert flight.report.authentication_bits_spent == 0
    with KeyStore.open(tmp_path / "toy-satellite.sqlite") as store:
        assert store.auth_position("toy-station") == 0


def test_noise_on_datagrams_costs_repetitions_only(tmp_path: Path) -> None:
    """One datagram in ten arrives with a flipped bit: the checksum drops it, the link sends it again."""
    rng = np.random.default_rng(1)

    def noisy(_: str, __: float, data: bytes) -> bytes:
        if rng.random() > 0.1:
            return data
        place = int(rng.integers(8 * len(data)))
        spoilt = bytearray(data)
        spoilt[place // 8] ^= 1 << place % 8
        return bytes(spoilt)

    flight = fly_toy(tmp_path, on_the_way=noisy)
    assert flight.report.outcome == "key"
    assert flight.keys[0] == flight.keys[1]
    assert flight.report.classical["up"]["resent"] > 10


def forging(direction: str, until_s: float) -> Callable[[str, float, bytes], bytes]:
    """An adversary who changes messages and mends the checksum, and so meets the code on line."""

    def forged(way: str, now_s: float, data: bytes) -> bytes:
        _, _, flags, *_, sequence = wiretap.HEAD.unpack_from(data)
        if way != direction or not 0 <= now_s < until_s or flags & 3 != 0 or sequence < 2:
            return data
        body = data[:-5] + bytes([data[-5] ^ 1])
        return body + zlib.crc32(body).to_bytes(4, "little")

    return forged


@pytest.mark.parametrize("direction", ["up", "down"])
def test_messages_changed_on_purpose_cost_time_and_nothing_else(tmp_path: Path, direction: str) -> None:
    lines: list[dict[str, Any]] = []
    clean = tmp_path / "clean"
    clean.mkdir()
    flight = fly_toy(tmp_path, on_the_way=forging(direction, 6.0), lines=lines)
    assert flight.report.outcome == "key"
    assert flight.keys[0] == flight.keys[1] != {}
    assert any(line["event"] == "forged" for line in lines) or direction == "down"
    assert repeatable(flight.report) == repeatable(fly_toy(clean).report)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_an_adversary_who_never_stops_leaves_no_key(tmp_path: Path, direction: str) -> None:
    window = Window(from_s=-10.0, to_s=25.0)
    flight = fly_toy(tmp_path, window=window, on_the_way=forging(direction, np.inf))
    assert (flight.report.outcome, flight.report.keys_match) == ("no_key", False)
    assert flight.keys == ({}, {})
    for node in ("toy-satellite", "toy-station"):
        with KeyStore.open(tmp_path / f"{node}.sqlite") as store:
            assert store.check().balanced


def test_a_station_with_other_settings_is_refused_in_words(tmp_path: Path) -> None:
    def another(satellite: SatelliteTerminal, station: StationTerminal) -> None:
        with open_store(tmp_path, "spare") as store:
            other = station_terminal(
                satellite.contact, replaced(PROTOCOL, epsilon_secrecy=1e-8), store, seed=1
            )
        station.session.__dict__.update(other.session.__dict__ | {"_store": station.session._store})

    with pytest.raises(RemoteProtocolError, match="other parameters") as caught:
        fly_toy(tmp_path, before=another)
    assert caught.value.exit_code == 4


def test_too_little_authentication_key_is_refused(tmp_path: Path) -> None:
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    with open_store(tmp_path, "toy-satellite") as above, open_store(tmp_path, "toy-station") as below:
        provision(above, below, bits=pass_key_bits(1) - 8, randbytes=stream_bytes(1, "few"), now_utc=AT_UTC)
        satellite = satellite_terminal(contact, PROTOCOL, above, seed=1)
        station = station_terminal(contact, PROTOCOL, below, seed=1)
        with pytest.raises(KeyExhausted, match="provision") as caught:
            step_through(LinkEmulator(contact, seed=1), satellite, station)
        assert caught.value.exit_code == 3
        assert above.auth_position("toy-station") == 0


def test_a_killed_node_never_uses_its_authentication_key_again(tmp_path: Path) -> None:
    """Both processes die right after the hellos; another pass begins past what they drew."""
    child = os.fork()
    if child == 0:
        try:
            fly_toy(tmp_path, on_the_way=lambda _, now_s, data: data if now_s < -9 else os._exit(9))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    for node, peer in (("toy-satellite", "toy-station"), ("toy-station", "toy-satellite")):
        with KeyStore.open(tmp_path / f"{node}.sqlite") as store:
            assert store.auth_position(peer) == pass_key_bits(1)
            assert store.check().balanced
    assert fly_toy(tmp_path, seed=2).report.outcome == "key"
    for node, peer in (("toy-satellite", "toy-station"), ("toy-station", "toy-satellite")):
        with KeyStore.open(tmp_path / f"{node}.sqlite") as store:
            assert store.auth_position(peer) == 2 * pass_key_bits(1)


def test_key_of_a_pass_that_broke_after_it_was_made_stays_unconfirmed(tmp_path: Path) -> None:
    """Both ends hold the key, the link breaks before the station's tag of it arrives."""

    def until_amplified(satellite: SatelliteTerminal, station: StationTerminal) -> None:
        true = station.session.data_to_send

        def data_to_send() -> list[bytes]:
            return [data for data in true() if kind_of(data) not in ("Confirm", "Done")]

        station.session.data_to_send = data_to_send  # type: ignore[method-assign]

    flight = fly_toy(tmp_path, before=until_amplified)
    assert [set(states.values()) for states in flight.states] == [{"unconfirmed"}] * 2
    assert flight.report.secret_bits == 0
    assert flight.report.outcome != "key"
    assert not flight.report.keys_match
    for node, peer in (("toy-satellite", "toy-station"), ("toy-station", "toy-satellite")):
        with KeyStore.open(tmp_path / f"{node}.sqlite") as store:
            assert store.available_bits(peer, "link", demo=True) == 0
