"""Key that is not used any more: too old, or known to somebody it should not be known to.

What is unused is overwritten, the reason is in the audit log, and the use log is told, so that no backup
brings the key back. What was set aside for a delivery under way counts as used, since some of it may have
been handed out; who handed it out finds the reservation gone and forgets the rest (`KeySupply.settle`).
Authentication key counts as used to the end of its block, so that its positions go on behind it.

    by age           blocks stored before an instant, keys that wait for applications since before it
    by block         one block, and keys of it that wait
    by node          all key with some nodes, and all that they together knew of on its way (`paths`)
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, delete, select

from satqkd.errors import ConfigError
from satqkd.keys.ledger import audit, ledger, material, push_outbox, push_streams, raw, reservations
from satqkd.keys.ledger.gaps import unused
from satqkd.keys.ledger.key_ids import bits_of, block_of, block_tag
from satqkd.keys.ledger.ledger import Block, Use
from satqkd.keys.model import KeyRange, Paths
from satqkd.keys.paths import from_text, known_to
from satqkd.keys.sql.database import database_of
from satqkd.keys.sql.schema import BLOCKS, RAW_BLOCKS, RESERVATIONS
from satqkd.keys.sql.supply_schema import HELD_KEYS
from satqkd.keys.store.key_store import KeyStore

Test = Callable[[Row[Any]], bool]

_NOT_DISCARDED: Final = select(BLOCKS).where(BLOCKS.c.state != "discarded")
_HELD: Final = select(HELD_KEYS)


class Retired(msgspec.Struct, frozen=True):
    """What was given up."""

    blocks: tuple[str, ...]
    bits: int
    """Unused key of them that was wiped."""
    held_keys: int
    """Keys that waited for applications."""
    raw_blocks: int
    pushes: int = 0
    """Blocks on their way to a key server, or from a node: what is here of them is wiped."""


def expire(
    store: KeyStore, before_utc: str, *, peer: str | None = None, kind: str | None = None, now_utc: str
) -> Retired:
    """Give up what was stored before an instant; link and pair key, or one kind, of all peers or one.

    Authentication key expires only where it is named: both ends must do so. Raw blocks stay: their pools
    have rules of their own.
    """

    def old(block: Row[Any]) -> bool:
        kinds = ("link", "pair") if kind is None else (kind,)
        return block.created_utc < before_utc and block.kind in kinds and peer in (None, block.peer)

    def waits_too_long(row: Row[Any]) -> bool:
        return row.since_utc < before_utc and peer in (None, row.peer) and kind in (None, "pair")

    return _retire(store, old, waits_too_long, "expired", f"stored before {before_utc}", now_utc)


def revoke_block(store: KeyStore, block_id: str, *, reason: str, now_utc: str) -> Retired:
    """Give up one block. Raises KeyNotFound."""
    with store.snapshot() as connection:
        peer = ledger.find_block(connection, block_id).peer
    tag = block_tag(block_id)

    def of_block(row: Row[Any]) -> bool:
        bits = bits_of(row.key_id)
        return row.peer == peer and bits is not None and block_of(bits) == tag

    return _retire(store, lambda block: block.block_id == block_id, of_block, "revoked", reason, now_utc)


def revoke_nodes(store: KeyStore, nodes: Collection[str], *, reason: str, now_utc: str) -> Retired:
    """Give up all key with some nodes, and all that they together knew on its way.

    Raises ConfigError (no node, or the owner of this store).
    """
    if not nodes or store.node_id in nodes:
        raise ConfigError(f"nodes: expected some other than {store.node_id!r}, got {sorted(nodes)}")

    def knew(row: Row[Any]) -> bool:
        return row.peer in nodes or known_to(_paths(row), nodes)

    return _retire(store, knew, knew, "revoked", reason, now_utc, raw_of=nodes)


def revoke_peer(store: KeyStore, peer: str, *, reason: str, now_utc: str) -> Retired:
    """Give up all key with one node, whatever way it came."""

    def shared(row: Row[Any]) -> bool:
        return bool(row.peer == peer)

    return _retire(store, shared, shared, "revoked", reason, now_utc, raw_of=(peer,))


def _paths(row: Row[Any]) -> Paths:
    return from_text(row.paths)


def _retire(
    store: KeyStore,
    block_test: Test,
    held_test: Test,
    event: str,
    reason: str,
    utc: str,
    raw_of: Collection[str] = (),
) -> Retired:
    """One change; one entry of the audit log where there was something."""
    with store.transaction() as connection:
        blocks = connection.execute(_NOT_DISCARDED).all()
        chosen = [block for block in blocks if block_test(block)]
        if chosen:
            reservations.settle_fetched(connection)
            _use_up_reserved(connection, chosen, f"{event} while reserved", utc)
        bits = sum(_give_up(connection, block, event, utc) for block in chosen)
        done = Retired(
            tuple(block.block_id for block in chosen),
            bits,
            _drop_held(connection, held_test),
            _drop_raw(connection, raw_of),
            push_outbox.drop(connection, {block.block_id for block in chosen})
            + push_streams.drop(connection, block_test),
        )
        if chosen or done.held_keys or done.raw_blocks or done.pushes:
            audit.append(connection, event, utc, reason=reason, **msgspec.structs.asdict(done))
            database_of(connection).retirements += 1
    return done


def _use_up_reserved(connection: Connection, blocks: Iterable[Block], purpose: str, utc: str) -> None:
    for block in blocks:
        mine = RESERVATIONS.c.block_pk == block.pk
        rows = connection.execute(select(RESERVATIONS).where(mine)).all()
        connection.execute(delete(RESERVATIONS).where(mine))
        for row in rows:
            piece = KeyRange(block.block_id, row.offset_bits, row.length_bits)
            ledger.take(connection, [block], [piece], Use(purpose, row.holder, utc)).key.wipe()


def _give_up(connection: Connection, block: Block, event: str, utc: str) -> int:
    gaps = unused(connection, block, 0, block.bits)
    if block.kind == "auth" and block.state == "confirmed":
        if gaps:
            use = Use(event, block.block_id, utc)
            ledger.take(connection, [block] * len(gaps), gaps, use).key.wipe()
    else:
        database_of(connection).note_use(gaps)
        material.wipe_all(connection, block)
        ledger.set_state(connection, block, "discarded", utc)
    return sum(gap.length_bits for gap in gaps)


def _drop_held(connection: Connection, test: Test) -> int:
    chosen = [row for row in connection.execute(_HELD) if test(row)]
    for row in chosen:
        mine = and_(HELD_KEYS.c.key_id == row.key_id, HELD_KEYS.c.slave == row.slave)
        connection.execute(delete(HELD_KEYS).where(mine))
    return len(chosen)


def _drop_raw(connection: Connection, peers: Collection[str]) -> int:
    if not peers:
        return 0
    here = and_(RAW_BLOCKS.c.peer.in_(list(peers)), RAW_BLOCKS.c.state.in_(raw.OPEN))
    blocks = connection.execute(select(RAW_BLOCKS).where(here)).all()
    for block in blocks:
        raw.settle(connection, block, "discarded")
    return len(blocks)
