"""Key that no single satellite knows: the exclusive or of pair key that came on different ways (m of m).

One end takes as many bits of each of m sources from its own part and publishes which; the other takes the
same. Both hold their exclusive or, which only those learn who know every source. The record tells places, no
bits, and its tag's key is an exclusive or of the same sources: no satellite can forge it alone either.

Ledger, block, record and audit entry are one transaction at each end. The same id gives the same record
again; the same record accepted again changes nothing; what was combined is used.
"""

import hashlib
from collections.abc import Sequence
from itertools import combinations
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, insert, select

from satqkd.errors import AuthenticationError, ConfigError, KeyAlreadyUsed, KeyExhausted, KeyStoreError
from satqkd.keys.ledger import audit, ledger, onetime_mac
from satqkd.keys.ledger.derived import AcceptedRecord, require_demo, store_pair
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import MAC_KEY_BITS, Paths, check_bits, check_name, cut, weakest_origin
from satqkd.keys.network import sources
from satqkd.keys.network.combination_record import (
    CombinationBody,
    CombinationEnvelope,
    Share,
    read_combination,
    require_for,
)
from satqkd.keys.paths import both, withstands
from satqkd.keys.secret import Secret, xor_all
from satqkd.keys.sql.network_schema import COMBINATIONS
from satqkd.keys.store.key_store import KeyStore

CONSIDERED: Final = 12
"""Sources that a choice looks at, those with the most key: all sets of m of them are compared."""


class CombinationRecord(msgspec.Struct, frozen=True):
    """A combination as the end that made it reports it; `data` is what travels, and is no secret."""

    combination_id: str
    peer: str
    block_id: str
    bits: int
    spent_bits: int
    """Of all sources together: key and tag key."""
    origin: str
    paths: Paths
    data: bytes

    def __repr__(self) -> str:
        return f"<CombinationRecord {self.combination_id}: {self.bits} bits with {self.peer}>"


def choose_sources(store: KeyStore, peer: str, paths: int, *, demo: bool = False) -> tuple[Paths, ...]:
    """The `paths` sources of key with a peer of which fewer nodes than `paths` never know all, with the most
    key.

    The most: where the smallest of them is largest. Raises KeyExhausted when no such sources have key.
    """
    if paths < 2:
        raise ConfigError(f"paths: expected at least 2 sources to combine, got {paths}")
    check_name(peer, "peer")
    with store.snapshot() as connection:
        found = sources.sources(connection, peer, "pair", demo=demo)
    live = [source for source in found if source.live_bits > MAC_KEY_BITS]
    for chosen in sorted(combinations(live[:CONSIDERED], paths), key=lambda each: -each[-1].live_bits):
        if withstands(both(source.paths for source in chosen), paths):
            return tuple(source.paths for source in chosen)
    told = ", ".join(f"{source.live_bits} bits by {source.paths}" for source in found) or "none"
    raise KeyExhausted(
        f"key with {peer!r}: expected {paths} sources of which fewer than {paths} nodes do not know all, "
        f"found {told}; relay over another satellite, or ask for fewer paths"
    )


