"""V2 on the curve, V3, V8, V9, V10 and V12: what holds, and the wrong inputs that the rows notice."""

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from satqkd.config import Satellite, Station
from satqkd.errors import DataFormatError
from satqkd.mission import presets
from satqkd.optics import loss_db
from satqkd.validation import arithmetic, curve, jinan, micius, physics, portable, relay, validate
from satqkd.validation.rows import Row


def _statuses(rows: list[Row]) -> dict[str, str]:
    return {each.id: each.status for each in rows}


def _transmitter(**changes: object) -> Satellite:
    above = physics.published_satellite()
    return msgspec.structs.replace(above, transmitter=msgspec.structs.replace(above.transmitter, **changes))


def _portables(**changes: object) -> list[Station]:
    return [msgspec.structs.replace(presets.station(name), **changes) for name in portable.STATIONS]


class TestPhysicsLoss:
    def test_one_zenith_depth_takes_it_and_clear_air_does_not(self) -> None:
        statuses = _statuses(physics.rows())
        assert [statuses[f"V3{letter}"] for letter in "abcdefgh"] == ["reproduced"] * 8
        assert (statuses["V3i"], statuses["V3j"]) == ("not_reproduced", "not_reproduced")

    def test_the_budget_is_the_sum_by_hand(self) -> None:
        """Disc 10 urad into 1 m: 21.58 dB at 1200 km; jitter of 1.2 urad: 0.47 dB; 16 %: 7.96 dB."""
        bare = physics.losses_db(physics.published_satellite(), physics.published_station())
        assert bare[-1] == pytest.approx(21.58 + 0.47 + 7.96, abs=0.02)
        assert bare[0] - bare[-1] == pytest.approx(20 * np.log10(645 / 1200), abs=0.001)

    def test_the_fit_is_the_best_depth(self) -> None:
        above, below = physics.published_satellite(), physics.published_station()

        def squares(depth: float) -> float:
            off = physics.losses_db(above, physics.with_depth(below, depth)) - physics.LOSSES_DB
            return float(off @ off)

        best = physics.fitted_depth(above, below)
        assert squares(best) < min(squares(best - 0.01), squares(best + 0.01))

    def test_nothing_that_the_preset_calibrates_enters(self) -> None:
        below = physics.published_station()
        assert below.calibration_loss_db == 0
        assert below.visibility_m is None
        assert below.zenith_optical_depth == 0

    @pytest.mark.parametrize("convention", ["gaussian_1e2_full", "gaussian_fwhm_full"])
    def test_another_meaning_of_the_divergence_is_noticed(self, convention: str) -> None:
        """The Gaussian of the same 1/e^2 angle needs more air than is possible; no depth mends it."""
        found = physics.fitted_air_rows(
            _transmitter(divergence_convention=convention), physics.published_station()
        )
        wrong = [each for each in found if each.status == "not_reproduced"]
        assert bool(wrong) == (convention == "gaussian_1e2_full")

    def test_a_beam_of_half_the_angle_needs_impossible_air(self) -> None:
        above, below = _transmitter(divergence_rad=5e-6), physics.published_station()
        assert physics.air_row(above, below).status == "not_reproduced"
        assert physics.fitted_air_rows(above, below)[0].status == "not_reproduced"

    def test_forgotten_ground_optics_are_noticed(self) -> None:
        below = physics.published_station()
        open_optics = msgspec.structs.replace(
            below, receiver=msgspec.structs.replace(below.receiver, optics_transmittance=0.99)
        )
        assert (
            "not_reproduced"
            in _statuses(physics.fitted_air_rows(physics.published_satellite(), open_optics)).values()
        )

    def test_a_telescope_of_a_third_is_noticed(self) -> None:
        small = msgspec.structs.replace(physics.published_station(), telescope_diameter_m=0.28)
        statuses = _statuses(physics.rows(physics.published_satellite(), small))
        assert statuses["V3a"] == statuses["V3d"] == statuses["V3j"] == "not_reproduced"


