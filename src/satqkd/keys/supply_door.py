"""The door between key and the applications that draw it: what delivery may ask of a supply.

A supply gives keys with ids to named applications, each key once to each who is entitled. What stands
behind it (a store and its reservations, or a toy in a test) is not known here. No HTTP, no certificate.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from satqkd.errors import KeyStoreError
from satqkd.exposition import Metric
from satqkd.keys.model import Paths
from satqkd.keys.push_door import Intake
from satqkd.keys.secret import Secret


class NotEntitled(KeyStoreError):  # noqa: N818
    """This application was not named when the key was drawn."""


class ConstraintsUnmet(KeyStoreError):  # noqa: N818
    """There is no key whose way fits what is demanded of it."""


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Keys that a master application asks for, to share with slaves."""

    peer: str
    """Node of the slaves; the supply's own node when master and slave are clients of the same one."""
    master: str
    slaves: tuple[str, ...]
    count: int
    size_bits: int
    """A multiple of 8."""
    avoid: frozenset[str] = frozenset()
    """Nodes that must not know the key, not even together."""
    colluders: int = 1
    """So many nodes on its way at least would have to join what they know."""


class KeyBatch(msgspec.Struct, frozen=True, eq=False):
    """Keys of one size, all their bytes in one buffer that the caller wipes."""

    ids: tuple[str, ...]
    """UUIDs as text, no function of key bits."""
    keys: Secret
    """Key i: bytes i n to (i + 1) n, n = size_bits / 8."""
    size_bits: int
    origin: str
    """The least trustworthy origin among them."""
    paths: tuple[Paths, ...]
    """Of each key."""


class Supply(Protocol):
    """Keys for applications. Every method may block on a disk for milliseconds; one thread at a time."""

    @property
    def node_id(self) -> str:
        """Whose store it is."""

    def available_bits(self, peer: str) -> int:
        """What this node could hand out now for applications of a peer; its own name for local ones."""

    def metrics(self, *, now_utc: str) -> list[Metric]:
        """What stands behind it, as numbers for operators; no key."""

    def ready(self, request: KeyRequest) -> bool:
        """Whether `draw` would give these keys out of memory, without touching a disk."""

    def draw(self, request: KeyRequest, *, now_utc: str) -> KeyBatch:
        """New keys, all or none, handed out once. Raises KeyExhausted, KeyNotFound, OriginRefused."""

    def fetch(
        self, peer: str, *, master: str, slave: str, key_ids: Sequence[str], now_utc: str
    ) -> list[KeyBatch]:
        """Keys that a master at `peer` drew, in the order asked, one batch a run of one size; all or none.

        Each is given once to each slave. Raises KeyNotFound (unknown, or given before) and NotEntitled;
        nothing is then used.
        """

    def entitle(
        self, key_ids: Sequence[str], *, peer: str, master: str, slaves: Sequence[str], now_utc: str
    ) -> None:
        """Several slaves, clients of this node, may fetch keys that a master at `peer` drew (multicast).

        slaves: as in the request that drew them, the first first. Raises KeyNotFound, NotEntitled.
        """

    def intake(self, sender: str, *, peers: Collection[str], chunk_bytes: int) -> Intake:
        """Where a process that makes key pushes it into, by its certified name.

        peers: nodes whose key can be delivered. chunk_bytes: of a new stream.
        """

    def settle(self, *, now_utc: str) -> bool:
        """Write some of what was handed out down; whether there is more. In rounds, about once a second."""

    def close(self, *, now_utc: str) -> None:
        """Write down what was handed out, and give back what is reserved and was not."""
