"""A node pushes whole blocks of end-to-end key into the store of its key server, each exactly once.

    candidate: confirmed pair key, none of it used here
        open     the server knows stream and block, and has no key of it      nothing is used yet
        set out  one change: used here, sealed in the outbox (`push_outbox`)  this store gives none of it out
        take     chunk by chunk, each again where the answer was lost
        close    the server's receipt: the block is in its store
        done     wiped from the outbox

A kill anywhere: the next push goes on with what is in the outbox, from the chunk that the server wants. The
stream's name was drawn before anything was said, so the server knows what it has. No network here.
"""

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, and_, select

from satqkd.errors import KeyAlreadyUsed, RemoteProtocolError
from satqkd.keys.ledger import ledger, push_outbox
from satqkd.keys.ledger.gaps import unused
from satqkd.keys.ledger.ledger import Block
from satqkd.keys.model import KeyRange
from satqkd.keys.paths import from_text
from satqkd.keys.push_door import MAXIMUM_PUSH_BITS, Intake, NoLink, PushedBlock, StreamInUse
from satqkd.keys.sql.schema import BLOCKS
from satqkd.keys.store.key_store import KeyStore


class LeftBlock(msgspec.Struct, frozen=True):
    """A block that the server refuses; nothing of it was used now."""

    block_id: str
    reason: str


class PushReport(msgspec.Struct, frozen=True):
    """What one push did."""

    pushed: tuple[PushedBlock, ...]
    left: tuple[LeftBlock, ...]

    @property
    def bits(self) -> int:
        """Of all that the server has now."""
        return sum(each.bits for each in self.pushed)


def push_blocks(
    store: KeyStore,
    intake: Intake,
    *,
    peer: str | None = None,
    new_id: Callable[[], str],
    now_utc: Callable[[], str],
) -> PushReport:
    """Push what is under way, then every whole block; of one peer, or of all.

    new_id: a UUID, random, for a stream. Raises what the intake raises where it cannot be reached; what was
    set out then is still under way. A block that the server refuses is left, and the others go on.
    """
    with store.snapshot() as connection:
        begun = [(row.stream_id, _told(row)) for row in push_outbox.under_way(connection, peer)]
        whole = [_told(block) for block in whole_blocks(connection, peer)]
    found = [*begun, *((new_id(), block) for block in whole)]
    pushed: list[PushedBlock] = []
    left: list[LeftBlock] = []
    for number, (stream_id, block) in enumerate(found):
        try:
            _push(store, intake, stream_id, block, is_begun=number < len(begun), now_utc=now_utc)
            pushed.append(block)
        except (NoLink, StreamInUse, KeyAlreadyUsed) as error:
            left.append(LeftBlock(block.block_id, str(error)))
    return PushReport(tuple(pushed), tuple(left))


def whole_blocks(connection: Connection, peer: str | None) -> list[Block]:
    """Confirmed pair blocks of which nothing is used or set aside here, oldest first."""
    pair = and_(BLOCKS.c.kind == "pair", BLOCKS.c.state == "confirmed", BLOCKS.c.bits <= MAXIMUM_PUSH_BITS)
    mine = pair if peer is None else and_(pair, BLOCKS.c.peer == peer)
    blocks = connection.execute(select(BLOCKS).where(mine).order_by(BLOCKS.c.pk)).all()
    return [block for block in blocks if unused(connection, block, 0, block.bits) == [_all_of(block)]]


def _push(
    store: KeyStore,
    intake: Intake,
    stream_id: str,
    block: PushedBlock,
    *,
    is_begun: bool,
    now_utc: Callable[[], str],
) -> None:
    """One block. Nothing is used before the server knows the stream."""
    state = intake.open(stream_id, store.node_id, block, now_utc=now_utc())
    if not is_begun:
        with store.transaction() as connection:
            row = ledger.find_block(connection, block.block_id)
            if row.state != "confirmed":
                raise KeyAlreadyUsed(f"block {block.block_id!r} was given up meanwhile; it is not pushed")
            push_outbox.set_out(connection, row, stream_id, now_utc())
    with store.snapshot() as connection:
        key = push_outbox.bytes_of(connection, stream_id)
    with key:
        index = state.next_index
        while index < block.chunks(state.chunk_bytes):
            start = index * state.chunk_bytes
            chunk = key.expose()[start : start + state.chunk_bytes]
            wanted = intake.take(stream_id, index, chunk, now_utc=now_utc())
            if wanted <= index:
                raise RemoteProtocolError(
                    f"stream {stream_id}: expected the server to want chunk {index + 1} or a later one, got "
                    f"{wanted}; push again"
                )
            index = wanted
    intake.close(stream_id, now_utc=now_utc())
    with store.transaction() as connection:
        push_outbox.receipted(connection, stream_id, now_utc())


def _all_of(block: Block) -> KeyRange:
    return KeyRange(block.block_id, 0, block.bits)


def _told(block: Block) -> PushedBlock:
    return PushedBlock(
        block_id=block.block_id,
        peer=block.peer,
        origin=block.origin,
        paths=from_text(block.paths),
        bits=block.bits,
        own_from_bits=block.own_from_bits,
        own_until_bits=block.own_until_bits,
        created_utc=block.created_utc,
    )