class TestLossCurve:
    HEADER = "# digitised\nrange_km,loss_db\n"

    def _curve_of_the_budget(self, tmp_path: Path, extra_db: float = 0.0) -> Path:
        """The preset's own loss, without the detector, as a file."""
        contact = micius.published_pass()
        nearest = int(np.argmin(contact.look.range_m))
        half = slice(nearest, contact.quantum_rows.stop, 40)
        rows = zip(
            contact.look.range_m[half] / 1e3,
            loss_db(contact.losses.transmittance[half]) + extra_db,
            strict=True,
        )
        path = tmp_path / "curve.csv"
        path.write_text(self.HEADER + "".join(f"{r:.4f},{loss:.5f}\n" for r, loss in rows))
        return path

    def test_a_curve_that_is_the_budget_gives_the_budget(self, tmp_path: Path) -> None:
        on_curve = {
            each.id: each for each in curve.rows(curve.read_loss_curve(self._curve_of_the_budget(tmp_path)))
        }
        contact = micius.published_pass()
        for name, row in (("V2e", micius.detections(contact)), ("V2h", micius.farthest_rate(contact))):
            assert on_curve[name].computed == pytest.approx(row.computed, rel=0.01)
            assert on_curve[name].fitted == ""

    def test_a_curve_with_the_detector_in_it_is_noticed(self, tmp_path: Path) -> None:
        path = self._curve_of_the_budget(tmp_path, extra_db=3.01)
        statuses = _statuses(curve.rows(curve.read_loss_curve(path)))
        assert statuses["V2e"] == statuses["V2f"] == "not_reproduced"

    def test_validate_takes_it(self, tmp_path: Path, published: list[Row]) -> None:
        names = [each.id for each in validate(self._curve_of_the_budget(tmp_path))]
        assert names.index("V2d") + 1 == names.index("V2e")
        assert "V2e" not in [each.id for each in published]

    @pytest.mark.skipif(
        "SATQKD_MICIUS_LOSS_CSV" not in os.environ, reason="the digitised curve is not shipped"
    )
    def test_the_digitised_curve_reproduces_counts_and_both_rates(self) -> None:
        found = curve.rows(curve.read_loss_curve(Path(os.environ["SATQKD_MICIUS_LOSS_CSV"])))
        assert set(_statuses(found).values()) == {"reproduced"}

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ("range_m,loss_db\n1,2\n3,4\n", "line 1: expected the header range_km,loss_db"),
            ("range_km,loss_db\n645,30\n700,thirty\n", "line 3, column loss_db: expected a number"),
            ("range_km,loss_db\n645,30\n", "at least two rows"),
            ("range_km,loss_db\n700,30\n645,31\n", "rising range_km"),
            ("range_km,loss_db\n700,30,1\n", "line 2: expected 2 cells"),
            ("", "expected a header line"),
        ],
    )
    def test_a_file_that_is_none_is_told_with_its_place(self, tmp_path: Path, text: str, part: str) -> None:
        path = tmp_path / "curve.csv"
        path.write_text(text)
        with pytest.raises(DataFormatError, match=part):
            curve.read_loss_curve(path)


class TestPortable:
    def test_the_passes_are_always_the_same_and_typical(self) -> None:
        above = presets.satellite("micius")
        below = [presets.station("jinan")]
        first, again = (list(portable.typical_contacts(above, below)) for _ in range(2))
        assert [each.epoch for each in first] == [each.epoch for each in again]
        assert first
        assert all(each.pass_.max_elevation_rad >= np.radians(30) for each in first)
        assert all(each.pass_.sun_elevation_rad < np.radians(-12) for each in first)

    def test_a_one_metre_telescope_is_no_portable_station(self) -> None:
        (found,) = portable.rows(_portables(telescope_diameter_m=1.0, central_obscuration=0.0))
        assert found.status == "not_reproduced"

    def test_a_tenth_of_the_light_gives_no_such_key(self) -> None:
        loss = presets.station("jinan").calibration_loss_db
        (found,) = portable.rows(_portables(calibration_loss_db=loss + 10))
        assert found.status == "not_reproduced"

    def test_what_is_missing_is_said(self) -> None:
        (found,) = portable.rows([presets.station("jinan")])
        assert "not published" in found.source
        assert not found.blind


