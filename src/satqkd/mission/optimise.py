"""`optimise_source`: the settings of sender and receiver with the most expected key for passes to come.

Passes become channels, the optimiser of the security room searches, and everything told of its answer comes
from the same channels through the key-length function. No dice: counts are means, loss and weather enter by
their probabilities.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import numpy as np

from satqkd.config import Protocol, Satellite, Station
from satqkd.errors import ConfigError, NoPassError
from satqkd.mission import presets
from satqkd.mission.contact import PLANNING_GRID_S, SEARCH_S, Contact, choose_pass, make_contact
from satqkd.mission.course import site_of
from satqkd.mission.link_channel import link_channel
from satqkd.mission.optimum import LossRow, PlannedPass, SourceOptimum
from satqkd.mission.planning import PLANNING_EFFICIENCY
from satqkd.mission.tradeoffs import elevation_cuts, closings, splittings
from satqkd.security import SecurityTargets
from satqkd.security.channel import SourceSettings
from satqkd.security.optimise import Optimum, expected_key_of, optimise
from satqkd.security.plan import Policy, Prior, Scenario, exact_bits, variable_length
from satqkd.security.settings_space import Limits
from satqkd.security.source import Interval
from satqkd.sky import Pass, find_passes, format_utc, is_night, orbit_of, parse_utc

FIXABLE: Final = ("intensities", "probabilities", "basis")
"""What `fixed` may name: mean photon numbers, class probabilities, basis biases of both ends."""


def optimise_source(
    satellite: str | Satellite,
    station: str | Station,
    *,
    at_utc: str | None = None,
    protocol: Protocol | None = None,
    bound: str | None = None,
    passes: int = 1,
    season_days: float | None = None,
    loss_spread_db: float = 0.0,
    clear_sky: float = 1.0,
    fixed: Sequence[str] = (),
) -> SourceOptimum:
    """Best settings for the pass that contains an instant, else the next by night, and for those after it.

    satellite, station: presets' names, TOML paths, or settings.  bound: instead of the protocol's, any name
    of `satqkd.security.BOUNDS`.  passes: night passes in a row; season_days: all within so many days, instead.
    Each pass is a block of its own.  loss_spread_db: standard deviation of each pass's loss around the
    budget's, independent.  clear_sky: probability of each pass.  fixed: names of `FIXABLE` that stay as the
    presets have them; a passive receiver's basis always does.
    Raises ConfigError, NoPassError.
    """
    craft = presets.satellite(satellite) if isinstance(satellite, str) else satellite
    ground = presets.station(station) if isinstance(station, str) else station
    _check(passes, season_days, loss_spread_db, clear_sky, fixed)
    at = parse_utc(at_utc or craft.reference_epoch_utc)
    contacts = night_contacts(craft, ground, at, passes=passes, season_days=season_days)
    rules = Protocol() if protocol is None else protocol
    policy = policy_of(rules, bound)
    prior = Prior.gaussian(loss_spread_db)
    scenarios = [Scenario(link_channel(each), clear_sky, prior) for each in contacts]
    limits, before = limits_of(craft, ground, fixed), settings_of(craft, ground)
    found = optimise(scenarios, policy, limits, starts=[before])
    return _told(craft, ground, contacts, scenarios, policy, before, found, loss_spread_db, tuple(fixed))


def settings_of(satellite: Satellite, station: Station) -> SourceSettings:
    """The presets' settings."""
    source = satellite.source
    return SourceSettings(
        source.intensities,
        source.probabilities,
        source.basis_z_probability,
        station.receiver.basis_z_probability,
        source.intensity_intervals,
    )


def policy_of(protocol: Protocol, bound: str | None = None) -> Policy:
    """How the protocol makes key, under its bound or another."""
    return Policy(
        security=SecurityTargets(protocol.epsilon_secrecy, protocol.epsilon_correctness),
        bound=protocol.bound if bound is None else bound,
        keyed_bases=protocol.keyed_bases,
        keyed_classes=protocol.keyed_classes,
        reconciliation_efficiency=PLANNING_EFFICIENCY,
    )


def limits_of(satellite: Satellite, station: Station, fixed: Sequence[str] = ()) -> Limits:
    """What may be chosen for this hardware: the vacuum stays as dark as it is, a passive receiver at 1/2."""
    source, receiver = satellite.source, station.receiver
    free_receiver = receiver.basis_choice == "active" and "basis" not in fixed
    intervals = source.intensity_intervals
    return Limits(
        intensities=source.intensities if "intensities" in fixed else None,
        vacuum_intensity=source.intensities[2],
        probabilities=source.probabilities if "probabilities" in fixed else None,
        basis_z_probability=source.basis_z_probability if "basis" in fixed else None,
        station_basis_z_probability=None if free_receiver else receiver.basis_z_probability,
        relative_intervals=None if intervals is None else _relative(intervals, source.intensities),
        vacuum_interval=None if intervals is None else intervals[2],
    )


