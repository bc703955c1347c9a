"""The dice: layout, frequencies, refusals; the satellite's side loads no numba."""

import subprocess
import sys

import numpy as np
import pytest

from satqkd.devices import TwinTransmitter, settings_of
from satqkd.devices.dice import thresholds
from satqkd.errors import DataFormatError, LocalProtocolError
from satqkd.kernels.philox_plain import philox4x32


def test_layout_is_the_documented_one(bench):
    source = bench.source()
    slots = np.array([0, 1, 2**32 - 1, 2**32, 3 * 2**32 + 17, 2**38], np.int64)
    settings = settings_of(slots, key=bench.key, source=source)
    for row, slot in enumerate(slots.tolist()):
        counter = np.array([[slot % 2**32, slot // 2**32, 0, 0]], np.uint32)
        w0, w1, w2, _ = philox4x32(counter, bench.key)[0].tolist()
        limits = thresholds(source)
        expected_class = 0 if w0 < limits.signal else 1 if w0 < limits.decoy else 2
        assert settings.intensity_class[row] == expected_class
        assert settings.basis[row] == (0 if w1 < limits.basis_z else 1)
        assert settings.bit[row] == w2 & 1


def test_frequencies(bench):
    n = 400_000
    settings = settings_of(np.arange(n, dtype=np.int64), key=bench.key, source=bench.source())
    share = np.bincount(settings.intensity_class, minlength=3) / n
    assert np.abs(share - (0.5, 0.3, 0.2)).max() < 4 * 0.5 / n**0.5
    assert abs(settings.basis.mean() - 0.4) < 4 * 0.5 / n**0.5
    assert abs(settings.bit.mean() - 0.5) < 4 * 0.5 / n**0.5


def test_answers_depend_on_the_slot_alone(bench):
    transmitter = TwinTransmitter(bench.source(), bench.key)
    assert transmitter.horizon_slots is None
    whole = transmitter.settings(np.arange(1000, dtype=np.int64))
    part = transmitter.settings(np.arange(300, 1000, 7, dtype=np.int64))
    assert np.array_equal(part.bit, whole.bit[300::7])
    assert np.array_equal(part.basis, whole.basis[300::7])
    assert np.array_equal(part.intensity_class, whole.intensity_class[300::7])
    assert len(transmitter.settings(np.empty(0, np.int64))) == 0


@pytest.mark.parametrize(
    "slots",
    [
        np.array([3, 3], np.int64),
        np.array([5, 4], np.int64),
        np.array([-1, 4], np.int64),
        np.array([1, 2], np.int32),
        np.array([[1], [2]], np.int64),
    ],
)
def test_transmitter_refuses_slots_out_of_order(bench, slots):
    with pytest.raises(LocalProtocolError, match="increasing"):
        TwinTransmitter(bench.source(), bench.key).settings(slots)


def test_dice_refuse_negative_slots(bench):
    with pytest.raises(DataFormatError, match="slots"):
        settings_of(np.array([-1], np.int64), key=bench.key, source=bench.source())


def test_the_satellite_loads_no_numba():
    program = "import sys, satqkd.devices, satqkd.beacon; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