class TestJinan:
    def test_the_preprints_key_follows_the_loss(self) -> None:
        satellite = presets.satellite("jinan-1")
        good = jinan.highest_contact(satellite, "jinan")
        assert jinan.preprint_key(good).status == "reproduced"
        weak = msgspec.structs.replace(
            satellite,
            source=msgspec.structs.replace(
                satellite.source, pulse_rate_hz=satellite.source.pulse_rate_hz / 3
            ),
        )
        assert jinan.preprint_key(jinan.highest_contact(weak, "jinan")).status == "not_reproduced"

    def test_random_passes_repeat_and_are_by_night_over_several_sites(self) -> None:
        satellite = presets.satellite("jinan-1")
        first, again = jinan.random_contacts(satellite), jinan.random_contacts(satellite)
        assert [each.epoch for each in first] == [each.epoch for each in again]
        assert [each.epoch for each in first] != [
            each.epoch for each in jinan.random_contacts(satellite, seed=2)
        ]
        assert len({(each.station.name, each.epoch) for each in first}) == jinan.PASSES
        assert len({each.station.name for each in first}) > 3
        assert all(each.pass_.sun_elevation_rad < np.radians(-12) for each in first)

    def test_the_spread_is_a_gap_with_figures(self) -> None:
        best, share = jinan.spread([0, 0, 100, 200, 400])
        assert (best.computed, share.computed) == (4.0, 0.4)
        assert best.status == share.status == "gap"
        assert "missing: " in best.source
        assert best.published is None

    def test_no_key_at_all_has_no_ratio(self) -> None:
        best, share = jinan.spread([0, 0, 0])
        assert best.computed is None
        assert share.computed == 1


class TestRelay:
    def test_bit_exact_and_no_key_twice(self) -> None:
        run = relay.run_relay()
        assert run.sent == run.received == relay.IMAGE
        assert set(_statuses(relay.rows(run)).values()) == {"reproduced"}

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"received": bytes([relay.IMAGE[0] ^ 1]) + relay.IMAGE[1:]}, "V12a"),
            ({"received": relay.IMAGE[:-1]}, "V12a"),
            ({"pair_spent_bits": 8 * len(relay.IMAGE)}, "V12b"),
            ({"link_spent_bits": relay.RELAY_BITS}, "V12c"),
            ({"used_twice_bits": 8}, "V12d"),
        ],
    )
    def test_each_row_notices_its_fault(self, changes: dict[str, object], name: str) -> None:
        good = relay.RelayRun(
            sent=relay.IMAGE,
            received=relay.IMAGE,
            link_spent_bits=2 * (relay.RELAY_BITS + 256),
            pair_spent_bits=8 * len(relay.IMAGE) + 256,
            used_twice_bits=0,
        )
        assert set(_statuses(relay.rows(good)).values()) == {"reproduced"}
        statuses = _statuses(relay.rows(msgspec.structs.replace(good, **changes)))
        assert [key for key, status in statuses.items() if status == "not_reproduced"] == [name]

    def test_a_pad_that_is_used_again_is_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sender that sends the same file twice has used every bit of it twice."""
        sent: list[bytes] = []
        encrypted = relay.encrypt

        def lazy(*arguments: object, **named: object) -> bytes:
            if not sent:
                sent.append(encrypted(*arguments, **named))  # type: ignore[arg-type]
            return sent[0]

        monkeypatch.setattr(relay, "encrypt", lazy)
        assert relay.run_relay().used_twice_bits == 8 * len(relay.IMAGE) + 256


class TestArithmetic:
    def test_all_hold(self) -> None:
        assert set(_statuses(arithmetic.rows()).values()) == {"reproduced"}

    def test_other_intensities_give_another_ratio(self) -> None:
        above = presets.satellite("micius")
        source = msgspec.structs.replace(above.source, intensities=(0.8, 0.11, 0.0))
        assert arithmetic.sifting(msgspec.structs.replace(above, source=source)).status == "not_reproduced"

    def test_a_half_angle_taken_for_the_full_one_is_noticed(self) -> None:
        found = arithmetic.conventions(5e-6) + arithmetic.gaussian_at_ranges(5e-6)
        assert set(_statuses(found).values()) == {"not_reproduced"}
