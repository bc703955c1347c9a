"""Any record that gives a node key, by the word at its head."""

from collections.abc import Callable
from typing import Final

from satqkd.errors import DataFormatError
from satqkd.keys.ledger.derived import AcceptedRecord
from satqkd.keys.network.combination import accept_combination
from satqkd.keys.network.relay import accept_relay
from satqkd.keys.store.key_store import KeyStore

_ACCEPT: Final[dict[str, Callable[..., AcceptedRecord]]] = {
    "relay": accept_relay,
    "combination": accept_combination,
}


def accept_record(store: KeyStore, record: bytes, *, now_utc: str, demo: bool = False) -> AcceptedRecord:
    """Take the record of a relay or a combination. Raises DataFormatError and what theirs do."""
    accept = _ACCEPT.get(word_of(record))
    if accept is None:
        raise DataFormatError(
            f"record of {len(record)} bytes: expected one of {', '.join(_ACCEPT)} at its head, got "
            f"{word_of(record)!r}; `satqkd keys relay` and `satqkd keys combine` write them"
        )
    return accept(store, record, now_utc=now_utc, demo=demo)


def word_of(record: bytes) -> str:
    """The first item of a MessagePack array of up to 15, a text of up to 31 bytes; '' where there is none."""
    if len(record) < 2 or record[0] & 0xF0 != 0x90 or record[1] & 0xE0 != 0xA0:
        return ""
    return record[2 : 2 + (record[1] & 0x1F)].decode("ascii", errors="replace")
