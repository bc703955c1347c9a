"""Passes as channels, and the answer that `optimise_source` gives: sums, tables, limits, words."""

import re
import tomllib

import msgspec
import numpy as np
import pytest

from documentation import page, section, undocumented_fields
from satqkd import optimise_source
from satqkd.config import Monitors, Protocol, Satellite, Station
from satqkd.errors import ConfigError, NoPassError
from satqkd.mission import choose_pass, expected_key, make_contact, optimum, presets
from satqkd.mission.contact import PLANNING_GRID_S
from satqkd.mission.foretold import expected_pass_counts
from satqkd.mission.link_channel import link_channel
from satqkd.mission.optimise import optimise_plan
from satqkd.mission.optimum import SourceOptimum
from satqkd.mission.pass_plan import PassPlan, pass_plan
from satqkd.security.channel import SourceSettings
from satqkd.security.optimise import optimise
from satqkd.security.plan import Prior, exact_key, expected_rows
from satqkd.security.settings_space import SettingsSpace
from satqkd.sky import parse_utc

MICIUS, XINGLONG = presets.satellite("micius"), presets.station("xinglong")
AT_UTC = "2016-12-19T16:52:13Z"


def with_source(satellite: Satellite, **changes: object) -> Satellite:
    return msgspec.structs.replace(satellite, source=msgspec.structs.replace(satellite.source, **changes))


def with_receiver(station: Station, **changes: object) -> Station:
    return msgspec.structs.replace(station, receiver=msgspec.structs.replace(station.receiver, **changes))


def planned(satellite: Satellite, station: Station, at_utc: str | None = None, **more: object) -> PassPlan:
    at = parse_utc(at_utc or satellite.reference_epoch_utc)
    return pass_plan(satellite, station, at, **{"protocol": Protocol()} | more)


@pytest.fixture(scope="module")
def micius() -> SourceOptimum:
    return optimise_source("micius", "xinglong", at_utc=AT_UTC)


@pytest.fixture(scope="module")
def uncertain() -> SourceOptimum:
    return optimise_source("cubesat-6u", "graz", loss_spread_db=3.0, clear_sky=0.4)


