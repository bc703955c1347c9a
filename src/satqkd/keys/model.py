"""The words of the key store: kinds, states and origins of key, and the rows it reports.

None of these holds key material except `Spent`, whose key is a redacting `Secret`.
No file, no clock, no random source.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from satqkd.errors import ConfigError
from satqkd.keys.secret import Secret

Kind = Literal["auth", "link", "pair"]
Origin = Literal["twin", "recorded", "provisioned", "hardware"]
Paths = tuple[tuple[str, ...], ...]
"""Who knew a key on its way: it is the exclusive or of one share a path, each known to all nodes of its path.
None: nobody but the two ends."""
State = Literal["unconfirmed", "confirmed", "discarded"]
RawState = Literal["unconfirmed", "confirmed", "used", "discarded"]

KINDS: Final = ("auth", "link", "pair")
"""auth: for tags of a link's protocol; link: distilled with the peer; pair: end to end, made by relay."""
ORIGINS: Final[tuple[Origin, ...]] = ("twin", "recorded", "provisioned", "hardware")
"""Where key came from, the least trustworthy first."""
DEMO_ORIGINS: Final = ("twin", "recorded")
"""Not secret: the twin's dice can be thrown again, recorded tags can be distilled again."""
MAC_KEY_BITS: Final = 256
"""One-time key of one Poly1305 tag: r and s."""
MAXIMUM_RANGES: Final = 4096
"""Key ranges of one use, so also what a file or record from outside may name: each costs a look-up."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
NodeName = Annotated[str, Meta(pattern=f"^{_NAME.pattern}$")]
_BLOCK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")


class KeyRange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where key bits lie: never what they are. Offset and length are multiples of 8."""

    block_id: str
    offset_bits: int
    length_bits: int

    @property
    def end_bits(self) -> int:
        """First bit after the range."""
        return self.offset_bits + self.length_bits


class Spent(msgspec.Struct, frozen=True, eq=False):
    """Key bits that the store has given out, once and for all."""

    key: Secret
    ranges: tuple[KeyRange, ...]
    """Where they lay, in the order of the bytes of `key`."""
    origin: str
    """The least trustworthy origin among them."""


class StatusRow(msgspec.Struct, frozen=True):
    """What is left with one peer; the row of `keys status`."""

    link: str
    """Peer and kind, for example `jinan-1 link`."""
    live_bits: int
    """Confirmed and not used, whichever end may allocate them."""
    reserved_bits: int
    """Set aside for a delivery under way."""
    spent_bits: int
    unconfirmed_bits: int
    oldest_utc: str | None
    """When the oldest block with unused key was stored."""
    raw_bits: int = 0
    """In the row of link key: detections kept for pools, no key yet, a bit each."""


class BlockRow(msgspec.Struct, frozen=True):
    """One block of key, or one raw block (kind `raw`, a bit a detection); the row of `keys list`."""

    block_id: str
    peer: str
    kind: str
    origin: str
    state: str
    bits: int
    spent_bits: int
    live_bits: int
    wiped_bits: int
    """Discarded without having been used."""
    created_utc: str
    reserved_bits: int = 0
    """Set aside for a delivery under way; neither live nor spent."""
    paths: Paths = ()
    """Who knew it on its way; none: nobody but the two ends."""


class LiveBlock(NamedTuple):
    """A block that is not used to its end."""

    block_id: str
    peer: str
    created_utc: str
    live_bits: int
    """Neither used nor reserved."""


class RawRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a raw block; its bytes travel beside it."""

    block_id: str
    peer: str
    pool: str
    origin: str
    state: RawState
    sifted_bits: int
    """As predicted before its pass."""
    detections: int
    created_utc: str


class AuditReport(msgspec.Struct, frozen=True):
    """Whether the audit log's chain holds."""

    intact: bool
    entries: int
    first_bad: int | None
    """Number of the first entry that does not follow from the ones before."""
    head: str
    """Digest of the last entry, hexadecimal: note it elsewhere to notice a log that was cut or rewritten."""


class CheckReport(msgspec.Struct, frozen=True):
    """The store's books: distilled = spent + reserved + live + wiped, to the bit."""

    distilled_bits: int
    spent_bits: int
    live_bits: int
    """Neither used nor reserved, confirmed or not."""
    wiped_bits: int
    faults: tuple[str, ...]
    """What does not add up, in words; empty when all does."""
    raw_bits: int = 0
    """Ever kept for pools = used + held + wiped, to the bit."""
    raw_used_bits: int = 0
    raw_held_bits: int = 0
    raw_wiped_bits: int = 0
    reserved_bits: int = 0

    @property
    def balanced(self) -> bool:
        """Nothing is amiss."""
        return not self.faults


def check_name(name: str, what: str) -> str:
    """A node's name as it came; raises ConfigError unless it is a plain identifier."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{what}: expected 1-63 of a-z 0-9 . _ - starting with a-z or 0-9, got {name!r}")
    return name


def check_block_id(block_id: str) -> str:
    """A block's id as it came; raises ConfigError unless it is printable and of sane length."""
    if not _BLOCK_ID.fullmatch(block_id):
        raise ConfigError(f"block_id: expected 1-200 of A-Z a-z 0-9 . _ : / -, got {block_id[:250]!r}")
    return block_id


def check_bits(bits: int, what: str) -> int:
    """A bit count as it came; raises ConfigError unless it is a multiple of 8, at least 8."""
    if bits < 8 or bits % 8:
        raise ConfigError(f"{what}: expected a multiple of 8, at least 8, got {bits}")
    return bits


def weakest_origin(origins: Iterable[str]) -> Origin:
    """The least trustworthy of some origins: what key derived from all of them is worth."""
    present = set(origins)
    return next(origin for origin in ORIGINS if origin in present)


def cut(ranges: Iterable[KeyRange], bits: int) -> tuple[tuple[KeyRange, ...], tuple[KeyRange, ...]]:
    """Ranges in two: the first `bits` bits of them, and the rest."""
    head: list[KeyRange] = []
    tail: list[KeyRange] = []
    for piece in ranges:
        taken = min(bits, piece.length_bits)
        bits -= taken
        if taken:
            head.append(KeyRange(piece.block_id, piece.offset_bits, taken))
        if taken < piece.length_bits:
            tail.append(KeyRange(piece.block_id, piece.offset_bits + taken, piece.length_bits - taken))
    return tuple(head), tuple(tail)
