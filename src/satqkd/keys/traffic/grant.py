"""Link key set aside for traffic between a satellite and a station, so that each can send without asking.

The satellite alone allocates link key, so a station cannot encrypt with it by itself. A grant takes bits of
the link out of relays' reach and makes them a pair block of the two, half of which each allocates. The
record says which bits, under a one-time tag of the link's key: else somebody could make a station encrypt
with key that was used before.

    record = MessagePack array [1, body, tag];  body = [satellite, station, number, origin, key, tag key]

Every function works inside the caller's transaction; the same record again changes nothing.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from sqlalchemy import Connection, and_, func, select

from satqkd.errors import DataFormatError, KeyNotFound
from satqkd.keys.ledger import audit, ledger, onetime_mac
from satqkd.keys.ledger.derived import whole_bytes
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import (
    MAC_KEY_BITS,
    MAXIMUM_RANGES,
    KeyRange,
    Origin,
    Spent,
    check_bits,
    weakest_origin,
)
from satqkd.keys.parsing import parsed
from satqkd.keys.sql.schema import BLOCKS
from satqkd.keys.traffic_model import Name, Number

_Ranges = Annotated[tuple[KeyRange, ...], Meta(max_length=MAXIMUM_RANGES)]
_USE, _TAG_USE = "grant", "grant tag"


class GrantBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the tag covers."""

    satellite: Name
    station: Name
    number: Number
    origin: Origin
    key_ranges: _Ranges
    mac_ranges: _Ranges

    @property
    def block_id(self) -> str:
        """Name of the block in both stores."""
        return block_id(self.satellite, self.station, self.number)


class Grant(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The record."""

    version: Literal[1]
    body: bytes
    tag: Annotated[bytes, Meta(min_length=16, max_length=16)]


def block_id(satellite: str, station: str, number: int) -> str:
    """Name of a grant's block in both stores."""
    return f"grant:{satellite}:{station}:{number}"


def make_grant(
    connection: Connection, satellite: str, station: str, bits: int, utc: str, *, demo: bool
) -> tuple[int, bytes]:
    """At the satellite: set `bits` bits aside, and 256 for the tag; gives the grant's number and record.

    Raises KeyExhausted, KeyNotFound, OriginRefused.
    """
    check_bits(bits, "bits to grant")
    number = 1 + _grants(connection, satellite, station)
    name = block_id(satellite, station, number)
    key = ledger.spend(connection, station, "link", bits, Use(_USE, name, utc), demo=demo)
    tag_key = ledger.spend(connection, station, "link", MAC_KEY_BITS, Use(_TAG_USE, name, utc), demo=demo)
    origin = weakest_origin((key.origin, tag_key.origin))
    body = GrantBody(satellite, station, number, origin, key.ranges, tag_key.ranges)
    encoded = msgspec.msgpack.encode(body)
    with tag_key.key as secret:
        record = msgspec.msgpack.encode(Grant(1, encoded, onetime_mac.tag(secret, encoded)))
    _store(connection, satellite, station, body, key, utc)
    return number, record


def _grants(connection: Connection, satellite: str, station: str) -> int:
    mine = and_(BLOCKS.c.peer == station, BLOCKS.c.block_id.startswith(f"grant:{satellite}:{station}:"))
    return int(connection.execute(select(func.count()).select_from(BLOCKS).where(mine)).scalar_one())


def _store(connection: Connection, node_id: str, peer: str, body: GrantBody, key: Spent, utc: str) -> None:
    bits = sum(piece.length_bits for piece in body.key_ranges)
    own_from_bits, own_until_bits = ledger.own_part(node_id, peer, "pair", None, bits)
    new = ledger.NewBlock(
        block_id=body.block_id,
        peer=peer,
        kind="pair",
        origin=weakest_origin((key.origin, body.origin)),
        state="unconfirmed",
        own_from_bits=own_from_bits,
        own_until_bits=own_until_bits,
        created_utc=utc,
    )
    with key.key as secret:
        ledger.store_block(connection, new, secret.expose())
    ledger.set_state(connection, ledger.find_block(connection, body.block_id), "confirmed", utc)
    audit.append(connection, "grant", utc, block_id=body.block_id, bits=bits)


def granted(connection: Connection, satellite: str, station: str, number: int) -> bool:
    """Whether a grant is in this store."""
    here = BLOCKS.c.block_id == block_id(satellite, station, number)
    return connection.execute(select(BLOCKS.c.pk).where(here)).first() is not None


def read_grant(record: bytes) -> tuple[GrantBody, Grant]:
    """Parse a record, not yet authenticated. Raises DataFormatError."""
    grant = parsed(record, Grant, "grant")
    body = parsed(grant.body, GrantBody, "grant")
    pieces = body.key_ranges + body.mac_ranges
    if not whole_bytes(pieces):
        raise DataFormatError("grant: expected key ranges of whole bytes")
    if not body.key_ranges or sum(each.length_bits for each in body.mac_ranges) != MAC_KEY_BITS:
        raise DataFormatError(f"grant: expected some key and {MAC_KEY_BITS} bits of tag key")
    return body, grant


def accept_grant(connection: Connection, station: str, record: bytes, utc: str, *, demo: bool) -> int | None:
    """At a station: check the tag and hold the block; gives its bits, None when the tag does not fit.

    The caller commits either answer before telling it. Raises DataFormatError, KeyNotFound (not for this
    station, unknown key), KeyStoreError, KeyAlreadyUsed, OriginRefused.
    """
    body, grant = read_grant(record)
    if body.station != station:
        raise KeyNotFound(f"this grant is for {body.station!r}; this store is of {station!r}")
    bits = sum(piece.length_bits for piece in body.key_ranges)
    if granted(connection, body.satellite, station, body.number):
        return bits
    tag_use = Use(_TAG_USE, body.block_id, utc)
    ranges = body.mac_ranges + body.key_ranges
    blocks = ledger.locate_for_peer(connection, body.satellite, "link", ranges, demo=demo)
    tag_blocks, key_blocks = blocks[: len(body.mac_ranges)], blocks[len(body.mac_ranges) :]
    if not onetime_mac.verify(connection, tag_blocks, body.mac_ranges, grant.body, grant.tag, tag_use):
        return None
    ledger.use_up(connection, tag_blocks, body.mac_ranges, tag_use)
    key = ledger.take(connection, key_blocks, body.key_ranges, Use(_USE, body.block_id, utc))
    _store(connection, station, body.satellite, body, key, utc)
    return bits
