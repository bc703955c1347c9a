"""The digital twin: a sender and a receiver that share one set of dice, in two processes.

`TwinTransmitter` answers the settings of any slot; it is light and loads no numba. `TwinReceiver` is
nature and the station's detectors: it uses the dice to decide which photons click, and nothing but
time tags leaves it. Four detectors, each with its own efficiency, dark counts, jitter, dead time, recovery
and afterpulses, share the background; an active receiver too is modelled with four. Beacons come on a
channel of their own; a detector's channel tells whether labels were swapped in the slot of the tag.

Knows no protocol: no bases announced, no gates, no keys. Method: `satqkd.kernels.clicks_plain` for what
falls on the detectors, `satqkd.kernels.response_plain` for how they answer, `satqkd.kernels.labels_plain` for
what labels they had.
"""

import math

import numpy as np
from numpy.typing import NDArray

from satqkd.config import Satellite, Source, Station
from satqkd.constants import PS_PER_S
from satqkd.devices.bias import BiasMeter
from satqkd.devices.dice import settings_of
from satqkd.devices.door import BiasReadings, check_slots
from satqkd.devices.eve_spec import EveSpec
from satqkd.devices.nature import (
    ABOVE_ROUNDING,
    PIECE_PS,
    Beacons,
    detection_of,
    header_of,
    light_of,
    noise_hz_of,
    path_of,
    pieces_of,
    plate_of,
    pulses_of,
    response_of,
)
from satqkd.errors import DataFormatError, LocalProtocolError
from satqkd.header import PublicHeader
from satqkd.kernels.click_inputs import Pieces
from satqkd.kernels.clicks_plain import LARGEST_DEVIATE, slot_ps
from satqkd.kernels.response_plain import NEVER_PS, new_memory
from satqkd.records import BEACON_CHANNEL, LinkSeries, Settings, Tags

SEGMENT_PS = PS_PER_S // 5
"""The twin advances in stretches of 0.2 s of emission time, counted from the pass epoch."""
_PIECES_PER_SEGMENT = SEGMENT_PS // PIECE_PS
_FIRST_ROOM = 4096


class TwinTransmitter:
    """The satellite's source, its settings given by the dice; remembered as long as is said.

    horizon_slots: how far back slots can be asked for; None: all of the pass.
    """

    def __init__(
        self,
        source: Source,
        key: tuple[int, int],
        header: PublicHeader | None = None,
        *,
        horizon_slots: int | None = None,
    ) -> None:
        self.horizon_slots = horizon_slots
        self._source = source
        self._key = key
        self._header = header

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """Class, basis and bit of the slots; int64, shape (n,), >= 0, strictly increasing."""
        check_slots(slots, "transmitter")
        return settings_of(slots, key=self._key, source=self._source, header=self._header)


