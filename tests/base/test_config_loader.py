"""Settings: units converted once, evidence that belongs to the number that holds."""

import types
import typing
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from satqkd.config import (
    Clock,
    Cloud,
    Lasercom,
    Orbit,
    Satellite,
    Station,
    Tagger,
    Transmitter,
    load,
    read_toml,
)
from satqkd.errors import ConfigError

BELOW = {
    "divergence_urad": {"value": 10, "evidence": "published", "source": "a paper"},
    "divergence_convention": "disc_full",
    "aperture_diameter_m": {"value": 0.3, "evidence": "published", "source": "a paper"},
    "pointing_jitter_urad": {"value": 1.2, "evidence": "published", "source": "a paper"},
}


def test_a_key_is_converted_by_its_unit_and_the_longest_unit_wins() -> None:
    loaded = load(BELOW, Transmitter, "x.toml").value
    assert (loaded.divergence_rad, loaded.aperture_diameter_m) == pytest.approx((1e-5, 0.3))
    assert load({"rate_mbit_s": 2, "frame_loss": 0.0}, Lasercom, "x").value.rate_bit_s == 2e6
    with pytest.raises(ConfigError, match="unknown key rate_bit_ms"):
        load({"rate_bit_ms": 2, "frame_loss": 0.0}, Lasercom, "x")


def test_an_overriding_number_loses_the_evidence_of_the_one_below() -> None:
    """A bare number over a published one is nobody's published number."""
    loaded = load({"aperture_diameter_cm": 20}, Transmitter, "mine.toml", over=BELOW)
    assert loaded.value.aperture_diameter_m == pytest.approx(0.2)
    assert {each.path for each in loaded.evidence} == {"divergence_rad", "pointing_jitter_rad"}


