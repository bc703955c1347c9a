"""The twin with every detector effect on, and the link budget: real-time factors and ratios to references.

The twin runs 400 s at 625 MHz, 40 to 50 dB, with fading at a kilohertz, four unequal detectors, jitter
tails, recovery, afterpulses, a coarse tagger, fluctuating pulses, skewed diodes and a wandering clock; its
reference is the plain numpy twin on a stretch of the same pass, which draws the same numbers. The budget
takes a pass of 600 s at 1 s steps; its reference is Skyfield's elevation and range of the same points,
geometry alone. One process, one thread; times are of the processor.

    python benchmarks/twin.py
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from satqkd.config import Satellite, Source, Station, Tagger
from satqkd.devices import TwinReceiver
from satqkd.devices.twin import SEGMENT_PS
from satqkd.kernels import clicks_plain
from satqkd.kernels.response_plain import new_memory, respond
from satqkd.mission import contact_of, course_of, presets
from satqkd.optics import gaussian_process, scintillation_factor
from satqkd.randomness import stream
from satqkd.records import BEACON_CHANNEL, LinkSeries
from satqkd.sky import orbit_of

try:
    from skyfield.api import EarthSatellite, load, wgs84
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"benchmarks/twin.py: {missing.name} is missing, the budget's reference; install the tools for "
        'developers: pip install "satqkd[dev]"'
    ) from None

DURATION_S, STEP_S, FADING_STEP_S = 400.0, 0.05, 1e-3
PLAIN_S = 4.0
READ_S = 0.05
KEY = (1, 2)


def replaced(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


def satellite() -> Satellite:
    craft = presets.satellite("jinan-1")
    source: Source = replaced(
        craft.source,
        pulse_rate_hz=625e6,
        intensity_fluctuation=(0.02, 0.05, 0.0),
        diode_skew_s=(0.0, 20e-12, -20e-12, 10e-12),
    )
    return replaced(craft, source=source)


def station() -> Station:
    ground = presets.station("stellenbosch")
    detector = replaced(
        ground.receiver.detector,
        efficiency=(0.5, 0.49, 0.51, 0.5),
        dark_rate_hz=(50.0, 60.0, 40.0, 50.0),
        dead_time_s=(50e-9,) * 4,
        recovery_s=(10e-9,) * 4,
        jitter_tail_fraction=(0.1,) * 4,
        jitter_tail_s=(200e-12,) * 4,
        afterpulse_probability=(0.01,) * 4,
        afterpulse_decay_s=(50e-9,) * 4,
    )
    tagger = Tagger(resolution_s=10e-12, dead_time_s=2e-9)
    clock = replaced(ground.clock, white_frequency_noise=1e-11, random_walk_frequency_noise=1e-13)
    return replaced(ground, receiver=replaced(ground.receiver, detector=detector, tagger=tagger), clock=clock)


def series() -> LinkSeries:
    """Losses of 50 dB at both ends and 40 dB in the middle, detectors included."""
    t_s = np.arange(0.0, DURATION_S + STEP_S / 2, STEP_S)
    away = t_s / DURATION_S * 2 - 1
    range_m = np.hypot(5e5, 7.5e3 * (t_s - DURATION_S / 2))
    fast = round(DURATION_S / FADING_STEP_S) + 1
    process = gaussian_process(fast, FADING_STEP_S, 0.01, stream(1, "benchmark"))
    ones = np.ones(t_s.size)
    return LinkSeries(
        t_s=t_s,
        range_m=range_m,
        range_rate_m_s=7.5e3**2 * (t_s - DURATION_S / 2) / range_m,
        transmittance=10 ** (-(40 + 10 * away**2) / 10) / 0.5,
        background_hz=300.0 * ones,
        error_z=0.01 * ones,
        error_x=0.012 * ones,
        fading=scintillation_factor(process, index=0.15),
        beacon_seen=np.full(fast, 0.99),
    )


def receiver(link: LinkSeries) -> TwinReceiver:
    craft = satellite()
    slots = int((DURATION_S - 1) * craft.source.pulse_rate_hz)
    return TwinReceiver(craft, station(), link, slots=slots, key=KEY, seed=1)


def compiled(twin: TwinReceiver, end_s: float) -> int:
    """Tags of the pass read as a node reads it, tick by tick."""
    return sum(len(twin.read(t_s)) for t_s in np.arange(READ_S, end_s + READ_S / 2, READ_S).tolist())


def plain(twin: TwinReceiver, first_s: float, end_s: float) -> int:
    """The same stretches by the numpy twin."""
    memory, count = new_memory(), 0
    nature = (twin._light, twin._detection, twin._path)
    for segment in range(int(first_s * 1e12) // SEGMENT_PS, int(end_s * 1e12) // SEGMENT_PS):
        low_ps, high_ps = segment * SEGMENT_PS, (segment + 1) * SEGMENT_PS
        first_beacon, times = twin._beacons.near(low_ps, high_ps)
        bound_hz = twin._largest_noise_hz(low_ps, high_ps)
        keys = np.concatenate(
            [
                clicks_plain.pulse_keys(twin._pieces_of(segment), segment, twin._pulses, *nature),
                clicks_plain.noise_keys(low_ps, high_ps, segment, bound_hz, *nature),
                clicks_plain.beacon_keys(first_beacon, times, low_ps, high_ps, BEACON_CHANNEL, *nature),
            ]
        )
        keys.sort()
        count += respond(keys, int(keys[-1] >> 3) + 1, twin._response, memory).size
    return count


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def twin_rows() -> None:
    link = series()
    receiver(link).read(0.0)  # compiles
    ready = receiver(link)
    used_s, tags = timed(lambda: compiled(ready, DURATION_S + 1))
    middle_s = DURATION_S / 2
    plain_s, plain_tags = timed(lambda: plain(receiver(link), middle_s, middle_s + PLAIN_S))
    again = receiver(link)
    again.read(middle_s)
    part_s, part_tags = timed(lambda: len(again.read(middle_s + PLAIN_S)))
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    speed = DURATION_S / used_s
    print(f"twin, all effects, {DURATION_S:.0f} s, {tags} tags: {used_s:.2f} s, {speed:.0f}x real time")
    print(
        f"plain numpy twin, {PLAIN_S:.0f} s in the middle, {plain_tags} tags: {plain_s:.2f} s; compiled "
        f"{part_tags} tags: {part_s:.3f} s, ratio {plain_s / part_s:.0f}"
    )
    print(f"peak memory of the process {rss_mib:.0f} MiB")


def budget_rows() -> None:
    craft, ground = presets.satellite("micius"), presets.station("xinglong")
    contact = contact_of(craft, ground)
    orbit, t_s = orbit_of(craft.orbit), np.arange(0.0, 600.0)
    course_of(craft, ground, orbit, contact.epoch, t_s)
    ours_s = min(timed(lambda: course_of(craft, ground, orbit, contact.epoch, t_s))[0] for _ in range(20))
    timescale = load.timescale(builtin=True)
    theirs = EarthSatellite(craft.orbit.tle_line_1, craft.orbit.tle_line_2, ts=timescale)
    here = wgs84.latlon(
        np.degrees(ground.latitude_rad), np.degrees(ground.longitude_rad), elevation_m=ground.altitude_m
    )
    e = contact.epoch

    def geometry() -> Any:
        at = timescale.utc(e.year, e.month, e.day, e.hour, e.minute, e.second + t_s)
        return (theirs - here).at(at).altaz()

    geometry()
    skyfield_s = min(timed(geometry)[0] for _ in range(5))
    print(
        f"link budget, 600 points: {1e3 * ours_s:.1f} ms; Skyfield's geometry alone "
        f"{1e3 * skyfield_s:.1f} ms, ratio {skyfield_s / ours_s:.1f}"
    )


if __name__ == "__main__":
    twin_rows()
    budget_rows()
