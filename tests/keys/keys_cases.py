"""Known key for the tests of the store, so that its bytes can be looked for."""

import random
from collections.abc import Iterator

from satqkd.keys import KeyStore
from satqkd.keys.model import Kind, Paths

NOW = "2026-01-02T03:04:05Z"


def key_bytes(n_bytes: int, seed: str) -> bytes:
    """Random-looking bytes of a name."""
    return random.Random(seed).randbytes(n_bytes)


def add_link(stores: dict[str, KeyStore], station: str, block_id: str, key: bytes, *, origin: str) -> None:
    """The same confirmed link key in the satellite's and a station's store."""
    for store, peer in ((stores["sat"], station), (stores[station], "sat")):
        store.add_block(
            block_id,
            peer=peer,
            kind="link",
            origin=origin,
            key=key,
            state="confirmed",
            allocator="sat",
            now_utc=NOW,
        )


def give(
    one: KeyStore, two: KeyStore, block_id: str, key: bytes, *, kind: Kind = "pair", paths: Paths = ()
) -> None:
    """The same confirmed key in two stores; link key is allocated by the first."""
    for store, peer in ((one, two.node_id), (two, one.node_id)):
        store.add_block(
            block_id,
            peer=peer,
            kind=kind,
            origin="hardware",
            key=key,
            state="confirmed",
            allocator=one.node_id if kind == "link" else None,
            paths=paths,
            now_utc=NOW,
        )


def changed_bits(data: bytes) -> Iterator[bytes]:
    """Every copy of some bytes with one bit changed."""
    for position in range(8 * len(data)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        yield bytes(changed)
