"""Attackers on whole passes: what the session saw, what it refused, and what it never noticed.

An attack that nobody sees must be told as such: those tests show that the key *is* known to Eve.
"""

import functools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from satqkd.config import BrightLight, Monitors
from satqkd.devices import EveBlock, parse_eve
from satqkd.keys import KeyStore
from satqkd.mission import PassReport, contact_of, fly
from satqkd.mission.eve_report import exposed_bits
from toy_pass import AT_UTC, PROTOCOL, fly_toy, link_key, repeatable, replaced, toy_satellite, toy_station

BRIGHT = BrightLight(avalanche_electrons=1e8, linear_electrons=50, blinding_w=4e-7, current_noise_a=2e-8)
MONITORS = Monitors(bias_current_limit_a=5e-6, detector_share_false_alarm=1e-9, coincidence_false_alarm=1e-9)
WATCHED = (("receiver__bright_light", BRIGHT), ("receiver__monitors", MONITORS))
LAGS = (("receiver__detector__lag_s", (4e-10, -4e-10, 4e-10, -4e-10)),)
SHIFT = "time-shift,shift_ns=1.1"
"""As far as the gate of 2 ns needs to lose one detector of lag 0.4 ns and to keep the other."""


class Flown(NamedTuple):
    report: PassReport
    keys: tuple[dict[str, bytes], dict[str, bytes]]
    """Link key of satellite and station."""


@functools.cache
def flown(eve: str | None, station: tuple[tuple[str, Any], ...] = (), blocks: int = 1) -> Flown:
    """One toy pass under attack."""
    craft, ground = toy_satellite(), toy_station(**dict(station))
    spec = None if eve is None else parse_eve(eve)
    with TemporaryDirectory() as scratch:
        folder, rules = Path(scratch), replaced(PROTOCOL, blocks=blocks)
        report = fly(contact_of(craft, ground, AT_UTC), rules, folder, seed=1, eve=spec)
        keys = []
        for name in (craft.name, ground.name):
            with KeyStore.open(folder / f"{name}.sqlite", node_id=name) as store:
                keys.append(link_key(store)[0])
        return Flown(report, (keys[0], keys[1]))


def no_key(flight: Flown) -> bool:
    """Neither end holds any."""
    return flight.report.secret_bits == 0 and not any(any(part.values()) for part in flight.keys)


def alarms(report: PassReport) -> set[tuple[int, str]]:
    return {(each.block, each.monitor) for each in report.monitors if each.alarm}


def test_without_an_attacker_nothing_is_told_and_all_is_as_ever(tmp_path: Path) -> None:
    """The seed's numbers, watched or not."""
    report, watched = flown(None).report, flown(None, WATCHED).report
    assert repeatable(report) == repeatable(watched) == repeatable(fly_toy(tmp_path).report)
    assert (report.eve, report.verdict, report.monitors) == (None, "", ())
    assert (watched.eve, watched.verdict, alarms(watched)) == (None, "", set())
    assert {each.monitor for each in watched.monitors} == {"bias_current", "detector_shares", "coincidences"}


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_intercept_resend_is_seen_in_the_errors(share: float) -> None:
    flight = flown(f"intercept-resend:{share}")
    report, eve, quiet = flight.report, flight.report.eve, flown(None).report
    assert eve is not None and report.qber is not None and quiet.qber is not None
    expected = quiet.qber + share * (1 - 2 * quiet.qber) / 4
    assert abs(report.qber - expected) < 4.5 * (expected / report.sifted_bits) ** 0.5
    assert eve.sifted_bits == report.sifted_bits
    assert abs(eve.bits_known - share * eve.sifted_bits / 2) < 4.5 * (share * eve.sifted_bits / 2) ** 0.5
    assert no_key(flight) and report.outcome == "aborted"
    assert report.verdict.startswith("no monitor alarmed; no key was made (")


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_a_little_intercepting_costs_more_key_than_it_tells(share: float) -> None:
    report, quiet = flown(f"intercept-resend:{share}").report, flown(None).report
    assert report.eve is not None and 0 < report.secret_bits < quiet.secret_bits
    assert quiet.secret_bits - report.secret_bits > report.eve.information_bits > 0
    assert report.eve.key_bits_exposed == 0 and "cover them" in report.verdict


def test_splitting_starves_the_decoys_and_gets_no_key() -> None:
    flight = flown("photon-number-splitting")
    report, quiet, eve = flight.report, flown(None).report, flight.report.eve
    assert eve is not None and no_key(flight) and report.outcome == "no_key"
    assert abs(report.sifted_bits - quiet.sifted_bits) < 4.5 * quiet.sifted_bits**0.5
    assert abs((report.qber or 0) - (quiet.qber or 0)) < 0.001
    decoys = [
        [row.detections for row in each.counts if row.class_name == "decoy"] for each in (report, quiet)
    ]
    assert sum(decoys[0]) < 0.25 * sum(decoys[1])
    assert eve.bits_known == eve.sifted_bits


def test_partial_splitting_leaves_key_that_she_does_not_know() -> None:
    report = flown("photon-number-splitting:0.1").report
    assert report.eve is not None and report.secret_bits > 0
    assert report.eve.bits_known > report.sifted_bits / 2 and report.eve.key_bits_exposed == 0


def test_jamming_makes_noise_and_no_key() -> None:
    flight, quiet = flown("jamming:2e5"), flown(None).report
    assert no_key(flight) and (flight.report.qber or 0) > 2 * (quiet.qber or 0)
    assert flight.report.eve is not None and flight.report.eve.information_bits == 0


