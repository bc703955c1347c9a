"""What each attack does to the light of a slot, and what it then tells of the sender's bit.

Eve stands at the satellite's exit and owns the whole loss to the detectors' faces. Her dice are four words a
slot; nothing is remembered, so what she did in a slot can be asked again when the bases are public.

- **Intercept-resend.** She counts and measures all photons of a pulse in Z or X, by a coin, without loss or
  error, and sends as many photons in the state she found, through a link of the same loss. A Poisson number
  thinned stays one: every class is detected as often as before, double clicks included. Of the wrong basis
  she sends a random bit, however many photons there were.
- **Photon-number splitting.** Yields of n photons: Y_1 = (1 - share) T, Y_n = rho T for n >= 2, Y_0 = 0, with
  T the link's transmittance and rho such that the signal is detected as often as before, but never so that
  Y_n exceeds 1 in the pass. Of two and more she sends one on and keeps the others until bases are told. To
  the receiver that is a weaker source of mean (1 - share) mu e^-mu + rho P(n >= 2) in each class.
- **Blinding.** As intercept-resend of all pulses, but what she resends is bright: the blinded detector of her
  bit clicks where the receiver measures in her basis, no other ever. She clicks as often as the link would
  and errs as often as its optics would, so that counts stay; to an active receiver she sends twice as often.
- **Time shift.** Pulses leave earlier or later, so that detectors with different lags keep a different share
  of their clicks inside the gate; she guesses the better one's bit, and makes good what the gate cuts.
- **Jamming** touches no pulse: see `eve.jammed`.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from satqkd.config import Source
from satqkd.devices.eve_spec import EveSpec
from satqkd.kernels.click_inputs import Detection
from satqkd.kernels.clicks_plain import Sent, uniform_32
from satqkd.kernels.philox_plain import Column
from satqkd.records import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Words = tuple[Column, ...]

_ONE: Final = np.uint64(1)
NO_KIND: Final = -1


class Learnt(NamedTuple):
    """Of the sender's bit in slots, once the basis is public; columns of shape (n,)."""

    certain: Mask
    """Whether she knows it for sure."""
    guess: NDArray[np.uint8]
    """Her best guess; a coin where she knows nothing."""
    kind: Ints
    """Which guesses are equally good, from 0; -1 for those that are certain or a coin."""


class Attack(Protocol):
    """One attack on the pulses of a window."""

    most_gain: float
    """At most so many times as many photons arrive of a pulse of the brightest class."""

    def touches(self, words: Words) -> Mask:
        """Which slots she acts on."""
        ...

    def changed(self, sent: Sent, settings: Settings, words: Words, touched: Mask) -> Sent:
        """The light that arrives instead."""
        ...

    def learnt(self, settings: Settings, words: Words, touched: Mask) -> Learnt:
        """What she knows of each slot's bit."""
        ...


def attack_of(
    spec: EveSpec,
    source: Source,
    detection: Detection,
    *,
    gate_ps: float,
    shift_ps: float,
    brightest: float,
) -> Attack | None:
    """The attack on pulses that a spec names; None for one that touches none.

    gate_ps: full width. shift_ps: of a time shift. brightest: the largest transmittance of the pass, fading
    included.
    """
    if spec.attack == "intercept-resend":
        return InterceptResend(spec.share)
    if spec.attack == "photon-number-splitting":
        return Splitting(spec.share, np.array(source.true_intensities), brightest)
    if spec.attack == "blinding":
        return Blinding(passive=detection.passive)
    if spec.attack == "time-shift":
        return TimeShift(spec, detection, gate_ps, shift_ps, brightest)
    return None


class InterceptResend:
    """A share of the pulses, measured in a random basis and sent again."""

    most_gain = 1.0

    def __init__(self, share: float) -> None:
        self._share = share

    def touches(self, words: Words) -> Mask:
        """By the first word."""
        return uniform_32(words[0]) < self._share

    def found(self, settings: Settings, words: Words) -> tuple[Ints, Ints]:
        """Basis and bit of her results: the sender's bit in the sender's basis, else a coin."""
        basis, coin = (words[1] & _ONE).astype(np.int64), (words[2] & _ONE).astype(np.int64)
        return basis, np.where(basis == settings.basis, settings.bit, coin).astype(np.int64)

    def changed(self, sent: Sent, settings: Settings, words: Words, touched: Mask) -> Sent:
        """Her result instead of the sender's state."""
        basis, bit = self.found(settings, words)
        return sent._replace(basis=np.where(touched, basis, sent.basis), bit=np.where(touched, bit, sent.bit))

    def learnt(self, settings: Settings, words: Words, touched: Mask) -> Learnt:
        """All of the bit where her basis was the sender's, nothing elsewhere."""
        basis, bit = self.found(settings, words)
        certain = touched & (basis == settings.basis)
        guess = np.where(touched, bit, (words[3] & _ONE).astype(np.int64)).astype(np.uint8)
        return Learnt(certain, guess, np.full(guess.size, NO_KIND))


