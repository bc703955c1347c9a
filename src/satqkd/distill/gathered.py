"""Detections of a block at the station: their slots are told as they come, bases and bits kept back."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.distill.raw_blocks import pack_detections, unpack_detections

Slots = NDArray[np.int64]


class Gathered:
    """Columns in order of slot, grown part by part."""

    def __init__(self) -> None:
        self._parts: list[tuple[Slots, Bits, Bits]] = [
            (np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.uint8))
        ]

    def __repr__(self) -> str:
        return f"Gathered({sum(slots.size for slots, *_ in self._parts)} detections)"

    def add(self, slots: Slots, bases: Bits, bits: Bits) -> None:
        """Detections after all before; columns of one length."""
        self._parts.append((slots, bases, bits))

    def drop_from(self, slot: int) -> int:
        """Forget detections from a slot on; returns how many are left."""
        slots, bases, bits = self.columns()
        left = int(np.searchsorted(slots, slot))
        self._parts = [(slots[:left], bases[:left], bits[:left])]
        return left

    def put_before(self, raw_blocks: Sequence[bytes], *, slot: int) -> int:
        """Lay raw blocks back to back before a slot, as if they had flown there; returns how many
        detections."""
        earlier = unpack_detections(raw_blocks, before_slot=slot)
        self._parts.insert(0, earlier)
        return earlier[0].size

    def columns(self) -> tuple[Slots, Bits, Bits]:
        """Slots int64, bases and bits uint8, (n,) each."""
        slots, bases, bits = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        return slots, bases, bits

    def packed(self, *, first_slot: int, end_slot: int) -> bytes:
        """A raw block of them; they lie between these slots."""
        return pack_detections(*self.columns(), first_slot=first_slot, end_slot=end_slot)
