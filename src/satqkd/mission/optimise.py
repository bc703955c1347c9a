"""`optimise_source`: the settings of sender and receiver with the most expected key for passes to come.

Passes become channels, the optimiser of the security room searches, and everything told of its answer comes
from the same channels through the key-length function. No dice: counts are means, loss and weather enter by
their probabilities.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from satqkd.config import Protocol, Satellite, Station
from satqkd.errors import ConfigError
from satqkd.mission import presets
from satqkd.mission.optimum import Alternative, LossRow, PlannedPass, SourceOptimum
from satqkd.mission.pass_plan import PassPlan, limits_of, pass_plan
from satqkd.mission.tradeoffs import closings, elevation_cuts, splittings
from satqkd.security.channel import SourceSettings
from satqkd.security.optimise import Optimum, expected_key_of, optimise
from satqkd.security.plan import Policy, Prior, Scenario, exact_bits, variable_length
from satqkd.security.source import Floats
from satqkd.sky import format_utc, parse_utc

KEEPABLE: Final = ("intensities", "probabilities", "basis")
"""What `keep` may name: mean photon numbers, class probabilities, basis biases of both ends."""


class _Worth(NamedTuple):
    """Settings under the plan's policy: bits of each pass by loss, and what is expected of all."""

    bits: tuple[Floats, ...]
    expected_bits: float


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
    keep: Sequence[str] = (),
    decoys: int = 2,
) -> SourceOptimum:
    """Best settings for the pass that contains an instant, else the next by night, and for those after it.

    satellite, station: presets' names, TOML paths, or settings.  bound: instead of the protocol's, any name
    of `satqkd.security.BOUNDS`.  passes: night passes in a row; season_days: all within so many days, instead.
    Each pass is a block of its own.  loss_spread_db: standard deviation of each pass's loss around the
    budget's.  clear_sky: probability of each pass.  keep: names of `KEEPABLE` that stay as the presets have
    them; a passive receiver's basis always does.  decoys: 2, or 1 for a source without vacuum.
    A link without key is an answer with its reason. Raises ConfigError, NoPassError.
    """
    craft = presets.satellite(satellite) if isinstance(satellite, str) else satellite
    ground = presets.station(station) if isinstance(station, str) else station
    _check(passes, season_days, loss_spread_db, clear_sky, keep)
    plan = pass_plan(
        craft,
        ground,
        parse_utc(at_utc or craft.reference_epoch_utc),
        protocol=Protocol() if protocol is None else protocol,
        bound=bound,
        passes=passes,
        season_days=season_days,
        loss_spread_db=loss_spread_db,
        clear_sky=clear_sky,
    )
    return optimise_plan(plan, keep=keep, decoys=decoys)


def optimise_plan(plan: PassPlan, *, keep: Sequence[str] = (), decoys: int = 2) -> SourceOptimum:
    """`optimise_source` for passes already chosen, each with its own probability of a clear sky."""
    found = _best(plan, plan.policy, keep, decoys)
    prior = plan.told_prior
    scenarios = plan.scenarios(prior)
    old, new = (_worth(each, scenarios, plan.policy) for each in (plan.settings, found.settings))
    key = new.expected_bits > 0
    richest = plan.contacts[int(np.argmax([variable_length(row, prior) for row in new.bits]))]
    cuts = elevation_cuts(plan, found.settings) if key else ()
    return SourceOptimum(
        satellite=plan.satellite.name,
        station=plan.station.name,
        bound=plan.policy.bound,
        keyed_bases=plan.policy.keyed_bases,
        keyed_classes=plan.policy.keyed_classes,
        loss_spread_db=plan.loss_spread_db,
        kept=tuple(keep),
        before=plan.settings,
        before_bits=old.expected_bits,
        after=found.settings,
        after_bits=new.expected_bits,
        fixed_length_bits=_fixed_length(plan, keep, decoys, found.settings) if key else None,
        evaluations=found.evaluations,
        missing_factor=None if key else found.missing_factor,
        reason="" if key else _reason(found),
        passes=_passes(plan, old, new, prior),
        losses=_losses(plan, old, new, prior),
        alternatives=_alternatives(plan, keep, decoys, found.settings) if key else (),
        elevation_cuts=cuts,
        best_elevation_deg=max(cuts, key=lambda cut: cut.expected_bits).elevation_deg if cuts else None,
        closings=closings(richest, found.settings, plan.policy) if key else (),
        splittings=splittings(richest, found.settings, plan.policy) if key else (),
    )


