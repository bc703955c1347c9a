"""An eavesdropper in the twin: she changes the light, hears what is said in public, and gives account.

Only nature knows her: the station behind the receiver's door sees her by clicks and currents alone. Her dice
are a named stream of the seed, four Philox words a slot under a key of her own, so that nothing about a slot
is remembered. What each attack does and what it assumes: `satqkd.devices.eve_attacks`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.config import Satellite, Station
from satqkd.constants import PS_PER_S
from satqkd.devices.bias import photons_hz
from satqkd.devices.dice import settings_of
from satqkd.devices.eve_account import EveAccount, EveBlock
from satqkd.devices.eve_attacks import NO_KIND, Learnt, Mask, Words, attack_of
from satqkd.devices.eve_spec import EveSpec
from satqkd.devices.nature import header_of
from satqkd.errors import ConfigError
from satqkd.kernels.click_inputs import Detection, Light, Path, Pieces, Pulses
from satqkd.kernels.clicks_plain import candidates_of, photon_keys, sent_in, station_ps
from satqkd.kernels.philox_plain import MASK_32, SHIFT_32, columns
from satqkd.randomness import key_words
from satqkd.records import BASIS_NAMES, CLASS_NAMES, LinkSeries, Settings
from satqkd.security.tails import binary_entropy

STREAM_EVE: Final = 7
"""In her dice: counter (slot mod 2^32, slot div 2^32, 0, STREAM_EVE), key eve/dice."""
Ints = NDArray[np.int64]


class Eavesdropper:
    """One attacker over one pass."""

    def __init__(
        self,
        spec: EveSpec,
        satellite: Satellite,
        station: Station,
        *,
        slots: int,
        key: tuple[int, int],
        seed: int,
        detection: Detection,
        brightest: float,
    ) -> None:
        """slots, key: of the source. brightest: largest transmittance of the pass, fading included.

        Raises ConfigError for light too weak to blind these detectors.
        """
        self.spec = spec
        self._source, self._key, self._header = satellite.source, key, header_of(satellite)
        self._dice = key_words(seed, "eve", "dice")
        rate_hz = satellite.source.pulse_rate_hz
        edges = [int(np.ceil(np.clip(s, 0, slots / rate_hz) * rate_hz)) for s in (spec.from_s, spec.to_s)]
        self._first_slot, self._end_slot = edges
        receiver = station.receiver
        shift_s = receiver.gate_s / 2 if spec.shift_s is None else spec.shift_s
        self.earliest_ps = shift_s * PS_PER_S if spec.attack == "time-shift" else 0.0
        """At most so much earlier than without her light arrives."""
        self._attack = attack_of(
            spec,
            satellite.source,
            detection,
            gate_ps=receiver.gate_s * PS_PER_S,
            shift_ps=shift_s * PS_PER_S,
            brightest=brightest,
        )
        self._check_bright(station)
        self._clicks_touched = 0
        self._heard: list[tuple[Ints, Bits]] = []

    @property
    def most_gain(self) -> float:
        """At most so many times as many photons arrive of a pulse."""
        return 1.0 if self._attack is None else self._attack.most_gain

    def pulse_keys(
        self, pieces: Pieces, segment: int, pulses: Pulses, light: Light, detection: Detection, path: Path
    ) -> Ints:
        """As `clicks_plain.pulse_keys`, of the light that she lets arrive."""
        candidates = candidates_of(pieces._replace(bound=self.most_gain * pieces.bound), segment, detection)
        slots, sent = candidates.slots, sent_in(candidates.slots, pulses)
        words, touched = self._acts(slots)
        if self._attack is not None and touched.any():
            settings = settings_of(slots, key=self._key, source=self._source, header=self._header)
            sent = self._attack.changed(sent, settings, words, touched)
        keys, rows = photon_keys(candidates, sent, segment, pulses, light, detection, path)
        self._clicks_touched += int(touched[rows].sum())
        return keys

    def bright_w(self, low_ps: int, high_ps: int) -> float:
        """Mean steady power on each detector over a stretch of emission time."""
        if self.spec.attack != "blinding":
            return 0.0
        from_s, to_s = max(self.spec.from_s, low_ps / PS_PER_S), min(self.spec.to_s, high_ps / PS_PER_S)
        return self.spec.bright_w * max(to_s - from_s, 0.0) * PS_PER_S / (high_ps - low_ps)

    def noise_kept(self, keys: Ints, path: Path) -> Ints:
        """Dark and background counts that detectors still give: none while they are blind."""
        if self.spec.attack != "blinding":
            return keys
        start, end = int(path.grid_ps[0]), int(path.grid_ps[-1])
        edges = np.clip(np.array([self.spec.from_s, self.spec.to_s]) * PS_PER_S, start, end).astype(np.int64)
        first_ps, last_ps = station_ps(edges, np.zeros(2), path)
        time_ps = keys >> 3
        kept: Ints = keys[(time_ps < first_ps) | (time_ps > last_ps)]
        return kept

    def hear(self, slots: Ints, bases: Bits) -> None:
        """Slots of announced detections, and their bases, which are public when their block is over."""
        self._heard.append((slots.copy(), bases.copy()))

    def account(
        self, first_slots: Sequence[int], keyed_bases: Sequence[str], keyed_classes: Sequence[str]
    ) -> EveAccount:
        """All she did and knows. first_slots: of every block, and the end of the last.

        A dark click in a slot that she changed counts as one of hers: what she knows is not understated.
        """
        slots = np.concatenate([np.empty(0, np.int64), *(each for each, _ in self._heard)])
        bases = np.concatenate([np.empty(0, np.uint8), *(each for _, each in self._heard)])
        words, touched = self._acts(slots)
        settings = settings_of(slots, key=self._key, source=self._source, header=self._header)
        keyed = np.array(
            [[b in keyed_bases and c in keyed_classes for c in CLASS_NAMES] for b in BASIS_NAMES]
        )
        sifted = (bases == settings.basis) & keyed[settings.basis, settings.intensity_class]
        learnt = self._learnt(settings, words, touched)
        blocks = []
        for block, (low, high) in enumerate(pairwise(first_slots)):
            here = sifted & (slots >= low) & (slots < high)
            blocks.append(_block(block, here, learnt, settings))
        return EveAccount(
            spec=self.spec.text,
            attack=self.spec.attack,
            pulses=self._end_slot - self._first_slot,
            clicks_touched=self._clicks_touched,
            detections_touched=int(touched.sum()),
            blocks=tuple(blocks),
        )

    def _learnt(self, settings: Settings, words: Words, touched: Mask) -> Learnt:
        """What she knows, slot by slot; coins where she touches no pulse."""
        if self._attack is None:
            coin = (words[3] & np.uint64(1)).astype(np.uint8)
            return Learnt(touched, coin, np.full(coin.size, NO_KIND))
        return self._attack.learnt(settings, words, touched)

    def _acts(self, slots: Ints) -> tuple[Words, Mask]:
        """Her dice of the slots, and which of them she changes."""
        counter, zero = slots.astype(np.uint64), np.zeros(1, np.uint64)
        use = np.full(1, STREAM_EVE, np.uint64)
        words = columns(counter & MASK_32, counter >> SHIFT_32, zero, use, self._dice)
        inside = (slots >= self._first_slot) & (slots < self._end_slot)
        return words, inside & self._attack.touches(words) if self._attack else np.zeros(slots.size, bool)

    def _check_bright(self, station: Station) -> None:
        answer = station.receiver.bright_light
        if self.spec.attack == "blinding" and answer is not None and self.spec.bright_w < answer.blinding_w:
            raise ConfigError(
                f"--eve {self.spec.text}: expected at least {answer.blinding_w:g} W, which blinds the "
                f"detectors of {station.name}, got {self.spec.bright_w:g} W: weaker light makes clicks; "
                "take more, or jamming"
            )


def _block(block: int, here: Mask, learnt: Learnt, settings: Settings) -> EveBlock:
    """What she knows of the sifted slots of a block."""
    right = learnt.guess == settings.bit
    known = int((here & learnt.certain).sum())
    information_bits = float(known)
    for kind in np.unique(learnt.kind[here & (learnt.kind != NO_KIND)]).tolist():
        alike = right[here & (learnt.kind == kind)]
        information_bits += alike.size * (1 - binary_entropy(float(alike.mean())))
    return EveBlock(
        block=block,
        sifted_bits=int(here.sum()),
        bits_known=known,
        information_bits=information_bits,
        guessed_right=int((here & right).sum()),
    )


def jammed(series: LinkSeries, spec: EveSpec | None, satellite: Satellite, station: Station) -> LinkSeries:
    """The link with an attacker's steady light on it, if she shines any: noise, shared as background is."""
    if spec is None or spec.attack != "jamming":
        return series
    efficiency = station.receiver.detector.mean_efficiency
    rate_hz = spec.jamming_hz + efficiency * photons_hz(spec.jamming_w, satellite.source.wavelength_m)
    on = (series.t_s >= spec.from_s) & (series.t_s <= spec.to_s)
    return msgspec.structs.replace(series, background_hz=series.background_hz + rate_hz * on)