class TwinReceiver:
    """The station's detectors over one pass; the joined stream of tags does not depend on the reads.

    Memory is that of a segment and of the tags of one read. Reading at the series' first time gives no
    tags but compiles the kernels: a node warms up so.
    """

    def __init__(
        self,
        satellite: Satellite,
        station: Station,
        series: LinkSeries,
        *,
        slots: int,
        key: tuple[int, int],
        seed: int,
        eve: EveSpec | None = None,
    ) -> None:
        """Quantum pulses are slots 0..slots-1; noise lasts over the whole series, beacons from time 0.

        key: the dice, as given to the TwinTransmitter. seed: everything else that is random.
        eve: who attacks. Raises DataFormatError when the series does not cover the slots or is not physical,
        ConfigError for an attack that these detectors do not allow.
        """
        # Here, so that a satellite process never loads numba.
        from satqkd.devices.eve import Eavesdropper, jammed
        from satqkd.kernels import clicks, labels, response

        series = jammed(series, eve, satellite, station)

        self._kernels, self._respond, self._label = clicks, response.respond, labels.label
        self._slots = slots
        self._pulses = pulses_of(satellite.source, key, header_of(satellite))
        self._detection = detection_of(station.receiver, satellite.source, seed)
        self._response = response_of(station.receiver, seed)
        self._path = path_of(series, station, seed)
        self._light = light_of(series)
        self._plate_rad = [(0, 0.0)]
        self._start_ps, self._end_ps = int(self._path.grid_ps[0]), int(self._path.grid_ps[-1])
        self._check_covered()
        self._pieces = pieces_of(slots, self._pulses, self._light, self._detection, self._path)
        self._noise_hz = noise_hz_of(self._light, self._detection, self._path)
        self._beacons = Beacons(satellite.beacon, self._end_ps)
        self._memory = new_memory()
        self.eavesdropper: Eavesdropper | None = None
        if eve is not None:
            self.eavesdropper = Eavesdropper(
                eve,
                satellite,
                station,
                slots=slots,
                key=key,
                seed=seed,
                detection=self._detection,
                brightest=float(series.transmittance.max() * series.fading.max()),
            )
        bright = station.receiver.bright_light
        self._meter = None if bright is None else BiasMeter(bright, satellite.source.wavelength_m, seed)
        sigma_ps = max(float(self._detection.sigma_ps.max()), self._detection.beacon_sigma_ps)
        earliest_ps = LARGEST_DEVIATE * sigma_ps + max(-float(self._pulses.skew_ps.min()), 0.0)
        earliest_ps += max(-float(self._detection.lag_ps.min()), 0.0)
        earliest_ps += self.eavesdropper.earliest_ps if self.eavesdropper is not None else 0.0
        self._margin_ps = math.ceil(earliest_ps) + 2
        self._out, self._tags = np.empty(_FIRST_ROOM, np.int64), np.empty(_FIRST_ROOM, np.int64)
        self._held_back = np.empty(0, np.int64)
        self._ready = [np.empty(0, np.int64)]
        self._made_until_ps = self._start_ps
        self._final_before_ps = -math.inf
        self._read_until_s = -math.inf

    def read(self, until_s: float) -> Tags:
        """Tags before the station's time at which light emitted at `until_s` arrives; see the door.

        At the end of the series or later: all that remain. Before its beginning: none.
        """
        if not until_s >= self._read_until_s:
            raise LocalProtocolError(
                f"receiver: expected to read on from {self._read_until_s} s, got {until_s} s; "
                "until_s never decreases"
            )
        self._read_until_s = until_s
        before_ps = self._limit_ps(until_s)
        while self._final_before_ps < before_ps:
            self._advance()
        keys = np.concatenate(self._ready)
        cut = _count_before(keys, before_ps)
        self._ready = [keys[cut:].copy()]
        time_ps, channel = keys[:cut] >> 3, (keys[:cut] & 7).astype(np.uint8)
        if self._detection.swap.on:
            period_ps = self._pulses.period_ps + self._pulses.period_fraction_ps
            self._label(time_ps, channel, period_ps, self._detection.swap, self._path)
        return Tags(time_ps, channel)

    def skip(self, until_s: float) -> None:
        """Begin with the segment that holds `until_s`; see the door. Detectors are then at rest.

        Raises LocalProtocolError after the first read.
        """
        if self._read_until_s > -math.inf:
            raise LocalProtocolError("receiver: expected to skip before the first read, not after it")
        segment_ps = round(until_s * PS_PER_S) // SEGMENT_PS * SEGMENT_PS
        self._made_until_ps = min(max(self._made_until_ps, segment_ps), self._end_ps)

    def turn_plate(self, angle_rad: float, from_slot: int) -> None:
        """Turn the light of slots from `from_slot` on back by `angle_rad`; see the door.

        Raises LocalProtocolError when light of that slot is made, or a later setting given, already.
        """
        first = slot_ps(np.array([from_slot]), self._pulses.period_ps, self._pulses.period_fraction_ps)
        last_turn = self._plate_rad[-1][0]
        if int(first[0]) < self._made_until_ps or from_slot <= last_turn:
            raise LocalProtocolError(
                f"receiver: expected to turn the plate for a slot after {last_turn} whose light is "
                f"not made yet, got slot {from_slot}; turn it earlier"
            )
        self._plate_rad.append((from_slot, angle_rad))
        self._detection = self._detection._replace(plate=plate_of(self._plate_rad))

    def readings(self, until_s: float) -> BiasReadings:
        """Bias currents, one reading a segment; none where the settings do not say what they show."""
        if self._meter is None:
            return BiasReadings(np.empty(0), np.empty((0, 4)))
        return self._meter.take(until_s)

    def _limit_ps(self, until_s: float) -> float:
        """Station time before which tags are given."""
        if until_s * PS_PER_S >= self._end_ps:
            return math.inf
        if until_s * PS_PER_S < self._start_ps:
            return -math.inf
        return self._arrival_ps(round(until_s * PS_PER_S))

    def _arrival_ps(self, emission_ps: int) -> float:
        return float(self._kernels.station_ps(emission_ps, 0.0, self._path))

    def _advance(self) -> None:
        """Make the next segment; hand on what no later segment can precede, as the detectors answer it."""
        low_ps = self._made_until_ps
        segment = low_ps // SEGMENT_PS
        high_ps = min((segment + 1) * SEGMENT_PS, self._end_ps)
        keys = np.concatenate([self._held_back, self._segment_keys(low_ps, high_ps, segment)])
        keys.sort()
        self._made_until_ps = high_ps
        is_last = high_ps == self._end_ps
        self._final_before_ps = math.inf if is_last else self._arrival_ps(high_ps) - self._margin_ps
        cut = _count_before(keys, self._final_before_ps)
        self._held_back = keys[cut:].copy()
        made = len(self._ready)
        self._answer(keys[:cut], NEVER_PS if is_last else int(self._final_before_ps))
        if self._meter is not None:
            self._read_currents(low_ps, high_ps, self._ready[made:])

    def _read_currents(self, low_ps: int, high_ps: int, tags: list[NDArray[np.int64]]) -> None:
        """What the bias currents were while a segment's clicks were made."""
        assert self._meter is not None
        clicks = sum((np.bincount(keys & 7, minlength=8)[:4] for keys in tags), np.zeros(4, np.int64))
        bright_w = 0.0 if self.eavesdropper is None else self.eavesdropper.bright_w(low_ps, high_ps)
        self._meter.note(high_ps / PS_PER_S, (high_ps - low_ps) / PS_PER_S, clicks, bright_w)

    def _answer(self, keys: NDArray[np.int64], before_ps: int) -> None:
        """Let detectors and tagger answer; what they tag becomes ready."""
        row, finished = 0, False
        while not finished:
            row, count, finished = self._respond(
                keys, row, before_ps, self._response, self._memory, self._tags
            )
            self._ready.append(self._tags[:count].copy())
            if not finished:
                self._tags = np.empty(2 * self._tags.size, np.int64)

    def _segment_keys(self, low_ps: int, high_ps: int, segment: int) -> NDArray[np.int64]:
        """Keys of everything emitted in [low_ps, high_ps), unsorted: a view of the scratch array."""
        count = self._fill(low_ps, high_ps, segment)
        if count > self._out.size:
            self._out = np.empty(2 * count, np.int64)
            count = self._fill(low_ps, high_ps, segment)
        return self._out[:count]

    def _fill(self, low_ps: int, high_ps: int, segment: int) -> int:
        """Fill the scratch array; the number of keys there are, which may be more than it holds."""
        kernels, nature, out = self._kernels, (self._light, self._detection, self._path), self._out
        number = segment % 2**32
        count = self._fill_photons(segment, out)
        photons, bound_hz = count, self._largest_noise_hz(low_ps, high_ps)
        count = kernels.noise_keys(low_ps, high_ps, number, bound_hz, *nature, out, count)
        if self.eavesdropper is not None and count <= out.size:
            kept = self.eavesdropper.noise_kept(out[photons:count], self._path)
            count = photons + kept.size
            out[photons:count] = kept
        first_beacon, times = self._beacons.near(low_ps, high_ps)
        stretch = (first_beacon, times, low_ps, high_ps, BEACON_CHANNEL)
        return int(kernels.beacon_keys(*stretch, *nature, out, count))

    def _fill_photons(self, segment: int, out: NDArray[np.int64]) -> int:
        """The part of the scratch array that light of pulses fills."""
        nature = (self._light, self._detection, self._path)
        pieces, number = self._pieces_of(segment), segment % 2**32
        if self.eavesdropper is None:
            return int(self._kernels.pulse_keys(pieces, number, self._pulses, *nature, out, 0))
        keys = self.eavesdropper.pulse_keys(pieces, number, self._pulses, *nature)
        out[: keys.size] = keys[: out.size]
        return int(keys.size)

    def _pieces_of(self, segment: int) -> Pieces:
        """Those of one segment; none before slot 0."""
        first = max(segment, 0) * _PIECES_PER_SEGMENT
        end = max(segment + 1, 0) * _PIECES_PER_SEGMENT
        return Pieces(self._pieces.first_slot[first : end + 1], self._pieces.bound[first:end])

    def _largest_noise_hz(self, low_ps: int, high_ps: int) -> float:
        """The largest of the grid values that surround a stretch: no interpolated value exceeds it."""
        grid_ps = self._path.grid_ps
        first = int(np.searchsorted(grid_ps, low_ps, "right")) - 1
        return (
            float(self._noise_hz[first : int(np.searchsorted(grid_ps, high_ps)) + 1].max()) * ABOVE_ROUNDING
        )

    def _check_covered(self) -> None:
        last = np.array([self._slots - 1])
        last_ps = int(slot_ps(last, self._pulses.period_ps, self._pulses.period_fraction_ps)[0])
        if self._slots > 0 and not (self._start_ps <= 0 and last_ps < self._end_ps):
            raise DataFormatError(
                f"link series: expected times from 0 s or earlier to beyond the last of {self._slots} "
                f"slots at {last_ps / PS_PER_S:.6f} s, got "
                f"{self._start_ps / PS_PER_S:.6f} s to {self._end_ps / PS_PER_S:.6f} s; lengthen the series "
                "or send fewer slots"
            )


def _count_before(keys: NDArray[np.int64], before_ps: float) -> int:
    """How many of the sorted keys lie before a time."""
    if math.isinf(before_ps):
        return keys.size if before_ps > 0 else 0
    return int(np.searchsorted(keys, int(before_ps) * 8))