def night_contacts(
    satellite: Satellite, station: Station, at: datetime, *, passes: int, season_days: float | None = None
) -> list[Contact]:
    """Contacts by night on the planning grid, from the one that contains `at` on. Raises NoPassError."""
    first = choose_pass(satellite, station, at)
    if season_days is None and passes == 1:
        return [make_contact(satellite, station, first, step_s=PLANNING_GRID_S)]
    duration_s = SEARCH_S * max(1, passes) if season_days is None else season_days * 86_400.0
    found = find_passes(
        orbit_of(satellite.orbit),
        site_of(station),
        first.start,
        duration_s=duration_s,
        minimum_elevation_rad=station.minimum_elevation_rad,
    )
    wanted = None if season_days is not None else passes
    usable = [each for each in found if is_night(each) and _usable(station, each)][:wanted]
    if not usable or (wanted is not None and len(usable) < wanted):
        raise NoPassError(
            f"expected {wanted or 1} night passes of {satellite.name} over {station.name} from "
            f"{format_utc(at)} on, found {len(usable)}; ask for fewer, or for another time"
        )
    return [make_contact(satellite, station, each, step_s=PLANNING_GRID_S) for each in usable]


def _usable(station: Station, each: Pass) -> bool:
    return station.maximum_range_m is None or each.min_range_m < station.maximum_range_m


def _relative(intervals: Sequence[Interval], intensities: Sequence[float]) -> tuple[Interval, ...]:
    return tuple((low / mu, high / mu) for (low, high), mu in zip(intervals[:2], intensities[:2], strict=True))


def _check(
    passes: int, season_days: float | None, loss_spread_db: float, clear_sky: float, fixed: Sequence[str]
) -> None:
    for name, value, low, high in (
        ("passes", passes, 1, 1000),
        ("season_days", 1.0 if season_days is None else season_days, 0.01, 366),
        ("loss_spread_db", loss_spread_db, 0, 20),
        ("clear_sky", clear_sky, 1e-9, 1),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{name}: expected {low:g} to {high:g}, got {value}")
    unknown = [name for name in fixed if name not in FIXABLE]
    if unknown:
        raise ConfigError(f"fixed: expected of {', '.join(FIXABLE)}, got {', '.join(unknown)}")


def _told(
    satellite: Satellite,
    station: Station,
    contacts: Sequence[Contact],
    scenarios: Sequence[Scenario],
    policy: Policy,
    before: SourceSettings,
    found: Optimum,
    loss_spread_db: float,
    fixed: tuple[str, ...],
) -> SourceOptimum:
    old = tuple(exact_bits(before, each, policy) for each in scenarios)
    after = found.settings
    prior = scenarios[0].prior
    weights = [each.weight for each in scenarios]
    best = contacts[int(np.argmax([variable_length(row, prior) for row in found.bits]))]
    cuts = elevation_cuts(contacts, weights, prior, after, policy)
    return SourceOptimum(
        satellite=satellite.name,
        station=station.name,
        bound=policy.bound,
        keyed_bases=policy.keyed_bases,
        keyed_classes=policy.keyed_classes,
        loss_spread_db=loss_spread_db,
        fixed=fixed,
        before=before,
        before_bits=expected_key_of(old, scenarios),
        after=after,
        after_bits=found.expected_bits,
        fixed_length_bits=None,
        one_decoy_bits=None,
        evaluations=found.evaluations,
        missing_factor=found.missing_factor,
        reason=_reason(found),
        passes=tuple(
            PlannedPass(
                start_utc=format_utc(contact.epoch),
                duration_s=contact.quantum_end_s,
                max_elevation_deg=float(np.degrees(contact.pass_.max_elevation_rad)),
                clear_sky=each.weight,
                before_bits=each.weight * variable_length(a, prior),
                after_bits=each.weight * variable_length(b, prior),
            )
            for contact, each, a, b in zip(contacts, scenarios, old, found.bits, strict=True)
        ),
        losses=tuple(
            LossRow(
                loss_db,
                weight,
                float(np.dot(weights, [row[k] for row in old])),
                float(np.dot(weights, [row[k] for row in found.bits])),
            )
            for k, (weight, loss_db) in enumerate(zip(prior.weights, prior.losses_db, strict=True))
        ),
        alternatives=(),
        elevation_cuts=cuts,
        best_elevation_deg=max(cuts, key=lambda cut: cut.expected_bits).elevation_deg if found.expected_bits else None,
        closings=closings(best, after, policy),
        splittings=splittings(best, after, policy),
    )


def _reason(found: Optimum) -> str:
    if found.expected_bits > 0:
        return ""
    if found.missing_factor is None:
        return "no settings give key on this link, however many pulses are sent: its error rate is too high"
    return (
        f"no settings give key: {found.missing_factor:.3g} times the pulses would be enough; plan for several "
        "passes, a higher one, or less loss"
    )
