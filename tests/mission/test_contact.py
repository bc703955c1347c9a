"""Which pass is chosen, and what both ends agree about it beforehand."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.errors import NoPassError
from satqkd.mission import choose_pass, contact_of, make_contact, presets, site_of
from satqkd.sky import find_passes, is_night, orbit_of, parse_utc
from toy_pass import AT_UTC, PROTOCOL, replaced, toy_satellite, toy_station

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


def test_the_series_is_the_budget() -> None:
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    series = contact.series
    assert np.array_equal(series.range_m, contact.look.range_m)
    assert np.array_equal(series.transmittance, contact.losses.transmittance)
    assert series.t_s[0] == 0
    assert series.t_s[-1] >= contact.quantum_end_s
    middle = float(contact.look.t_s[10] + contact.look.t_s[11]) / 2
    expected = float(contact.look.range_m[10] + contact.look.range_m[11]) / 2 / SPEED_OF_LIGHT_M_S
    assert contact.light_time_s(middle) == pytest.approx(expected)


def test_parameters_are_equal_when_made_apart_and_differ_by_anything() -> None:
    one, other = (contact_of(toy_satellite(), toy_station(), AT_UTC) for _ in range(2))
    agreed = one.parameters(PROTOCOL, seed=1)
    assert agreed.digest == other.parameters(PROTOCOL, seed=1).digest
    assert len(agreed.digest) == 32
    changes = [
        contact_of(toy_satellite(source__intensities=(0.8, 0.11, 0.0)), toy_station(), AT_UTC).parameters(
            PROTOCOL, seed=1
        ),
        contact_of(toy_satellite(), toy_station(name="another"), AT_UTC).parameters(PROTOCOL, seed=1),
        one.parameters(PROTOCOL, seed=2),
        one.parameters(replaced(PROTOCOL, frame_bits=65537), seed=1),
    ]
    assert len({agreed.digest, *(each.digest for each in changes)}) == 5


def test_every_field_of_the_parameters_is_in_the_digest() -> None:
    agreed = contact_of(toy_satellite(), toy_station(), AT_UTC).parameters(PROTOCOL, seed=1)
    for name in agreed.__struct_fields__:
        value = getattr(agreed, name)
        if isinstance(value, str):
            other = msgspec.structs.replace(agreed, **{name: value + "x"})
        elif isinstance(value, int | float):
            other = msgspec.structs.replace(agreed, **{name: value * 2 + 1})
        else:
            continue
        assert other.digest != agreed.digest, name


@pytest.mark.parametrize("blocks", [1, 3, 7])
def test_blocks_cover_the_pass_without_gap(blocks: int) -> None:
    agreed = contact_of(toy_satellite(), toy_station(), AT_UTC).parameters(
        replaced(PROTOCOL, blocks=blocks), seed=1
    )
    edges = [agreed.first_slot(block) for block in range(blocks + 1)]
    assert (edges[0], edges[-1]) == (0, agreed.slots)
    assert np.ptp(np.diff(edges)) <= 1
    assert agreed.end_s(blocks - 1) == agreed.slots / 1e7


def test_the_largest_light_time_covers_the_pass() -> None:
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    agreed = contact.parameters(PROTOCOL, seed=1)
    assert (
        agreed.maximum_light_time_s >= contact.look.range_m[contact.quantum_rows].max() / SPEED_OF_LIGHT_M_S
    )


def test_a_contact_made_from_its_own_pass_is_the_same() -> None:
    one = contact_of(toy_satellite(), toy_station(), AT_UTC)
    other = make_contact(one.satellite, one.station, one.pass_)
    assert (other.epoch, other.slots) == (one.epoch, one.slots)