class TestBlinding:
    def test_a_station_without_monitors_makes_a_key_that_eve_knows(self) -> None:
        """Honesty: counts as expected, every sifted bit hers, and the report says not detected."""
        flight = flown("blinding")
        report, quiet, eve = flight.report, flown(None).report, flight.report.eve
        assert eve is not None and report.outcome == "key" and report.keys_match
        assert abs(report.sifted_bits - quiet.sifted_bits) < 4.5 * quiet.sifted_bits**0.5
        assert abs((report.qber or 0) - (quiet.qber or 0)) < 0.0015
        assert eve.bits_known == eve.sifted_bits == report.sifted_bits
        assert eve.key_bits_exposed == report.secret_bits > 10_000
        bits = report.secret_bits
        assert report.verdict == f"not detected; of the {bits} key bits made she knows {bits} at least"

    def test_monitors_see_it_before_any_basis_is_told(self) -> None:
        flight = flown("blinding", WATCHED, blocks=2)
        report = flight.report
        assert no_key(flight) and report.outcome == "aborted" and report.sifted_bits == 0
        assert {monitor for _, monitor in alarms(report)} == {"bias_current", "coincidences"}
        assert all(row["reason"].startswith("monitor bias_current: ") for row in report.blocks)
        assert report.verdict == (
            "seen by bias_current and coincidences: blocks 0, 1 refused before any basis was told; "
            "no key was made"
        )

    @pytest.mark.parametrize("monitor", ["bias_current", "coincidences"])
    def test_each_of_the_two_is_enough(self, monitor: str) -> None:
        one = {"bias_current": Monitors(bias_current_limit_a=5e-6)}
        one["coincidences"] = Monitors(coincidence_false_alarm=1e-9)
        flight = flown("blinding", (WATCHED[0], ("receiver__monitors", one[monitor])))
        assert no_key(flight) and alarms(flight.report) == {(0, monitor)}

    def test_a_limit_above_the_light_is_no_monitor(self) -> None:
        """The monitor compares a reading; it does not know that she is there."""
        deaf = (WATCHED[0], ("receiver__monitors", Monitors(bias_current_limit_a=1e-3)))
        report = flown("blinding", deaf).report
        assert report.secret_bits > 0 and report.monitors[0].reading == pytest.approx(3.44e-5, rel=0.01)
        assert report.verdict.startswith("not detected")

    def test_the_block_she_leaves_alone_is_kept(self) -> None:
        report = flown("blinding,to=2", WATCHED, blocks=2).report
        assert [row["outcome"] for row in report.blocks] == ["aborted", "key"]
        assert alarms(report) == {(0, "bias_current")}
        quiet = flown(None, blocks=2).report.blocks[1]
        assert report.blocks[1]["sifted_bits"] == pytest.approx(quiet["sifted_bits"], rel=0.002)
        # The clock followed other clicks before, and the refused block taught nothing of the errors.
        assert report.secret_bits == pytest.approx(quiet["secret_bits"], rel=0.1) and report.secret_bits > 0
        assert report.eve is not None and report.eve.key_bits_exposed == 0


class TestTimeShift:
    def test_balanced_both_ways_it_is_not_detected_and_the_key_is_hers(self) -> None:
        """Honesty: shares and counts stay, the guesses are nearly all right."""
        report = flown(SHIFT, WATCHED + LAGS).report
        eve = report.eve
        assert eve is not None and report.outcome == "key" and alarms(report) == set()
        assert eve.guessed_right > 0.95 * eve.sifted_bits
        assert eve.key_bits_exposed == report.secret_bits > 10_000
        assert report.verdict.startswith("not detected; of the")

    def test_one_way_the_detectors_shares_tell(self) -> None:
        one_way = "time-shift:0.3,shift_ns=1.1,way=late"
        flight = flown(one_way, WATCHED + LAGS)
        assert no_key(flight) and alarms(flight.report) == {(0, "detector_shares")}
        assert flown(one_way, LAGS).report.verdict.startswith("not detected")

    def test_swapped_labels_leave_her_nothing(self) -> None:
        report = flown(SHIFT, (*LAGS, ("receiver__label_swap", "random"))).report
        assert report.eve is not None and report.secret_bits > 0
        assert report.eve.information_bits < 20 and report.eve.key_bits_exposed == 0

    def test_detectors_without_lag_leave_her_nothing(self) -> None:
        report = flown("time-shift").report
        assert report.eve is not None and report.eve.information_bits == 0 and report.secret_bits > 0


def test_an_attack_repeats_with_its_seed() -> None:
    one, again = flown("intercept-resend:0.2").report, flown.__wrapped__("intercept-resend:0.2").report
    assert repeatable(one) == repeatable(again) and one.eve == again.eve


@pytest.mark.parametrize(
    ("information", "leaked", "secret", "exposed"),
    [
        (0.0, 200, 300, 0),
        (600.0, 200, 300, 100),
        (1000.0, 0, 300, 300),
        (1000.0, 200, 0, 0),
        (500.5, 200, 300, 1),
    ],
)
def test_exposed_bits_are_what_her_ignorance_cannot_cover(
    information: float, leaked: int, secret: int, exposed: int
) -> None:
    """1000 sifted bits."""
    row = EveBlock(block=0, sifted_bits=1000, bits_known=0, information_bits=information, guessed_right=0)

    class Block:
        leaked_bits, secret_bits = {"Z": leaked // 2, "X": leaked - leaked // 2}, secret

    assert exposed_bits(row, Block()) == exposed  # type: ignore[arg-type]
