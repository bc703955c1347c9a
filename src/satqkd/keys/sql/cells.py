"""Secret bytes in rows of the database: sealed when they go in, opened when they come out.

Everything secret but key blocks, which `material` keeps: journal, raw blocks, texts and tokens of messages.
A cell is emptied, not deleted, where its row stays. Places are names that stay the same as long as the row.
"""

from typing import Final

from sqlalchemy import Connection

from satqkd.keys.sql.database import vault_of

ERASED: Final = b""
"""In place of what was wiped."""


def seal(connection: Connection, place: str, data: bytes | bytearray | memoryview) -> bytes:
    """What to write for some bytes at a place."""
    return vault_of(connection).seal(place, data)


def unseal(connection: Connection, place: str, cell: bytes) -> bytes:
    """What was written at a place; nothing where it was emptied. Raises DataFormatError.

    The answer is an immutable `bytes`, which cannot be wiped: drop it soon.
    """
    if not cell:
        return b""
    return bytes(vault_of(connection).open(place, bytes(cell)))


def raw_place(block_id: str) -> str:
    """Of a raw block's bytes."""
    return f"raw block {block_id}"


def memory_place(conversation_pk: int) -> str:
    """Of what is remembered of a conversation."""
    return f"memory of conversation {conversation_pk}"


def entry_place(conversation_pk: int, block: int) -> str:
    """Of an entry of the journal."""
    return f"journal of conversation {conversation_pk}, block {block}"


def message_place(conversation_pk: int, sequence: int) -> str:
    """Of a message that is to be said."""
    return f"message {sequence} of conversation {conversation_pk}"


def outbox_place(number: int, name: str) -> str:
    """Of a column of a message that goes."""
    return f"outbox {number} {name}"


def inbox_place(sender: str, number: int, name: str) -> str:
    """Of a column of a message that came."""
    return f"inbox {sender}:{number} {name}"
