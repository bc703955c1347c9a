r"""A link as the optimiser sees it: expected counts of any settings of sender and receiver, fast.

Per bin of like transmittance, both ends in basis b, a pulse of mean photon number :math:`\mu` is detected,
and detected wrongly, with probability

.. math:: D = 1-(1-y_b)\,e^{-\mu\eta_b}, \qquad E = \tfrac12 y_b + e_b\,(1-y_b)(1-e^{-\mu\eta_b}), \qquad
    y_b = y^0_b + \bar\mu\,y^1_b,

:math:`\bar\mu` the mean over all classes, whose clicks leave afterpulses and neighbours' light; detections of
the pulse itself may be followed by a share of others that know nothing of it. Counts are means. Knows no
orbit, no bound and no key.
"""

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import DataFormatError
from satqkd.security.source import Floats, Interval, SourceModel

BINS = 32
"""Bins of transmittance a channel is sorted into; what that costs tells `compression_error`."""


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set at both ends. A `SourceLike`, checked by the bounds' `SourceModel`."""

    intensities: tuple[float, ...]
    """Mean photon number of signal, decoy and, with three classes, vacuum."""
    probabilities: tuple[float, ...]
    basis_z_probability: float
    """Of the sender."""
    station_basis_z_probability: float
    """Of the receiver; of no effect where light chooses by itself."""
    intensity_intervals: tuple[Interval, ...] | None = None

    @property
    def model(self) -> SourceModel:
        """The part a bound may use. Raises DataFormatError for settings that no source can have."""
        return SourceModel(self.intensities, self.probabilities, self.intensity_intervals)

    @property
    def possible(self) -> bool:
        """Whether a source can have these settings."""
        try:
            return self.model is not None
        except DataFormatError:
            return False


