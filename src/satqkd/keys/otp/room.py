"""How much plain text the key at hand covers, asked before any of it is used.

A file takes 8 bits a byte and 256 more a chunk, each chunk of at most MAXIMUM_RANGES ranges, oldest key
first.
Nothing is marked here.
"""

from collections import deque
from collections.abc import Iterable

from sqlalchemy import Connection

from satqkd.errors import ConfigError, KeyExhausted
from satqkd.keys.ledger import ledger
from satqkd.keys.ledger.gaps import own_unused
from satqkd.keys.model import DEMO_ORIGINS, MAC_KEY_BITS, MAXIMUM_RANGES, check_name
from satqkd.keys.otp.format import CHUNK_BYTES
from satqkd.keys.store.key_store import KeyStore


def key_bits_for(plaintext_bytes: int, *, chunk_bytes: int = CHUNK_BYTES) -> int:
    """Key that a file of so much plain text takes."""
    return 8 * plaintext_bytes + MAC_KEY_BITS * max(1, -(-plaintext_bytes // chunk_bytes))


def largest_plaintext_bytes(
    store: KeyStore, peer: str, *, demo: bool = False, chunk_bytes: int = CHUNK_BYTES
) -> int:
    """How long a file this end could encrypt for the peer now."""
    check_peer(store, peer)
    with store.snapshot() as connection:
        return _plaintext_bytes_in(_free_bits(connection, peer, demo=demo), chunk_bytes)


def plaintext_bytes_of(pair_bits: int) -> int:
    """How long a file either end can encrypt with one unused pair block of so many bits."""
    return _plaintext_bytes_in([ledger.half_bits(pair_bits)], CHUNK_BYTES)


def require_room(
    store: KeyStore, peer: str, plaintext_bytes: int, *, demo: bool, chunk_bytes: int = CHUNK_BYTES
) -> None:
    """There is key for so much plain text. Raises KeyExhausted, KeyNotFound, OriginRefused; none is used."""
    check_peer(store, peer)
    bits = key_bits_for(plaintext_bytes, chunk_bytes=chunk_bytes)
    with store.snapshot() as connection:
        free_bits = _free_bits(connection, peer, demo=demo)
        enough = sum(free_bits) >= key_bits_for(0)
        if enough and _plaintext_bytes_in(free_bits, chunk_bytes) >= plaintext_bytes:
            return
        ledger.allocate(connection, peer, "pair", bits, demo=demo)
    raise KeyExhausted(
        f"pair key with {peer!r}: {bits} bits asked for; they lie in more than {MAXIMUM_RANGES} pieces a "
        f"chunk; encrypt a shorter file"
    )


def require_bits(store: KeyStore, peer: str, bits: int, *, demo: bool) -> None:
    """There is so much key for one use. Raises KeyExhausted, KeyNotFound, OriginRefused; none is used."""
    with store.snapshot() as connection:
        ledger.allocate(connection, peer, "pair", bits, demo=demo)


def check_peer(store: KeyStore, peer: str) -> None:
    """A name, and another node's than the store's. Raises ConfigError."""
    check_name(peer, "peer")
    if peer == store.node_id:
        raise ConfigError(f"peer: expected another node than {peer!r}, the owner of this store")


def _free_bits(connection: Connection, peer: str, *, demo: bool) -> list[int]:
    """Bits of each piece that this end may allocate, oldest first; `ledger.free` has those of one use."""
    found = own_unused(connection, peer, "pair")
    return [piece.length_bits for piece, origin in found if demo or origin not in DEMO_ORIGINS]


def _plaintext_bytes_in(free_bits: Iterable[int], chunk_bytes: int) -> int:
    """Chunk by chunk as `ledger.allocate` will take it."""
    pieces, total_bytes = deque(free_bits), 0
    while True:
        wanted = left = 8 * chunk_bytes + MAC_KEY_BITS
        for _ in range(min(len(pieces), MAXIMUM_RANGES)):
            taken = min(left, pieces[0])
            left -= taken
            if taken < pieces[0]:
                pieces[0] -= taken
            else:
                pieces.popleft()
            if not left:
                break
        if left:
            return total_bytes + max(0, wanted - left - MAC_KEY_BITS) // 8
        total_bytes += chunk_bytes