class TestChannelOfAContact:
    @pytest.mark.parametrize(
        ("names", "receiver"),
        [
            (("micius", "xinglong"), {}),
            (("jinan-1", "stellenbosch"), {}),
            (("cubesat-6u", "graz"), {"basis_choice": "active", "basis_z_probability": 0.8}),
            (
                ("jinan-1", "stellenbosch"),
                {"basis_choice": "active", "basis_z_probability": 0.3, "monitors": Monitors()},
            ),
        ],
    )
    @pytest.mark.parametrize(
        ("intensities", "probabilities", "z"),
        [
            ((0.8, 0.1, 0.0), (0.5, 0.25, 0.25), 0.5),
            ((0.6, 0.06, 0.0), (0.95, 0.03, 0.02), 0.9),
            ((0.9, 0.4, 0.01), (0.2, 0.6, 0.2), 0.3),
        ],
    )
    def test_it_foretells_what_the_budget_does_for_other_sources(
        self,
        names: tuple[str, str],
        receiver: dict[str, object],
        intensities: tuple[float, float, float],
        probabilities: tuple[float, float, float],
        z: float,
    ) -> None:
        satellite, station = presets.satellite(names[0]), presets.station(names[1])
        plain = with_receiver(station, **receiver | {"basis_z_probability": 0.5})
        night = choose_pass(satellite, station, parse_utc(satellite.reference_epoch_utc))
        channel = link_channel(make_contact(satellite, plain, night, step_s=PLANNING_GRID_S))

        other = with_source(
            satellite, intensities=intensities, probabilities=probabilities, basis_z_probability=z
        )
        contact = make_contact(other, with_receiver(station, **receiver), night, step_s=PLANNING_GRID_S)
        q = contact.station.receiver.basis_z_probability
        foretold = expected_rows(SourceSettings(intensities, probabilities, z, q), channel)
        for got, wanted in zip(foretold, expected_pass_counts(contact), strict=True):
            assert got.detections == pytest.approx(wanted.detections, rel=2e-3, abs=1)
            assert got.errors == pytest.approx(wanted.errors, rel=2e-3, abs=1)

    def test_bias_and_extinction_are_nature_and_headers_take_their_slots(self) -> None:
        odd = with_source(MICIUS, intensity_bias=(0.05, -0.1, 0.0), intensity_extinction_db=30.0)
        night = choose_pass(odd, XINGLONG, parse_utc(AT_UTC))
        contact = make_contact(odd, XINGLONG, night, step_s=PLANNING_GRID_S)
        source = odd.source
        settings = SourceSettings(source.intensities, source.probabilities, 0.5, 0.5)
        foretold = expected_rows(settings, link_channel(contact))
        for got, wanted in zip(foretold, expected_pass_counts(contact), strict=True):
            assert got.detections == pytest.approx(wanted.detections, rel=2e-3, abs=1)
        assert foretold[2].detections > 700  # 460 without the light of dark pulses

    def test_rows_of_a_window_add_up_to_it(self) -> None:
        night = choose_pass(MICIUS, XINGLONG, parse_utc(AT_UTC))
        contact = make_contact(MICIUS, XINGLONG, night, step_s=PLANNING_GRID_S)
        settings = SourceSettings(MICIUS.source.intensities, MICIUS.source.probabilities, 0.5, 0.5)
        early = contact.look.t_s[contact.quantum_rows] < 100
        whole, *parts = (link_channel(contact, rows).counts(settings)[0] for rows in (None, early, ~early))
        assert parts[0] + parts[1] == pytest.approx(whole, rel=1e-6)
        assert 0.1 < parts[0].sum() / whole.sum() < 0.5


