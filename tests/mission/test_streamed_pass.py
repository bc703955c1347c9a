"""A whole pass with streamed announcement, and blocks that overlap: what an eavesdropper records, when."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wiretap
from satqkd.distill import gaps
from satqkd.errors import ConfigError
from satqkd.mission import contact_of, presets
from satqkd.mission.emulator import LinkEmulator
from satqkd.mission.run_pass import open_stores, station_terminal, step_through
from satqkd.mission.satellite_end import satellite_terminal
from toy_pass import PROTOCOL, Flight, fly_toy, replaced, toy_satellite, toy_station

STATION = toy_station(receiver__limits__basis_spread=1e-3)
"""What the martingale bound asks of a passive receiver."""
CALM = {
    "satellite": toy_satellite(lasercom__frame_loss=0.0),
    "station": toy_station(receiver__limits__basis_spread=1e-3, lasercom__frame_loss=0.0),
}
"""Ends whose frames are lost by fading alone."""
BOUND = replaced(PROTOCOL, bound="variable-martingale")
STREAMED = replaced(BOUND, announcement="streamed", announce_interval_s=0.05)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    return fly_toy(tmp_path_factory.mktemp("streamed"), **CALM, protocol=STREAMED)


@pytest.fixture(scope="module")
def deferred(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    return fly_toy(tmp_path_factory.mktemp("deferred"), **CALM, protocol=BOUND)


def told(flight: Flight) -> tuple[list[wiretap.Said], wiretap.Rules]:
    return wiretap.from_datagrams(flight.datagrams), wiretap.rules_of(flight.satellite.parameters)


def test_both_ends_hold_one_key_and_the_leak_is_what_was_recorded(streamed: Flight) -> None:
    report = streamed.report
    assert (report.outcome, report.announcement, report.bound) == ("key", "streamed", "variable-martingale")
    above, below = streamed.keys
    assert above == below
    assert {8 * len(key) for key in above.values()} == {report.secret_bits}
    said, rules = told(streamed)
    wiretap.check_order(said, rules)
    account = wiretap.recount(said, 0, rules)
    for terminal in (streamed.satellite, streamed.station):
        assert terminal.reports[0].leaked_bits == account.leaked_bits
    rounds = {("ZX"[b], ("signal", "decoy", "vacuum")[k]): n for (b, k), n in account.rounds.items()}
    assert rounds == {(row.basis, row.class_name): row.detections for row in report.counts}


def test_a_stream_costs_no_key_and_saves_the_bases_way(streamed: Flight, deferred: Flight) -> None:
    """Its clock looks at fewer beacons: that may cost a detection in a thousand."""
    one, other = streamed.report, deferred.report
    assert one.detections == pytest.approx(other.detections, rel=1e-3)
    assert one.secret_bits == pytest.approx(other.secret_bits, rel=3e-3)
    assert one.timings_s["last_photon_to_key"] < other.timings_s["last_photon_to_key"]


def delays_s(flight: Flight) -> tuple[list[float], list[float]]:
    """Time from the first pulse of each report to the last byte of its bases, and of its classes, at the
    transmitters."""
    said, rules = told(flight)
    reports, bases, answers = (
        [each for each in said if each.kind == kind] for kind in ("Announce", "Bases", "Sift")
    )
    bases_s, classes_s = [], []
    for report, up, down in zip(reports, bases, answers, strict=True):
        first_s = wiretap.rice_slots(report.fields[3], report.fields[1])[0] / rules.pulse_rate_hz
        bases_s.append(up.last_s - first_s)
        classes_s.append(down.last_s - first_s)
    return bases_s, classes_s


def test_bases_and_classes_are_out_within_a_fifth_of_a_second(streamed: Flight) -> None:
    """Where no frame is lost; one that is costs a round trip and two ticks."""
    bases_s, classes_s = delays_s(streamed)
    assert len(bases_s) > 100
    assert streamed.report.classical["up"]["lost"] == streamed.report.classical["down"]["lost"] == 0
    assert 0.05 < max(bases_s) < max(classes_s) <= 0.2


def test_the_default_bound_is_refused_before_anything_flies(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="variable-martingale"):
        fly_toy(tmp_path, station=STATION, protocol=replaced(STREAMED, bound="variable-sharp"))


@pytest.mark.parametrize("rules", [BOUND, STREAMED], ids=["deferred", "streamed"])
@pytest.mark.parametrize("policy", ["equal-slots", "first-key"])
def test_a_blocks_key_is_confirmed_while_the_next_block_flies(
    tmp_path: Path, rules: Any, policy: str
) -> None:
    """Under load: deferred, all bases share the uplink with the slots of the next block."""
    protocol = replaced(rules, blocks=3, block_policy=policy, first_key_bits=1000)
    flight = fly_toy(tmp_path, station=STATION, protocol=protocol)
    agreed, confirmed_s = flight.satellite.parameters, flight.satellite.report().confirmed_s
    assert set(confirmed_s) == {0, 1, 2}
    for block in range(2):
        assert agreed.end_s(block) < confirmed_s[block] < agreed.end_s(block + 1)
        last_s = flight.station.report().confirmed_s[block]
        assert last_s < agreed.end_s(block + 1)
    said, told_rules = told(flight)
    wiretap.check_order(said, told_rules)
    for block, report in enumerate(flight.satellite.reports):
        assert wiretap.recount(said, block, told_rules).leaked_bits == report.leaked_bits
    edges = np.array(told_rules.edges) / told_rules.pulse_rate_hz
    assert flight.report.timings_s["first_key_after_start"] < edges[2]


@pytest.mark.soak
def test_at_sixty_thousand_a_second_only_lost_frames_make_an_answer_late(tmp_path: Path) -> None:
    """The nearest part of the preset's best pass, its own link: 2 Mbit/s up, one frame of a thousand lost."""
    station = replaced(
        presets.station("stellenbosch"),
        minimum_elevation_rad=math.radians(39.5),
        receiver__limits__basis_spread=1e-3,
    )
    contact = contact_of(presets.satellite("jinan-1"), station)
    datagrams: list[tuple[str, float, bytes]] = []
    with open_stores(tmp_path, contact, STREAMED) as (above, below):
        satellite = satellite_terminal(contact, STREAMED, above, seed=1)
        ground = station_terminal(contact, STREAMED, below, seed=1)
        link = LinkEmulator(contact, seed=1, tap=lambda *datagram: datagrams.append(datagram))
        step_through(link, satellite, ground)
    said = wiretap.from_datagrams(datagrams)
    rate_hz = contact.satellite.source.pulse_rate_hz
    first_s, bases_s, classes_s = (
        np.array([told(each) for each in said if each.kind == kind])
        for kind, told in (
            ("Announce", lambda each: first_slot(each.fields) / rate_hz),
            ("Bases", lambda each: each.last_s),
            ("Sift", lambda each: each.last_s),
        )
    )
    assert max(each.fields[2] for each in said if each.kind == "Announce") > 0.05 * 60_000
    assert (bases_s - first_s).max() < 0.11
    late = classes_s - first_s > 0.2
    assert np.median(classes_s - first_s) < 0.16
    assert late.mean() < 0.05
    assert late.sum() <= 6 * sum(counts.lost for counts in link.counts().values())


def first_slot(fields: list[Any]) -> int:
    """Of an announcement: the slots in it are many, so they are read by the room's own decoder."""
    _, start, detections, data = fields
    slots = gaps.decode(data, start_slot=start, maximum_count=detections, end_slot=1 << 40)
    return int(slots[0])
