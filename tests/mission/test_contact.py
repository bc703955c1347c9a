"""Which pass is chosen, and what both ends agree about it beforehand."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from satqkd.config import Limits, Protocol
from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.devices import RecordedCourse
from satqkd.errors import NoPassError
from satqkd.mission import choose_pass, contact_of, expected_key, make_contact, presets, site_of
from satqkd.mission.recorded_contact import RecordedContact
from satqkd.sky import find_passes, is_night, orbit_of, parse_utc
from toy_pass import AT_UTC, replaced, toy_satellite, toy_station

MICIUS, XINGLONG = presets.satellite("micius"), presets.station("xinglong")
NIGHT = parse_utc(AT_UTC)


def test_the_pass_that_contains_the_instant_is_taken() -> None:
    chosen = choose_pass(MICIUS, XINGLONG, NIGHT)
    assert chosen.start < NIGHT < chosen.end
    for inside in (chosen.start + timedelta(seconds=1), chosen.end - timedelta(seconds=1)):
        assert abs(choose_pass(MICIUS, XINGLONG, inside).start - chosen.start) < timedelta(seconds=0.1)


def test_else_the_next_by_night() -> None:
    chosen = choose_pass(MICIUS, XINGLONG, NIGHT)
    after = choose_pass(MICIUS, XINGLONG, chosen.end + timedelta(seconds=5))
    assert after.start > chosen.end
    assert is_night(after, maximum_sun_elevation_rad=np.deg2rad(-12))
    between = find_passes(
        orbit_of(MICIUS.orbit),
        site_of(XINGLONG),
        chosen.end + timedelta(seconds=5),
        duration_s=(after.start - chosen.end).total_seconds() - 60,
        minimum_elevation_rad=XINGLONG.minimum_elevation_rad,
    )
    assert not any(is_night(each, maximum_sun_elevation_rad=np.deg2rad(-12)) for each in between)
    before = choose_pass(MICIUS, XINGLONG, chosen.start - timedelta(seconds=60))
    assert abs(before.start - chosen.start) < timedelta(seconds=0.1)


def test_an_instant_inside_a_day_pass_is_refused_in_words() -> None:
    passes = find_passes(
        orbit_of(MICIUS.orbit),
        site_of(XINGLONG),
        NIGHT,
        duration_s=86_400.0,
        minimum_elevation_rad=XINGLONG.minimum_elevation_rad,
    )
    by_day = next(each for each in passes if each.sun_elevation_rad > 0)
    middle = by_day.start + (by_day.end - by_day.start) / 2
    with pytest.raises(NoPassError, match=r"by day \(Sun at \d+\.\d degrees\).*--night") as caught:
        choose_pass(MICIUS, XINGLONG, middle)
    assert caught.value.exit_code == 2


def test_a_station_the_satellite_never_sees_gets_no_pass() -> None:
    high = replaced(XINGLONG, minimum_elevation_rad=np.deg2rad(89.9), lasercom_minimum_elevation_rad=0.1)
    with pytest.raises(NoPassError, match="no night pass of micius over xinglong above 90 degrees within"):
        choose_pass(MICIUS, high, NIGHT)


def test_a_station_in_the_midnight_sun_gets_no_pass() -> None:
    pole = replaced(XINGLONG, latitude_rad=np.deg2rad(-80.0))
    with pytest.raises(NoPassError, match="no night pass"):
        choose_pass(MICIUS, pole, NIGHT)


def test_a_range_limit_that_leaves_nothing_is_refused() -> None:
    near = replaced(XINGLONG, maximum_range_m=300e3)
    with pytest.raises(NoPassError, match=r"never comes nearer than 64\d km"):
        contact_of(MICIUS, near, AT_UTC)


def test_without_an_instant_the_reference_epoch_counts() -> None:
    contact = contact_of(MICIUS, XINGLONG)
    assert contact.epoch > parse_utc(MICIUS.reference_epoch_utc)
    assert contact.epoch == contact_of(MICIUS, XINGLONG, MICIUS.reference_epoch_utc).epoch


def test_the_published_pass() -> None:
    """Liao et al. 2017: closest at 645 km, 273 s inside 1200 km."""
    contact = contact_of(MICIUS, XINGLONG, AT_UTC)
    assert contact.look.range_m.min() == pytest.approx(645e3, abs=2e3)
    assert contact.quantum_end_s == pytest.approx(273, abs=3)


def test_quantum_light_flies_only_inside_mask_and_range() -> None:
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    rows = contact.quantum_rows
    assert contact.look.range_m[rows].max() <= 646e3 * 1.0001
    assert contact.look.elevation_rad[rows].min() >= contact.station.minimum_elevation_rad
    assert contact.slots == pytest.approx(contact.quantum_end_s * 1e7)
    assert contact.link_start_s <= 0 < contact.quantum_end_s < contact.link_end_s
    assert contact.epoch.microsecond % 1000 == 0


def test_light_time_is_the_ranges() -> None:
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    middle = float(contact.look.t_s[10] + contact.look.t_s[11]) / 2
    expected = float(contact.look.range_m[10] + contact.look.range_m[11]) / 2 / SPEED_OF_LIGHT_M_S
    assert contact.light_time_s(middle) == pytest.approx(expected)


def test_a_planned_course_is_the_flown_one_at_fewer_points() -> None:
    satellite, station = presets.satellite("jinan-1"), presets.station("stellenbosch")
    flown = contact_of(satellite, station)
    planned = make_contact(satellite, station, flown.pass_, step_s=1.0)
    assert (planned.epoch, planned.slots) == (flown.epoch, flown.slots)
    shared = flown.look.t_s[::20][: planned.look.t_s.size]
    assert np.allclose(planned.look.t_s[: shared.size], shared)
    for name in ("total_db", "background_hz", "error_z", "crosstalk_hz"):
        ours, theirs = (getattr(each.losses, name) for each in (planned, flown))
        np.testing.assert_allclose(ours[: shared.size], theirs[::20][: shared.size], rtol=2e-3, err_msg=name)
    assert planned.expected_qber == pytest.approx(flown.expected_qber, rel=1e-3)
    assert expected_key(planned).secret_bits == pytest.approx(expected_key(flown).secret_bits, rel=2e-3)


@pytest.mark.parametrize("step_s", [0.05, 0.7, 1.0])
def test_a_total_reaches_to_the_last_slot_whatever_the_grid(step_s: float) -> None:
    """The window ends between two points of the grid."""
    pass_ = choose_pass(MICIUS, XINGLONG, NIGHT)
    contact = make_contact(MICIUS, XINGLONG, pass_, step_s=step_s)
    t_s, end_s = contact.look.t_s, contact.quantum_end_s
    assert contact.total(np.full(t_s.size, 3.0)) == pytest.approx(3 * end_s, rel=1e-12)
    assert contact.total(2 * t_s) == pytest.approx(end_s**2, rel=1e-12)


def test_contacts_with_and_without_an_orbit_agree_the_same() -> None:
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    live = contact.parameters(Protocol(), seed=1)
    seen = RecordedCourse(contact.look.t_s, contact.look.range_m, contact.look.elevation_rad)
    recorded = RecordedContact(
        satellite=contact.satellite,
        station=contact.station,
        epoch=contact.epoch,
        slots=contact.slots,
        look=seen,
        link_start_s=contact.link_start_s,
        link_end_s=contact.link_end_s,
        pass_id=live.pass_id,
        expected_qber=contact.expected_qber,
    )
    assert recorded.parameters(Protocol(), seed=2) == live
    assert recorded.quantum_rows == contact.quantum_rows
    assert recorded.quantum_end_s == contact.quantum_end_s
    assert [recorded.light_time_s(t_s) for t_s in (-9.0, 3.3, 1e4)] == [
        contact.light_time_s(t_s) for t_s in (-9.0, 3.3, 1e4)
    ]


def test_what_the_station_vouches_for_reaches_bound_and_hello() -> None:
    """Limits cost key in the plan, and are in the parameters that both ends compare."""
    craft, ground = presets.satellite("micius"), presets.station("xinglong")
    limits = Limits(efficiency_spread=0.01, dark_spread=0.0, basis_spread=0.02)
    receiver = msgspec.structs.replace(ground.receiver, limits=limits)
    careful = msgspec.structs.replace(ground, receiver=receiver)
    usual, worse = (contact_of(craft, each, "2016-12-19T16:52:13Z") for each in (ground, careful))
    assert 0 < expected_key(worse).secret_bits < 0.8 * expected_key(usual).secret_bits
    told = worse.parameters(Protocol(), seed=1).receiver
    assert (told.efficiency_spread, told.splitter_x_share) == (0.01, (0.48, 0.52))
    assert told.x_share == pytest.approx((0.48, 0.52), abs=1e-11)
    assert told.dark_probability == pytest.approx(25 * 2e-9)
    digests = {each.parameters(Protocol(), seed=1).digest for each in (usual, worse)}
    assert len(digests) == 2
