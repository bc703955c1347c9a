r"""The angle left between the frames, from rounds of a finished block in which both ends chose different
bases.

Errors in matching bases tell sin^2 psi: not which way round. A photon sent in Z as bit b and measured in X
gives b with probability (1 + s)/2, one sent in X and measured in Z with (1 - s)/2, s = v sin 2psi; psi is
positive where the light's axes lie from the receiver's toward + from H (`satqkd.optics.polarisation`). Such
rounds never carry key: both bits may be told.

In each basis sent, s is taken from the odds ratio R of the 2 x 2 table of sent and measured bits,

.. math::  s = \frac{\sqrt R - 1}{\sqrt R + 1}, \qquad \sigma_s = \frac{1 - s^2}{4}\sqrt{\sum 1/n}

which no efficiency of a detector and no preference of the source for a bit changes: each is a factor of a row
or a column. Source: Yule, J. Roy. Stat. Soc. 75 (1912) 579, coefficient of colligation; error by Woolf, Ann.
Hum. Genet. 19 (1955) 251; one half is added to each count (Haldane, Ann. Hum. Genet. 20 (1956) 309), so that
zeros do no harm.

Not seen: the retardance between H and V by itself (it makes one basis' contrast less than the other's); the
visibility v, so the angle comes out low by that factor, and by background counts besides: a plate that
follows leaves a few percent of the angle, and takes that out the next time. Knows no slots, no clock and no
key.
"""

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.errors import ConfigError

SIGNIFICANT: Final = 3.0
"""Standard errors by which a setting of the plate must be wrong before it is changed."""
COARSEST_RAD: Final = 0.02
"""Estimates with larger standard errors are told and not followed: a plate wrong by as much costs 0.04 %."""


class FrameAngle(msgspec.Struct, frozen=True):
    """What a sample of rounds with different bases says."""

    rounds: int
    """Of both bases sent."""
    angle_rad: float
    """Angle psi of the light's axes in the receiver's, in (-pi/4, pi/4): positive from H toward +."""
    standard_error_rad: float
    contrast_z: float
    """v sin 2psi from light sent in Z."""
    contrast_x: float
    """The same from light sent in X; smaller or larger than the other where a mirror retards."""


def sample_step(rounds: int, most: int) -> int:
    """Every so manieth of `rounds` is told, from the first on, so that at most `most` are; 0: none is."""
    return max(1, -(-rounds // most)) if most else 0


def sampled(column: Bits, most: int) -> Bits:
    """The sample of a column of rounds, uint8 (n,): positions follow from n and `most` alone."""
    step = sample_step(column.size, most)
    return column[::step] if step else column[:0]


def frame_angle(sent_basis: Bits, sent_bit: Bits, measured_bit: Bits) -> FrameAngle:
    """The angle from rounds that were measured in the basis they were not sent in.

    Columns of one length, uint8 (n,): basis 0 Z, 1 X; bit 0 H or +, 1 V or -. No rounds give an angle of 0
    with an error of 14 degrees. Raises ConfigError for columns of different lengths or other values.
    """
    lengths = {sent_basis.size, sent_bit.size, measured_bit.size}
    largest = max((int(column.max(initial=0)) for column in (sent_basis, sent_bit, measured_bit)), default=0)
    if len(lengths) != 1 or largest > 1:
        raise ConfigError(
            f"frame_angle: expected three columns of one length of zeros and ones, got lengths "
            f"{[sent_basis.size, sent_bit.size, measured_bit.size]} and values up to {largest}"
        )
    counts = np.bincount(4 * sent_basis + 2 * sent_bit + measured_bit, minlength=8).reshape(2, 2, 2)
    return frame_angle_of_counts(counts)


def frame_angle_of_counts(counts: NDArray[np.int64]) -> FrameAngle:
    """The same from numbers of rounds by basis sent, bit sent, bit measured: int64 (2, 2, 2)."""
    (contrast_z, error_z), (contrast_x, error_x) = _contrast(counts[0]), _contrast(counts[1])
    contrast_x = -contrast_x  # what turns H toward + turns + away from H
    weight_z, weight_x = error_z**-2, error_x**-2
    contrast = (weight_z * contrast_z + weight_x * contrast_x) / (weight_z + weight_x)
    return FrameAngle(
        rounds=int(counts.sum()),
        angle_rad=math.asin(contrast) / 2,
        standard_error_rad=(weight_z + weight_x) ** -0.5 / (2 * math.sqrt(1 - contrast**2)),
        contrast_z=contrast_z,
        contrast_x=contrast_x,
    )


def plate_setting_rad(now_rad: float, then_rad: float, estimate: FrameAngle) -> float:
    """Setting of the plate, as angle of polarisation, after an estimate: a function of counts alone.

    now_rad: the setting under way; then_rad: the one of the block that the estimate is from. The whole angle
    found there is undone, whatever has been set since, so that the delay makes nothing swing. The plate stays
    where the difference is not significant or the estimate is coarse.
    """
    wanted_rad = then_rad + estimate.angle_rad
    is_fine = estimate.standard_error_rad <= COARSEST_RAD
    is_significant = abs(wanted_rad - now_rad) > SIGNIFICANT * estimate.standard_error_rad
    return wanted_rad if is_fine and is_significant else now_rad


def _contrast(table: NDArray[np.int64]) -> tuple[float, float]:
    """Colligation of a 2 x 2 table and its standard error."""
    (same_0, other_0), (other_1, same_1) = (table + 0.5).tolist()
    contrast = math.tanh(math.log(same_0 * same_1 / (other_0 * other_1)) / 4)
    spread = math.sqrt(1 / same_0 + 1 / other_0 + 1 / other_1 + 1 / same_1)
    return contrast, (1 - contrast**2) / 4 * spread
