"""Raw blocks as bytes: what each end knows of detections whose bases are untold, packed for its store.

The satellite's holds what it sent, basis, bit and class; the station's holds slots, bases
and bits. MessagePack arrays with bit strings in the order of `satqkd.bits`; slots in the Rice code of
announcements. An end reads its own alone. Pure functions on columns.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits, from_bytes, to_bytes
from satqkd.distill import gaps
from satqkd.records import DECOY, SIGNAL, VACUUM, Settings

Slots = NDArray[np.int64]


class _KeptSettings(msgspec.Struct, frozen=True, array_like=True):
    count: int
    basis: bytes
    bit: bytes
    is_signal: bytes
    is_vacuum: bytes

    def __repr__(self) -> str:
        return f"_KeptSettings({self.count} slots)"


class _KeptDetections(msgspec.Struct, frozen=True, array_like=True):
    count: int
    first_slot: int
    end_slot: int
    gaps: bytes
    bases: bytes
    bits: bytes

    def __repr__(self) -> str:
        return f"_KeptDetections({self.count} slots)"


def pack_settings(settings: Settings) -> bytes:
    """The satellite's raw block: what it sent in the slots announced."""
    classes = settings.intensity_class
    planes = (settings.basis, settings.bit, classes == SIGNAL, classes == VACUUM)
    kept = _KeptSettings(len(settings), *(to_bytes(plane.astype(np.uint8)) for plane in planes))
    return msgspec.msgpack.encode(kept)


def unpack_settings(raw_blocks: Sequence[bytes]) -> Settings:
    """What `pack_settings` packed, one after the other. Raises DataFormatError or msgspec's for bytes of
    another make."""
    columns = [(np.empty(0, np.uint8),) * 3]
    for data in raw_blocks:
        kept = msgspec.msgpack.decode(data, type=_KeptSettings)
        planes = (kept.basis, kept.bit, kept.is_signal, kept.is_vacuum)
        basis, bit, signal, vacuum = (from_bytes(plane, kept.count) for plane in planes)
        classes = np.where(signal == 1, SIGNAL, np.where(vacuum == 1, VACUUM, DECOY)).astype(np.uint8)
        columns.append((classes, basis, bit))
    return Settings(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def pack_detections(slots: Slots, bases: Bits, bits: Bits, *, first_slot: int, end_slot: int) -> bytes:
    """The station's raw block: detections of a block of slots `first_slot` to `end_slot` - 1."""
    coded = gaps.encode(slots, start_slot=first_slot)
    kept = _KeptDetections(slots.size, first_slot, end_slot, coded, to_bytes(bases), to_bytes(bits))
    return msgspec.msgpack.encode(kept)


def unpack_detections(raw_blocks: Sequence[bytes], *, before_slot: int) -> tuple[Slots, Bits, Bits]:
    """What `pack_detections` packed, one after the other: slots, bases, bits.

    Slots are moved so that the blocks lie back to back and the last ends before `before_slot`: an order, no
    times. Raises DataFormatError or msgspec's for bytes of another make.
    """
    columns: list[tuple[Slots, Bits, Bits]] = [(np.empty(0, np.int64), *(np.empty((2, 0), np.uint8)))]
    for data in reversed(raw_blocks):
        kept = msgspec.msgpack.decode(data, type=_KeptDetections)
        slots = gaps.decode(
            kept.gaps, start_slot=kept.first_slot, maximum_count=kept.count, end_slot=kept.end_slot
        )
        moved = slots - kept.end_slot + before_slot
        columns.append((moved, from_bytes(kept.bases, kept.count), from_bytes(kept.bits, kept.count)))
        before_slot -= kept.end_slot - kept.first_slot
    slots, bases, bits = (np.concatenate(column[::-1]) for column in zip(*columns, strict=True))
    return slots, bases, bits
