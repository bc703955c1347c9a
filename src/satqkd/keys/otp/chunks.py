"""One chunk under one-time pad: key is used before there is ciphertext, and wiped after plain text is safe.

Sealing takes key in one durable transaction and only then combines it with the plain text. Opening checks the
tag and gives the plain text while the key is still in the store; `settle` marks the key as used and wipes it
when the caller has the plain text where it must be. So a kill between the two loses nothing: the same chunk
opens again to the same plain text. No file here; the clock is the caller's.
"""

from satqkd.errors import AuthenticationError, KeyNotFound
from satqkd.keys.ledger import ledger, material, onetime_mac
from satqkd.keys.ledger.gaps import unused
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import MAC_KEY_BITS, KeyRange, cut
from satqkd.keys.otp.format import ChunkHead, FileHeader, Prefix, Record, with_length
from satqkd.keys.secret import Secret
from satqkd.keys.store.key_store import KeyStore

_MAC_BYTES = MAC_KEY_BITS // 8


def seal(
    store: KeyStore, prefix: Prefix, number: int, plaintext: bytes, use: Use, *, last: bool, demo: bool
) -> Record:
    """The next chunk for the prefix's receiver. Raises KeyExhausted, KeyNotFound, OriginRefused."""
    spent = store.spend(
        prefix.header.receiver,
        "pair",
        8 * len(plaintext) + MAC_KEY_BITS,
        purpose=use.purpose,
        reference=use.reference,
        demo=demo,
        now_utc=use.utc,
    )
    with spent.key as key, key.part(0, _MAC_BYTES) as mac_key, key.part(_MAC_BYTES, len(key)) as pad:
        return _seal(prefix, ChunkHead(number, last, len(plaintext), spent.ranges), plaintext, mac_key, pad)


def _seal(prefix: Prefix, head: ChunkHead, plaintext: bytes, mac_key: Secret, pad: Secret) -> Record:
    data = with_length(head) + bytes(pad.xor(plaintext))
    return Record(head, data + onetime_mac.tag(mac_key, prefix.data + data))


def require_receiver(store: KeyStore, header: FileHeader) -> None:
    """The file is for this store's node; raises KeyNotFound."""
    if header.receiver != store.node_id:
        raise KeyNotFound(
            f"this file is from {header.sender!r} for {header.receiver!r}; this store is of {store.node_id!r}"
        )


def require_key(store: KeyStore, sender: str, ranges: tuple[KeyRange, ...], *, demo: bool) -> None:
    """The key that a chunk names is here, the sender's to name, and unused.

    Raises KeyNotFound, KeyStoreError, OriginRefused, KeyAlreadyUsed.
    """
    with store.snapshot() as connection:
        ledger.locate_for_peer(connection, sender, "pair", ranges, demo=demo)


def is_used(store: KeyStore, ranges: tuple[KeyRange, ...]) -> bool:
    """Whether all key of a chunk was given out. Raises KeyNotFound."""
    with store.snapshot() as connection:
        return not any(
            unused(
                connection, ledger.find_block(connection, piece.block_id), piece.offset_bits, piece.end_bits
            )
            for piece in ranges
        )


def open_record(store: KeyStore, prefix: Prefix, record: Record, use: Use, *, demo: bool) -> bytes:
    """The plain text of a chunk, its tag checked; its key stays until `settle`.

    Raises AuthenticationError (counted, see `onetime_mac`), KeyNotFound, KeyStoreError, KeyAlreadyUsed,
    OriginRefused; nothing of the chunk is then told.
    """
    where = f"chunk {record.head.number} of this file"
    ranges = record.head.ranges
    key = authentic_key(store, prefix, ranges, record.signed(prefix), record.tag, use, demo=demo, where=where)
    with key, key.part(_MAC_BYTES, len(key)) as pad:
        return bytes(pad.xor(record.ciphertext))


def authentic_key(
    store: KeyStore,
    prefix: Prefix,
    ranges: tuple[KeyRange, ...],
    signed: bytes,
    tag: bytes,
    use: Use,
    *,
    demo: bool,
    where: str,
) -> Secret:
    """All key at ranges that the sender named, when the tag under its first 256 bits fits; not yet used.

    Raises as `open_record`.
    """
    mac_ranges, _ = cut(ranges, MAC_KEY_BITS)
    with store.transaction() as connection:
        blocks = ledger.locate_for_peer(connection, prefix.header.sender, "pair", ranges, demo=demo)
        good = onetime_mac.verify(connection, blocks[: len(mac_ranges)], mac_ranges, signed, tag, use)
        key = material.read_unused(connection, blocks, ranges) if good else None
    if key is None:
        raise AuthenticationError(
            f"the tag does not fit {where} from {prefix.header.sender!r}: it was changed on its way or is "
            f"not from there; nothing of it was decrypted; get the file again"
        )
    return key


def settle(store: KeyStore, prefix: Prefix, *places: tuple[KeyRange, ...], use: Use, demo: bool) -> None:
    """Mark the key of opened chunks as used and wipe it, durably, all or none. Raises KeyAlreadyUsed."""
    with store.transaction() as connection:
        for ranges in places:
            ledger.spend_at(connection, prefix.header.sender, "pair", ranges, use, demo=demo).key.wipe()
