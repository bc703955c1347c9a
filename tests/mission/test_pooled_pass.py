"""Pools over several passes with real stores: key from passes that give none alone, nothing used twice."""

import math
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wiretap
from documentation import DOCS
from satqkd.config import Protocol, Source
from satqkd.errors import ConfigError, DataFormatError, KeyAlreadyUsed
from satqkd.keys import KeyStore
from satqkd.mission import (
    PassCounts,
    contact_of,
    expected_key,
    expected_pooling_gain,
    pooling_gain,
    record_pass,
)
from satqkd.mission.edges import edges_s
from satqkd.mission.pools import mean_losses_db, planned_blocks, source_digest
from satqkd.mission.satellite_terminal import SatelliteTerminal
from satqkd.mission.station_terminal import StationTerminal
from satqkd.security import expected_counts
from satqkd.security.tails import binary_entropy
from session_pair import kind_of
from toy_pass import AT_UTC, PROTOCOL, Flight, fly_toy, replaced, toy_satellite, toy_station

NODES = ("toy-satellite", "toy-station")
WEAK = toy_station(calibration_loss_db=9.0)
"""About 17 800 sifted bits a pass: none gives key alone."""
POOLED = replaced(PROTOCOL, pooling="pooled", pool_sifted_bits=35_000)


def fly(folder: Path, seed: int, *, protocol: Protocol = POOLED, **more: Any) -> Flight:
    return fly_toy(folder, seed=seed, station=WEAK, protocol=protocol, **more)


def short(block_id: str) -> str:
    """`seed1.block0` of a block's id."""
    return ".".join(block_id.split(".")[-2:])


def raw_states(folder: Path) -> list[dict[str, str]]:
    found = []
    for node in NODES:
        with KeyStore.open(folder / f"{node}.sqlite") as store:
            assert store.check().balanced, store.check().faults
            found.append({short(row.block_id): row.state for row in store.list_raw_blocks()})
    return found


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Flight]]:
    folder = tmp_path_factory.mktemp("pool")
    return folder, [fly(folder, seed) for seed in (1, 2)]


def test_two_passes_into_one_folder_give_key_that_neither_gives_alone(
    flights: tuple[Path, list[Flight]], tmp_path: Path
) -> None:
    alone = fly(tmp_path, 2, protocol=PROTOCOL)
    assert (alone.report.outcome, alone.report.secret_bits) == ("no_key", 0)
    kept, closed = (flight.report for flight in flights[1])
    assert (kept.outcome, kept.kept_bits, kept.pooled_bits) == ("no_key", kept.detections, 0)
    assert "kept for pool pooled." in kept.reason
    assert (kept.sifted_bits, kept.qber, kept.leaked_bits, kept.keys_match) == (0, None, 0, False)
    assert (closed.outcome, closed.reason) == ("key", "")
    assert (closed.kept_bits, closed.pooled_bits) == (0, kept.detections)
    assert closed.detections == alone.report.detections
    assert closed.sifted_bits > 1.9 * alone.report.sifted_bits
    assert closed.secret_bits > 500
    assert closed.keys_match
    angles = [report.blocks[0]["polarisation"] for report in (alone.report, kept, closed)]
    assert [angle is None for angle in angles] == [False, True, True], "the frames of two passes lie apart"
    assert (closed.epsilon_secrecy, closed.epsilon_correctness) == (
        POOLED.epsilon_secrecy,
        POOLED.epsilon_correctness,
    )
    keys = flights[1][1].keys
    assert keys[0] == keys[1]
    assert [8 * len(key) for key in keys[0].values()] == [closed.secret_bits]


def test_the_leak_of_a_pool_is_what_the_recorded_datagrams_of_all_passes_hold(
    flights: tuple[Path, list[Flight]],
) -> None:
    first, second = flights[1]
    said = [wiretap.from_datagrams(flight.datagrams) for flight in (first, second)]
    rules = wiretap.rules_of(second.satellite.parameters)
    for each in said:
        wiretap.check_order(each, rules)
    assert wiretap.recount(said[0], 0, rules) == wiretap.Account({}, {}, 0, 0)
    account = wiretap.recount(said[1], 0, rules, earlier=wiretap.announced(said[0], 0))
    for terminal in (second.satellite, second.station):
        (report,) = terminal.reports
        assert report.leaked_bits == account.leaked_bits
    assert sum(account.rounds[basis, 0] for basis in (0, 1)) == second.report.sifted_bits


