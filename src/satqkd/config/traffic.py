"""User traffic over the laser link: who gets key with whom, and what a node carries for others."""

from typing import Annotated

from msgspec import Meta

from satqkd.config.base import Identifier, Settings
from satqkd.errors import ConfigError


class Traffic(Settings, frozen=True, kw_only=True):
    """What a node does for messages of users. Pairs, relays and grants are the satellite's to decide."""

    pairs: tuple[tuple[Identifier, Identifier], ...] = ()
    """Stations between which the satellite relays key, in the order in which they are served."""
    relay_bits: Annotated[int, Meta(ge=64, le=2**27)] = 2**20
    """Of one relay record at most; a multiple of 8."""
    relay_least_bits: Annotated[int, Meta(ge=8, le=2**27)] = 8192
    """Less than this is not relayed: more will come."""
    reserve_bits: Annotated[int, Meta(ge=0, le=2**40)] = 0
    """Left of each link by relays and grants."""
    grant_bits: Annotated[int, Meta(ge=0, le=2**27)] = 0
    """Link key set aside at a time for messages between satellite and station; a multiple of 8, 0: none."""
    maximum_message_bytes: Annotated[int, Meta(ge=2**11, le=2**27)] = 2**24
    """Of one message, sent or taken."""
    quota_messages: Annotated[int, Meta(ge=1, le=2**20)] = 64
    """Kept at a time for one sender."""
    quota_bytes: Annotated[int, Meta(ge=2**12, le=2**40)] = 2**26
    """Kept at a time for one sender."""
    retention_s: Annotated[float, Meta(gt=0, le=1e9)] = 1_209_600.0
    """Messages and records older than this are given up; two weeks."""

    def __post_init__(self) -> None:
        for name in ("relay_bits", "relay_least_bits", "grant_bits"):
            if getattr(self, name) % 8:
                raise ConfigError(
                    f"traffic.{name}: expected a multiple of 8, got {getattr(self, name)}; round it"
                )
        for pair in self.pairs:
            if pair[0] == pair[1]:
                raise ConfigError(f"traffic.pairs: expected two stations, got {pair[0]!r} twice")