class TestAnswer:
    def test_before_is_what_the_planner_expects(self, micius: SourceOptimum) -> None:
        night = choose_pass(MICIUS, XINGLONG, parse_utc(AT_UTC))
        contact = make_contact(MICIUS, XINGLONG, night, step_s=PLANNING_GRID_S)
        assert micius.before_bits == pytest.approx(expected_key(contact).secret_bits, rel=1e-3)
        assert micius.before.intensities == (0.8, 0.1, 0.0)

    def test_after_is_what_the_planner_expects_of_a_satellite_set_so(self, micius: SourceOptimum) -> None:
        after = micius.after
        better = with_source(
            MICIUS,
            intensities=after.intensities,
            probabilities=after.probabilities,
            basis_z_probability=after.basis_z_probability,
        )
        night = choose_pass(better, XINGLONG, parse_utc(AT_UTC))
        contact = make_contact(better, XINGLONG, night, step_s=PLANNING_GRID_S)
        assert micius.after_bits == pytest.approx(expected_key(contact).secret_bits, rel=2e-3)
        assert micius.after_bits > 1.5 * micius.before_bits

    def test_a_passive_receiver_stays_at_one_half_an_active_one_is_chosen(
        self, micius: SourceOptimum
    ) -> None:
        assert micius.after.station_basis_z_probability == 0.5
        active = with_receiver(XINGLONG, basis_choice="active")
        rules = Protocol(keyed_bases=("Z",))
        free = optimise_source(MICIUS, active, at_utc=AT_UTC, protocol=rules)
        assert free.after.station_basis_z_probability > 0.8 < free.after.basis_z_probability
        one_sided = optimise_source(MICIUS, XINGLONG, at_utc=AT_UTC, protocol=rules)
        assert free.after_bits > 1.4 * one_sided.after_bits

    def test_passes_and_losses_add_up(self, uncertain: SourceOptimum) -> None:
        assert sum(each.after_bits for each in uncertain.passes) == pytest.approx(uncertain.after_bits)
        assert sum(each.before_bits for each in uncertain.passes) == pytest.approx(uncertain.before_bits)
        total = sum(row.weight * row.after_bits for row in uncertain.losses)
        assert total == pytest.approx(uncertain.after_bits)
        assert sum(row.weight for row in uncertain.losses) == pytest.approx(1)
        assert uncertain.passes[0].clear_sky == 0.4

    def test_a_length_that_follows_the_counts_is_worth_much_more(self, uncertain: SourceOptimum) -> None:
        assert uncertain.variable_over_fixed > 2.5
        assert uncertain.fixed_length_bits * uncertain.variable_over_fixed == pytest.approx(
            uncertain.after_bits, rel=0.01
        )

    def test_cutting_low_elevations_lowers_qber_and_may_win(self, uncertain: SourceOptimum) -> None:
        cuts = uncertain.elevation_cuts
        assert cuts[0].elevation_deg == 10.0
        assert cuts[0].expected_bits == pytest.approx(uncertain.after_bits, rel=0.01)
        for name in ("sifted_bits", "qber"):
            column = [getattr(cut, name) for cut in cuts]
            assert column == sorted(column, reverse=True)
        best = max(cuts, key=lambda cut: cut.expected_bits)
        assert uncertain.best_elevation_deg == best.elevation_deg > 10.0

    def test_blocks_closed_early_cost_key(self, micius: SourceOptimum) -> None:
        last = micius.closings[-1]
        assert last.first_bits == last.secret_bits == micius.after_bits and last.rest_bits == 0
        assert all(each.secret_bits == each.first_bits + each.rest_bits for each in micius.closings)
        assert all(each.secret_bits <= last.secret_bits for each in micius.closings)
        firsts = [each.first_bits for each in micius.closings]
        assert firsts == sorted(firsts) and firsts[0] == 0
        one, two = micius.splittings[:2]
        assert (one.blocks, one.secret_bits, one.first_key_s) == (1, micius.after_bits, last.close_s)
        assert two.first_key_s == pytest.approx(one.first_key_s / 2)
        assert two.secret_bits < one.secret_bits
        totals = [each.secret_bits for each in micius.splittings]
        assert totals == sorted(totals, reverse=True)

    def test_rules_are_compared_each_at_its_best(self, micius: SourceOptimum) -> None:
        own, *others = micius.alternatives
        assert own.expected_bits == micius.after_bits
        by_rule = {(each.keyed_bases, each.keyed_classes, each.decoys): each for each in others}
        assert set(by_rule) == {
            (("Z",), ("signal",), 2),
            (("Z", "X"), ("signal", "decoy"), 2),
            (("Z", "X"), ("signal",), 1),
        }
        assert by_rule[("Z",), ("signal",), 2].settings.basis_z_probability > 0.8
        assert by_rule[("Z", "X"), ("signal", "decoy"), 2].expected_bits > micius.after_bits
        assert len(by_rule[("Z", "X"), ("signal",), 1].settings.intensities) == 2

    def test_sweeps_peak_at_the_answer(self, micius: SourceOptimum) -> None:
        assert [sweep.setting for sweep in micius.sweeps] == [
            "signal intensity",
            "decoy intensity",
            "signal probability",
            "decoy probability",
            "sender's probability of Z",
        ]
        for sweep in micius.sweeps:
            assert list(sweep.values) == sorted(sweep.values)
            top = max(sweep.expected_bits)
            assert top == pytest.approx(micius.after_bits, rel=2e-3)
            assert min(sweep.expected_bits) < 0.999 * top

    def test_the_struct_has_a_json_form(self, uncertain: SourceOptimum) -> None:
        assert msgspec.json.decode(msgspec.json.encode(uncertain), type=SourceOptimum) == uncertain


