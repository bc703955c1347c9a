"""The public header: its codes, and that dice, transmitter and twin play the same one."""

import numpy as np
import pytest
from devices_models import SATELLITE, SOURCE, STATION, Bench

from satqkd import config as structs
from satqkd.bits import from_bytes
from satqkd.devices import TwinReceiver, TwinTransmitter, header_of, settings_of
from satqkd.devices.twin import SEGMENT_PS
from satqkd.errors import ConfigError
from satqkd.header import (
    LENGTHS,
    SECTION_SHIFT,
    SMALLEST_HEADER_SLOTS,
    header_codes,
    is_bright,
    is_public,
    public_header,
)
from satqkd.randomness import expand
from satqkd.records import SIGNAL, VACUUM


def replaced(struct, **changes):
    import msgspec

    return msgspec.structs.replace(struct, **changes)


HEADED = replaced(SATELLITE, beacon=None, header=structs.Header(duration_s=0.05, interval_s=1.0))


def test_codes_are_the_expansion_of_a_label_with_the_name():
    first, second = header_codes("micius")
    assert (first.size, second.size) == LENGTHS
    data = expand("satqkd header code v1 micius", 1024 + 2048)
    assert np.array_equal(first, from_bytes(data[:1024], 8191))
    assert np.array_equal(second, from_bytes(data[1024:], 16381))


def test_lengths_are_prime_so_that_both_places_tell_one():
    for length in LENGTHS:
        assert all(length % divisor for divisor in range(2, int(length**0.5) + 1))


def test_codes_of_two_names_are_unlike_in_every_shift():
    for one, other in zip(header_codes("micius"), header_codes("jinan-1"), strict=True):
        spectrum = np.conj(np.fft.rfft(2.0 * one - 1)) * np.fft.rfft(2.0 * other - 1)
        assert np.abs(np.fft.irfft(spectrum, one.size)).max() < 0.07 * one.size


def test_which_slots_are_public_and_bright_slot_by_slot():
    header = public_header("micius", header_slots=SMALLEST_HEADER_SLOTS, interval_slots=2_000_000)
    first, second = header.codes
    for slot in (0, 1, 65_535, 65_536, 131_072, 524_287, 524_288, 1_999_999, 2_000_000, 2_070_000):
        within = slot % 2_000_000
        public = within < SMALLEST_HEADER_SLOTS
        assert is_public(np.array([slot]), header)[0] == public
        if public:
            bit = second[within % 16381] if within // 65_536 % 2 else first[within % 8191]
            assert is_bright(np.array([slot]), header)[0] == bool(bit)
    assert SECTION_SHIFT == 16


def test_the_transmitter_says_what_the_header_made_of_its_slots(bench):
    header = header_of(HEADED)
    assert header is not None
    slots = np.unique(np.random.default_rng(1).integers(0, 200_000_000, 20_000))
    plain = settings_of(slots, key=bench.key, source=SOURCE)
    headed = TwinTransmitter(SOURCE, bench.key, header).settings(slots)
    public = is_public(slots, header)
    assert 500 < public.sum() < 2000
    bright = is_bright(slots[public], header)
    assert np.array_equal(headed.intensity_class[public], np.where(bright, SIGNAL, VACUUM))
    assert np.array_equal(headed.intensity_class[~public], plain.intensity_class[~public])
    assert np.array_equal(headed.bit, plain.bit) and np.array_equal(headed.basis, plain.basis)


def test_photons_of_a_header_come_in_bright_slots_only_and_there_are_no_beacons():
    bench = Bench()
    header = header_of(HEADED)
    assert header is not None
    duration_s = 2 * SEGMENT_PS * 1e-12
    slots = int(duration_s * SOURCE.pulse_rate_hz) - 1000
    twin = TwinReceiver(
        HEADED, STATION, bench.series(duration_s, transmittance=1e-2), slots=slots, key=bench.key, seed=1
    )
    tags = twin.read(10.0)
    assert tags.channel.max() < 4
    light_ps = round(5e5 / 299_792_458 * 1e12)
    slot = np.rint((tags.time_ps - light_ps) / 1e4).astype(np.int64)
    public = is_public(slot, header)
    assert public.sum() > 5000
    assert is_bright(slot[public], header).all()
    sent = settings_of(slot[public], key=bench.key, source=SOURCE, header=header)
    assert (sent.intensity_class == SIGNAL).all()
    # Half of a header is bright, and half of other slots signal: it stands out by the decoys it lacks.
    per_slot = public.sum() / 5e6, (~public).sum() / (slots - 5e6)
    assert per_slot[0] / per_slot[1] == pytest.approx(0.5 * 0.8 / (0.5 * 0.8 + 0.3 * 0.3), rel=0.05)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"header": structs.Header()}, "both"),
        ({"beacon": None}, "neither"),
        (
            {"beacon": None, "header": structs.Header(), "source": replaced(SOURCE, pulse_rate_hz=1e6)},
            "at least 524288 pulses",
        ),
    ],
)
def test_a_satellite_has_a_beacon_or_a_header_long_enough(changes, told):
    with pytest.raises(ConfigError, match=told):
        replaced_and_checked(**changes)


def replaced_and_checked(**changes):
    fields = {name: getattr(SATELLITE, name) for name in SATELLITE.__struct_fields__}
    return structs.Satellite(**{**fields, **changes})


def test_a_header_takes_at_most_half_of_its_interval():
    with pytest.raises(ConfigError, match="at most half"):
        structs.Header(duration_s=2.0, interval_s=3.0)
