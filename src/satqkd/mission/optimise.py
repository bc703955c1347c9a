"""`optimise_source`: the settings of sender and receiver with the most expected key for passes to come.

Passes become channels, the optimiser of the security room searches, and everything told of its answer comes
from the same channels through the key-length function. No dice: counts are means, loss and weather enter by
their probabilities.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from satqkd.config import Protocol, Satellite, Station
from satqkd.constants import DAY_S
from satqkd.errors import ConfigError
from satqkd.mission import presets
from satqkd.mission.optimum import Alternative, LossRow, PlannedPass, SourceOptimum
from satqkd.mission.pass_plan import FIXABLE, PassPlan, pass_plan
from satqkd.mission.sweeps import sweeps
from satqkd.mission.tradeoffs import closings, elevation_cuts, splittings
from satqkd.security.bounds import BOUNDS
from satqkd.security.channel import SourceSettings
from satqkd.security.optimise import Optimum, expected_key_of, optimise
from satqkd.security.plan import Policy, Prior, Scenario, exact_bits, variable_length
from satqkd.security.source import Floats
from satqkd.sky import format_utc, parse_utc

_LEAST_TOLD: Final = 1.05
"""Of a number of times."""
_ROUGH: Final = 1e-4
"""Relative, of the key, where settings are only compared."""


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
    season_s: float | None = None,
    loss_spread_db: float = 0.0,
    clear_sky: float = 1.0,
    fix: Sequence[str] = (),
    decoys: int = 2,
) -> SourceOptimum:
    """Best settings for the pass that contains an instant, else the next by night, and for those after it.

    satellite, station: presets' names, TOML paths, or settings.  bound: instead of the protocol's, any name
    of `satqkd.security.BOUNDS`.  passes: night passes in a row; season_s: instead, all within that time.
    Each pass is a block of its own.  loss_spread_db: standard deviation of each pass's loss around the
    budget's.  clear_sky: probability of each pass.  fix: names of `FIXABLE` that stay as the presets have
    them; a passive receiver's basis always does.  decoys: 2, or 1 for a source without vacuum.
    A link without key is an answer with its reason. Raises ConfigError, NoPassError.
    """
    craft = presets.satellite(satellite) if isinstance(satellite, str) else satellite
    ground = presets.station(station) if isinstance(station, str) else station
    _check(passes, season_s, loss_spread_db, clear_sky, fix, decoys)
    plan = pass_plan(
        craft,
        ground,
        parse_utc(at_utc or craft.reference_epoch_utc),
        protocol=Protocol() if protocol is None else protocol,
        bound=bound,
        passes=passes,
        season_s=season_s,
        loss_spread_db=loss_spread_db,
        clear_sky=clear_sky,
        fix=fix,
        decoys=decoys,
    )
    return optimise_plan(plan)


def optimise_plan(plan: PassPlan) -> SourceOptimum:
    """`optimise_source` for passes already chosen, each with its own probability of a clear sky."""
    found = _best(plan)
    prior = plan.told_prior
    scenarios = plan.scenarios(prior)
    covered = len(plan.settings.intensities) in BOUNDS[plan.policy.bound].classes
    old = _worth(plan.settings, scenarios, plan.policy) if covered else None
    new = _worth(found.settings, scenarios, plan.policy)
    basic = SourceOptimum(
        satellite=plan.satellite.name,
        station=plan.station.name,
        bound=plan.policy.bound,
        keyed_bases=plan.policy.keyed_bases,
        keyed_classes=plan.policy.keyed_classes,
        loss_spread_db=plan.loss_spread_db,
        fixed=plan.fix,
        before=plan.settings,
        before_bits=None if old is None else old.expected_bits,
        after=found.settings,
        after_bits=new.expected_bits,
        evaluations=found.evaluations,
        passes=_passes(plan, old, new, prior),
        losses=_losses(plan, old, new, prior),
    )
    if new.expected_bits == 0:
        return msgspec.structs.replace(basic, missing_factor=found.missing_factor, reason=_reason(found))
    return msgspec.structs.replace(basic, **_tables(plan, found.settings, new, prior))


def _tables(plan: PassPlan, settings: SourceSettings, worth: _Worth, prior: Prior) -> dict[str, Any]:
    """What depends on what, for a link with key."""
    richest = plan.contacts[int(np.argmax([variable_length(row, prior) for row in worth.bits]))]
    cuts = elevation_cuts(plan, settings)
    fixed_bits, ratio = _fixed_length(plan, settings)
    return {
        "fixed_length_bits": fixed_bits,
        "variable_over_fixed": ratio,
        "alternatives": _alternatives(plan, settings),
        "elevation_cuts": cuts,
        "best_elevation_deg": max(cuts, key=lambda cut: cut.expected_bits).elevation_deg,
        "closings": closings(richest, settings, plan.policy),
        "splittings": splittings(richest, settings, plan.policy),
        "sweeps": sweeps(plan, settings),
    }


def _best(
    plan: PassPlan, start: SourceSettings | None = None, *, fixed: bool = False, tolerance: float = 1e-6
) -> Optimum:
    prior = Prior.even(plan.loss_spread_db, nodes=11) if fixed else Prior.gaussian(plan.loss_spread_db)
    starts = [each for each in (plan.settings, start) if each and len(each.intensities) == plan.decoys + 1]
    return optimise(
        plan.thinned().scenarios(prior),
        plan.policy,
        plan.limits,
        fixed=fixed,
        starts=starts,
        tolerance=tolerance,
    )


def _worth(settings: SourceSettings, scenarios: Sequence[Scenario], policy: Policy) -> _Worth:
    bits = tuple(exact_bits(settings, each, policy) for each in scenarios)
    return _Worth(bits, expected_key_of(bits, scenarios))


def _fixed_length(plan: PassPlan, settings: SourceSettings) -> tuple[float | None, float | None]:
    """Expected key with the best length fixed beforehand for each pass, and what a variable one gives of it.

    The fixed length has settings chosen for it; `settings` are those chosen for the variable one.
    """
    if plan.loss_spread_db == 0:
        return None, None
    few = plan.thinned()
    told = few.scenarios(few.told_prior)
    other = _best(plan, settings, fixed=True, tolerance=_ROUGH).settings
    rows = [_worth(each, told, plan.policy) for each in (settings, other)]
    fixed_bits = max(expected_key_of(each.bits, told, fixed=True) for each in rows)
    return fixed_bits, rows[0].expected_bits / fixed_bits if fixed_bits else None


def _alternatives(plan: PassPlan, settings: SourceSettings) -> tuple[Alternative, ...]:
    """Best settings where one rule is another: keyed bases, keyed classes, decoys. First the plan's own."""
    policy, few = plan.policy, plan.thinned()
    told = few.scenarios(few.told_prior)
    own = (policy.keyed_bases, policy.keyed_classes, plan.decoys)
    rules = [own] + [(bases, *own[1:]) for bases in (("Z",), ("Z", "X"))]
    if plan.decoys == 2:
        rules += [(own[0], classes, 2) for classes in (("signal",), ("signal", "decoy"))]
    if (
        not {"intensities", "probabilities"} & set(plan.fix)
        and 4 - plan.decoys in BOUNDS[policy.bound].classes
    ):
        # With one decoy its errors tell the empty pulses, so it is revealed.
        rules.append((own[0], ("signal",), 3 - plan.decoys))
    rows: list[Alternative] = []
    for bases, classes, decoys in dict.fromkeys(rules):
        other = msgspec.structs.replace(policy, keyed_bases=bases, keyed_classes=classes)
        ruled = msgspec.structs.replace(few, policy=other, decoys=decoys)
        best = _best(ruled, settings, tolerance=_ROUGH).settings if rows else settings
        worth = _worth(best, told, other)
        rows.append(Alternative(bases, classes, decoys, worth.expected_bits, best))
    return tuple(rows)


