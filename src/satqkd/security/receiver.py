r"""What a bound must know of the receiver: how far its two bases may detect unequally, and how it chooses.

Efficiencies of the two detectors of a basis in :math:`[1-\Delta_\eta, 1+\Delta_\eta]` times a common
value, dark counts per gate in :math:`d(1\mp\Delta_d)`. Both follow Tupkary et al., Quantum 9, 1937 (2025):

.. math:: \delta_2 = \max\{(1-d_{min})^2 g,\; s\}, \qquad
    \delta_1 = \max\Big\{4\big(1-\sqrt{1-(1-d_{min})^2 g}\big),\; s\,\frac{d_{max}(2-d_{min})}{D_{min}}\Big\},

with :math:`g = 1-\frac{1-\Delta_\eta}{1+\Delta_\eta}`, :math:`s = 1-D_{min}/D_{max}`,
:math:`D = 1-(1-d)^2`. With detector labels swapped at random and in secret g becomes :math:`g^2/2` and the
terms with s, of unequal dark counts, go. No counts and no tails here.
"""

import math
from typing import Literal

import msgspec

from satqkd.errors import DataFormatError


class ReceiverModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits that the station vouches for. Raises DataFormatError when impossible."""

    basis_choice: Literal["active", "passive"] = "active"
    """`passive`: a beam splitter chooses. Which bounds are proved for it: docs/design/bounds.md."""
    x_share: tuple[float, float] | None = None
    """Lowest and highest probability that a matched round is one of basis X; for martingale bounds, which
    take it instead of counting test rounds."""
    splitter_x_share: tuple[float, float] | None = None
    """Of a passive receiver: lowest and highest probability to measure in X, for any number of photons."""
    efficiency_spread: float = 0.0
    r""":math:`\Delta_\eta`: largest relative deviation of a detector's efficiency from the common one."""
    dark_probability: float = 0.0
    """Dark counts of a detector per gate."""
    dark_spread: float = 0.0
    r""":math:`\Delta_d`: largest relative deviation of that from the common one."""
    labels_swapped: bool = False
    """Whether the receiver swaps its two detectors at random, slot by slot, and tells nobody; they must serve
    both bases, behind an active choice."""

    def __post_init__(self) -> None:
        for name in ("efficiency_spread", "dark_probability", "dark_spread"):
            if not 0 <= getattr(self, name) < 1:
                raise DataFormatError(f"receiver {name}: expected 0 <= {name} < 1, got {getattr(self, name)}")
        if self.labels_swapped and self.basis_choice == "passive":
            raise DataFormatError(
                "receiver labels_swapped: expected an active choice, got passive; behind a splitter each "
                "basis has its own detectors, which no swap makes alike"
            )
        for name in ("x_share", "splitter_x_share"):
            share = getattr(self, name)
            if share is not None and not 0 < share[0] <= share[1] < 1:
                raise DataFormatError(f"receiver {name}: expected 0 < lowest <= highest < 1, got {share}")

    def test_share(self, key_basis: str) -> tuple[float, float] | None:
        """Limits of the probability that a matched round is one of the basis that is not key."""
        if self.x_share is None:
            return None
        low, high = self.x_share
        return (low, high) if key_basis == "Z" else (1 - high, 1 - low)

    @property
    def matched(self) -> bool:
        """Whether both bases detect equally, so that no mismatch term is owed."""
        return not any(self._gaps())

    @property
    def delta_errors(self) -> float:
        r""":math:`\delta_1`: how much likelier an error may be than the test shows."""
        efficiency, dark = self._gaps()
        least, most = self._dark()
        errors = dark * most * (2 - least) / _any_click(least) if dark else 0.0
        return max(4 * (1 - math.sqrt(1 - efficiency)), errors)

    @property
    def delta_loss(self) -> float:
        r""":math:`\delta_2`: share of key rounds that the virtual test may not have detected."""
        return max(self._gaps())

    def _gaps(self) -> tuple[float, float]:
        """Of efficiencies, and of dark counts."""
        gap = 1 - (1 - self.efficiency_spread) / (1 + self.efficiency_spread)
        least, most = self._dark()
        if self.labels_swapped:
            return (1 - least) ** 2 * gap**2 / 2, 0.0
        return (1 - least) ** 2 * gap, 1 - _any_click(least) / _any_click(most) if most > 0 else 0.0

    def _dark(self) -> tuple[float, float]:
        return (
            self.dark_probability * (1 - self.dark_spread),
            self.dark_probability * (1 + self.dark_spread),
        )


def matched_x_share(sent_z: float, measured_z: float, *, spread: float) -> tuple[float, float]:
    """Range of the probability that a matched round is in X, rounded outward by the last digits.

    sent_z, measured_z: probabilities of basis Z at sender and receiver.  spread: how far the receiver's may
    deviate.
    """
    low, high = (
        (1 - sent_z) * (1 - z) / ((1 - sent_z) * (1 - z) + sent_z * z)
        for z in (measured_z + spread, measured_z - spread)
    )
    return round(low - 1e-12, 12), round(high + 1e-12, 12)


def _any_click(dark_probability: float) -> float:
    """Probability that at least one of two detectors clicks in the dark."""
    return dark_probability * (2 - dark_probability)
