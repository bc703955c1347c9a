"""Settings that may be chosen, as free coordinates in which every point is allowed.

Intensities and basis probabilities are logistic functions of a coordinate between their limits, class
probabilities a softmax over a floor. No counts, no bound.
"""

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from scipy import special

from satqkd.errors import ConfigError
from satqkd.security.channel import SourceSettings
from satqkd.security.source import Floats, Interval

DECIMALS = 4
"""Of settings that are told."""
_EDGE = 1e-6
"""Share of a range next to its ends where starts are not put: there a logistic function is flat."""
_LEAST_SHARE, _LEAST_SPAN = 1e-9, 1e-6
"""How near a value comes to its ends, and a signal to the lowest decoy: far enough to differ as floats."""


class SettingsLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What may be chosen; what is given is not. Raises ConfigError for limits that leave nothing."""

    decoys: int = 2
    """2: signal, decoy, vacuum. 1: signal and decoy."""
    intensities: tuple[float, ...] | None = None
    """Kept as they are, signal first; None: chosen within `intensity_range`."""
    vacuum_intensity: float = 0.0
    """Of the vacuum class; never chosen."""
    intensity_range: tuple[float, float] = (0.005, 1.0)
    """Lowest decoy and highest signal."""
    probabilities: tuple[float, ...] | None = None
    least_probability: float = 0.002
    """Of each class and each basis: what a source can be trusted to keep."""
    basis_z_probability: float | None = None
    station_basis_z_probability: float | None = 0.5
    """None: chosen, which needs a receiver that chooses actively."""
    bases_alike: bool = False
    """Whether the receiver's, where it is chosen, is to be the sender's."""
    relative_intervals: tuple[Interval, ...] | None = None
    """Lowest and highest over nominal intensity of each class that is not dark; with `vacuum_interval`."""
    vacuum_interval: Interval | None = None

    def __post_init__(self) -> None:
        classes = self.decoys + 1
        if self.decoys not in (1, 2):
            raise ConfigError(f"limits decoys: expected 1 or 2, got {self.decoys}")
        for name in ("intensities", "probabilities"):
            given = getattr(self, name)
            if given is not None and len(given) != classes:
                raise ConfigError(f"limits {name}: expected {classes} with {self.decoys} decoys, got {given}")
        low, high = self.intensity_range
        if not 0 < low < high - 2 * self.vacuum_intensity or low <= self.vacuum_intensity:
            raise ConfigError(
                "limits intensity_range: expected a lowest decoy above the vacuum's intensity and a highest "
                f"signal that leaves room above it, got {self.intensity_range} with a vacuum of "
                f"{self.vacuum_intensity}; widen the range"
            )
        if not 0 < self.least_probability * classes < 1 or not self.least_probability < 0.5:
            raise ConfigError(
                f"limits least_probability: expected above 0 and below {1 / classes:.3g}, which {classes} "
                f"classes share, got {self.least_probability}"
            )
        for name in ("basis_z_probability", "station_basis_z_probability"):
            given = getattr(self, name)
            if given is not None and not 0 < given < 1:
                raise ConfigError(f"limits {name}: expected above 0 and below 1, got {given}")


class SettingsSpace:
    """The free coordinates of some limits, all real numbers."""

    def __init__(self, limits: SettingsLimits) -> None:
        self.limits = limits
        self.classes = limits.decoys + 1
        self.dimension = len(list(self._names()))

    def settings(self, place: Floats) -> SourceSettings:
        """Settings at a point of shape (dimension,)."""
        left = iter(np.asarray(place, dtype=np.float64).tolist())
        limits = self.limits
        intensities = limits.intensities or self._intensities(left)
        probabilities = limits.probabilities or self._probabilities(left)
        sent, measured = limits.basis_z_probability, limits.station_basis_z_probability
        if sent is None:
            sent = _between(next(left), *self._basis_range)
        if measured is None:
            measured = sent if limits.bases_alike else _between(next(left), *self._basis_range)
        return SourceSettings(intensities, probabilities, sent, measured, self._intervals(intensities))

    def rounded(self, settings: SourceSettings) -> SourceSettings:
        """Settings of four decimals, which people can set, where the limits allow it; else as they are."""
        limits = self.limits
        chosen = tuple(round(mu, DECIMALS) for mu in settings.intensities[:2])
        others = [round(p, DECIMALS) for p in settings.probabilities[1:]]
        sent, measured = settings.basis_z_probability, settings.station_basis_z_probability
        intensities = limits.intensities or (*chosen, *settings.intensities[2:])
        plain = SourceSettings(
            intensities,
            limits.probabilities or (round(1.0 - sum(others), DECIMALS), *others),
            round(sent, DECIMALS) if limits.basis_z_probability is None else sent,
            round(measured, DECIMALS) if limits.station_basis_z_probability is None else measured,
            self._intervals(intensities),
        )
        return plain if self.allows(plain) else settings

    def allows(self, settings: SourceSettings) -> bool:
        """Whether settings of as many classes lie within the limits."""
        limits, least = self.limits, self.limits.least_probability
        (signal, decoy), others = settings.intensities[:2], settings.intensities[2:]
        low, high = limits.intensity_range
        vacuum = limits.vacuum_intensity
        bright = low <= decoy < signal - vacuum and signal <= high and set(others) <= {vacuum}
        given = (
            (limits.intensities, settings.intensities, bright),
            (limits.probabilities, settings.probabilities, min(settings.probabilities) >= least),
            *(
                (kept, value, least <= value <= 1 - least)
                for kept, value in (
                    (limits.basis_z_probability, settings.basis_z_probability),
                    (limits.station_basis_z_probability, settings.station_basis_z_probability),
                )
            ),
        )
        return all(inside if kept is None else value == kept for kept, value, inside in given)

    def coordinates(self, settings: SourceSettings) -> Floats:
        """The point nearest to given settings, of as many classes; what lies outside the limits is put in."""
        limits = self.limits
        place: list[float] = []
        if limits.intensities is None:
            signal, decoy = settings.intensities[:2]
            place.append(_place_between(signal, *self._signal_range))
            place.append(_place_between(decoy, *self._decoy_range(_between(place[0], *self._signal_range))))
        if limits.probabilities is None:
            spare = np.maximum(
                np.array(settings.probabilities[: self.classes]) - limits.least_probability, 1e-4
            )
            place += np.log(spare[:-1] / spare[-1]).tolist()
        if limits.basis_z_probability is None:
            place.append(_place_between(settings.basis_z_probability, *self._basis_range))
        if limits.station_basis_z_probability is None and not limits.bases_alike:
            place.append(_place_between(settings.station_basis_z_probability, *self._basis_range))
        return np.array(place, dtype=np.float64)

    @property
    def usual(self) -> tuple[SourceSettings, ...]:
        """Settings to start from: the best of blocks of several sizes."""
        tables = _USUAL_TWO if self.classes == 3 else _USUAL_ONE
        return tuple(
            SourceSettings((*mu, self.limits.vacuum_intensity)[: self.classes], p, z, z)
            for z, mu, p in tables
        )

    def _names(self) -> Iterator[str]:
        limits = self.limits
        if limits.intensities is None:
            yield from ("signal", "decoy")
        if limits.probabilities is None:
            yield from ("signal probability", "decoy probability")[: self.classes - 1]
        if limits.basis_z_probability is None:
            yield "basis"
        if limits.station_basis_z_probability is None and not limits.bases_alike:
            yield "station basis"

    def _intensities(self, left: Iterator[float]) -> tuple[float, ...]:
        signal = _between(next(left), *self._signal_range)
        decoy = _between(next(left), *self._decoy_range(signal))
        return (signal, decoy, self.limits.vacuum_intensity)[: self.classes]

    def _probabilities(self, left: Iterator[float]) -> tuple[float, ...]:
        free = np.array([next(left) for _ in range(self.classes - 1)] + [0.0])
        floor = self.limits.least_probability
        share = floor + (1 - self.classes * floor) * special.softmax(free)
        return (*share[:-1].tolist(), 1.0 - float(share[:-1].sum()))

    @property
    def _signal_range(self) -> Interval:
        low, high = self.limits.intensity_range
        return low + 2 * self.limits.vacuum_intensity + _LEAST_SPAN * (high - low), high

    def _decoy_range(self, signal: float) -> Interval:
        return self.limits.intensity_range[0], signal - self.limits.vacuum_intensity

    @property
    def _basis_range(self) -> Interval:
        return self.limits.least_probability, 1 - self.limits.least_probability

    def _intervals(self, intensities: tuple[float, ...]) -> tuple[Interval, ...] | None:
        given = self.limits.relative_intervals
        if given is None:
            return None
        found = [(low * mu, high * mu) for mu, (low, high) in zip(intensities[:2], given, strict=False)]
        if self.classes == 3:
            vacuum = self.limits.vacuum_intensity
            found.append(self.limits.vacuum_interval or (vacuum, vacuum))
        return tuple(found)


def _between(coordinate: float, low: float, high: float) -> float:
    """Strictly inside the range for any coordinate."""
    share = min(max(float(special.expit(coordinate)), _LEAST_SHARE), 1 - _LEAST_SHARE)
    return low + (high - low) * share


def _place_between(value: float, low: float, high: float) -> float:
    share = min(max((value - low) / (high - low), _EDGE), 1 - _EDGE)
    return math.log(share / (1 - share))


_USUAL_TWO = (
    (0.5, (0.6, 0.15), (0.7, 0.2, 0.1)),
    (0.5, (0.8, 0.1), (0.5, 0.25, 0.25)),
    (0.75, (0.65, 0.23), (0.35, 0.56, 0.09)),
    (0.82, (0.63, 0.2), (0.6, 0.34, 0.06)),
    (0.9, (0.65, 0.12), (0.85, 0.1, 0.05)),
    (0.95, (0.65, 0.06), (0.95, 0.04, 0.01)),
)
_USUAL_ONE = (
    (0.5, (0.5, 0.12), (0.7, 0.3)),
    (0.5, (0.6, 0.2), (0.6, 0.4)),
    (0.8, (0.56, 0.16), (0.71, 0.29)),
    (0.9, (0.6, 0.1), (0.85, 0.15)),
)
