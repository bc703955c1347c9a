"""Expected counts: what the source and the detectors make of a link budget, in the mean.

Phase-randomised pulses seen by four threshold detectors, each with its own numbers: Poisson photons, dark
and background counts, crosstalk, photons of neighbouring slots and afterpulses inside the gate; a random
bit where both detectors of a basis click, a random basis and bit where both bases do; slots near an earlier
click dropped. No security: this is what planning and plots compare measured counts with, and what the twin's
counts are tested against.

First order in what is small: intensity fluctuation enters by its mean, noise is independent of the pulse,
and of dead time, recovery and afterpulses only the effect of one click on the next is counted.
Sources: Lo, Ma & Chen, PRL 94, 230504 (2005); Ma et al., PRA 72, 012326 (2005), eqs. 7-11.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import DETECTORS, Satellite, Station
from satqkd.errors import ConfigError
from satqkd.optics.budget import LinkLosses
from satqkd.optics.gate import GateShares, gate_shares
from satqkd.records import SIGNAL

Array = NDArray[np.float64]

STATES: Final = 4
"""H, V, +, -: basis = state // 2, bit = state % 2; detectors have the same numbers."""
RANDOM_ERROR: Final = 0.5
"""Error of a count that knows nothing of the pulse."""


class ExpectedRates(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Mean rates at the points of a link budget; arrays of its shape S, float64."""

    detection_hz: Array
    """Accepted slots a second, all classes and detectors, noise included."""
    sifted_hz: Array
    """Those of class signal in matching bases."""
    qber: Array
    """Expected errors over expected detections of class signal in matching bases."""
    class_gain: Array
    """Detections per pulse sent in a class, exclusion included; shape (3, *S): signal, decoy, vacuum."""
    class_error: Array
    """Error rate among matching-basis detections of a class; shape (3, *S); 1/2 where nothing is counted."""
    matched_gain: Array
    """Per pulse of a class in a basis: detections in that same basis; shape (3, 2, *S)."""
    wrong_gain: Array
    """Per pulse of a class in a basis: those that are wrong; shape (3, 2, *S)."""
    live_fraction: Array
    """Share of the slots that no earlier click excludes."""


def expected_rates(losses: LinkLosses, *, satellite: Satellite, station: Station) -> ExpectedRates:
    r"""Mean detections, sifted bits and errors for a link budget.

    With :math:`c_d = 1 - e^{-\lambda_d - \nu_d}` the probability that detector d clicks inside the gate,
    photons :math:`\lambda_d` by the pulse's state and noise :math:`\nu_d`, the outcome is basis Z, bit 0 with

    .. math:: P(Z, 0) = (1 - c_2)(1 - c_3)\,c_0\,(1 - \tfrac12 c_1)
        + \tfrac14 \big(1 - (1 - c_0)(1 - c_1)\big)\big(1 - (1 - c_2)(1 - c_3)\big)

    and so on round. All are multiplied by the live fraction :math:`e^{-R t_x (1 + v)}`, with the rate R of
    all tags, the exclusion time before a gate's middle :math:`t_x` and the relative variance v of the fading.
    Raises ConfigError when the gate is longer than the pulse period.
    """
    source, receiver = satellite.source, station.receiver
    _check_gate(satellite, station)
    shares = gate_shares(receiver, source)
    light = _Light(losses, satellite, station)
    tags_hz = light.tag_hz(losses)
    noise = light.noise(losses, tags_hz, shares)
    blind_s = receiver.exclusion_s + receiver.gate_s / 2
    live = np.exp(-tags_hz.sum(axis=0) * blind_s * (1 + losses.fading_variance))
    recovered = light.recovered(tags_hz)

    shape = losses.transmittance.shape
    click, matched, wrong = np.zeros((3, *shape)), np.zeros((3, 2, *shape)), np.zeros((3, 2, *shape))
    for state in range(STATES):
        basis, bit = divmod(state, 2)
        for k, mu in enumerate(source.true_intensities):
            outcome = light.outcomes(mu, state, shares, noise, recovered)
            click[k] += light.state_probability[state] * outcome.sum(axis=0)
            matched[k, basis] += 0.5 * (outcome[2 * basis] + outcome[2 * basis + 1])
            wrong[k, basis] += 0.5 * outcome[2 * basis + 1 - bit]
    gain, matched, wrong = click * live, matched * live, wrong * live

    share = np.reshape(source.probabilities, (3,) + (1,) * losses.transmittance.ndim)
    z_sent = source.basis_z_probability
    both = z_sent * matched[:, 0] + (1 - z_sent) * matched[:, 1]
    both_wrong = z_sent * wrong[:, 0] + (1 - z_sent) * wrong[:, 1]
    error = np.full_like(both, RANDOM_ERROR)
    np.divide(both_wrong, both, out=error, where=both > 0)
    return ExpectedRates(
        detection_hz=source.pulse_rate_hz * np.sum(share * gain, axis=0),
        sifted_hz=source.pulse_rate_hz * source.probabilities[SIGNAL] * both[SIGNAL],
        qber=error[SIGNAL],
        class_gain=gain,
        class_error=error,
        matched_gain=matched,
        wrong_gain=wrong,
        live_fraction=live,
    )


class _Light:
    """Photons, tags and noise by detector; arrays of shape (4, *S)."""

    def __init__(self, losses: LinkLosses, satellite: Satellite, station: Station) -> None:
        self.source, self.receiver = satellite.source, station.receiver
        self.transmittance = losses.transmittance
        self.errors = (losses.error_z, losses.error_x)
        self.extra = (slice(None),) + (None,) * losses.transmittance.ndim
        self.efficiency = self._each("efficiency")
        z = self.source.basis_z_probability
        self.state_probability = (z / 2, z / 2, (1 - z) / 2, (1 - z) / 2)
        at_face = self.transmittance * self.efficiency
        self.detected = np.stack([at_face * self._routing(state) for state in range(STATES)])
        """Detected photons per photon sent, by state and detector; shape (4, 4, *S)."""

    def outcomes(self, mu: float, state: int, shares: GateShares, noise: Array, recovered: Array) -> Array:
        """Probability that a slot of this state ends as H, V, +, -; shape (4, *S)."""
        kept = mu * shares.own[state][self.extra] * recovered
        q = self.receiver.basis_z_probability
        if self.receiver.basis_choice == "passive":
            return _outcomes(-np.expm1(-(kept * self.detected[state] + noise)))
        z, x = (self._only(state, basis) for basis in (0, 1))
        in_z, in_x = (_outcomes(-np.expm1(-(kept * each + noise))) for each in (z, x))
        return np.asarray(q * in_z + (1 - q) * in_x)

    def _only(self, state: int, basis: int) -> Array:
        """Detected photons when the receiver has chosen this basis for all of a pulse."""
        q = self.receiver.basis_z_probability
        alone: Array = np.zeros_like(self.detected[state])
        mine = slice(2 * basis, 2 * basis + 2)
        alone[mine] = self.detected[state][mine] / (q if basis == 0 else 1 - q)
        return alone

    def _routing(self, state: int) -> Array:
        """Probability that a photon of a state goes to each detector, efficiency aside; shape (4, *S)."""
        basis, bit = divmod(state, 2)
        q = self.receiver.basis_z_probability
        way = np.empty((DETECTORS, *self.transmittance.shape))
        for detector in range(DETECTORS):
            measured, value = divmod(detector, 2)
            wrong = self.errors[basis]
            split = (wrong if value != bit else 1 - wrong) if measured == basis else RANDOM_ERROR
            way[detector] = (q, 1 - q)[measured] * split
        return way

    def mean_photons(self) -> Array:
        """Detected photons per pulse by sent state and detector, mean over the classes; shape (4, 4, *S)."""
        mu = float(np.dot(self.source.probabilities, self.source.true_intensities))
        return np.asarray(mu * self.detected)

    def dark_and_sky_hz(self, losses: LinkLosses) -> Array:
        """Dark counts and each detector's part of background and crosstalk."""
        efficiency = self.efficiency
        return np.asarray(
            self._each("dark_rate_hz")
            + efficiency / efficiency.sum(axis=0) * (losses.background_hz + losses.crosstalk_hz)
        )

    def tag_hz(self, losses: LinkLosses) -> Array:
        """Tags a second of each detector, afterpulses included, gated or not."""
        photons = np.tensordot(self.state_probability, self.mean_photons(), axes=1)
        raw_hz = self.source.pulse_rate_hz * photons + self.dark_and_sky_hz(losses)
        seen_hz = raw_hz / (1 + raw_hz * (self._each("dead_time_s") + self._each("recovery_s")))
        return np.asarray(seen_hz / (1 - self._each("afterpulse_probability")))

    def noise(self, losses: LinkLosses, tags_hz: Array, shares: GateShares) -> Array:
        """Expected counts a gate that know nothing of its pulse."""
        steady = self.dark_and_sky_hz(losses) * self.receiver.gate_s
        leaked = sum(
            self.state_probability[state] * shares.others[state][self.extra] * each
            for state, each in enumerate(self.mean_photons())
        )
        after_hz = self._each("afterpulse_probability") * tags_hz
        return np.asarray(
            steady + leaked + after_hz * shares.afterpulse[self.extra] / self.source.pulse_rate_hz
        )

    def recovered(self, tags_hz: Array) -> Array:
        """Efficiency left by clicks before the exclusion time, over the full one."""
        dead_s, tau_s = self._each("dead_time_s"), self._each("recovery_s")
        load = tags_hz * tau_s
        past = np.exp(-(self.receiver.exclusion_s - dead_s) / np.maximum(tau_s, 1e-18))
        return np.asarray(1 - past * load / (1 + load))

    def _each(self, name: str) -> Array:
        return self.receiver.detector.each(name)[self.extra]


def _outcomes(click: Array) -> Array:
    """Outcome probabilities of a slot from the click probabilities of the four detectors."""
    quiet = 1 - click
    none_z, none_x = quiet[0] * quiet[1], quiet[2] * quiet[3]
    crossed = 0.25 * (1 - none_z) * (1 - none_x)
    return np.stack(
        [
            none_x * click[0] * (1 - 0.5 * click[1]) + crossed,
            none_x * click[1] * (1 - 0.5 * click[0]) + crossed,
            none_z * click[2] * (1 - 0.5 * click[3]) + crossed,
            none_z * click[3] * (1 - 0.5 * click[2]) + crossed,
        ]
    )


def gate_fits(satellite: Satellite, station: Station) -> bool:
    """Whether a station's gate is no longer than a satellite's pulse period."""
    return station.receiver.gate_s <= 1 / satellite.source.pulse_rate_hz


def _check_gate(satellite: Satellite, station: Station) -> None:
    period_s = 1 / satellite.source.pulse_rate_hz
    if not gate_fits(satellite, station):
        raise ConfigError(
            f"station {station.name}: receiver.gate {station.receiver.gate_s * 1e9:.3g} ns must not exceed "
            f"the pulse period {period_s * 1e9:.3g} ns of satellite {satellite.name}; shorten the gate"
        )
