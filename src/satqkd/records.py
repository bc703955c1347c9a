"""Columns that rooms hand to each other: photons are columns, never objects.

Every record checks dtype, shape and contiguity when it is made, so that a kernel may trust it.
Arrays are one-dimensional, C-contiguous, and equally long within a record. No behaviour here.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError

BASIS_Z: Final = 0
BASIS_X: Final = 1
SIGNAL: Final = 0
DECOY: Final = 1
VACUUM: Final = 2
CLASS_NAMES: Final = ("signal", "decoy", "vacuum")
BASIS_NAMES: Final = ("Z", "X")
BEACON_CHANNEL: Final = 4
"""Channels 0..3 are the detectors H, V, +, -: basis = channel // 2, bit = channel % 2."""
SWAPPED: Final = 5
"""Channels 5..8 are the same four, clicked while the receiver turned light by 90 degrees: detector =
channel - 5, and the bit is the other one."""
LARGEST_CHANNEL: Final = 8


def _check(owner: str, columns: dict[str, tuple[NDArray[np.generic], type]]) -> None:
    sizes = {name: column.shape for name, (column, _) in columns.items()}
    if len(set(sizes.values())) > 1 or any(len(shape) != 1 for shape in sizes.values()):
        raise DataFormatError(f"{owner}: expected one-dimensional columns of one length, got {sizes}")
    for name, (column, dtype) in columns.items():
        if column.dtype != np.dtype(dtype) or not column.flags.c_contiguous:
            raise DataFormatError(
                f"{owner}.{name}: expected contiguous {np.dtype(dtype)}, got {column.dtype}"
            )


class Tags(msgspec.Struct, frozen=True, eq=False):
    """Detector events in order of time, in the station's own clock."""

    time_ps: NDArray[np.int64]
    """Station clock, picoseconds since the pass epoch; not decreasing."""
    channel: NDArray[np.uint8]
    """0..3 detectors H, V, +, -; 4 the beacon detector; 5..8 the detectors with labels swapped."""

    def __post_init__(self) -> None:
        _check("Tags", {"time_ps": (self.time_ps, np.int64), "channel": (self.channel, np.uint8)})

    def __len__(self) -> int:
        return self.time_ps.size


class Settings(msgspec.Struct, frozen=True, eq=False):
    """What the sender did in some slots, one row per slot asked for."""

    intensity_class: NDArray[np.uint8]
    """0 signal, 1 decoy, 2 vacuum."""
    basis: NDArray[np.uint8]
    """0 Z (H/V), 1 X (+/-)."""
    bit: NDArray[np.uint8]
    """0 H or +, 1 V or -."""

    def __post_init__(self) -> None:
        _check(
            "Settings",
            {
                "intensity_class": (self.intensity_class, np.uint8),
                "basis": (self.basis, np.uint8),
                "bit": (self.bit, np.uint8),
            },
        )

    def __len__(self) -> int:
        return self.bit.size

    def __repr__(self) -> str:
        return f"Settings({len(self)} slots)"


class LinkSeries(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The optical link along a pass; what the twin takes for nature.

    Times are emission times on the satellite's clock, seconds since the pass epoch (slot 0). Slow columns
    share the grid `t_s`; fast ones an even grid of their own over the same stretch, so that fading at a
    kilohertz costs no column of geometry.
    """

    t_s: NDArray[np.float64]
    """Even grid, strictly increasing; shape (n,)."""
    range_m: NDArray[np.float64]
    range_rate_m_s: NDArray[np.float64]
    """Time derivative of `range_m` (with it the twin interpolates light time by cubic Hermite)."""
    transmittance: NDArray[np.float64]
    """Mean, from the satellite's exit to a detector's face, detector efficiency not included; in [0, 1]."""
    background_hz: NDArray[np.float64]
    """Background and crosstalk counts a second, all four detectors together, efficiency included."""
    error_z: NDArray[np.float64]
    """Probability that a photon sent and measured in Z reaches the wrong detector; in [0, 1]."""
    error_x: NDArray[np.float64]
    """The same in X."""
    fading: NDArray[np.float64]
    """Instantaneous over mean transmittance, >= 0; shape (m,), from the first to the last of `t_s`."""
    beacon_seen: NDArray[np.float64]
    """Probability that a beacon is tagged; shape (m,)."""
    crossed_z: NDArray[np.float64] | None = None
    """Contrast of light sent in Z when measured in X, in [-1, 1], shape (n,): v sin 2psi for axes turned by
    psi, H toward +. None: the axes are turned nowhere."""
    crossed_x: NDArray[np.float64] | None = None
    """The same of light sent in X, measured in Z; + toward V."""

    def __post_init__(self) -> None:
        slow = ["t_s", "range_m", "range_rate_m_s", "transmittance", "background_hz", "error_z", "error_x"]
        slow += [name for name in ("crossed_z", "crossed_x") if getattr(self, name) is not None]
        _check("LinkSeries", {name: (getattr(self, name), np.float64) for name in slow})
        _check("LinkSeries", {name: (getattr(self, name), np.float64) for name in ("fading", "beacon_seen")})
        if min(self.t_s.size, self.fading.size) < 2:
            raise DataFormatError(
                f"LinkSeries: expected at least 2 grid points, got {self.t_s.size} slow and "
                f"{self.fading.size} fast ones"
            )
        steps = np.diff(self.t_s)
        if not (steps > 0).all() or np.ptp(steps) > 1e-6 * steps[0]:
            raise DataFormatError("LinkSeries.t_s: expected an even, increasing grid")
        for name in ("transmittance", "error_z", "error_x", "beacon_seen"):
            column = getattr(self, name)
            if (column < 0).any() or (column > 1).any():
                raise DataFormatError(f"LinkSeries.{name}: expected values in [0, 1]")

    @property
    def step_s(self) -> float:
        """Step of the slow grid."""
        return float((self.t_s[-1] - self.t_s[0]) / (self.t_s.size - 1))

    @property
    def fast_step_s(self) -> float:
        """Step of the fast grid."""
        return float((self.t_s[-1] - self.t_s[0]) / (self.fading.size - 1))

    @property
    def fast_t_s(self) -> NDArray[np.float64]:
        """The fast grid."""
        return np.linspace(self.t_s[0], self.t_s[-1], self.fading.size)
