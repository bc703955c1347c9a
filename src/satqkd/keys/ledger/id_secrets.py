"""The secrets that both ends of a pair block make key ids with: the last 256 bits of each half.

Each end takes them from its copy when it first needs them: they are used in the ledger from then on, and kept
sealed for as long as there are keys of that half. Where another use came first (from the start of the half
to its very end) there is none, and no key of that half has an id. Inside the caller's transaction.
"""

from sqlalchemy import Connection, insert, select

from satqkd.keys.ledger import ledger
from satqkd.keys.ledger.gaps import unused
from satqkd.keys.ledger.key_ids import SECRET_BITS
from satqkd.keys.ledger.ledger import Block, Use
from satqkd.keys.model import KeyRange
from satqkd.keys.secret import Secret
from satqkd.keys.sql import cells, use_names
from satqkd.keys.sql.supply_schema import ID_SECRETS

PURPOSE = "key ids"


def half(block: Block, *, own: bool) -> tuple[int, int]:
    """The part of a pair block that this end allocates, or that the peer does, as (from, until) bits."""
    if own:
        return block.own_from_bits, block.own_until_bits
    return (block.own_until_bits, block.bits) if block.own_from_bits == 0 else (0, block.own_from_bits)


def find(connection: Connection, block: Block, *, own: bool) -> Secret | None:
    """The secret of a half, if it was taken."""
    mine = (ID_SECRETS.c.block_pk == block.pk) & (ID_SECRETS.c.own == int(own))
    sealed = connection.execute(select(ID_SECRETS.c.sealed).where(mine)).scalar()
    if sealed is None:
        return None
    return Secret(cells.unseal(connection, place(block.block_id, own=own), sealed))


def take(connection: Connection, block: Block, *, own: bool, utc: str | None) -> Secret | None:
    """The secret of a half, taken now where it was not; None where its bits are used or too few."""
    found = find(connection, block, own=own)
    if found is not None:
        return found
    start, end = half(block, own=own)
    piece = KeyRange(block.block_id, end - SECRET_BITS, SECRET_BITS)
    if end - start <= SECRET_BITS or unused(connection, block, piece.offset_bits, end) != [piece]:
        return None
    use, noted = Use(PURPOSE, "own" if own else "peer", utc), [use_names.of_id_secret(piece)]
    spent = ledger.take(connection, [block], [piece], use, noted=noted)
    with spent.key as key:
        sealed = cells.seal(connection, place(block.block_id, own=own), key.expose())
        secret = key.part(0, len(key))
    connection.execute(insert(ID_SECRETS).values(block_pk=block.pk, own=int(own), sealed=sealed))
    return secret


def place(block_id: str, *, own: bool) -> str:
    """Of the secret of a half."""
    return f"id secret of block {block_id}, {'own' if own else 'peer'}"