def test_raw_blocks_are_used_and_the_books_balance(flights: tuple[Path, list[Flight]]) -> None:
    folder, (first, _) = flights
    assert raw_states(folder) == [{"seed1.block0": "used"}] * 2
    for node in NODES:
        with KeyStore.open(folder / f"{node}.sqlite", read_only=True) as store:
            books = store.check()
            assert books.raw_bits == books.raw_used_bits == first.report.detections
            events = [each["event"] for each in store.audit_entries() if each["event"].startswith("raw")]
            assert events == ["raw_add", "raw_confirmed", "raw_used"]
            (raw,) = store.list_raw_blocks()
            assert raw.origin == "twin"


def test_a_pass_that_was_kept_is_not_flown_into_the_same_store_again(
    flights: tuple[Path, list[Flight]],
) -> None:
    with pytest.raises(KeyAlreadyUsed, match="in the store"):
        fly(flights[0], 1)


def test_nothing_of_a_raw_block_is_in_reports_or_logs(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    flight = fly(tmp_path, 1, lines=lines)
    pool = flight.satellite.parameters.planned[0].pool
    told = [line for line in lines if line["stage"] == "pool"]
    assert [(line["node"], line["event"]) for line in told] == [
        ("station", "kept"), ("satellite", "kept"), ("satellite", "confirmed"), ("station", "confirmed")
    ]  # fmt: skip
    assert {key for line in told for key in line} == {
        "t_s", "node", "stage", "event", "block", "detections"
    }  # fmt: skip
    with KeyStore.open(tmp_path / "toy-satellite.sqlite") as store:
        assert store.status()[-1].raw_bits == flight.report.kept_bits
        assert store.available_bits("toy-station", "link", demo=True) == 0
        assert pool in str(store.audit_entries())


def test_by_loss_keeps_blocks_of_unlike_loss_apart(tmp_path: Path) -> None:
    """Two blocks at the ends of a pass, two in its middle, where the loss is 0.1 dB less."""
    protocol = replaced(PROTOCOL, pooling="by-loss", pool_loss_step_db=0.1, blocks=4)
    station = toy_station(calibration_loss_db=9.0, maximum_range_m=660e3)
    contact = contact_of(toy_satellite(), station, AT_UTC)
    planned = planned_blocks(contact, protocol)
    ends, middle = planned[0].pool, planned[1].pool
    assert [each.pool for each in planned] == [ends, middle, middle, ends]
    head = f"by-loss.{source_digest(contact.satellite, station)}."
    for each, loss_db in zip(planned, mean_losses_db(contact, edges_s(contact, protocol)), strict=True):
        low, high = map(float, each.pool.removeprefix(head).removesuffix("dB").split("-"))
        assert low <= loss_db < high
        assert high - low == pytest.approx(0.1)
    protocol = replaced(protocol, pool_sifted_bits=5 * planned[0].sifted_bits // 2)
    first, second = (
        fly_toy(tmp_path, seed=seed, protocol=protocol, station=station).report for seed in (1, 2)
    )
    assert [row["pool"] for row in second.blocks] == [each.pool for each in planned]
    assert [row["outcome"] for row in first.blocks] == ["no_key"] * 4
    assert [row["outcome"] for row in second.blocks] == ["key", "key", "no_key", "no_key"]
    kept = [row["kept_bits"] for row in first.blocks]
    assert [row["pooled_bits"] for row in second.blocks] == [kept[0] + kept[3], kept[1] + kept[2], 0, 0]
    assert second.epsilon_secrecy == 2 * protocol.epsilon_secrecy
    states = raw_states(tmp_path)
    assert states[0] == states[1]
    assert [state for name, state in states[0].items() if "seed1" in name] == ["used"] * 4
    assert [state for name, state in states[0].items() if "seed2" in name] == ["confirmed"] * 2


def test_predictions_are_those_of_the_budget() -> None:
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    whole = expected_key(contact).terms["bases"]
    for blocks in (1, 3):
        planned = planned_blocks(contact, replaced(POOLED, blocks=blocks))
        total = sum(each.sifted_bits for each in planned)
        assert total == pytest.approx(sum(each["sifted_bits"] for each in whole.values()), rel=1e-3)
    only_z = planned_blocks(contact, replaced(POOLED, keyed_bases=("Z",)))
    assert only_z[0].sifted_bits == pytest.approx(whole["Z"]["sifted_bits"], rel=1e-3)
    assert planned_blocks(contact, PROTOCOL) == ()
    mean_db = -10 * np.log10(np.mean(10 ** (-contact.losses.total_db[contact.quantum_rows] / 10)))
    assert mean_losses_db(contact, np.array([0.0, contact.quantum_end_s]))[0] == pytest.approx(
        mean_db, abs=0.01
    )


def test_another_source_is_another_pool() -> None:
    digests = {
        source_digest(toy_satellite(), toy_station()),
        source_digest(toy_satellite(source__intensities=(0.81, 0.1, 0.0)), toy_station()),
        source_digest(toy_satellite(source__basis_z_probability=0.6), toy_station()),
        source_digest(
            toy_satellite(), toy_station(receiver__basis_choice="active", receiver__basis_z_probability=0.6)
        ),
        source_digest(toy_satellite(), toy_station(receiver__limits__efficiency_spread=0.01)),
    }
    assert len(digests) == 5
    assert source_digest(toy_satellite(name="x"), toy_station(telescope_diameter_m=0.5)) in digests


def test_raw_blocks_of_another_source_wait_for_their_like(tmp_path: Path) -> None:
    fly(tmp_path, 1)
    other = toy_satellite(source__intensities=(0.7, 0.1, 0.0))
    assert fly(tmp_path, 2, satellite=other).report.kept_bits > 0
    assert fly(tmp_path, 3).report.outcome == "key"
    assert raw_states(tmp_path)[0] == {"seed1.block0": "used", "seed2.block0": "confirmed"}


def losing(kind: str) -> Any:
    """Both ends' messages of a kind, and all after them, never leave."""

    def before(satellite: SatelliteTerminal, station: StationTerminal) -> None:
        for terminal in (satellite, station):
            true, gone = terminal.session.data_to_send, []

            def data_to_send(true: Any = true, gone: Any = gone) -> list[bytes]:
                said = true()
                gone += [data for data in said if kind_of(data) == kind]
                return [] if gone else said

            terminal.session.data_to_send = data_to_send  # type: ignore[method-assign]

    return before


@pytest.mark.parametrize("lost", ["Keep", "Kept"])
def test_what_one_end_does_not_hold_confirmed_is_left_out_and_reported(tmp_path: Path, lost: str) -> None:
    broken = fly(tmp_path, 1, before=losing(lost)).report
    assert (broken.outcome, broken.kept_bits) == ("no_key", 0)
    assert "laser link ended" in broken.reason
    later = fly(tmp_path, 2).report
    assert [short(each) for each in later.raw_left_out] == ["seed1.block0"]
    assert later.kept_bits > 0
    assert {states.get("seed1.block0", "discarded") for states in raw_states(tmp_path)} == {"discarded"}
    closed = fly(tmp_path, 3).report
    assert (closed.outcome, closed.pooled_bits, closed.raw_left_out) == ("key", later.kept_bits, ())


class Crash(BaseException):
    """The node dies here."""


@pytest.mark.parametrize("node", ["satellite", "station"])
@pytest.mark.parametrize("committed", [False, True])
def test_a_node_that_dies_while_it_opens_a_pool_uses_nothing_twice(
    tmp_path: Path, node: str, committed: bool
) -> None:
    fly(tmp_path, 1)
    taken: list[str] = []

    def dying(satellite: SatelliteTerminal, station: StationTerminal) -> None:
        for name, terminal in (("satellite", satellite), ("station", station)):
            shelf, true = terminal.session._shelf, terminal.session._shelf.take

            def take(*names: Any, true: Any = true, name: str = name, **more: Any) -> Any:
                if name == node and not committed:
                    raise Crash
                data = true(*names, **more)
                taken.append(name)
                if name == node:
                    raise Crash
                return data

            shelf.take = take

    with pytest.raises(Crash):
        fly(tmp_path, 2, before=dying)
    station_took = node == "satellite"
    assert [each["seed1.block0"] for each in raw_states(tmp_path)] == [
        "used" if took else "confirmed" for took in (False, station_took)
    ], "what a node did in the tick in which it died is not done"
    assert taken == ["station"] * station_took + [node] * committed
    again = fly(tmp_path, 2).report
    assert (again.outcome, again.pooled_bits > 0) == ("key", True)
    assert {each["seed1.block0"] for each in raw_states(tmp_path)} == {"used"}


def test_a_recording_is_not_pooled(tmp_path: Path) -> None:
    contact = contact_of(toy_satellite(), WEAK, AT_UTC)
    with pytest.raises(ConfigError, match="for a recording"):
        record_pass(contact, POOLED, tmp_path, seed=1)
    assert list(tmp_path.iterdir()) == []


# --- what it buys

SOURCE = Source(
    pulse_rate_hz=1e8,
    wavelength_m=850e-9,
    pulse_width_s=2e-10,
    intensities=(0.6, 0.15, 0.0),
    probabilities=(0.7, 0.22, 0.08),
    basis_z_probability=0.75,
)
FIXED = Protocol(keyed_bases=("Z",), keyed_classes=("signal", "decoy"), epsilon_secrecy=1e-10)


def weak_pass(sifted_bits: float, *, source: Source = SOURCE, loss_db: float = 30.0) -> PassCounts:
    """Expected counts of pulses that would give so many sifted bits at intensity 0.5 with equal bases."""
    background, misaligned, z = 5e-7, 0.008, source.basis_z_probability
    light = [1 - math.exp(-mu * 10 ** (-loss_db / 10)) for mu in (*source.intensities, 0.5)]
    *gains, reference = [1 - (1 - background) * (1 - each) for each in light]
    errors = [
        (background / 2 + misaligned * each) / gain for each, gain in zip(light[:3], gains, strict=True)
    ]
    counts = expected_counts(
        pulses=2 * sifted_bits / reference,
        source=source,
        gain=gains,
        error=errors,
        matched_probability={"Z": z**2, "X": (1 - z) ** 2},
    )
    keyed = [row for row in counts if row.basis == "Z" and row.class_name != "vacuum"]
    total, wrong = sum(row.detections for row in keyed), sum(row.errors for row in keyed)
    return PassCounts(tuple(counts), {"Z": math.ceil(1.16 * total * binary_entropy(wrong / total))})


def test_ten_weak_passes_give_more_together_than_apart() -> None:
    """The research's table (facts, 3.6) has 0 and 48.8 kbit, 0 and 293 kbit, 488 k and 1.05 M, 2.94 M and
    3.81 M: the bound of today counts fewer test errors (the cap) and gives somewhat more."""
    for sifted_bits, least_together, most_apart in (
        (3e4, 48_800, 0),
        (1e5, 293_000, 150_000),
        (3e5, 1_050_000, 900_000),
        (1e6, 3_800_000, 3_500_000),
    ):
        gain = pooling_gain([weak_pass(sifted_bits)] * 10, SOURCE, FIXED)
        assert len(set(gain.per_pass_bits)) == 1
        assert sum(gain.per_pass_bits) <= most_apart
        assert least_together <= gain.pooled_bits < 2 * least_together
        assert gain.gained_bits == gain.pooled_bits - sum(gain.per_pass_bits) > 0


def test_the_table_of_the_page_is_what_its_code_prints() -> None:
    text = (DOCS / "design" / "pooling.md").read_text(encoding="utf-8")
    code, output = re.findall(r"```(?:python|output)\n(.*?)```", text, re.DOTALL)
    with redirect_stdout(StringIO()) as printed:
        exec(code, {})
    assert printed.getvalue() == output


def test_a_pool_of_one_is_that_pass_and_order_is_nothing() -> None:
    one, other = weak_pass(3e5), weak_pass(1e5, loss_db=35.0)
    alone = pooling_gain([one], SOURCE, FIXED)
    assert alone.per_pass_bits == (alone.pooled_bits,)
    there, back = (pooling_gain(each, SOURCE, FIXED) for each in ([one, other], [other, one]))
    assert there.pooled_bits == back.pooled_bits
    assert there.per_pass_bits == back.per_pass_bits[::-1]


def test_counts_of_two_sources_are_not_summed() -> None:
    other = replaced(SOURCE, intensities=(0.5, 0.15, 0.0))
    with pytest.raises(DataFormatError, match="cannot be added"):
        pooling_gain([weak_pass(1e5), weak_pass(1e5, source=other)], SOURCE, FIXED)
    with pytest.raises(ConfigError, match="at least one"):
        pooling_gain([], SOURCE, FIXED)
    with pytest.raises(ConfigError, match="at least one"):
        expected_pooling_gain([], FIXED)


def test_the_gain_of_planned_passes_is_that_of_their_expected_counts() -> None:
    contact = contact_of(toy_satellite(), WEAK, AT_UTC)
    gain = expected_pooling_gain([contact] * 3, PROTOCOL)
    assert gain.per_pass_bits == (expected_key(contact, PROTOCOL).secret_bits,) * 3
    assert gain.pooled_bits > 1000 > sum(gain.per_pass_bits)
