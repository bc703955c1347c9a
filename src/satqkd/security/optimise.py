"""Best settings of sender and receiver for links to come: intensities, class probabilities, basis biases.

Maximises the expected key over scenarios and their priors of loss. The inside may take a quick bound; what
is told of the answer is computed by `key_length`. Where no settings near the starts give key, the pulses are
multiplied until some do, and taken back step by step along the best settings: so a search never begins on
the plateau at 0, and a link without key is told how many times its pulses would be enough. Deterministic.
"""

import math
from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np

from satqkd.errors import ConfigError
from satqkd.security.bounds import BOUNDS
from satqkd.security.channel import SourceSettings
from satqkd.security.plan import Policy, Scenario, exact_bits, fixed_length, variable_length
from satqkd.security.problem import BasisCounts, BasisProblem
from satqkd.security.quick import Bits, quick_bits
from satqkd.security.settings_space import SettingsLimits, SettingsSpace
from satqkd.security.simplex import climb
from satqkd.security.source import Floats

_GROWTH = 4.0
_MOST_GROWTH = 4.0**12
_LEAST_STEP = 1.01
"""Pulses are not taken back by smaller steps than this."""
_ROUGH, _FINE_STEP = 3e-4, 0.2
_STARTS = 2
"""Of all starts, so many of the best are climbed from."""


class Optimum(msgspec.Struct, frozen=True, eq=False):
    """Best settings found, and what they are worth."""

    settings: SourceSettings
    expected_bits: float
    """Secret bits of all scenarios, weighted, by `key_length`."""
    lengths_bits: tuple[Floats, ...]
    """Of each scenario by loss of its prior."""
    evaluations: int
    """Settings tried."""
    missing_factor: float | None = None
    """Where no settings give key: how many times the pulses would be enough; else, or if none would, None."""


def optimise(
    scenarios: Sequence[Scenario],
    policy: Policy,
    limits: SettingsLimits | None = None,
    *,
    fixed: bool = False,
    starts: Sequence[SourceSettings] = (),
    bits: Bits | None = None,
    tolerance: float = 1e-6,
) -> Optimum:
    """Settings with the most expected key over all scenarios.

    fixed: for the best length fixed beforehand in each scenario instead of one that follows the counts.
    starts: settings to begin from besides the usual ones; the answer is never worse than those within the
    limits, by the quick bound.  bits: the bound inside the search.  tolerance: relative, of the key.
    Raises ConfigError for what the bound does not cover.
    """
    if not scenarios:
        raise ConfigError("scenarios: expected at least one block to plan for, got none")
    space = SettingsSpace(SettingsLimits() if limits is None else limits)
    _check_covered(space, policy)
    search = _Search(space, scenarios, policy, fixed, quick_bits if bits is None else bits)
    best, factor = search.run([space.coordinates(each) for each in (*space.usual, *starts)], tolerance)
    settings = space.rounded(space.settings(best))
    found = tuple(exact_bits(settings, each, policy) for each in scenarios)
    expected_bits = expected_key_of(found, scenarios, fixed=fixed)
    return Optimum(
        settings=settings,
        expected_bits=expected_bits,
        lengths_bits=found,
        evaluations=search.evaluations,
        missing_factor=None if expected_bits > 0 else factor,
    )


def expected_key_of(
    lengths_bits: Sequence[Floats], scenarios: Sequence[Scenario], *, fixed: bool = False
) -> float:
    """Weighted sum over scenarios of the expected key.  lengths_bits: of each by loss."""
    gain = fixed_length if fixed else variable_length
    return sum(each.weight * gain(row, each.prior) for row, each in zip(lengths_bits, scenarios, strict=True))


def _check_covered(space: SettingsSpace, policy: Policy) -> None:
    """Refuse, before a search, what the bound would refuse after it."""
    starts = [space.settings(space.coordinates(each)) for each in space.usual]
    settings = next((each for each in starts if each.possible), starts[0])
    nothing = BasisCounts(np.zeros(space.classes), np.zeros(space.classes))
    problem = BasisProblem(
        source=settings.model,
        key=nothing,
        test=nothing,
        keyed=policy.keyed(settings),
        leaked_bits=0.0,
        epsilon_secrecy=policy.share.epsilon_secrecy,
        epsilon_correctness=policy.share.epsilon_correctness,
        receiver=policy.receiver_at(settings),
    )
    BOUNDS[policy.bound].check(policy.bound, problem)


class _Search:
    """One search: objective, its count, and the way from many pulses to those there are."""

    def __init__(
        self, space: SettingsSpace, scenarios: Sequence[Scenario], policy: Policy, fixed: bool, bits: Bits
    ) -> None:
        self.evaluations = 0
        self._space, self._policy, self._bits = space, policy, bits
        self._scenarios = sorted(scenarios, key=_order)
        self._fixed = fixed

    def value(self, place: Floats, factor: float = 1.0) -> float:
        """Expected key for a multiple of the pulses; -inf for intensities whose intervals meet."""
        self.evaluations += 1
        settings = self._space.settings(place)
        if not settings.possible:
            return -math.inf
        rows = []
        for each in self._scenarios:
            tables = each.channel.counts(settings, each.prior.losses_db)
            rows.append(self._bits(settings, factor * tables[0], factor * tables[1], self._policy))
        return expected_key_of(rows, self._scenarios, fixed=self._fixed)

    def run(self, starts: Sequence[Floats], tolerance: float) -> tuple[Floats, float | None]:
        """Best place, and how many times the pulses give key there, at least 1; None if no number does."""
        factor = 1.0
        values = self._values(starts, factor)
        while max(values) <= 0 and factor < _MOST_GROWTH:
            factor *= _GROWTH
            values = self._values(starts, factor)
        order = np.argsort(-np.array(values), kind="stable")
        if values[order[0]] <= 0:
            return np.asarray(starts[0]), None
        best = [np.asarray(starts[k]) for k in order[:_STARTS]]
        if factor > 1:
            place, factor = self._taken_back(best[0], factor)
            best = [place]
        return (self._climb(best, tolerance) if factor == 1 else best[0]), factor

    def _values(self, starts: Sequence[Floats], factor: float) -> list[float]:
        return [self.value(start, factor) for start in starts]

    def _climb(self, starts: Sequence[Floats], tolerance: float) -> Floats:
        """The highest of rough climbs, finished."""
        peaks = [climb(self.value, start, tolerance=_ROUGH, rounds=1) for start in starts]
        top = max(peaks, key=lambda peak: peak.value)
        return climb(self.value, top.place, step=_FINE_STEP, tolerance=tolerance).place

    def _taken_back(self, place: Floats, factor: float) -> tuple[Floats, float]:
        """Along the best settings to as few pulses as still give key, 1 time at best."""
        step = 2.0
        while factor > 1 and step > _LEAST_STEP:
            richer = partial(self.value, factor=factor)
            place = climb(richer, place, tolerance=1e-3, evaluations=150, rounds=1).place
            while step > _LEAST_STEP and self.value(place, max(1.0, factor / step)) <= 0:
                step = step**0.5
            if step > _LEAST_STEP:
                factor = max(1.0, factor / step)
        return place, factor


def _order(scenario: Scenario) -> tuple[float, ...]:
    """Sums are taken in this order, so that the order of passes makes no difference."""
    channel = scenario.channel
    light = float((channel.pulses * channel.transmittance.sum(axis=0)).sum())
    return (light, float(channel.noise.sum()), scenario.weight, *scenario.prior.losses_db)
