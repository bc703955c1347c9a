"""The public header that numbers the slots where no beacon does.

Slots 0 .. `header_slots` - 1 of every interval of `interval_slots` are public: such a slot is bright (a
signal pulse) where a bit of the header is 1, and dark (vacuum) where it is 0; basis and bit are as ever, and
no slot of it is ever announced or keyed. Within the header, sections of 2^16 slots take their bits in turn
from two codes: slot w takes bit w mod 8191 of the first in even sections, w mod 16381 of the second in odd.
Both lengths are prime, so the two places together tell w modulo 134 176 771.

The codes are the SHAKE-256 expansion of a label with the satellite's name: both ends have them without a
message, and those of two satellites are unlike in every shift. No clock, no random source, no optics here.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits, from_bytes
from satqkd.randomness import expand

LENGTHS: Final = (8191, 16381)
"""Bits of the two codes; prime, so that places in both tell a place modulo their product."""
SECTION_SHIFT: Final = 16
"""Sections are 2 to the power of this many slots."""
SMALLEST_HEADER_SLOTS: Final = 8 << SECTION_SHIFT
"""Fewer than four sections of each code are no header."""
_LABEL: Final = "satqkd header code v1"

Slots = NDArray[np.int64]
Mask = NDArray[np.bool_]


class PublicHeader(NamedTuple):
    """Which slots are public, and which of these are bright."""

    header_slots: int
    interval_slots: int
    codes: tuple[Bits, Bits]
    """0/1, uint8, of the two lengths."""


def public_header(satellite: str, *, header_slots: int, interval_slots: int) -> PublicHeader:
    """The header of a satellite's name."""
    return PublicHeader(header_slots, interval_slots, header_codes(satellite))


def header_codes(satellite: str) -> tuple[Bits, Bits]:
    """Both codes of a satellite, uint8 of the shapes `LENGTHS`; byte 0 of the expansion holds bits 0 to 7."""
    first, second = LENGTHS
    n_bytes = (first + 7) // 8
    data = expand(f"{_LABEL} {satellite}", n_bytes + (second + 7) // 8)
    return from_bytes(data[:n_bytes], first), from_bytes(data[n_bytes:], second)


def is_public(slots: Slots, header: PublicHeader) -> Mask:
    """Which slots belong to a header."""
    return np.asarray(slots % header.interval_slots < header.header_slots)


def takes_second(slots: Slots, header: PublicHeader) -> Mask:
    """Which public slots take a bit of the second code."""
    return np.asarray((slots % header.interval_slots >> SECTION_SHIFT) & 1 == 1)


def is_bright(slots: Slots, header: PublicHeader) -> Mask:
    """Which public slots are bright."""
    within = slots % header.interval_slots
    first, second = (code[within % code.size] for code in header.codes)
    return np.asarray(np.where(takes_second(slots, header), second, first) == 1)