class TestPlans:
    def test_what_is_kept_stays(self) -> None:
        found = optimise_source("micius", "xinglong", at_utc=AT_UTC, fix=["intensities", "basis"])
        assert found.after.intensities == (0.8, 0.1, 0.0)
        assert found.after.basis_z_probability == 0.5
        assert found.after.probabilities != found.before.probabilities
        assert [sweep.setting for sweep in found.sweeps] == ["signal probability", "decoy probability"]
        assert {each.decoys for each in found.alternatives} == {2}

    def test_the_order_of_passes_makes_no_difference(self) -> None:
        plan = planned(presets.satellite("jinan-1"), presets.station("beijing"), passes=2)
        turned = msgspec.structs.replace(
            plan,
            contacts=plan.contacts[::-1],
            channels=plan.channels[::-1],
            clear_sky=(0.2, 0.9),
        )
        plan = msgspec.structs.replace(plan, clear_sky=(0.9, 0.2))
        first, second = optimise_plan(plan), optimise_plan(turned)
        assert first.after == second.after
        assert first.after_bits == pytest.approx(second.after_bits, rel=1e-12)
        assert set(first.passes) == set(second.passes) and len(first.passes) == 2

    def test_a_season_holds_every_usable_night_pass_and_few_stand_for_all(self) -> None:
        satellite, station = presets.satellite("jinan-1"), presets.station("beijing")
        plan = planned(satellite, station, season_s=12 * 86_400.0)
        epochs = [contact.epoch for contact in plan.contacts]
        assert epochs == sorted(epochs) and len(set(epochs)) == len(epochs) > 9
        assert (epochs[-1] - epochs[0]).total_seconds() < 12 * 86_400.0
        few = plan.thinned()
        assert len(few.contacts) < 9
        total, of_few = (
            sum(
                weight * exact_key(plan.settings, channel, plan.policy).secret_bits
                for channel, weight in zip(each.channels, each.clear_sky, strict=True)
            )
            for each in (plan, few)
        )
        assert of_few == pytest.approx(total, rel=0.05)

    def test_intervals_of_the_source_are_kept_in_proportion(self) -> None:
        vague = with_source(MICIUS, intensity_intervals=((0.76, 0.84), (0.095, 0.105), (0.0, 0.0)))
        plan = planned(vague, XINGLONG, AT_UTC)
        space = SettingsSpace(plan.limits)
        source = space.settings(np.zeros(space.dimension))
        for mu, (low, high) in zip(source.intensities[:2], source.intensity_intervals[:2], strict=True):
            assert (low, high) == pytest.approx((0.95 * mu, 1.05 * mu))

    def test_limits_leave_room_for_the_presets_and_what_is_not_known_of_them(self) -> None:
        odd = with_source(MICIUS, intensities=(1.3, 0.3, 0.05))
        vague = with_receiver(
            XINGLONG,
            basis_choice="active",
            limits=msgspec.structs.replace(XINGLONG.receiver.limits, basis_spread=0.02),
        )
        limits = planned(odd, vague, AT_UTC).limits
        assert limits.vacuum_intensity == 0.05 < limits.intensity_range[0] < 0.3
        assert limits.intensity_range[1] == 1.3
        assert limits.least_probability > 0.02
        plan = planned(odd, vague, AT_UTC, bound="variable-martingale")
        found = optimise(plan.scenarios(Prior()), plan.policy, plan.limits)
        assert found.settings.intensities[2] == 0.05
        assert found.expected_bits > exact_key(plan.settings, plan.channels[0], plan.policy).secret_bits

    def test_behind_a_splitter_the_martingale_bound_wants_its_limits(self) -> None:
        vague = with_receiver(
            XINGLONG, limits=msgspec.structs.replace(XINGLONG.receiver.limits, basis_spread=0.002)
        )
        rules = Protocol(keyed_bases=("Z",))
        plans = [
            planned(MICIUS, vague, AT_UTC, protocol=rules, bound=bound)
            for bound in ("variable-martingale", "variable-sharp")
        ]
        found, sharp = (optimise(each.scenarios(Prior()), each.policy, each.limits) for each in plans)
        assert found.settings.station_basis_z_probability == 0.5
        assert found.settings.basis_z_probability > 0.8
        assert found.expected_bits > 1.1 * sharp.expected_bits > 0
        with pytest.raises(ConfigError, match="basis_spread"):
            optimise_source(MICIUS, XINGLONG, at_utc=AT_UTC, bound="variable-martingale")

    def test_one_decoy_has_no_vacuum(self) -> None:
        found = optimise_source("micius", "xinglong", at_utc=AT_UTC, decoys=1)
        assert len(found.after.intensities) == len(found.after.probabilities) == 2
        assert found.after_bits > found.before_bits > 0
        rusca = optimise_source("micius", "xinglong", at_utc=AT_UTC, decoys=1, bound="rusca2018")
        assert rusca.before_bits is None and rusca.passes[0].before_bits is None
        assert rusca.after_bits > 0

    def test_a_link_without_key_says_why(self) -> None:
        far = msgspec.structs.replace(XINGLONG, calibration_loss_db=XINGLONG.calibration_loss_db + 17)
        found = optimise_source(MICIUS, far, at_utc=AT_UTC)
        assert found.after_bits == 0 and found.missing_factor > 1
        assert "times the pulses" in found.reason
        assert found.elevation_cuts == found.sweeps == found.alternatives == ()
        noisy = with_receiver(XINGLONG, optical_error=0.12)
        never = optimise_source(MICIUS, noisy, at_utc=AT_UTC)
        assert never.missing_factor is None and "error rate" in never.reason

    @pytest.mark.parametrize(
        ("wrong", "part"),
        [
            ({"passes": 0}, "passes"),
            ({"season_s": 400 * 86_400.0}, "season_s"),
            ({"loss_spread_db": -1.0}, "loss_spread_db"),
            ({"clear_sky": 0.0}, "clear_sky"),
            ({"decoys": 3}, "decoys"),
            ({"fix": ["colour"]}, "colour"),
            ({"decoys": 1, "fix": ["probabilities"]}, "three classes"),
            ({"bound": "best"}, "variable-sharp"),
        ],
    )
    def test_what_cannot_be_is_refused_in_words(self, wrong: dict[str, object], part: str) -> None:
        with pytest.raises(ConfigError, match=part):
            optimise_source("micius", "xinglong", at_utc=AT_UTC, **wrong)

    def test_more_passes_than_there_are_is_refused(self) -> None:
        polar = msgspec.structs.replace(XINGLONG, maximum_range_m=600e3)
        with pytest.raises(NoPassError):
            planned(MICIUS, polar, AT_UTC)


