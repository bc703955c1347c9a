"""The messages of an import as bytes: public, parsed before they are believed. No store, no key here.

    offer        = MessagePack array ["offer", 1, node, peer, import id, origin, key size in bits, key ids]
    answer       = MessagePack array ["answer", 1, node, import id, tag]
    confirmation = MessagePack array ["confirmation", 1, node, import id, tag]
    receipt      = MessagePack array ["receipt", 1, node, import id, tag]

`node` is the end that offered. Of all keys' bytes, one after the other, the first 768 bits are the keys of
the three tags in this order; the rest is two blocks. What a tag covers: the answer's, the offer and both
blocks; the confirmation's, the answer; the receipt's, the confirmation. An offer has no tag: there is no key
yet.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.msgpack import Decoder

from satqkd.errors import DataFormatError
from satqkd.keys.model import MAC_KEY_BITS, KeyRange, NodeName, Origin
from satqkd.keys.network.relay_record import Tag
from satqkd.keys.parsing import parsed

MAXIMUM_IMPORT_BITS: Final = 1 << 30
MAXIMUM_KEYS: Final = 4096
COMPARE_BITS: Final = 3 * MAC_KEY_BITS
"""Of an import: what comparing it costs."""
LEAST_IMPORT_BITS: Final = COMPARE_BITS + 16
_KeyId = Annotated[str, Meta(min_length=1, max_length=200)]


class Offer(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="offer", tag_field="kind"
):
    """These keys are at my end of the system that made them; fetch them at yours."""

    version: Literal[1]
    node: NodeName
    peer: NodeName
    import_id: NodeName
    origin: Origin
    size_bits: Annotated[int, Meta(ge=8, le=MAXIMUM_IMPORT_BITS, multiple_of=8)]
    key_ids: Annotated[tuple[_KeyId, ...], Meta(min_length=1, max_length=MAXIMUM_KEYS)]

    @property
    def bits(self) -> int:
        """Of all keys together."""
        return self.size_bits * len(self.key_ids)

    def block_id(self, part: str) -> str:
        """Name of a part's block in both stores: `compare`, or the name of the end that allocates it."""
        return f"import:{self.node}:{self.import_id}:{part}"

    def tag_range(self, step: str) -> KeyRange:
        """Where the key of a message's tag lies."""
        offset = ("answer", "confirmation", "receipt").index(step) * MAC_KEY_BITS
        return KeyRange(self.block_id("compare"), offset, MAC_KEY_BITS)


class Answer(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="answer", tag_field="kind"
):
    """I hold them; here is a tag over them."""

    version: Literal[1]
    node: NodeName
    import_id: NodeName
    tag: Tag


class Confirmation(
    msgspec.Struct,
    frozen=True,
    array_like=True,
    forbid_unknown_fields=True,
    tag="confirmation",
    tag_field="kind",
):
    """The tag fits: both ends hold the same, and yours may be used."""

    version: Literal[1]
    node: NodeName
    import_id: NodeName
    tag: Tag


class Receipt(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="receipt", tag_field="kind"
):
    """I know; so may yours."""

    version: Literal[1]
    node: NodeName
    import_id: NodeName
    tag: Tag


Step = Offer | Answer | Confirmation | Receipt
_STEP: Final[Decoder[Step]] = Decoder(Step)


def read_step(data: bytes) -> Step:
    """Parse a message, not yet authenticated. Raises DataFormatError when it is malformed or cut short."""
    step: Step = parsed(data, _STEP, "import message", remedy="`satqkd keys import` writes them")
    if isinstance(step, Offer):
        check_offer(step)
    return step


def check_offer(offer: Offer) -> None:
    """Raises DataFormatError unless its keys are different ones and enough of them."""
    if len(set(offer.key_ids)) != len(offer.key_ids) or offer.node == offer.peer:
        raise DataFormatError("import offer: expected two nodes and every key named once")
    if not LEAST_IMPORT_BITS <= offer.bits <= MAXIMUM_IMPORT_BITS:
        raise DataFormatError(
            f"import offer: expected {LEAST_IMPORT_BITS} to {MAXIMUM_IMPORT_BITS} bits in all, of which "
            f"{COMPARE_BITS} are used to compare the ends; got {offer.bits}"
        )
