r"""What a bound must know of the receiver: how far its two bases may detect unequally, and how it chooses.

Efficiencies of the two detectors of a basis in :math:`[1-\Delta_\eta, 1+\Delta_\eta]` times a common
value, dark counts per gate in :math:`d(1\mp\Delta_d)`. Both follow Tupkary et al., Quantum 9, 1937 (2025):

.. math:: \delta_2 = \max\Big\{(1-d_{min})^2(1-r),\; 1-\frac{1-(1-d_{min})^2}{1-(1-d_{max})^2}\Big\}, \qquad
    \delta_1 = \max_i 4\big(1-\sqrt{1-x_i}\big), \qquad r = \frac{1-\Delta_\eta}{1+\Delta_\eta},

with :math:`x_i` the two arguments of :math:`\delta_2`. With detector labels swapped at random and in secret
:math:`1-r` becomes :math:`(1-r)^2/2`. No counts and no tails here.
"""

import math
from typing import Literal

import msgspec

from satqkd.errors import DataFormatError


class ReceiverModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SettingsLimits that the station vouches for. Raises DataFormatError when impossible."""

    basis_choice: Literal["active", "passive"] = "active"
    """`passive`: a beam splitter chooses. Which bounds are proved for it: docs/design/bounds.md."""
    x_share: tuple[float, float] | None = None
    """Lowest and highest probability that a matched round is one of basis X; for martingale bounds, which
    take it instead of counting test rounds."""
    efficiency_spread: float = 0.0
    r""":math:`\Delta_\eta`: largest relative deviation of a detector's efficiency from the common one."""
    dark_probability: float = 0.0
    """Dark counts of a detector per gate."""
    dark_spread: float = 0.0
    r""":math:`\Delta_d`: largest relative deviation of that from the common one."""
    labels_swapped: bool = False
    """Whether the receiver swaps the detectors of each basis at random, slot by slot, and tells nobody."""

    def __post_init__(self) -> None:
        for name in ("efficiency_spread", "dark_probability", "dark_spread"):
            if not 0 <= getattr(self, name) < 1:
                raise DataFormatError(f"receiver {name}: expected 0 <= {name} < 1, got {getattr(self, name)}")
        if self.x_share is not None and not 0 < self.x_share[0] <= self.x_share[1] < 1:
            raise DataFormatError(f"receiver x_share: expected 0 < lowest <= highest < 1, got {self.x_share}")

    @property
    def matched(self) -> bool:
        """Whether both bases detect equally, so that no mismatch term is owed."""
        return not any(self._gaps())

    @property
    def delta_errors(self) -> float:
        r""":math:`\delta_1`: how much likelier an error may be than the test shows."""
        return max(4 * (1 - math.sqrt(1 - gap)) for gap in self._gaps())

    @property
    def delta_loss(self) -> float:
        r""":math:`\delta_2`: share of key rounds that the virtual test may not have detected."""
        return max(self._gaps())

    def _gaps(self) -> tuple[float, float]:
        ratio = (1 - self.efficiency_spread) / (1 + self.efficiency_spread)
        gap = (1 - ratio) ** 2 / 2 if self.labels_swapped else 1 - ratio
        least, most = (self.dark_probability * (1 + sign * self.dark_spread) for sign in (-1, 1))
        efficiency = (1 - least) ** 2 * gap
        dark = 1 - _any_click(least) / _any_click(most) if most > 0 else 0.0
        return efficiency, dark


def _any_click(dark_probability: float) -> float:
    """Probability that at least one of two detectors clicks in the dark."""
    return dark_probability * (2 - dark_probability)