class Channel(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Pulses sorted into bins; arrays of shape (bins,) or (2, bins), basis Z first, float64."""

    pulses: Floats
    """Sent, of all classes and bases; shape (bins,)."""
    transmittance: Floats
    r""":math:`\eta_b`: detected photons per photon sent, both ends in the basis; shape (2, bins)."""
    wrong: Floats
    r""":math:`e_b\eta_b`: those in the wrong detector; shape (2, bins)."""
    noise: Floats
    r""":math:`y^0_b`, per gate; shape (2, bins)."""
    noise_per_photon: Floats
    r""":math:`y^1_b`; shape (2, bins)."""
    afterpulse: float = 0.0
    """Detections without light that follow each detection in its own class, wrong half of the time."""
    lost: Floats
    """Exponents of the live fraction at no light and per mean photon; shape (2, bins)."""
    receiver_chooses: bool = True
    """Whether a basis chosen by the receiver's dice multiplies the counts; false: a beam splitter's share is
    in the transmittance already."""
    noise_unchosen: bool = False
    """Whether detectors of the basis not chosen give noise too."""
    brightness: tuple[float, ...] = (1.0, 1.0, 1.0)
    """True over nominal mean photon number of each class."""
    vacuum_leak: float = 0.0
    """Light of a vacuum pulse as a share of the signal's."""
    spread: float = 0.0
    """Of transmittance within bins; see `compression_error`."""

    @classmethod
    def of(
        cls,
        *,
        pulses: ArrayLike,
        transmittance: ArrayLike,
        optical_error: ArrayLike,
        noise: ArrayLike,
        bins: int = BINS,
        **more: Any,
    ) -> "Channel":
        """Samples of a link, sorted and compressed. Their order makes no difference beyond rounding.

        pulses: in each sample, shape (n,).  transmittance, optical_error, noise: shape (n,) for both bases
        alike, or (2, n); errors in [0, 1/2].  more: further fields, arrays of samples likewise.
        Raises DataFormatError for what is no probability.
        """
        n: Floats = np.atleast_1d(np.asarray(pulses, dtype=np.float64))
        shape = (2, n.size)
        eta, error, y = (
            np.broadcast_to(np.asarray(each, dtype=np.float64), shape)
            for each in (transmittance, optical_error, noise)
        )
        _check(n, eta, error, y)
        slope, lost = (
            np.broadcast_to(np.asarray(more.pop(name, 0.0), dtype=np.float64), shape)
            for name in ("noise_per_photon", "lost")
        )
        live = n > 0
        bin_of = _bins(n[live], eta.mean(axis=0)[live], bins)
        total: Floats = np.bincount(bin_of, n[live]).astype(np.float64)

        def mean(values: Floats) -> Floats:
            rows = np.broadcast_to(values, shape)
            sums = [np.bincount(bin_of, n[live] * row[live]) for row in rows]
            return np.asarray(sums / total, dtype=np.float64)

        centre = mean(eta)
        variance = np.maximum(mean(eta**2) - centre**2, 0.0)
        light = float((total * centre).sum())
        return cls(
            pulses=total,
            transmittance=centre,
            wrong=mean(eta * error),
            noise=mean(y),
            noise_per_photon=mean(slope),
            lost=mean(lost),
            spread=float((total * variance).sum()) / light if light > 0 else 0.0,
            **more,
        )

    def compression_error(self, intensity: float) -> float:
        r"""Largest relative error of a class's detections by light that the bins make.

        Within a bin :math:`0 \le \langle e^{-\mu\eta}\rangle - e^{-\mu\langle\eta\rangle} \le
        \tfrac12\mu^2\,\mathrm{Var}\,\eta`, against :math:`\mu\langle\eta\rangle\,e^{-\mu\eta}` at least.
        """
        brightest = float(self.transmittance.max(initial=0.0))
        return 0.5 * intensity * self.spread * math.exp(intensity * brightest)

    def counts(self, settings: SourceSettings, loss_db: ArrayLike = 0.0) -> tuple[Floats, Floats]:
        """Expected detections and errors in matching bases.

        loss_db: on top, any shape S; light alone suffers it.  Returns two arrays of shape (*S, 2, classes),
        basis Z first.
        """
        loss = np.asarray(loss_db, dtype=np.float64)
        weaker = 10 ** (-loss.reshape(-1, 1, 1) / 10)
        eta, wrong = weaker * self.transmittance, weaker * self.wrong
        mu, p = self._true_intensities(settings), np.array(settings.probabilities)
        mean_photons = float(p @ mu)
        sent, chosen, noisy = self._choices(settings)

        crowd = mean_photons * weaker
        y = noisy * self.noise + chosen * crowd * self.noise_per_photon  # (L, 2, bins)
        live = self.pulses * np.exp(-(self.lost[:1] + crowd * self.lost[1:]))  # (L, 1, bins)
        hit = -np.expm1(-mu[:, None, None, None] * eta)  # (classes, L, 2, bins)
        lit = chosen * hit
        detections = (live * (lit + y * (1 - hit))).sum(axis=-1)
        share = np.divide(wrong, eta, out=np.zeros_like(eta), where=eta > 0)
        errors = (live * (lit * share + 0.5 * y * (1 - hit))).sum(axis=-1)
        errors = errors + 0.5 * self.afterpulse * detections
        detections = detections * (1 + self.afterpulse)
        scale = sent * p[:, None, None]
        shape = (*loss.shape, 2, mu.size)
        return (
            np.moveaxis(scale * detections, 0, -1).reshape(shape),
            np.moveaxis(scale * errors, 0, -1).reshape(shape),
        )

    def scaled(self, factor: float) -> "Channel":
        """The same link for a multiple of its pulses."""
        return msgspec.structs.replace(self, pulses=factor * self.pulses)

    def _true_intensities(self, settings: SourceSettings) -> Floats:
        mu: Floats = np.array(settings.intensities) * np.array(self.brightness[: len(settings.intensities)])
        if mu.size == 3:
            mu[2] += self.vacuum_leak * mu[0]
        return mu

    def _choices(self, settings: SourceSettings) -> tuple[Floats, Floats, Floats]:
        """Sender's probability of each basis, shape (2,); factors of light and of noise, shape (2, 1)."""
        z, q = settings.basis_z_probability, settings.station_basis_z_probability
        sent = np.array([z, 1 - z])
        if not self.receiver_chooses:
            return sent, np.ones((2, 1)), np.ones((2, 1))
        chosen = np.array([[q], [1 - q]])
        return sent, chosen, np.ones((2, 1)) if self.noise_unchosen else chosen


def _bins(pulses: Floats, transmittance: Floats, bins: int) -> NDArray[np.intp]:
    """Bin of each sample: equal shares of the light, in order of transmittance."""
    order = np.lexsort((pulses, transmittance))
    light = np.cumsum((pulses * transmittance)[order] + 1e-300)
    place = np.minimum(
        (bins * (light - 0.5 * np.diff(light, prepend=0.0)) / light[-1]).astype(np.intp), bins - 1
    )
    bin_of = np.empty(pulses.size, dtype=np.intp)
    bin_of[order] = np.unique(place, return_inverse=True)[1]
    return bin_of


def _check(pulses: Floats, transmittance: Floats, error: Floats, noise: Floats) -> None:
    for name, values, most in (
        ("pulses", pulses, math.inf),
        ("transmittance", transmittance, 1.0),
        ("optical_error", error, 0.5),
        ("noise", noise, 1.0),
    ):
        if not (np.all(values >= 0) and np.all(values <= most)):
            raise DataFormatError(
                f"channel {name}: expected values in [0, {most:g}], got {values.min():g} to {values.max():g}"
            )
    if not pulses.sum() > 0:
        raise DataFormatError("channel pulses: expected more than 0, got none; there is no link to plan for")
