"""What bright light does to a station's detectors, and what the station watches for. SI units."""

from typing import Annotated

from msgspec import Meta

from satqkd.config.base import Fraction, Power, Settings

Electrons = Annotated[float, Meta(gt=0, le=1e12)]
FalseAlarm = Annotated[float, Meta(ge=1e-15, le=0.1)]
"""Probability per block that a monitor alarms without an attack."""


class BrightLight(Settings, frozen=True, kw_only=True):
    """How each single-photon detector answers bright light, and what its bias current then shows."""

    avalanche_electrons: Electrons
    """Charge of one click."""
    linear_electrons: Electrons
    """Charge of one photon where light is too bright for avalanches: quantum efficiency times gain."""
    blinding_w: Power
    """Least steady power on a detector that keeps it from avalanches."""
    current_noise_a: Annotated[float, Meta(ge=0, le=1e-3)]
    """Standard deviation of one reading of the bias current, 0.2 s long."""


class Monitors(Settings, frozen=True, kw_only=True):
    """What the station judges each block by before its bases are told; each is absent unless given."""

    bias_current_limit_a: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Alarm where one reading of one detector's bias current is above; needs `receiver.bright_light`."""
    detector_share_false_alarm: FalseAlarm | None = None
    """Alarm where the four detectors' clicks are shared as unlikely as this by what calibration says."""
    detector_share_tolerance: Fraction = 0.01
    """Relative error of the shares that calibration may leave without an alarm."""
    coincidence_false_alarm: FalseAlarm | None = None
    """Alarm where so few slots with clicks in both bases are as unlikely as this."""
