"""V12: the trusted relay and the one-time pad, run once, small, in stores of a scratch folder.

As in Liao et al., PRL 120, 030501 (2018): the satellite combines the keys of two stations, an image goes
from one to the other under the end-to-end key. What must hold is exact: the image arrives bit for bit, key is
used up for the image's bits and one tag, nothing is used twice. The link keys are repeatable and not secret.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from satqkd.errors import KeyStoreError
from satqkd.keys import KeyStore, accept_relay, decrypt, encrypt, make_relay
from satqkd.keys.model import MAC_KEY_BITS
from satqkd.keys.otp.stream import ranges_of
from satqkd.randomness import stream_bytes
from satqkd.validation.rows import Row, exactly, row

PAPER: Final = "Liao et al., PRL 120, 030501 (2018): XOR relay, images by one-time pad"
SATELLITE: Final = "satellite"
STATIONS: Final = ("xinglong", "graz")
NOW_UTC: Final = "2017-09-29T00:00:00Z"
LINK_BYTES: Final = 4096
RELAY_BITS: Final = 24_576
IMAGE: Final = bytes(value * value % 251 for value in range(512))
"""Any bytes do."""


class RelayRun(msgspec.Struct, frozen=True):
    """What came out of one relay and two images."""

    sent: bytes
    received: bytes
    link_spent_bits: int
    """At the satellite, both links."""
    pair_spent_bits: int
    """At the sender, for one image."""
    used_twice_bits: int
    """Key of the second image that the first had used, and reuse that a store let through."""


def rows(run: RelayRun | None = None) -> list[Row]:
    """Each with what must hold exactly; run: another than a fresh one."""
    done = run_relay() if run is None else run
    return [
        _exact(
            "V12a", "image bytes that differ after relay and pad", 0, _differing(done.sent, done.received)
        ),
        _exact(
            "V12b",
            "pair key used for an image, bits (its own and a tag's)",
            8 * len(done.sent) + MAC_KEY_BITS,
            done.pair_spent_bits,
        ),
        _exact(
            "V12c",
            "link key used for the relay, bits (its own and two tags')",
            2 * (RELAY_BITS + MAC_KEY_BITS),
            done.link_spent_bits,
        ),
        _exact("V12d", "key bits used twice", 0, done.used_twice_bits),
    ]


def run_relay() -> RelayRun:
    """Relay, two images one after the other, and an attempt to open the first again."""
    with tempfile.TemporaryDirectory(prefix="satqkd-") as scratch, ExitStack() as stack:
        above, sender, receiver = (
            stack.enter_context(KeyStore.create(Path(scratch) / f"{name}.sqlite", name))
            for name in (SATELLITE, *STATIONS)
        )
        for store in (sender, receiver):
            _share_link(above, store)
        record = make_relay(above, *STATIONS, RELAY_BITS, relay_id="validation", now_utc=NOW_UTC, demo=True)
        for store in (sender, receiver):
            accept_relay(store, record.data, now_utc=NOW_UTC, demo=True)
        first = _encrypted(sender)
        pair_spent_bits = _spent_bits(sender, "pair")
        second = _encrypted(sender)
        return RelayRun(
            sent=IMAGE,
            received=decrypt(receiver, first, now_utc=NOW_UTC, demo=True),
            link_spent_bits=_spent_bits(above, "link"),
            pair_spent_bits=pair_spent_bits,
            used_twice_bits=_overlap_bits(first, second) + _reopened_bits(receiver, first),
        )


def _share_link(above: KeyStore, station: KeyStore) -> None:
    key = stream_bytes(1, "validation", "relay", station.node_id)(LINK_BYTES)
    for store, peer in ((above, station.node_id), (station, SATELLITE)):
        store.add_block(
            f"pass:{station.node_id}",
            peer=peer,
            kind="link",
            origin="twin",
            key=key,
            now_utc=NOW_UTC,
            state="confirmed",
            allocator=SATELLITE,
        )


def _encrypted(sender: KeyStore) -> bytes:
    return encrypt(sender, STATIONS[1], IMAGE, now_utc=NOW_UTC, demo=True)


def _spent_bits(store: KeyStore, kind: str) -> int:
    return sum(each.spent_bits for each in store.status() if each.link.endswith(f" {kind}"))


def _overlap_bits(first: bytes, second: bytes) -> int:
    """Key bits that both files name."""
    return sum(
        max(0, min(a.end_bits, b.end_bits) - max(a.offset_bits, b.offset_bits))
        for a in ranges_of(first)
        for b in ranges_of(second)
        if a.block_id == b.block_id
    )


def _reopened_bits(receiver: KeyStore, data: bytes) -> int:
    """Bits of key that a second opening of a file got; 0 when the store refuses it."""
    try:
        return 8 * len(decrypt(receiver, data, now_utc=NOW_UTC, demo=True))
    except KeyStoreError:
        return 0


def _differing(one: bytes, other: bytes) -> int:
    return sum(a != b for a, b in zip(one, other, strict=False)) + abs(len(one) - len(other))


def _exact(row_id: str, what: str, published: int, computed: int) -> Row:
    return row(
        row_id,
        what,
        published=published,
        computed=computed,
        tolerance=exactly(published),
        blind=True,
        source=PAPER,
        kind="model",
    )
