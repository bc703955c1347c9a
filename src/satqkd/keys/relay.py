"""The trusted relay: two stations that share key with one satellite come to share key with each other.

The satellite takes L bits a of its link key with station A and L bits b with B, and publishes c = a xor b.
B computes b xor c = a, and a is end-to-end key of A and B. c tells nothing as long as neither a nor b is
ever used for anything else; XORing one range against two partners would tell each the other's key, and
the ledger forbids it. The satellite itself knows a: it is trusted, as in Liao et al., PRL 120, 030501
(2018). One tag for each end, under one-time key of that end's link, covers ranges and c.

Ledger, record and audit entry are one transaction, and no byte leaves before its commit: a crash leaves
either the key and no record, or the record with both ranges used. A record may be sent any number of
times; its ranges are never combined again. A record is known by its body: an end checks only its own tag,
so what stands in place of the other end's tag makes it no other record.
"""

import hashlib

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, insert, select

from satqkd.errors import AuthenticationError, ConfigError, KeyAlreadyUsed, OriginRefused
from satqkd.keys import audit, ledger, onetime_mac
from satqkd.keys.ledger import Use
from satqkd.keys.model import DEMO_ORIGINS, MAC_KEY_BITS, Spent, check_bits, check_name, weakest_origin
from satqkd.keys.relay_record import Envelope, RelayBody, RelayEnd, RelayShare, read_record, share_of
from satqkd.keys.schema import RELAYS
from satqkd.keys.store import KeyStore


class RelayRecord(msgspec.Struct, frozen=True):
    """A relay as the satellite reports it; `data` is what travels, and is no secret."""

    relay_id: str
    station_a: str
    station_b: str
    bits: int
    spent_a_bits: int
    """Taken of A's link: key and tag key."""
    spent_b_bits: int
    origin: str
    data: bytes

    def __repr__(self) -> str:
        return f"<RelayRecord {self.relay_id}: {self.bits} bits for {self.station_a} and {self.station_b}>"


class AcceptedRelay(msgspec.Struct, frozen=True):
    """What a station holds after a relay."""

    relay_id: str
    block_id: str
    peer: str
    bits: int
    origin: str
    repeated: bool
    """The same record had been accepted before; nothing was done now."""


def make_relay(
    store: KeyStore,
    station_a: str,
    station_b: str,
    bits: int,
    *,
    relay_id: str,
    now_utc: str,
    demo: bool = False,
) -> RelayRecord:
    """Combine `bits` bits of two links on the satellite; takes 256 more of each for its tag.

    The same `relay_id` again gives the same record again. Raises KeyExhausted, KeyNotFound, OriginRefused,
    KeyAlreadyUsed (the id belongs to another relay); no key is used then.
    """
    stations = (station_a, station_b)
    _check_request(store.node_id, stations, bits, relay_id)
    with store.transaction() as connection:
        data = made_before(connection, store.node_id, relay_id)
        if data is None:
            use = Use("relay", relay_id, now_utc)
            data = combine(connection, store.node_id, stations, bits, use, demo=demo)
    record = _report(data)
    if (record.station_a, record.station_b, record.bits) != (*stations, bits):
        raise KeyAlreadyUsed(
            f"relay id {relay_id!r} belongs to a relay of {record.bits} bits for {record.station_a!r} and "
            f"{record.station_b!r}; give this one another id"
        )
    return record


def find_relay(store: KeyStore, relay_id: str) -> RelayRecord | None:
    """The record that this satellite made under an id, to send it again; None when there is none."""
    with store.snapshot() as connection:
        data = made_before(connection, store.node_id, relay_id)
    return None if data is None else _report(data)


def largest_relay_bits(store: KeyStore, station_a: str, station_b: str, *, demo: bool = False) -> int:
    """The most bits a relay may combine now: the smaller link less its tag's key, in whole bytes."""
    live = min(store.available_bits(station, "link", demo=demo) for station in (station_a, station_b))
    return max(0, (live - MAC_KEY_BITS) // 8 * 8)


def made_before(connection: Connection, satellite: str, relay_id: str) -> bytes | None:
    """The record of a relay made here under an id, if any."""
    found = connection.execute(select(RELAYS.c.record).where(_is(satellite, relay_id))).scalar()
    return None if found is None else bytes(found)


def _check_request(satellite: str, stations: tuple[str, str], bits: int, relay_id: str) -> None:
    for name, what in ((stations[0], "station_a"), (stations[1], "station_b"), (relay_id, "relay_id")):
        check_name(name, what)
    check_bits(bits, "bits to relay")
    if len({satellite, *stations}) != 3:
        raise ConfigError(f"relay: expected two stations and a satellite, got {stations} and {satellite!r}")


def _is(satellite: str, relay_id: str) -> ColumnElement[bool]:
    return and_(RELAYS.c.satellite == satellite, RELAYS.c.relay_id == relay_id)


def combine(
    connection: Connection, satellite: str, stations: tuple[str, str], bits: int, use: Use, *, demo: bool
) -> bytes:
    """Make and remember a relay inside the caller's transaction; gives its record.

    use: purpose `relay`, the relay's id, never used before. Raises KeyExhausted, KeyNotFound, OriginRefused.
    """
    tag_use = Use("relay tag", use.reference, use.utc)
    keys = [ledger.spend(connection, name, "link", bits, use, demo=demo) for name in stations]
    tags = [ledger.spend(connection, name, "link", MAC_KEY_BITS, tag_use, demo=demo) for name in stations]
    end_a, end_b = (
        RelayEnd(name, key.ranges, tag.ranges) for name, key, tag in zip(stations, keys, tags, strict=True)
    )
    body = RelayBody(
        satellite=satellite,
        relay_id=use.reference,
        sequence=1 + relays_made(connection, satellite),
        origin=weakest_origin(spent.origin for spent in (*keys, *tags)),
        end_a=end_a,
        end_b=end_b,
        combined=_xor(*keys),
    )
    encoded = msgspec.msgpack.encode(body)
    data = _seal(encoded, tags)
    _remember(connection, body, encoded, data)
    audit.append(connection, "relay", use.utc, relay_id=body.relay_id, stations=list(stations), bits=bits)
    return data


def _xor(first: Spent, second: Spent) -> bytes:
    with first.key as a, second.key as b:
        return bytes(a.xor(b.expose()))


def _seal(encoded: bytes, tags: list[Spent]) -> bytes:
    tag_a, tag_b = (onetime_mac.tag(spent.key, encoded) for spent in tags)
    for spent in tags:
        spent.key.wipe()
    return msgspec.msgpack.encode(Envelope(1, encoded, tag_a, tag_b))


def _remember(connection: Connection, body: RelayBody, covered: bytes, data: bytes | None) -> None:
    connection.execute(
        insert(RELAYS).values(
            satellite=body.satellite,
            relay_id=body.relay_id,
            sequence=body.sequence,
            record=data,
            record_sha256=hashlib.sha256(covered).digest(),
        )
    )


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
        data=data,
    )


