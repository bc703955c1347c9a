"""The network of keys: through how many nodes key must be split, who may command relays, and how much."""

from typing import Annotated

from msgspec import Meta

from satqkd.config.base import Identifier, Settings
from satqkd.errors import ConfigError


class PairPolicy(Settings, frozen=True, kw_only=True):
    """What this node wants of its key with one other."""

    peer: Identifier
    paths: Annotated[int, Meta(ge=1, le=8)] = 1
    """So many nodes at least would have to tell each other what they know to know the key."""
    low_bits: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    """Fewer unused bits of pair key are an alarm."""
    bits_a_day: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    """Pair key that applications get of this end's part, from midnight to midnight UTC."""
    max_age_s: Annotated[float, Meta(gt=0, le=1e10)] | None = None
    """Unused pair key expires after so long."""


class RelayQuota(Settings, frozen=True, kw_only=True):
    """How much this node relays on command for two stations, in whichever order they are named."""

    stations: tuple[Identifier, Identifier]
    bits: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    """In all."""
    bits_a_day: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    """From midnight to midnight UTC."""

    def __post_init__(self) -> None:
        if self.stations[0] == self.stations[1]:
            raise ConfigError(f"quota.stations: expected two stations, got {self.stations[0]!r} twice")


class KeyNetwork(Settings, frozen=True, kw_only=True):
    """The policy of a node's key: for `keys combine`, `relay --command`, `status`, `expire`, `export`."""

    commanders: tuple[Identifier, ...] = ()
    """Whose commands this node takes."""
    pair: tuple[PairPolicy, ...] = ()
    quota: tuple[RelayQuota, ...] = ()

    def __post_init__(self) -> None:
        peers = [each.peer for each in self.pair]
        pairs = [frozenset(each.stations) for each in self.quota]
        if len(set(peers)) != len(peers) or len(set(pairs)) != len(pairs):
            raise ConfigError(
                "key network: expected one [[pair]] a peer and one [[quota]] a pair of stations"
            )

    def paths_with(self, peer: str) -> int:
        """How many nodes would have to collude to know the key with a peer; 1 where nothing is said."""
        return next((each.paths for each in self.pair if each.peer == peer), 1)

    def pair_with(self, peer: str) -> PairPolicy | None:
        """What is wanted of key with a peer."""
        return next((each for each in self.pair if each.peer == peer), None)

    def quota_of(self, stations: tuple[str, str]) -> RelayQuota | None:
        """Of two stations in either order."""
        return next((each for each in self.quota if set(each.stations) == set(stations)), None)
