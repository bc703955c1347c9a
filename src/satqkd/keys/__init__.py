"""The node's key store and what is done with key: relay, one-time pad, authentication pools.

    with KeyStore.open("beijing.db") as store:
        data = encrypt(store, "stellenbosch", b"...", demo=True)

Bits are given out once; see `docs/key-store.md` for the formats and the limits.
"""

from satqkd.keys.ledger.derived import AcceptedRecord
from satqkd.keys.model import (
    AuditReport,
    BlockRow,
    CheckReport,
    KeyRange,
    RawRow,
    Spent,
    StatusRow,
    weakest_origin,
)
from satqkd.keys.network.relay import (
    RelayRecord,
    accept_relay,
    find_relay,
    largest_relay_bits,
    make_relay,
)
from satqkd.keys.otp.files import decrypt_file, encrypt_file
from satqkd.keys.otp.room import largest_plaintext_bytes, plaintext_bytes_of
from satqkd.keys.otp.stream import StreamReport, decrypt, decrypt_stream, encrypt, encrypt_stream
from satqkd.keys.secret import Secret
from satqkd.keys.store.journal import Journal, next_boot
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.store.provision import AuthenticationPool, provision
from satqkd.keys.store.raw_shelf import RawShelf

__all__ = [
    "AcceptedRecord",
    "AuditReport",
    "AuthenticationPool",
    "BlockRow",
    "CheckReport",
    "Journal",
    "KeyRange",
    "KeyStore",
    "RawRow",
    "RawShelf",
    "RelayRecord",
    "Secret",
    "Spent",
    "StatusRow",
    "StreamReport",
    "accept_relay",
    "decrypt",
    "decrypt_file",
    "decrypt_stream",
    "encrypt",
    "encrypt_file",
    "encrypt_stream",
    "find_relay",
    "largest_plaintext_bytes",
    "largest_relay_bits",
    "make_relay",
    "next_boot",
    "plaintext_bytes_of",
    "provision",
    "weakest_origin",
]