def _best(
    plan: PassPlan, policy: Policy, keep: Sequence[str], decoys: int, start: SourceSettings | None = None
) -> Optimum:
    limits = limits_of(plan.satellite, plan.station, kept=keep, decoys=decoys)
    scenarios = plan.thinned().scenarios(Prior.gaussian(plan.loss_spread_db))
    starts = [each for each in (plan.settings, start) if each and len(each.intensities) == decoys + 1]
    return optimise(scenarios, policy, limits, starts=starts)


def _worth(settings: SourceSettings, scenarios: Sequence[Scenario], policy: Policy) -> _Worth:
    bits = tuple(exact_bits(settings, each, policy) for each in scenarios)
    return _Worth(bits, expected_key_of(bits, scenarios))


def _fixed_length(
    plan: PassPlan, keep: Sequence[str], decoys: int, start: SourceSettings
) -> float | None:
    """Expected key with the best length fixed beforehand for each pass, at settings chosen for that."""
    if plan.loss_spread_db == 0:
        return None
    limits = limits_of(plan.satellite, plan.station, kept=keep, decoys=decoys)
    few = plan.thinned()
    search = few.scenarios(Prior.even(plan.loss_spread_db, nodes=17))
    found = optimise(search, plan.policy, limits, fixed=True, starts=[start], tolerance=1e-4)
    told = few.scenarios(Prior.even(plan.loss_spread_db))
    bits = [
        [exact_bits(settings, each, plan.policy) for each in told] for settings in (found.settings, start)
    ]
    return max(expected_key_of(rows, told, fixed=True) for rows in bits)


def _alternatives(
    plan: PassPlan, keep: Sequence[str], decoys: int, start: SourceSettings
) -> tuple[Alternative, ...]:
    """Best settings where one rule is another: keyed bases, keyed classes, decoys. First the plan's own."""
    policy, few = plan.policy, plan.thinned()
    told = few.scenarios(Prior.even(plan.loss_spread_db, nodes=17))
    rules = [(policy.keyed_bases, policy.keyed_classes, decoys)]
    rules += [(bases, policy.keyed_classes, decoys) for bases in (("Z",), ("Z", "X"))]
    rules += [(policy.keyed_bases, classes, decoys) for classes in (("signal",), ("signal", "decoy"))]
    if "intensities" not in keep and "probabilities" not in keep:
        rules += [(policy.keyed_bases, policy.keyed_classes, 3 - decoys)]
    rows = []
    for bases, classes, number in dict.fromkeys(rules):
        other = msgspec.structs.replace(policy, keyed_bases=bases, keyed_classes=classes)
        settings = _best(few, other, keep, number, start).settings if rows else start
        worth = _worth(settings, told, other)
        rows.append(Alternative(bases, classes, number, worth.expected_bits, settings))
    return tuple(rows)


def _passes(plan: PassPlan, old: _Worth, new: _Worth, prior: Prior) -> tuple[PlannedPass, ...]:
    return tuple(
        PlannedPass(
            start_utc=format_utc(contact.epoch),
            duration_s=contact.quantum_end_s,
            max_elevation_deg=float(np.degrees(contact.pass_.max_elevation_rad)),
            clear_sky=clear,
            before_bits=clear * variable_length(before, prior),
            after_bits=clear * variable_length(after, prior),
        )
        for contact, clear, before, after in zip(
            plan.contacts, plan.clear_sky, old.bits, new.bits, strict=True
        )
    )


def _losses(plan: PassPlan, old: _Worth, new: _Worth, prior: Prior) -> tuple[LossRow, ...]:
    before, after = (np.dot(plan.clear_sky, np.array(worth.bits)) for worth in (old, new))
    return tuple(
        LossRow(loss_db, weight, a, b)
        for loss_db, weight, a, b in zip(
            prior.losses_db, prior.weights, before.tolist(), after.tolist(), strict=True
        )
    )


def _reason(found: Optimum) -> str:
    if found.missing_factor is None:
        return "no settings give key on this link, however many pulses are sent: its error rate is too high"
    return (
        f"no settings give key: {found.missing_factor:.2g} times the pulses would be enough; take a higher pass "
        "or less loss, or pool passes into one block"
    )


def _check(
    passes: int, season_days: float | None, loss_spread_db: float, clear_sky: float, keep: Sequence[str]
) -> None:
    for name, value, low, high in (
        ("passes", passes, 1, 1000),
        ("season_days", 1.0 if season_days is None else season_days, 0.01, 366),
        ("loss_spread_db", loss_spread_db, 0, 20),
        ("clear_sky", clear_sky, 1e-9, 1),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{name}: expected {low:g} to {high:g}, got {value}")
    unknown = [name for name in keep if name not in KEEPABLE]
    if unknown:
        raise ConfigError(f"keep: expected of {', '.join(KEEPABLE)}, got {', '.join(unknown)}")
