"""Where a relay or a combination takes its key: stretches of one peer's key that the same nodes knew.

Key of different paths is kept apart, so that what is made of it is known to no more nodes than need be: a use
takes from one source alone. Works inside the caller's transaction; marks nothing.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec
from sqlalchemy import Connection

from satqkd.errors import KeyExhausted
from satqkd.keys.ledger import ledger
from satqkd.keys.model import KeyRange, Paths, Spent, cut
from satqkd.keys.paths import either, from_text
from satqkd.keys.sql.statements import run
from satqkd.keys.store.key_store import KeyStore

_PATHS: Final = "SELECT paths FROM blocks WHERE block_id = ?"


class Source(msgspec.Struct, frozen=True):
    """What this end may allocate of one peer's key of the same paths."""

    paths: Paths
    ranges: tuple[KeyRange, ...]

    @property
    def live_bits(self) -> int:
        """All of it."""
        return sum(piece.length_bits for piece in self.ranges)


def sources(connection: Connection, peer: str, kind: str, *, demo: bool) -> list[Source]:
    """Key of this end's part by its paths, the most first."""
    groups: dict[Paths, list[KeyRange]] = {}
    for block_id, pieces in groupby(_pieces(connection, peer, kind, demo=demo), key=attrgetter("block_id")):
        (paths,) = run(connection, _PATHS, (block_id,)).fetchone()
        groups.setdefault(from_text(paths), []).extend(pieces)
    found = [Source(paths, tuple(ranges)) for paths, ranges in groups.items()]
    return sorted(found, key=lambda source: (-source.live_bits, source.paths))


def _pieces(connection: Connection, peer: str, kind: str, *, demo: bool) -> Iterator[KeyRange]:
    return (piece for piece, _ in ledger.free(connection, peer, kind, demo=demo))


def available_bits(store: KeyStore, peer: str, kind: str, *, demo: bool = False) -> int:
    """The most bits that one use may take now: of the largest source."""
    with store.snapshot() as connection:
        return max((each.live_bits for each in sources(connection, peer, kind, demo=demo)), default=0)


def allocate(
    connection: Connection, peer: str, kind: str, bits: int, *, demo: bool, paths: Paths | None = None
) -> tuple[KeyRange, ...]:
    """The next bits of the source of these paths; without, of the largest.

    Raises KeyExhausted, KeyNotFound, OriginRefused; where the key of all sources together would do,
    KeyExhausted says so.
    """
    found = sources(connection, peer, kind, demo=demo)
    chosen = [source for source in found if paths is None or source.paths == paths][:1]
    if chosen and chosen[0].live_bits >= bits:
        return cut(chosen[0].ranges, bits)[0]
    ledger.allocate(connection, peer, kind, bits, demo=demo)  # says why, where it is the whole that is short
    largest = chosen[0].live_bits if chosen else 0
    wanted = "one source" if paths is None else f"the source {[list(path) for path in paths]}"
    raise KeyExhausted(
        f"{kind} key with {peer!r}: {bits} bits of {wanted} asked for, it has {largest}; key of other paths "
        f"is not mixed in: ask for fewer bits at a time"
    )


def paths_of(blocks: Sequence[ledger.Block], *, ends: Sequence[str] = ()) -> Paths:
    """Of key that lies in several blocks: whoever knows one of them knows some of it."""
    return either(dict.fromkeys(from_text(block.paths) for block in blocks), ends=ends)


def take(
    connection: Connection, peer: str, kind: str, ranges: Sequence[KeyRange], use: ledger.Use
) -> tuple[Spent, Paths]:
    """Take allocated ranges, and tell their paths."""
    blocks = ledger.locate(connection, peer, kind, ranges)
    return ledger.take(connection, blocks, ranges, use), paths_of(blocks)