def largest_combination_bits(
    store: KeyStore, peer: str, through: Sequence[Paths], *, demo: bool = False
) -> int:
    """The most bits that a combination of these sources gives now."""
    with store.snapshot() as connection:
        live = {each.paths: each.live_bits for each in sources.sources(connection, peer, "pair", demo=demo)}
    return max(0, (min(live.get(paths, 0) for paths in through) - MAC_KEY_BITS) // 8 * 8)


def combine_pairs(
    store: KeyStore,
    peer: str,
    bits: int,
    *,
    through: Sequence[Paths],
    combination_id: str,
    now_utc: str,
    demo: bool = False,
) -> CombinationRecord:
    """Combine `bits` bits of each source into key with a peer; takes MAC_KEY_BITS more of each.

    through: paths of the sources (`choose_sources`). The same id gives the same record again. Raises
    KeyExhausted, KeyNotFound, OriginRefused, KeyAlreadyUsed (the id belongs to another); no key is used then.
    """
    _check_request(store.node_id, peer, bits, through, combination_id)
    with store.transaction() as connection:
        data = _made_before(connection, store.node_id, combination_id)
        if data is None:
            use = Use("combination", combination_id, now_utc)
            data = _combine(connection, store.node_id, peer, bits, through, use, demo=demo)
    record = _report(data)
    if (record.peer, record.bits) != (peer, bits):
        raise KeyAlreadyUsed(
            f"combination id {combination_id!r} belongs to {record.bits} bits with {record.peer!r}; give "
            f"this one another id"
        )
    return record


def find_combination(store: KeyStore, combination_id: str) -> CombinationRecord | None:
    """The record that this node made under an id, to send it again; None when there is none."""
    with store.snapshot() as connection:
        data = _made_before(connection, store.node_id, combination_id)
    return None if data is None else _report(data)


def accept_combination(store: KeyStore, record: bytes, *, now_utc: str, demo: bool = False) -> AcceptedRecord:
    """At the other end: check the tag, take the same ranges, hold the same key.

    The same record again changes nothing. A wrong tag raises AuthenticationError and takes nothing. Raises
    DataFormatError, KeyNotFound (not for this node), KeyAlreadyUsed, OriginRefused, KeyStoreError (the
    shares' paths are not those that this store has for them).
    """
    body, envelope = read_combination(record)
    require_for(body, store.node_id)
    require_demo(body.origin, f"combination {body.combination_id!r}", demo=demo)
    with store.transaction() as connection:
        repeated = _accepted_before(connection, body, envelope.body)
        good = repeated or _accept(connection, store.node_id, body, envelope, now_utc=now_utc, demo=demo)
    if not good:
        raise AuthenticationError(
            f"the tag of combination {body.combination_id!r} does not fit the key shared with {body.node!r}: "
            f"the record was changed on its way; nothing was stored; get it again"
        )
    return AcceptedRecord(
        "combination",
        body.combination_id,
        body.block_id,
        body.node,
        body.bits,
        body.origin,
        body.paths,
        repeated,
    )


def _check_request(node_id: str, peer: str, bits: int, through: Sequence[Paths], combination_id: str) -> None:
    for name, what in ((peer, "peer"), (combination_id, "combination_id")):
        check_name(name, what)
    check_bits(bits, "bits to combine")
    if peer == node_id:
        raise ConfigError(f"peer: expected another node than {peer!r}, the owner of this store")
    if not 2 <= len(through) <= 8 or len(set(through)) != len(through):
        raise ConfigError(f"combination: expected 2 to 8 different sources, got {list(through)}")


def _is(node: str, combination_id: str) -> ColumnElement[bool]:
    return and_(COMBINATIONS.c.node == node, COMBINATIONS.c.combination_id == combination_id)


def _made_before(connection: Connection, node: str, combination_id: str) -> bytes | None:
    found = connection.execute(select(COMBINATIONS.c.record).where(_is(node, combination_id))).scalar()
    return None if found is None else bytes(found)


def _accepted_before(connection: Connection, body: CombinationBody, covered: bytes) -> bool:
    known = select(COMBINATIONS.c.record_sha256).where(_is(body.node, body.combination_id))
    digest = connection.execute(known).scalar()
    if digest is not None and digest != hashlib.sha256(covered).digest():
        raise KeyAlreadyUsed(
            f"combination {body.combination_id!r} of {body.node!r} was accepted with another record; this "
            f"one is refused"
        )
    return digest is not None


def _combine(
    connection: Connection,
    node_id: str,
    peer: str,
    bits: int,
    through: Sequence[Paths],
    use: Use,
    *,
    demo: bool,
) -> bytes:
    wanted = bits + MAC_KEY_BITS
    ranges = [sources.allocate(connection, peer, "pair", wanted, demo=demo, paths=paths) for paths in through]
    body = CombinationBody(
        node=node_id,
        peer=peer,
        combination_id=use.reference,
        origin=weakest_origin(
            block.origin for each in ranges for block in ledger.locate(connection, peer, "pair", each)
        ),
        shares=tuple(Share(paths, each) for paths, each in zip(through, ranges, strict=True)),
    )
    encoded = msgspec.msgpack.encode(body)
    with _take(connection, peer, body, use) as mixed:
        with mixed.part(0, MAC_KEY_BITS // 8) as tag_key:
            data = msgspec.msgpack.encode(CombinationEnvelope(1, encoded, onetime_mac.tag(tag_key, encoded)))
        _hold(connection, node_id, peer, body, mixed, use.utc or "")
    _remember(connection, body, encoded, data)
    return data


def _accept(
    connection: Connection,
    node_id: str,
    body: CombinationBody,
    envelope: CombinationEnvelope,
    *,
    now_utc: str,
    demo: bool,
) -> bool:
    use = Use("combination", body.combination_id, now_utc)
    for share in body.shares:
        blocks = ledger.locate_for_peer(connection, body.node, "pair", share.ranges, demo=demo)
        if sources.paths_of(blocks, ends=(node_id, body.node)) != share.paths:
            raise KeyStoreError(
                f"combination {body.combination_id!r}: expected the paths that this store has for its key, "
                f"got {share.paths}; nothing was stored"
            )
    mac_ranges = [piece for share in body.shares for piece in cut(share.ranges, MAC_KEY_BITS)[0]]
    blocks = ledger.locate(connection, body.node, "pair", mac_ranges)
    if not onetime_mac.verify(
        connection, blocks, mac_ranges, envelope.body, envelope.tag, use, shares=len(body.shares)
    ):
        return False
    with _take(connection, body.node, body, use) as mixed:
        _hold(connection, node_id, body.node, body, mixed, now_utc)
    _remember(connection, body, envelope.body, None)
    return True


def _take(connection: Connection, peer: str, body: CombinationBody, use: Use) -> Secret:
    """Use all shares up; gives their exclusive or: the tag's key, then the new key."""
    taken = [sources.take(connection, peer, "pair", share.ranges, use)[0].key for share in body.shares]
    return xor_all(taken)


def _hold(
    connection: Connection, node_id: str, peer: str, body: CombinationBody, mixed: Secret, utc: str
) -> None:
    store_pair(
        connection,
        node_id,
        peer,
        bytearray(mixed.expose()[MAC_KEY_BITS // 8 :]),
        block_id=body.block_id,
        origin=body.origin,
        paths=body.paths,
        now_utc=utc,
    )


def _remember(connection: Connection, body: CombinationBody, covered: bytes, data: bytes | None) -> None:
    connection.execute(
        insert(COMBINATIONS).values(
            node=body.node,
            combination_id=body.combination_id,
            record=data,
            record_sha256=hashlib.sha256(covered).digest(),
        )
    )
    audit.append(connection, "combination", None, block_id=body.block_id, bits=body.bits, paths=body.paths)


def _report(data: bytes) -> CombinationRecord:
    body, _ = read_combination(data)
    return CombinationRecord(
        combination_id=body.combination_id,
        peer=body.peer,
        block_id=body.block_id,
        bits=body.bits,
        spent_bits=sum(share.bits for share in body.shares),
        origin=body.origin,
        paths=body.paths,
        data=data,
    )
