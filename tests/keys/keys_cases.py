"""Known key for the tests of the store, so that its bytes can be looked for."""

import random

from satqkd.keys import KeyStore

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
