"""Key against each setting by itself, the others kept at their best: how sharp an optimum is. No search."""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from satqkd.mission.optimum import Sweep
from satqkd.mission.pass_plan import PassPlan
from satqkd.security.channel import SourceSettings
from satqkd.security.optimise import expected_key_of
from satqkd.security.plan import Prior
from satqkd.security.quick import quick_bits
from satqkd.security.settings_space import SettingsLimits

POINTS: Final = 25
_LEAST_BASIS: Final = 0.02
_LOG_ODDS: Final = 2.5
_REACH: Final = 3.0
"""Intensities from a third to three times the best."""


def sweeps(plan: PassPlan, settings: SourceSettings) -> tuple[Sweep, ...]:
    """One for each setting that the plan leaves to choose, by the quick bound."""
    few = plan.thinned()
    scenarios = few.scenarios(Prior.gaussian(plan.loss_spread_db))
    found = []
    for name, values in _ranges(settings, plan.limits):
        kept, bits = [], []
        for value in values:
            other = _changed(settings, name, value)
            if other is None:
                continue
            rows = [
                quick_bits(other, *each.channel.counts(other, each.prior.losses_db), few.policy)
                for each in scenarios
            ]
            kept.append(value)
            bits.append(expected_key_of(rows, scenarios))
        found.append(Sweep(name, tuple(kept), tuple(bits)))
    return tuple(found)


def _ranges(settings: SourceSettings, limits: SettingsLimits) -> Iterator[tuple[str, list[float]]]:
    least = limits.least_probability
    if limits.intensities is None:
        low, high = limits.intensity_range
        for k, name in enumerate(("signal intensity", "decoy intensity")):
            best = settings.intensities[k]
            yield name, _with(np.geomspace(max(low, best / _REACH), min(high, best * _REACH), POINTS), best)
    if limits.probabilities is None:
        for k, name in enumerate(("signal probability", "decoy probability")[: limits.decoys]):
            best = settings.probabilities[k]
            yield name, _around(best, max(least, 1e-3), 1 - 2 * least)
    for name, given, best in (
        ("sender's probability of Z", limits.basis_z_probability, settings.basis_z_probability),
        (
            "receiver's probability of Z",
            limits.station_basis_z_probability,
            settings.station_basis_z_probability,
        ),
    ):
        if given is None:
            yield name, _around(best, _LEAST_BASIS, 1 - _LEAST_BASIS)


def _around(best: float, least: float, most: float) -> list[float]:
    """Probabilities within a factor of some twelve in the odds, denser towards 0 and 1."""
    odds = best / (1 - best) * np.exp(np.linspace(-_LOG_ODDS, _LOG_ODDS, POINTS))
    values = odds / (1 + odds)
    return _with(values[(values >= least) & (values <= most)], best)


def _with(values: np.ndarray, best: float) -> list[float]:
    return sorted({*values.tolist(), best})


def _changed(settings: SourceSettings, name: str, value: float) -> SourceSettings | None:
    """Settings with one of them changed, other probabilities in proportion; None if no source can be so."""
    what, _, kind = name.partition(" ")
    if kind == "probability of Z":
        field = "basis_z_probability" if what == "sender's" else "station_basis_z_probability"
        return msgspec.structs.replace(settings, **{field: value})
    k = ("signal", "decoy").index(what)
    if kind == "intensity":
        mu = (*settings.intensities[:k], value, *settings.intensities[k + 1 :])
        other = msgspec.structs.replace(settings, intensities=mu, intensity_intervals=None)
        if settings.intensity_intervals is not None:
            low, high = settings.intensity_intervals[k]
            scale = value / settings.intensities[k]
            intervals = list(settings.intensity_intervals)
            intervals[k] = (low * scale, high * scale)
            other = msgspec.structs.replace(other, intensity_intervals=tuple(intervals))
    else:
        scale = (1 - value) / (1 - settings.probabilities[k])
        p = [value if j == k else scale * each for j, each in enumerate(settings.probabilities)]
        other = msgspec.structs.replace(settings, probabilities=tuple(p))
    return other if other.possible else None
