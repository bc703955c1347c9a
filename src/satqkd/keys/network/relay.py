"""The trusted relay: two stations that share key with one node come to share key with each other.

The node, a satellite or a station on the way, takes L bits a of its key with station A and L bits b with B,
and publishes c = a xor b. B computes b xor c = a, and a is end-to-end key of A and B. c tells nothing as long
as neither a nor b is ever used for anything else; XORing one range against two partners would tell each the
other's key, and the ledger forbids it. The node itself knows a: it is trusted, as in Liao et al., PRL 120,
030501 (2018), and so is who knew a or b before: the block says so (`paths`). One tag for each end, under
one-time key of that end, covers ranges and c.

Ledger, record and audit entry are one transaction, and no byte leaves before its commit: a crash leaves
either the key and no record, or the record with both ranges used. A record may be sent any number of
times; its ranges are never combined again. A record is known by its body: an end checks only its own tag,
so what stands in place of the other end's tag makes it no other record.
"""

import hashlib
from typing import Final

import msgspec
from sqlalchemy import Connection, and_, select

from satqkd.errors import AuthenticationError, ConfigError, KeyAlreadyUsed, KeyStoreError
from satqkd.keys.ledger import audit, ledger, onetime_mac
from satqkd.keys.ledger.derived import AcceptedRecord, require_demo, store_pair
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import (
    MAC_KEY_BITS,
    KeyRange,
    Paths,
    Spent,
    check_bits,
    check_name,
    cut,
    weakest_origin,
)
from satqkd.keys.network import quota, sources
from satqkd.keys.network.relay_record import (
    Envelope,
    RelayBody,
    RelayEnd,
    RelayKind,
    RelayShare,
    read_record,
    share_of,
)
from satqkd.keys.paths import either
from satqkd.keys.sql.schema import RELAYS
from satqkd.keys.sql.statements import run
from satqkd.keys.store.key_store import KeyStore

_RECORD: Final = "SELECT record FROM relays WHERE satellite = ? AND relay_id = ?"
_DIGEST: Final = "SELECT record_sha256 FROM relays WHERE satellite = ? AND relay_id = ?"
_COUNT: Final = "SELECT count(*) FROM relays WHERE satellite = ?"
_REMEMBER: Final = (
    "INSERT INTO relays (satellite, relay_id, sequence, record, record_sha256) VALUES (?, ?, ?, ?, ?)"
)


class RelayRecord(msgspec.Struct, frozen=True):
    """A relay as its node reports it; `data` is what travels, and is no secret."""

    relay_id: str
    station_a: str
    station_b: str
    bits: int
    spent_a_bits: int
    """Taken of the key with A: key and tag key."""
    spent_b_bits: int
    origin: str
    paths: Paths
    """Who knows the end-to-end key besides its ends."""
    data: bytes

    def __repr__(self) -> str:
        return f"<RelayRecord {self.relay_id}: {self.bits} bits for {self.station_a} and {self.station_b}>"


LINKS: Final[tuple[RelayKind, RelayKind]] = ("link", "link")
"""What a satellite relays."""


def make_relay(
    store: KeyStore,
    station_a: str,
    station_b: str,
    bits: int,
    *,
    relay_id: str,
    now_utc: str,
    kinds: tuple[RelayKind, RelayKind] = LINKS,
    demo: bool = False,
) -> RelayRecord:
    """Combine `bits` bits of this node's key with two others; takes 256 more of each for its tag.

    kinds: of the key with each, of this end's own part. The same `relay_id` again gives the same record
    again. Raises KeyExhausted, KeyNotFound, OriginRefused, KeyAlreadyUsed (the id belongs to another relay);
    no key is used then.
    """
    stations = (station_a, station_b)
    _check_request(store.node_id, stations, bits, relay_id)
    with store.transaction() as connection:
        data = made_before(connection, store.node_id, relay_id)
        if data is None:
            use = Use("relay", relay_id, now_utc)
            data = combine(connection, store.node_id, stations, bits, use, kinds=kinds, demo=demo)
    record = _report(data)
    if (record.station_a, record.station_b, record.bits) != (*stations, bits):
        raise KeyAlreadyUsed(
            f"relay id {relay_id!r} belongs to a relay of {record.bits} bits for {record.station_a!r} and "
            f"{record.station_b!r}; give this one another id"
        )
    return record


