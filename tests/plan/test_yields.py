"""What passes give: the key function of both ends, and a surrogate whose error is measured."""

from typing import Any

import msgspec
import numpy as np
import pytest
from planning import network

import satqkd
from satqkd.mission.course import site_of
from satqkd.plan.network import Network
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.yields import exact_yields, fast_yields, surrogate_error
from satqkd.plan.yields_link import Link
from satqkd.sky import look, orbit_of, surroundings


def both(found: Network) -> tuple[Any, Any]:
    passes = find_opportunities(found)
    return exact_yields(found, passes), fast_yields(found, passes)


def test_an_exact_yield_is_what_the_pass_is_expected_to_give() -> None:
    found = network(duration_days=2)
    passes = find_opportunities(found)
    bits = exact_yields(found, passes)
    best = int(np.argmax(bits))
    station = found.stations[passes.station[best]].name
    moment = passes.pass_of(best, found.start).culmination.isoformat().replace("+00:00", "Z")
    contact = satqkd.contact_of(satqkd.satellite("jinan-1"), satqkd.station(station), moment)
    expected = satqkd.expected_key(contact).secret_bits
    assert expected > 100_000
    assert abs(bits[best] - expected) / expected < 2e-3  # grids of 1 s and of 50 ms


@pytest.mark.parametrize(
    ("satellite", "station", "tables"),
    [
        ("jinan-1", "beijing", {}),
        ("jinan-1", "stellenbosch", {}),
        ("micius", "xinglong", {}),  # cut where it is out of range
        ("micius", "nanshan", {}),
        ("jinan-1", "beijing", {"protocol": {"keyed_bases": ["Z"]}}),
        ("jinan-1", "beijing", {"protocol": {"bound": "variable"}}),
    ],
)
def test_the_surrogate_is_near_the_exact_yield(satellite: str, station: str, tables: dict[str, Any]) -> None:
    exact, fast = both(
        network(
            duration_days=10,
            satellite=[{"preset": satellite}],
            station=[{"presets": [station]}],
            pair=[],
            **tables,
        )
    )
    assert (exact > 0).sum() >= 5
    assert abs(fast.sum() / exact.sum() - 1) < 0.005
    strong = exact > 20_000
    assert np.abs(fast[strong] / exact[strong] - 1).max() < 0.02
    assert np.abs(fast - exact)[~strong].max(initial=0.0) < 3000


@pytest.mark.parametrize("late", [False, True], ids=["as it begins", "as it ends"])
def test_an_edge_of_the_shadow_at_an_end_of_a_pass_is_no_piece_of_it(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = network(duration_days=1, station=[{"presets": ["beijing"]}], pair=[])
    passes = find_opportunities(found)
    whole, rows = fast_yields(found, passes), np.arange(len(passes))
    start_s, end_s = Link(found, found.satellites[0], found.stations[0]).windows(passes, rows)
    ends_s = end_s if late else start_s
    monkeypatch.setattr(Link, "_sunlit", lambda _self, t_s: np.isin(t_s, ends_s), raising=True)
    bits = fast_yields(found, passes)
    assert np.isfinite(bits).all() and (whole > 0).any()
    assert bits == pytest.approx(whole, rel=0.1)


def test_the_surrogate_sees_where_the_satellite_comes_out_of_the_shadow() -> None:
    """Sunlit, it is a star of its own in the field of view: the error rate jumps within the pass."""
    found = network(
        start_utc="2025-06-20T12:00:00Z", duration_days=12, station=[{"presets": ["graz"]}], pair=[]
    )
    passes = find_opportunities(found)
    [ground], [craft] = found.stations, found.satellites
    seen = [
        surroundings(look(orbit_of(craft.orbit), site_of(ground), found.start, [begin, end])).sunlit
        for begin, end in zip(passes.start_s, passes.end_s, strict=True)
    ]
    crossing = np.array([first != last for first, last in seen])
    exact, fast = exact_yields(found, passes), fast_yields(found, passes)
    assert (crossing & (exact > 50_000)).sum() >= 3
    assert np.abs(fast[exact > 50_000] / exact[exact > 50_000] - 1).max() < 0.02


def test_a_ships_yields_are_exact_where_it_is() -> None:
    track = [
        {"utc": "2024-10-03T12:00:00Z", "latitude_deg": 30, "longitude_deg": 125},
        {"utc": "2024-10-13T12:00:00Z", "latitude_deg": 25, "longitude_deg": 135},
    ]
    ships = [{"preset": "beijing", "name": "ship", "track": track}]
    exact, fast = both(network(duration_days=3, station=ships, pair=[]))
    assert exact.max() > 0
    assert (exact == fast).all()


def test_a_pass_that_hardly_comes_into_range_gives_nothing() -> None:
    found = network(duration_days=4, station=[{"presets": ["stellenbosch"]}], pair=[])
    nearest_m = float(find_opportunities(found).min_range_m.min())
    [ground] = found.stations
    short = msgspec.structs.replace(ground, maximum_range_m=nearest_m + 0.01)
    found = msgspec.structs.replace(found, stations=(short,))
    passes = find_opportunities(found)
    assert len(passes) == 1
    assert fast_yields(found, passes).tolist() == exact_yields(found, passes).tolist() == [0.0]


def test_a_gate_too_long_for_the_pulses_gives_nothing() -> None:
    exact, fast = both(
        network(satellite=[{"preset": "jinan-1"}], station=[{"presets": ["xinglong"]}], pair=[])
    )
    assert len(exact) and not exact.any() and not fast.any()


def test_the_surrogates_error_is_measured_on_a_sample() -> None:
    found = network(duration_days=4)
    passes = find_opportunities(found)
    fast = fast_yields(found, passes)
    told = surrogate_error(found, passes, fast, sample=8)
    assert (told.passes, told.disagree) == (8, 0)
    assert abs(told.total) < 0.005
    assert told.lowest <= told.median <= told.highest
    wrong = surrogate_error(found, passes, 1.1 * fast, sample=8)
    assert 0.09 < wrong.total < 0.11
    assert surrogate_error(found, passes, fast, sample=8) == told
