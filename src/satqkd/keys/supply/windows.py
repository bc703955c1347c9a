"""Stretches of the peer's key in memory, so that a fetch need not open its segment each time.

What was given is zeroed in memory when that is durable. Whether key may be given the ledger decides alone.
"""

from typing import Final

from sqlalchemy import Connection

from satqkd.keys.ledger import material
from satqkd.keys.ledger.ledger import Block
from satqkd.keys.model import KeyRange

WINDOW_BITS: Final = 1 << 18
"""32 KiB: eight segments."""
MAXIMUM_WINDOWS: Final = 64
"""The one that was used longest ago is wiped for a new one."""


class Windows:
    """A bounded number of stretches."""

    def __init__(self) -> None:
        self._windows: dict[tuple[int, int], bytearray] = {}

    def read(self, connection: Connection, block: Block, piece: KeyRange) -> bytearray:
        """The bytes of a range that was marked as fetched in this change."""
        number = piece.offset_bits // WINDOW_BITS
        if piece.end_bits > (number + 1) * WINDOW_BITS:
            with material.read_unused(connection, [block], [piece]) as key:
                return bytearray(key.expose())
        window = self._window(connection, block, number)
        start = (piece.offset_bits - number * WINDOW_BITS) // 8
        end = start + piece.length_bits // 8
        material.require_key(block, memoryview(window)[start:end])
        return window[start:end]

    def forget(self, block: Block, piece: KeyRange) -> None:
        """A range was given: its bytes leave the memory."""
        number = piece.offset_bits // WINDOW_BITS
        window = self._windows.get((block.pk, number))
        if window is not None and piece.end_bits <= (number + 1) * WINDOW_BITS:
            start = (piece.offset_bits - number * WINDOW_BITS) // 8
            window[start : start + piece.length_bits // 8] = bytes(piece.length_bits // 8)

    @property
    def blocks(self) -> set[int]:
        """Row numbers of blocks of which something is in memory."""
        return {pk for pk, _ in self._windows}

    def clear(self) -> None:
        """Wipe all of them."""
        for window in self._windows.values():
            window[:] = bytes(len(window))
        self._windows.clear()

    def _window(self, connection: Connection, block: Block, number: int) -> bytearray:
        name = (block.pk, number)
        window = self._windows.pop(name, None)
        if window is None:
            start = number * WINDOW_BITS
            whole = KeyRange(block.block_id, start, min(WINDOW_BITS, block.bits - start))
            with material.read(connection, [block], [whole]) as key:
                window = bytearray(key.expose())
        self._windows[name] = window
        if len(self._windows) > MAXIMUM_WINDOWS:
            oldest = self._windows.pop(next(iter(self._windows)))
            oldest[:] = bytes(len(oldest))
        return window