def find_relay(store: KeyStore, relay_id: str) -> RelayRecord | None:
    """The record that this node made under an id, to send it again; None when there is none."""
    with store.snapshot() as connection:
        data = made_before(connection, store.node_id, relay_id)
    return None if data is None else _report(data)


def largest_relay_bits(
    store: KeyStore,
    station_a: str,
    station_b: str,
    *,
    kinds: tuple[RelayKind, RelayKind] = LINKS,
    demo: bool = False,
) -> int:
    """The most bits a relay may combine now: the smaller side less its tag's key, in whole bytes."""
    ends = zip((station_a, station_b), kinds, strict=True)
    live = min(sources.available_bits(store, station, kind, demo=demo) for station, kind in ends)
    return max(0, (live - MAC_KEY_BITS) // 8 * 8)


def made_before(connection: Connection, satellite: str, relay_id: str) -> bytes | None:
    """The record of a relay made here under an id, if any."""
    found = run(connection, _RECORD, (satellite, relay_id)).fetchone()
    return None if found is None or found[0] is None else bytes(found[0])


def _check_request(node_id: str, stations: tuple[str, str], bits: int, relay_id: str) -> None:
    for name, what in ((stations[0], "station_a"), (stations[1], "station_b"), (relay_id, "relay_id")):
        check_name(name, what)
    check_bits(bits, "bits to relay")
    if len({node_id, *stations}) != 3:
        raise ConfigError(f"relay: expected two stations and a node between, got {stations} and {node_id!r}")


def combine(
    connection: Connection,
    node_id: str,
    stations: tuple[str, str],
    bits: int,
    use: Use,
    *,
    kinds: tuple[RelayKind, RelayKind] = LINKS,
    demo: bool,
) -> bytes:
    """Make and remember a relay inside the caller's transaction; gives its record.

    use: purpose `relay`, the relay's id, never used before. Raises KeyExhausted, KeyNotFound, OriginRefused.
    """
    ranges = allocate_ends(connection, stations, kinds, bits, demo=demo)
    taken = [
        _take_end(connection, (station, kind), cut(each, bits), node_id, use)
        for station, kind, each in zip(stations, kinds, ranges, strict=True)
    ]
    (end_a, key_a, tag_a), (end_b, key_b, tag_b) = taken
    body = RelayBody(
        node=node_id,
        relay_id=use.reference,
        sequence=1 + relays_made(connection, node_id),
        origin=weakest_origin(spent.origin for spent in (key_a, key_b, tag_a, tag_b)),
        end_a=end_a,
        end_b=end_b,
        combined=_xor(key_a, key_b),
    )
    encoded = msgspec.msgpack.encode(body)
    data = _seal(encoded, [tag_a, tag_b])
    _remember(connection, body, encoded, data)
    quota.note(connection, use.reference, stations, bits, use.utc)
    audit.append(connection, "relay", use.utc, relay_id=body.relay_id, stations=list(stations), bits=bits)
    return data


def allocate_ends(
    connection: Connection,
    stations: tuple[str, str],
    kinds: tuple[RelayKind, RelayKind],
    bits: int,
    *,
    demo: bool,
) -> list[tuple[KeyRange, ...]]:
    """What a relay would take of either end: key, then tag key; nothing is marked.

    Raises KeyExhausted, KeyNotFound, OriginRefused.
    """
    ends = zip(stations, kinds, strict=True)
    return [sources.allocate(connection, name, kind, bits + MAC_KEY_BITS, demo=demo) for name, kind in ends]


def _take_end(
    connection: Connection,
    end: tuple[str, RelayKind],
    ranges: tuple[tuple[KeyRange, ...], tuple[KeyRange, ...]],
    node_id: str,
    use: Use,
) -> tuple[RelayEnd, Spent, Spent]:
    station, kind = end
    key, key_paths = sources.take(connection, station, kind, ranges[0], use)
    tag_key, tag_paths = sources.take(
        connection, station, kind, ranges[1], Use("relay tag", use.reference, use.utc)
    )
    paths = either((key_paths, tag_paths), ends=(station, node_id))
    return RelayEnd(station, kind, paths, key.ranges, tag_key.ranges), key, tag_key


def _xor(first: Spent, second: Spent) -> bytes:
    with first.key as a, second.key as b:
        return bytes(a.xor(b.expose()))


def _seal(encoded: bytes, tags: list[Spent]) -> bytes:
    tag_a, tag_b = (onetime_mac.tag(spent.key, encoded) for spent in tags)
    for spent in tags:
        spent.key.wipe()
    return msgspec.msgpack.encode(Envelope(2, encoded, tag_a, tag_b))


def _remember(connection: Connection, body: RelayBody, covered: bytes, data: bytes | None) -> None:
    digest = hashlib.sha256(covered).digest()
    run(connection, _REMEMBER, (body.node, body.relay_id, body.sequence, data, digest))


def _report(data: bytes) -> RelayRecord:
    body, _ = read_record(data)
    return RelayRecord(
        relay_id=body.relay_id,
        station_a=body.end_a.station,
        station_b=body.end_b.station,
        bits=body.bits,
        spent_a_bits=body.end_a.spent_bits,
        spent_b_bits=body.end_b.spent_bits,
        origin=body.origin,
        paths=body.paths,
        data=data,
    )


def relays_made(connection: Connection, satellite: str) -> int:
    """How many relays a satellite's store remembers of this satellite; so the last one's sequence."""
    return int(run(connection, _COUNT, (satellite,)).fetchone()[0])


def holds_relay(connection: Connection, satellite: str, sequence: int) -> bool:
    """Whether a relay of a satellite, by its sequence, was made or accepted here."""
    known = and_(RELAYS.c.satellite == satellite, RELAYS.c.sequence == sequence)
    return connection.execute(select(RELAYS.c.sequence).where(known)).first() is not None


def accept_relay(store: KeyStore, record: bytes, *, now_utc: str, demo: bool = False) -> AcceptedRecord:
    """At a station: check the own tag, use the own range, and hold the end-to-end block with the other end.

    The same record again changes nothing. A wrong tag raises AuthenticationError and takes no key range
    (`onetime_mac` says how many are allowed). Raises DataFormatError, KeyNotFound (not for this station),
    KeyAlreadyUsed (another record of this id, or of used key), KeyStoreError (it says that others knew the
    own key than this store does), OriginRefused.
    """
    share = share_of(record, store.node_id)
    body = share.body
    require_demo(body.origin, f"relay {body.relay_id!r}", demo=demo)
    with store.transaction() as connection:
        repeated = _accepted_before(connection, share)
        good = repeated or _accept(connection, store.node_id, share, now_utc=now_utc, demo=demo)
        if good and not repeated:
            _remember(connection, body, share.covered, None)
    if not good:
        raise AuthenticationError(
            f"the tag of relay {body.relay_id!r} does not fit the key shared with {body.node!r}: the "
            f"record was changed on its way; nothing was stored; get it again"
        )
    return AcceptedRecord(
        "relay", body.relay_id, body.block_id, share.peer, body.bits, body.origin, body.paths, repeated
    )


def _accepted_before(connection: Connection, share: RelayShare) -> bool:
    body = share.body
    known = run(connection, _DIGEST, (body.node, body.relay_id)).fetchone()
    if known is not None and bytes(known[0]) != hashlib.sha256(share.covered).digest():
        raise KeyAlreadyUsed(
            f"relay {body.relay_id!r} of {body.node!r} was accepted with another record; this one is refused"
        )
    return known is not None


def _accept(connection: Connection, node_id: str, share: RelayShare, *, now_utc: str, demo: bool) -> bool:
    body, end = share.body, share.end
    use, tag_use = Use("relay", body.relay_id, now_utc), Use("relay tag", body.relay_id, now_utc)
    blocks = ledger.locate_for_peer(connection, body.node, end.kind, end.ranges, demo=demo)
    key_blocks, tag_blocks = blocks[: len(end.key_ranges)], blocks[len(end.key_ranges) :]
    if not onetime_mac.verify(connection, tag_blocks, end.mac_ranges, share.covered, share.tag, tag_use):
        return False
    own_paths = sources.paths_of(blocks, ends=(node_id, body.node))
    if own_paths != end.paths:
        raise KeyStoreError(
            f"relay {body.relay_id!r}: expected the paths {own_paths} that this store has for its key with "
            f"{body.node!r}, got {end.paths}; nothing was stored"
        )
    ledger.use_up(connection, tag_blocks, end.mac_ranges, tag_use)
    own = ledger.take(connection, key_blocks, end.key_ranges, use)
    with own.key as key:
        shared = bytearray(key.expose()) if share.holds_a else key.xor(body.combined)
    store_pair(
        connection,
        node_id,
        share.peer,
        shared,
        block_id=body.block_id,
        origin=weakest_origin((own.origin, body.origin)),
        paths=body.paths,
        now_utc=now_utc,
    )
    return True