def test_an_overriding_number_brings_its_own_evidence() -> None:
    own = {"aperture_diameter_m": {"value": 0.2, "evidence": "measured", "source": "our bench"}}
    loaded = load(own, Transmitter, "mine.toml", over=BELOW)
    assert [each.mark for each in loaded.evidence if each.path == "aperture_diameter_m"] == ["measured"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"offset_ms": 5, "drift": 0}, "x.toml"),
        ({"offset_ms": 0.1, "offset_us": 100, "drift": 0}, "given twice"),
        ({"offset_ms": {"value": 0.1, "evidence": "assumed"}, "drift": 0}, "source"),
        ({"offset_ms": {"value": 0.1, "evidence": "guessed", "source": "x"}, "drift": 0}, "guessed"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(table, Clock, "x.toml")


def _station_table(**changes: object) -> dict[str, object]:
    path = Path(str(files("satqkd"))) / "presets" / "stations" / "stellenbosch.toml"
    table = read_toml(path)
    table.pop("clouds", None)
    return {**table, **changes}


def test_one_number_stands_for_four_detectors_and_four_for_each() -> None:
    table = _station_table()
    receiver = dict(table["receiver"])  # type: ignore[call-overload]
    receiver["detector"] = {
        "efficiency": {"value": 0.5, "evidence": "measured", "source": "test bench"},
        "dark_rate_khz": [0.1, 0.2, 0.3, 0.4],
        "dead_time_ns": 50,
        "jitter_ps": 350,
    }
    loaded = load({**table, "receiver": receiver}, Station, "mine")
    detector = loaded.value.receiver.detector
    assert detector.efficiency == (0.5,) * 4
    assert detector.dark_rate_hz == pytest.approx((100.0, 200.0, 300.0, 400.0))
    assert detector.dead_time_s == pytest.approx((5e-8,) * 4)
    receiver["detector"] = {**receiver["detector"], "efficiency": [0.5, 0.5, 1.5, 0.5]}
    with pytest.raises(ConfigError, match=r"detector.efficiency\[2\]: expected .* < 1.0, got 1.5"):
        load({**table, "receiver": receiver}, Station, "mine")


def test_tables_in_a_list_have_units_and_checks_of_their_own() -> None:
    clouds = [{"from_s": 10, "to_s": 20, "loss_db": 3}, {"from_s": 30, "to_s": 25.0, "loss_db": 1}]
    loaded = load(_station_table(clouds=clouds[:1]), Station, "mine").value
    assert loaded.clouds == (Cloud(from_s=10.0, to_s=20.0, loss_db=3.0),)
    with pytest.raises(ConfigError, match="from_s before to_s"):
        load(_station_table(clouds=clouds), Station, "mine")
    with pytest.raises(ConfigError, match=r"unknown key clouds\[0\]\.from_x"):
        load(_station_table(clouds=[{"from_x": 1}]), Station, "mine")


def test_an_alternative_hides_the_other_of_the_table_below() -> None:
    below = _station_table()
    below.pop("visibility_km", None)
    below["zenith_optical_depth"] = {"value": 0.2, "evidence": "assumed", "source": "some book"}
    loaded = load({"visibility_km": 23}, Station, "mine", over=below)
    assert (loaded.value.visibility_m, loaded.value.zenith_optical_depth) == (23_000.0, None)
    assert "zenith_optical_depth" not in {each.path for each in loaded.evidence}
    with pytest.raises(ConfigError, match="either zenith_optical_depth or visibility"):
        load({"visibility_km": 23, "zenith_optical_depth": 0.1}, Station, "mine", over=below)


def test_an_alternative_hides_inside_a_table_too() -> None:
    path = Path(str(files("satqkd"))) / "presets" / "satellites" / "micius.toml"
    mine = {"transmitter": {"waist_radius_mm": 120}, "orbit": {"epoch_utc": "2024-01-01T00:00:00Z"}}
    mine["orbit"] |= {"altitude_km": 600, "right_ascension_deg": 10}
    craft = load(mine, Satellite, "mine", over=read_toml(path)).value
    assert craft.transmitter.divergence_rad is None
    assert craft.transmitter.waist_radius_m == pytest.approx(0.12)
    assert craft.transmitter.pointing_jitter_rad > 0
    assert (craft.orbit.tle_line_1, craft.orbit.altitude_m) == (None, 600e3)


@pytest.mark.parametrize(
    ("struct", "changes", "says"),
    [
        (Transmitter, {"divergence_rad": 1e-5}, "either divergence and divergence_convention, or waist"),
        (Transmitter, {}, "either divergence and divergence_convention, or waist"),
        (Tagger, {"resolution_s": 1.5e-12}, "whole number of picoseconds, got 1.5 ps"),
        (Tagger, {"resolution_s": 1e-13}, "whole number of picoseconds"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(struct: type, changes: dict, says: str) -> None:
    needed = {"aperture_diameter_m": 0.2, "pointing_jitter_rad": 0.0} if struct is Transmitter else {}
    with pytest.raises(ConfigError, match=says):
        struct(**needed, **changes)


def test_a_hold_off_shorter_than_a_dead_time_is_refused() -> None:
    receiver = load(_station_table(), Station, "mine").value.receiver
    with pytest.raises(ConfigError, match=r"hold_off: expected at least the longest dead time"):
        msgspec.convert({**msgspec.to_builtins(receiver), "hold_off_s": 1e-9}, type(receiver))


def test_a_diode_skew_beyond_half_a_period_is_refused() -> None:
    path = Path(str(files("satqkd"))) / "presets" / "satellites" / "jinan-1.toml"
    source = load(read_toml(path), Satellite, "jinan-1").value.source
    with pytest.raises(ConfigError, match=r"diode_skew: expected at most half the pulse period of 1600 ps"):
        msgspec.convert({**msgspec.to_builtins(source), "diode_skew_s": [0, 0, 9e-10, 0]}, type(source))


def test_true_intensities_hold_bias_and_leak() -> None:
    path = Path(str(files("satqkd"))) / "presets" / "satellites" / "micius.toml"
    source = load(read_toml(path), Satellite, "micius").value.source
    odd = msgspec.structs.replace(source, intensity_bias=(0.1, -0.2, 0.0), intensity_extinction_db=30.0)
    assert odd.true_intensities == pytest.approx((0.88, 0.08, 0.00088))


def test_two_alternatives_at_once_hide_both_of_the_others() -> None:
    below = {
        "epoch_utc": "2024-01-01T00:00:00Z",
        "mean_motion_rev_day": 15.2,
        "inclination_deg": 97,
        "local_time_of_ascending_node_s": 81000,
        "mean_anomaly_deg": 30,
    }
    loaded = load({"altitude_km": 700, "right_ascension_deg": 20}, Orbit, "mine", over=below).value
    assert (loaded.mean_motion_rad_s, loaded.local_time_of_ascending_node_s) == (None, None)
    assert (loaded.altitude_m, loaded.mean_anomaly_rad) == pytest.approx((700e3, 0.5235987756))


def test_none_takes_away_what_the_table_below_gives() -> None:
    below = _station_table()
    assert load({}, Station, "mine", over=below).value.turbulence is not None
    mine = {"turbulence": "none", "receiver": {"hold_off_s": "none", "polarisation": {"update_s": 2}}}
    loaded = load(mine, Station, "mine", over=below)
    assert (loaded.value.turbulence, loaded.value.receiver.hold_off_s) == (None, None)
    assert loaded.value.receiver.polarisation.update_s == 2
    with pytest.raises(ConfigError, match="telescope_diameter_m"):
        load({"telescope_diameter_m": "none"}, Station, "mine", over=below)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), [0.5, float("nan"), 0.5, 0.5]])
def test_numbers_that_are_none_are_refused(bad: object) -> None:
    below = _station_table()
    with pytest.raises(ConfigError, match=r"receiver.detector.efficiency: expected a finite number"):
        load({"receiver": {"detector": {"efficiency": bad}}}, Station, "mine", over=below)
    with pytest.raises(ConfigError, match=r"clouds\[0\]\.from_s: expected a finite number"):
        clouds = [{"from_s": float("nan"), "to_s": 1.0, "loss_db": 1.0}]
        load({"clouds": clouds}, Station, "mine", over=below)


def _numbers(struct: type, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], list[float]]]:
    """Paths of the limited numbers of a struct, each with values just outside its limits."""
    found = []
    hints = typing.get_type_hints(struct, include_extras=True)
    for name, hint in hints.items():
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        for option in options:
            if isinstance(option, type) and issubclass(option, msgspec.Struct):
                found += _numbers(option, (*path, name))
            elif typing.get_origin(option) is typing.Annotated and option.__origin__ in (float, int):
                found.append(((*path, name), _outside(option.__metadata__[0])))
            elif typing.get_origin(option) is tuple and typing.get_args(option)[-1] is not ...:
                limited = [part for part in typing.get_args(option) if hasattr(part, "__metadata__")]
                wrong = [_outside(part.__metadata__[0])[0] for part in limited[:1]]
                found += [((*path, name), [[each] * len(typing.get_args(option)) for each in wrong])]
    return found


