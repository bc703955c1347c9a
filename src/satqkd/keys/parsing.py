"""Records and messages of other nodes as bytes: parsed before they are believed. No store, no key here."""

from typing import TypeVar

import msgspec
from msgspec.msgpack import Decoder

from satqkd.errors import DataFormatError

T = TypeVar("T")


def parsed(data: bytes, kind: type[T] | Decoder[T], what: str, *, remedy: str = "get it again") -> T:
    """MessagePack of a type, or of a decoder (for a union), not yet authenticated.

    what, remedy: how an error calls it, and what it says to do. Raises DataFormatError.
    """
    decoder = kind if isinstance(kind, Decoder) else Decoder(kind)
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataFormatError(
            f"{what} of {len(data)} bytes: malformed, cut short or of another version: {error}; {remedy}"
        ) from None
