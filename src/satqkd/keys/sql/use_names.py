"""How the use log calls what is used, where more is to be said than block, offset and length.

    "new BLOCK"               of a block that the same change stored or confirmed
    "id secret BLOCK"         taken to make key ids with, not given to anybody
    "held key ID for SLAVE"   a key that waited for an application and is fetched
    "gave up push STREAM"     what a push still held was wiped: revoked, or too old
    "push STREAM of BLOCK"    given whole to the key server of the node, by the stream of this name

No name of a block has a blank. After a kill the change did not come about: then there is no new block, and a
secret for ids is taken again, for the other end makes ids with the same; and a block that was pushed is
pushed again by the same stream, which the server takes once. No file, no database here.
"""

from typing import Final

from satqkd.keys.model import KeyRange

_NEW: Final = "new "
_ID_SECRET: Final = "id secret "
_HELD: Final = "held key "
_PUSH: Final = "push "
_GIVEN_UP: Final = "gave up push "


def of_new(piece: KeyRange) -> KeyRange:
    """A range of a block that is stored or confirmed in the same change."""
    return piece if " " in piece.block_id else KeyRange(_NEW + piece.block_id, *_place(piece))


def of_id_secret(piece: KeyRange) -> KeyRange:
    """A range that ids are made with."""
    return KeyRange(_ID_SECRET + piece.block_id, *_place(piece))


def of_held(name: str, bits: int) -> KeyRange:
    """A key that is held, by its place in the store."""
    return KeyRange(name, 0, bits)


def of_push(piece: KeyRange, stream_id: str) -> KeyRange:
    """A whole block that goes to a key server."""
    return KeyRange(f"{_PUSH}{stream_id} of {piece.block_id}", *_place(piece))


def of_given_up(stream_id: str, bits: int) -> KeyRange:
    """A push that is given up."""
    return KeyRange(_GIVEN_UP + stream_id, 0, bits)


def is_new(piece: KeyRange) -> bool:
    """Whether its block came, or was confirmed, by the same change."""
    return piece.block_id.startswith(_NEW)


def is_id_secret(piece: KeyRange) -> bool:
    """Whether ids are made with it."""
    return piece.block_id.startswith(_ID_SECRET)


def is_held(piece: KeyRange) -> bool:
    """Whether it is a key that was held."""
    return piece.block_id.startswith(_HELD)


def stream_of(piece: KeyRange) -> str | None:
    """The stream of a block that was pushed; None for everything else."""
    if not piece.block_id.startswith(_PUSH):
        return None
    return piece.block_id.removeprefix(_PUSH).partition(" of ")[0]


def given_up_stream(piece: KeyRange) -> str | None:
    """The stream of a push that was given up; None for everything else."""
    given_up = piece.block_id.startswith(_GIVEN_UP)
    return piece.block_id.removeprefix(_GIVEN_UP) if given_up else None


def names_block(piece: KeyRange) -> bool:
    """Whether it lies in a block."""
    return not is_held(piece) and given_up_stream(piece) is None


def held_key(piece: KeyRange) -> tuple[str, str]:
    """Id and application of a key that was held."""
    key_id, _, slave = piece.block_id.removeprefix(_HELD).partition(" for ")
    return key_id, slave


def plain(piece: KeyRange) -> KeyRange:
    """Block, offset and length of a range, whatever else is said of it."""
    if stream_of(piece) is not None:
        return KeyRange(piece.block_id.partition(" of ")[2], *_place(piece))
    return KeyRange(piece.block_id.removeprefix(_NEW).removeprefix(_ID_SECRET), *_place(piece))


def _place(piece: KeyRange) -> tuple[int, int]:
    return piece.offset_bits, piece.length_bits