def _outside(limits: msgspec.Meta) -> list[float]:
    below = [each for each in (limits.ge and limits.ge - 1e-9, limits.gt) if each is not None]
    low = [-1e-9 if limits.ge == 0 else below[0]] if below or limits.ge == 0 else []
    high = [
        each for each in (limits.lt, None if limits.le is None else limits.le * 1.001) if each is not None
    ]
    return [*low, *high]


@pytest.mark.parametrize("struct", [Satellite, Station], ids=lambda each: each.__name__)
def test_every_number_has_a_range_and_is_refused_outside_it(struct: type) -> None:
    """Each limited setting, one at a time, at a value just outside: the error names it."""
    folder, name = ("satellites", "jinan-1") if struct is Satellite else ("stations", "stellenbosch")
    table = read_toml(Path(str(files("satqkd"))) / "presets" / folder / f"{name}.toml")
    checked = 0
    for path, wrongs in _numbers(struct):
        for wrong in wrongs:
            changed: dict[str, object] = {path[-1]: wrong}
            for part in reversed(path[:-1]):
                changed = {part: changed}
            with pytest.raises(ConfigError, match=path[-1].rsplit("_", 1)[0]):
                load(changed, struct, "mine", over=table)
            checked += 1
    assert checked > 40


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"beacon": {"laser": {"pointing_jitter_urad": 1}}}, "share the pointing of its transmitter"),
        ({"lasercom": {"laser": {"pointing_correlation_s": 1}}}, "share the pointing of its transmitter"),
        ({"beacon": {"laser": {"extinction": 0.1}}}, "a beacon carries no bits"),
        ({"beacon": {"laser": "none"}}, "expected a laser with it"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(changes: dict[str, object], says: str) -> None:
    path = Path(str(files("satqkd"))) / "presets" / "satellites" / "jinan-1.toml"
    with pytest.raises(ConfigError, match=says):
        load(changes, Satellite, "mine", over=read_toml(path))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"latitude_deg": 95}, r"latitude_rad: expected .* <= 1.57.*, got 1.658.* \(95 degrees\)"),
        ({"telescope_diameter_m": 280}, "telescope_diameter_m: expected .* <= 50.0, got 280"),
        ({"visibility_m": 3000}, "visibility_m: expected .* >= 5000.0, got 3000"),
        (
            {"altitude_m": {"value": 1, "evidence": "guess", "source": "x"}},
            "one of published, inferred.*'guess'",
        ),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_came(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(changes, Station, "mine", over=_station_table())


def test_a_tagger_slower_than_the_detectors_decides() -> None:
    receiver = load(_station_table(), Station, "mine").value.receiver
    slow = {**msgspec.to_builtins(receiver), "tagger": {"dead_time_s": 1e-6}}
    dead_s = receiver.detector.dead_time_s[0]
    assert msgspec.convert(slow, type(receiver)).exclusion_s == pytest.approx(1e-6 + dead_s)
    with pytest.raises(ConfigError, match="hold_off"):
        msgspec.convert({**slow, "hold_off_s": 5e-7}, type(receiver))
