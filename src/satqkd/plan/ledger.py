"""The door behind which the key of an operation lies: integers alone (`books`), or real stores (`stores`).

Both do the same to the bit, so what is decided does not depend on which it is. Times are whole seconds after
the network's start, bits multiples of 8. Decides nothing: who asks has looked that there is enough.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.keys.model import MAC_KEY_BITS

Bits = NDArray[np.int64]

TAG_BITS = MAC_KEY_BITS
"""Key of one tag: of each link of a relay, of each source of a combination."""


class Account(msgspec.Struct, frozen=True, order=True):
    """Key of one kind that one node has with another; all that was ever stored is in one of the three."""

    node: str
    peer: str
    kind: str
    live_bits: int
    spent_bits: int
    wiped_bits: int


class Piece(NamedTuple):
    """Link key on board that came at one time."""

    satellite: int
    station: int
    came_s: int
    bits: int


class Combined(NamedTuple):
    """What the combinations of a pair gave and took."""

    bits: int
    spent_bits: int


class Ledger(Protocol):
    """Satellites, stations and pairs are told by their index in the network."""

    def period(self) -> AbstractContextManager[None]:
        """All that is done inside is one change."""

    def receive(self, satellite: int, station: int, bits: int, *, now_s: int) -> None:
        """Link key of a contact, at both ends."""

    def expire(self, before_s: int, *, now_s: int) -> Bits:
        """Give up link key that came before a time; bits of it, shape (satellites, stations)."""

    def link_bits(self) -> Bits:
        """Unused link key, shape (satellites, stations)."""

    def pieces(self) -> Iterable[Piece]:
        """The same, by when it came."""

    def relay(self, satellite: int, pair: int, bits: int, *, now_s: int) -> None:
        """Key of two links into key of a pair; takes `TAG_BITS` more of each."""

    def waiting(self, pair: int) -> Mapping[int, int]:
        """Key of a pair that is relayed and not combined, by satellite."""

    def combine(self, pair: int, *, now_s: int) -> Combined:
        """For a pair that wants several satellites: all that `relaying.wrapped` finds, at either end."""

    def use(self, pair: int, bits: int, *, now_s: int) -> None:
        """Key of a pair, used at both ends."""

    def accounts(self) -> tuple[Account, ...]:
        """All that are not empty, in order."""