def relays_made(connection: Connection, satellite: str) -> int:
    """How many relays a satellite's store remembers of this satellite; so the last one's sequence."""
    made = select(func.count()).select_from(RELAYS).where(RELAYS.c.satellite == satellite)
    return int(connection.execute(made).scalar_one())


def holds_relay(connection: Connection, satellite: str, sequence: int) -> bool:
    """Whether a relay of a satellite, by its sequence, was made or accepted here."""
    known = and_(RELAYS.c.satellite == satellite, RELAYS.c.sequence == sequence)
    return connection.execute(select(RELAYS.c.sequence).where(known)).first() is not None


def accept_relay(store: KeyStore, record: bytes, *, now_utc: str, demo: bool = False) -> AcceptedRelay:
    """At a station: check the own tag, use the own range, and hold the end-to-end block with the other end.

    The same record again changes nothing. A wrong tag raises AuthenticationError and takes no key range
    (`onetime_mac` says how many are allowed). Raises DataFormatError, KeyNotFound (not for this station),
    KeyAlreadyUsed (another record of this id, or of used key), OriginRefused.
    """
    share = share_of(record, store.node_id)
    body = share.body
    if body.origin in DEMO_ORIGINS and not demo:
        raise OriginRefused(
            f"relay {body.relay_id!r} was made of key with origin {body.origin}: not secret; for a "
            f"demonstration say --demo"
        )
    with store.transaction() as connection:
        repeated = _accepted_before(connection, share)
        good = repeated or _accept(connection, store.node_id, share, now_utc=now_utc, demo=demo)
        if good and not repeated:
            _remember(connection, body, share.covered, None)
    if not good:
        raise AuthenticationError(
            f"the tag of relay {body.relay_id!r} does not fit the key shared with {body.satellite!r}: the "
            f"record was changed on its way; nothing was stored; get it again"
        )
    return AcceptedRelay(body.relay_id, body.block_id, share.peer, body.bits, body.origin, repeated)


def _accepted_before(connection: Connection, share: RelayShare) -> bool:
    body = share.body
    known = select(RELAYS.c.record_sha256).where(_is(body.satellite, body.relay_id))
    digest = connection.execute(known).scalar()
    if digest is not None and digest != hashlib.sha256(share.covered).digest():
        raise KeyAlreadyUsed(
            f"relay {body.relay_id!r} of {body.satellite!r} was accepted with another record; this one is "
            f"refused"
        )
    return digest is not None


def _accept(connection: Connection, node_id: str, share: RelayShare, *, now_utc: str, demo: bool) -> bool:
    body, end = share.body, share.end
    use, tag_use = Use("relay", body.relay_id, now_utc), Use("relay tag", body.relay_id, now_utc)
    blocks = ledger.locate_for_peer(connection, body.satellite, "link", end.ranges, demo=demo)
    key_blocks, tag_blocks = blocks[: len(end.key_ranges)], blocks[len(end.key_ranges) :]
    if not onetime_mac.verify(connection, tag_blocks, end.mac_ranges, share.covered, share.tag, tag_use):
        return False
    ledger.take(connection, tag_blocks, end.mac_ranges, tag_use).key.wipe()
    own = ledger.take(connection, key_blocks, end.key_ranges, use)
    _store_pair(connection, node_id, share, own, now_utc)
    return True


def _store_pair(connection: Connection, node_id: str, share: RelayShare, own: Spent, now_utc: str) -> None:
    body = share.body
    own_from_bits, own_until_bits = ledger.own_part(node_id, share.peer, "pair", None, body.bits)
    new = ledger.NewBlock(
        block_id=body.block_id,
        peer=share.peer,
        kind="pair",
        origin=weakest_origin((own.origin, body.origin)),
        state="unconfirmed",
        own_from_bits=own_from_bits,
        own_until_bits=own_until_bits,
        created_utc=now_utc,
    )
    with own.key as key:
        shared = bytearray(key.expose()) if share.holds_a else key.xor(body.combined)
    ledger.store_block(connection, new, shared)
    shared[:] = bytes(len(shared))
    ledger.set_state(connection, ledger.find_block(connection, body.block_id), "confirmed", now_utc)
