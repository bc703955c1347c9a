"""What several sites gain over one: how often at least one sky of a group is clear.

Counts sampled or recorded skies. Knows no satellite: that a clear site sees one is the planner's to say.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError


class Diversity(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the moments of a table of states."""

    sites: tuple[str, ...]
    availability: tuple[float, ...]
    """Share in which each site is clear."""
    any_clear: float
    """Share in which at least one of them is."""

    @property
    def best(self) -> float:
        """Availability of the best single site."""
        return max(self.availability)

    @property
    def gain(self) -> float:
        """What `any_clear` has more than `best`, as a share of `best`; 0 where no site is ever clear."""
        return self.any_clear / self.best - 1 if self.best > 0 else 0.0

    @property
    def independent(self) -> float:
        """`any_clear` if the sites knew nothing of each other: neither a common front nor a common season."""
        return 1 - float(np.prod(1 - np.array(self.availability)))

    @property
    def independent_gain(self) -> float:
        """`gain` if they knew nothing of each other."""
        return self.independent / self.best - 1 if self.best > 0 else 0.0


def diversity(
    clear: NDArray[np.bool_], names: Sequence[str], groups: Iterable[Sequence[str]]
) -> tuple[Diversity, ...]:
    """What each group of sites has together.

    clear: states, shape (sites, moments), rows in the order of `names`.
    Raises ConfigError for a shape that does not fit, and for groups that are empty or name other sites.
    """
    if clear.ndim != 2 or clear.shape[0] != len(names) or clear.shape[1] == 0:
        raise ConfigError(
            f"diversity: expected states of {len(names)} sites at one moment or more, got shape "
            f"{clear.shape}; give a row a site"
        )
    row = {name: index for index, name in enumerate(names)}
    return tuple(_of_group(clear, row, tuple(group)) for group in groups)


def _of_group(clear: NDArray[np.bool_], row: dict[str, int], group: tuple[str, ...]) -> Diversity:
    unknown = sorted(set(group) - row.keys())
    if unknown or not group:
        raise ConfigError(
            f"diversity: expected a group of some of {', '.join(row)}, got {', '.join(unknown) or 'none'}; "
            "name sites that were sampled"
        )
    own = clear[[row[name] for name in group]]
    return Diversity(
        sites=group,
        availability=tuple(own.mean(axis=1).tolist()),
        any_clear=float(own.any(axis=0).mean()),
    )