class Blinding(InterceptResend):
    """Every pulse measured, the result forced upon detectors that bright light has made classical."""

    def __init__(self, *, passive: bool) -> None:
        super().__init__(1.0)
        self.most_gain = 1.0 if passive else 2.0

    def changed(self, sent: Sent, settings: Settings, words: Words, touched: Mask) -> Sent:
        """Her result, which clicks in her basis alone."""
        light = super().changed(sent, settings, words, touched)
        return light._replace(
            photons=np.where(touched, self.most_gain * sent.photons, sent.photons),
            measured_in=np.where(touched, light.basis, sent.measured_in),
        )


class Splitting:
    """Single photons blocked, of two and more one sent on and the others kept."""

    most_gain = 1.0

    def __init__(self, share: float, intensities: Floats, brightest: float) -> None:
        singles = (1 - share) * intensities * np.exp(-intensities)
        several = -np.expm1(-intensities) - intensities * np.exp(-intensities)
        signal = int(np.argmax(intensities))
        rho = min((intensities[signal] - singles[signal]) / several[signal], 1 / brightest)
        mean = singles + rho * several
        self._gain = np.divide(mean, intensities, out=np.zeros(mean.size), where=intensities > 0)
        self._several_share = np.divide(rho * several, mean, out=np.zeros(mean.size), where=mean > 0)

    def touches(self, words: Words) -> Mask:
        """All: each is counted."""
        return np.ones(words[0].size, bool)

    def changed(self, sent: Sent, settings: Settings, words: Words, touched: Mask) -> Sent:
        """Fainter or brighter by class."""
        gain = self._gain[settings.intensity_class]
        return sent._replace(photons=np.where(touched, gain * sent.photons, sent.photons))

    def learnt(self, settings: Settings, words: Words, touched: Mask) -> Learnt:
        """The whole bit of a slot of several photons, drawn as likely as it is of a detected slot."""
        several = uniform_32(words[0]) < self._several_share[settings.intensity_class]
        certain = touched & several
        guess = np.where(certain, settings.bit, (words[3] & _ONE).astype(np.uint8)).astype(np.uint8)
        return Learnt(certain, guess, np.full(guess.size, NO_KIND))


class TimeShift:
    """A share of the pulses moved in time to where one detector of a basis is better than the other."""

    def __init__(
        self, spec: EveSpec, detection: Detection, gate_ps: float, shift_ps: float, brightest: float
    ) -> None:
        self._share, self._way, self._shift_ps = spec.share, spec.way, shift_ps
        here = seen_in_gate(detection, gate_ps, 0.0)
        shifted = [seen_in_gate(detection, gate_ps, shift) for shift in (shift_ps, -shift_ps)]
        gains = [min(here.sum() / max(each.sum(), 1e-12), 1 / brightest) for each in shifted]
        self._gain = np.array(gains)
        self.most_gain = max(1.0, *gains)
        self._odds = np.array([_odds(each) for each in shifted])
        """Of bit 1, by way (late, early) and basis."""

    def touches(self, words: Words) -> Mask:
        """By the first word."""
        return uniform_32(words[0]) < self._share

    def _ways(self, words: Words) -> Ints:
        """0 late, 1 early."""
        if self._way == "both":
            return (words[1] & _ONE).astype(np.int64)
        return np.full(words[1].size, int(self._way == "early"), np.int64)

    def changed(self, sent: Sent, settings: Settings, words: Words, touched: Mask) -> Sent:
        """Moved, and brighter by what the gate cuts."""
        way = self._ways(words)
        return sent._replace(
            photons=np.where(touched, self._gain[way] * sent.photons, sent.photons),
            late_ps=sent.late_ps + np.where(touched, self._shift_ps * (1 - 2 * way), 0.0),
        )

    def learnt(self, settings: Settings, words: Words, touched: Mask) -> Learnt:
        """The bit of the better detector, labels as they are: where they are swapped it is the other one."""
        way = self._ways(words)
        odds, coin = self._odds[way, settings.basis], (words[3] & _ONE).astype(np.uint8)
        better = touched & (odds != 0.5)
        guess = np.where(better, odds > 0.5, coin).astype(np.uint8)
        kind = np.where(better, 2 * way + settings.basis, NO_KIND)
        return Learnt(np.zeros(odds.size, bool), guess, kind.astype(np.int64))


def seen_in_gate(detection: Detection, gate_ps: float, shift_ps: float) -> Floats:
    """Probability by detector, shape (4,), that a photon clicks inside the gate when its pulse is shifted.

    Gaussian jitter alone; the late tail makes what she learns less than this.
    """
    centre, sigma = detection.lag_ps + shift_ps, np.maximum(detection.sigma_ps, 1e-9)
    inside = ndtr((gate_ps / 2 - centre) / sigma) - ndtr((-gate_ps / 2 - centre) / sigma)
    return np.asarray(detection.efficiency * inside)


def _odds(seen: Floats) -> list[float]:
    """Of bit 1 in Z and X; even where nothing is seen."""
    pairs = ((seen[0], seen[1]), (seen[2], seen[3]))
    return [float(one / (zero + one)) if zero + one > 0 else 0.5 for zero, one in pairs]
