"""What the click kernels take, compiled and plain alike: path, light, pieces, pulses, plate, swap, receiver.

Named tuples of numbers and contiguous arrays, which numba takes as they are. Times are picoseconds; slots
count pulses from the pass epoch. Nothing is checked here: `satqkd.devices.nature` makes them from settings.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_CODE: Final = np.zeros(1, np.uint8)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Path(NamedTuple):
    """Light time on a grid of emission times, and the station's clock at the end of it."""

    grid_ps: Ints
    steps_per_ps: float
    """Inverse of the mean step: a first guess of the cell."""
    delay_ps: Floats
    delay_slope: Floats
    """Time derivative of the delay, dimensionless: range rate over the speed of light."""
    wander_ps: Floats
    """What the station's clock has walked at random, on the grid; linear between."""
    offset_ps: float
    drift: float
    """Station clock = arrival * (1 + drift) + offset + wander."""


class Light(NamedTuple):
    """What arrives, by emission time: slow columns on the path's grid, fast ones on an even grid of their
    own that begins and ends with it; all are linear between grid points."""

    transmittance: Floats
    """Mean fraction of exit photons at a detector's face, shape (n,)."""
    background_hz: Floats
    """Background and crosstalk counts, all four detectors, shape (n,)."""
    error_z: Floats
    """Error probability of light sent and measured in Z, the plate at rest; shape (n,)."""
    error_x: Floats
    crossed_z: Floats
    """Contrast v sin 2psi of light sent in Z and measured in X, the plate at rest; zeros where axes are not
    turned; shape (n,)."""
    crossed_x: Floats
    """The same of light sent in X and measured in Z."""
    fading: Floats
    """Instantaneous over mean transmittance, shape (m,)."""
    beacon_seen: Floats
    """Probability that a beacon is tagged, shape (m,)."""
    fast_steps_per_ps: float
    """Inverse step of the fast grid."""


class Pieces(NamedTuple):
    """A stretch of slots cut where the largest click probability changes."""

    first_slot: Ints
    """Shape (k + 1,): piece i is slots first_slot[i]..first_slot[i + 1] - 1."""
    bound: Floats
    """At least the largest mean number of photons of a pulse, detected at the best efficiency; shape (k,)."""


class Pulses(NamedTuple):
    """The source and its dice: `satqkd.devices.dice` says how words become settings."""

    period_ps: int
    period_fraction_ps: float
    """Slot i leaves at i * period_ps + round(i * period_fraction_ps)."""
    intensities: Floats
    """True mean photon number of signal, decoy, vacuum at the exit; shape (3,)."""
    spread: Floats
    """Half width of the uniform fluctuation of each, relative; shape (3,)."""
    skew_ps: Floats
    """How late the diodes of H, V, +, - fire; shape (4,)."""
    key_0: int
    key_1: int
    below_signal: int
    below_decoy: int
    below_z: int
    header_slots: int = 0
    """Of each header, `satqkd.header`; 0: none."""
    interval_slots: int = 1
    first_code: NDArray[np.uint8] = NO_CODE
    second_code: NDArray[np.uint8] = NO_CODE


class Plate(NamedTuple):
    """The half-wave plate before the receiver, setting by setting; arrays of shape (k,)."""

    from_slot: Ints
    """Slots from which the settings hold, increasing, the first 0."""
    cosine: Floats
    """Of twice the angle by which the plate turns light back."""
    sine: Floats


AT_REST: Final = Plate(np.zeros(1, np.int64), np.ones(1), np.zeros(1))
"""A plate that turns nothing."""


class Swap(NamedTuple):
    """The modulator before the analyser, which turns the light of a slot by 90 degrees or leaves it."""

    on: bool
    key_0: int
    key_1: int
    """Of the station's own coins, one a slot."""


NO_SWAP: Final = Swap(False, 0, 0)
"""No modulator."""
ON_TIME: Final = np.zeros(4)
"""Detectors that tag alike."""


class Detection(NamedTuple):
    """The receiver: where a photon goes, and nature's own key. Arrays are by detector, shape (4,)."""

    below_z: int
    """Threshold in 0..2^32."""
    passive: bool
    """True: each photon chooses its basis. False: all photons of a pulse share one choice."""
    efficiency: Floats
    sigma_ps: Floats
    """Standard deviation of the Gaussian part of a photon tag's jitter."""
    tail_fraction: Floats
    """Probability of a late tag."""
    tail_ps: Floats
    """Mean of the exponential time by which it is late."""
    dark_hz: Floats
    beacon_sigma_ps: float
    key_0: int
    key_1: int
    plate: Plate = AT_REST
    swap: Swap = NO_SWAP
    lag_ps: Floats = ON_TIME
    """How late each tags a photon besides, noise not told apart."""