class TestPage:
    def test_every_field_is_documented(self) -> None:
        text = section(page("optimise.md"), "## Fields")
        structs = (
            SourceOptimum,
            optimum.PlannedPass,
            optimum.LossRow,
            optimum.Alternative,
            optimum.ElevationCut,
            optimum.Closing,
            optimum.Splitting,
            optimum.Sweep,
        )
        assert [gap for struct in structs for gap in undocumented_fields(struct, text)] == []
        made_up = msgspec.defstruct("LossRow", [("loss_db", float), ("colour", str)])
        assert undocumented_fields(made_up, text) == ["LossRow.colour"]

    def test_the_answer_shown_is_the_answer_given(self, uncertain: SourceOptimum) -> None:
        shown = page("optimise.md")
        example = re.findall(r"^```toml\n(.*?)^```$", shown, re.M | re.S)[0]
        source = tomllib.loads(example)["source"]
        assert source["intensities"] == pytest.approx(uncertain.after.intensities, abs=2e-3)
        assert source["probabilities"] == pytest.approx(uncertain.after.probabilities, abs=2e-3)
        before, after = re.findall(r"expected secret bits +([\d,]+) +([\d,]+)", shown)[0]
        scale = 0.6 / 0.4
        assert int(before.replace(",", "")) == pytest.approx(scale * uncertain.before_bits, rel=2e-3)
        assert int(after.replace(",", "")) == pytest.approx(scale * uncertain.after_bits, rel=2e-3)
