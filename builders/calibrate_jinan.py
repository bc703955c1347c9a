"""Find the one loss that Jinan-1's published best pass fixes: `calibration_loss_db` of the portable stations.

Nearly nothing of Jinan-1's link is public but its outcome: 1.07 Mbit in the best pass, at Stellenbosch (Li
et al., Nature 2025). The loss that no named part explains is set so that the expected key of the preset's
best pass equals that, under the default bound and the planner's reconciliation efficiency. The figure is a
calibration, not a prediction. Run without arguments.
"""

import msgspec
from scipy.optimize import brentq

from satqkd.mission import contact_of, presets
from satqkd.mission.foretold import PLANNING_EFFICIENCY, expected_key

PUBLISHED_BITS = 1.07e6


def surplus(loss_db: float) -> float:
    """Expected key of the best pass with this loss, over the published one."""
    station = msgspec.structs.replace(presets.station("stellenbosch"), calibration_loss_db=loss_db)
    return expected_key(contact_of(presets.satellite("jinan-1"), station)).secret_bits / PUBLISHED_BITS - 1


def main() -> None:
    loss_db = brentq(surplus, 0.0, 12.0, xtol=1e-4)
    print(f"calibration_loss_db = {loss_db:.2f}  (f = {PLANNING_EFFICIENCY})")


if __name__ == "__main__":
    main()