def _passes(plan: PassPlan, old: _Worth | None, new: _Worth, prior: Prior) -> tuple[PlannedPass, ...]:
    def expected(worth: _Worth | None, k: int) -> float | None:
        return None if worth is None else plan.clear_sky[k] * variable_length(worth.bits[k], prior)

    return tuple(
        PlannedPass(
            start_utc=format_utc(contact.epoch),
            duration_s=contact.quantum_end_s,
            max_elevation_deg=float(np.degrees(contact.pass_.max_elevation_rad)),
            clear_sky=plan.clear_sky[k],
            before_bits=expected(old, k),
            after_bits=expected(new, k) or 0.0,
        )
        for k, contact in enumerate(plan.contacts)
    )


def _losses(plan: PassPlan, old: _Worth | None, new: _Worth, prior: Prior) -> tuple[LossRow, ...]:
    before, after = (
        [None] * len(prior.weights)
        if worth is None
        else np.dot(plan.clear_sky, np.array(worth.bits)).tolist()
        for worth in (old, new)
    )
    return tuple(map(LossRow, prior.losses_db, prior.weights, before, after))


def _reason(found: Optimum) -> str:
    factor = found.missing_factor
    if factor is None:
        return "no settings give key on this link, however many pulses are sent: its error rate is too high"
    enough = f"{factor:.2g} times the pulses" if factor >= _LEAST_TOLD else "a little more light"
    return (
        f"no settings give key: {enough} would be enough; take a higher pass, less loss, or passes pooled "
        "into one block"
    )


def _check(
    passes: int,
    season_s: float | None,
    loss_spread_db: float,
    clear_sky: float,
    fix: Sequence[str],
    decoys: int,
) -> None:
    for name, value, low, high in (
        ("passes", passes, 1, 1000),
        ("season_s", DAY_S if season_s is None else season_s, 60.0, 366 * DAY_S),
        ("loss_spread_db", loss_spread_db, 0, 20),
        ("clear_sky", clear_sky, 1e-9, 1),
        ("decoys", decoys, 1, 2),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{name}: expected {low:g} to {high:g}, got {value}")
    unknown = [name for name in fix if name not in FIXABLE]
    if unknown:
        raise ConfigError(f"fix: expected of {', '.join(FIXABLE)}, got {', '.join(unknown)}")
    if decoys == 1 and "probabilities" in fix:
        raise ConfigError(
            "fix: expected no probabilities with one decoy, got them; the presets' are of three classes"
        )
