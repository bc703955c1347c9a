"""The station's end of a pass: it announces detections, opens blocks in order, holds answers that must wait.

See `session` for what both roles share: envelope, online code, sequence, hello, routing to blocks.
"""

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits, from_bytes, to_bytes
from satqkd.distill import gaps, messages
from satqkd.distill.authenticate import TO_SATELLITE, TO_STATION, AuthenticationKeys
from satqkd.distill.memory import Input, Remembered
from satqkd.distill.parameters import Parameters
from satqkd.distill.pooling import MAXIMUM_KEPT_DETECTIONS, Shelf
from satqkd.distill.session import Session, SessionState
from satqkd.distill.station_block import State as StationState
from satqkd.distill.station_block import StationBlock
from satqkd.errors import LocalProtocolError, RemoteProtocolError


class StationSession(Session):
    """The station's end: detections, decoding, the closing of blocks."""

    SENDS, RECEIVES = TO_SATELLITE, TO_STATION

    def __init__(
        self,
        parameters: Parameters,
        keys: AuthenticationKeys,
        shelf: Shelf | None = None,
        *,
        remembered: Remembered | None = None,
    ) -> None:
        self._held: dict[int, messages.Crossed] = {}
        ends = parameters.station, parameters.satellite
        super().__init__(parameters, *ends, keys, shelf, remembered=remembered)

    @property
    def next_block(self) -> int:
        """The first block that has not ended."""
        blocks = range(self.parameters.protocol.blocks)
        return next((index for index in blocks if not self._has_ended(index)), len(blocks))

    def _has_ended(self, index: int) -> bool:
        block = self._blocks.get(index)
        collecting = isinstance(block, StationBlock) and block.state is StationState.COLLECTING
        return index in self._finished or (block is not None and not collecting)

    def _on_block_message(self, message: messages.BlockMessage, now_s: float) -> None:
        """A block's code classes are chosen when all blocks before it are finished: what they taught is then
        known, whatever the link's delays."""
        if isinstance(message, messages.Cut) and message.block in self._finished:
            return  # it was refused here while this was under way
        block = self._blocks.get(message.block)
        waits = isinstance(block, StationBlock) and block.state is StationState.ANNOUNCED
        if isinstance(message, messages.Crossed) and waits:
            if message.block in self._held:
                raise RemoteProtocolError(f"block {message.block}: a second Crossed; the session ends")
            self._held[message.block] = message
            self._note(message.block, "held", messages.encode_one(message))
        else:
            super()._on_block_message(message, now_s)
        while self._held and self._is_next(min(self._held)):
            index = min(self._held)
            self._teach(index)
            super()._on_block_message(self._held.pop(index), now_s)

    def _is_next(self, index: int) -> bool:
        return index == min(self._blocks)

    def _teach(self, index: int) -> None:
        block = self._open_block(index)
        for number in sorted(self._finished):
            if number < index:
                block.earlier |= self._finished[number].lessons

    def _on_link_message(self, message: messages.Message) -> None:
        if not isinstance(message, messages.BeaconSchedule):
            super()._on_link_message(message)
        expected = messages.BeaconSchedule(
            self.parameters.beacon_rate_hz, self.parameters.beacon_code_shift_s
        )
        if message != expected:
            raise RemoteProtocolError(f"expected {expected}, the satellite sends {message}")

    def report_lock(self, *, locked: bool, beacons_seen: int) -> None:
        """Tell the satellite whether the beacons are followed."""
        if self.state is SessionState.RUNNING:
            self._send(messages.LockReport(locked, beacons_seen))

    def announce(self, slots: NDArray[np.int64], bases: Bits, bits: Bits) -> None:
        """Tell the slots of detections (increasing, after all told before), and where it is streamed their
        bases; keep the rest.

        Slots outside the pass are no detections: they are cut, and so are those before what was told, which
        a receiver that was started again may bring. Messages end at block edges.
        """
        fresh = slots >= self._next_slot
        slots, bases, bits = slots[fresh], bases[fresh], bits[fresh]
        blocks = self.parameters.protocol.blocks
        edges = np.searchsorted(slots, [self.parameters.first_slot(block) for block in range(blocks + 1)])
        for index in range(blocks):
            for start in range(int(edges[index]), int(edges[index + 1]), messages.MAXIMUM_ANNOUNCED):
                part = slice(start, min(start + messages.MAXIMUM_ANNOUNCED, int(edges[index + 1])))
                self._announce_in(index, slots[part], bases[part], bits[part])

    def end_block(self, index: int, now_s: float) -> None:
        """All detections of the block are told and its last slot is past: say so and the bases that are not
        told yet, or keep it.

        With the bases go those of the raw blocks of its pool, which leave the shelf first. They do so only
        when the satellite has been heard since hello, under the code on line: anybody can say hello.
        Raises LocalProtocolError before the last slot can have arrived: what is said is said.
        """
        if now_s < self.parameters.end_s(index) + self.parameters.maximum_light_time_s:
            raise LocalProtocolError(f"block {index} is still in flight at {now_s:.3f} s: its end must wait")
        block = self._open_block(index)
        block.require_collecting("end")
        if self._pools.closes(index):
            if not self.proven and self._pools.joining_detections(index):
                return
            raw_blocks = self._pools.take(index)
            said = block.end(raw_blocks)
            self._note(index, "ended", *raw_blocks)
        else:
            said = block.keep()
            self._note(index, "ended")
            self._pools.keep(index, block.detections)
        for message in said:
            self._send(message)
        self._collect(block)

    def refuse_block(self, index: int, reason: str) -> None:
        """All detections of the block are told, and the station will not open it: no basis is said.

        reason: at most 512 characters.
        """
        block = self._open_block(index)
        for message in block.refuse(reason):
            self._send(message)
        self._collect(block)

    def _announce_in(self, index: int, slots: NDArray[np.int64], bases: Bits, bits: Bits) -> None:
        """One message; a block that is full is cut here, whatever comes after."""
        block = self._open_block(index)
        alone = not self.parameters.planned
        most = messages.MAXIMUM_BLOCK_DETECTIONS if alone else MAXIMUM_KEPT_DETECTIONS
        room = 0 if block.is_cut else most - block.detections
        slots, bases, bits = slots[:room], bases[:room], bits[:room]
        if slots.size == 0:
            return
        start = max(self._next_slot, self.parameters.first_slot(index))
        message = messages.Announce(index, start, slots.size, gaps.encode(slots, start_slot=start))
        for said in block.collect(message, slots, bases, bits):
            self._send(said)
        self._note(index, "collected", messages.encode_one(message), to_bytes(bases), to_bytes(bits))
        self._next_slot = int(slots[-1]) + 1

    def _retell(self, each: Input) -> None:
        block = self._open_block(each.block)
        if each.kind == "collected":
            self._collect_again(block, each)
        elif each.kind == "ended" and self._pools.closes(each.block):
            self._pools.took(each.block)
            block.end(each.parts)
        elif each.kind == "ended":
            block.keep()
            self._pools.keep(each.block, block.detections)
        else:
            self._hear_again(each)

    def _collect_again(self, block: StationBlock, each: Input) -> None:
        message = messages.decode_one(each.parts[0])
        assert isinstance(message, messages.Announce)
        n = message.detections
        slots = gaps.decode(
            message.gaps,
            start_slot=message.start_slot,
            maximum_count=n,
            end_slot=self.parameters.first_slot(each.block + 1),
        )
        bases, bits = (from_bytes(data, n) for data in each.parts[1:])
        block.collect(message, slots, bases, bits)

    def _hear_again(self, each: Input) -> None:
        message = messages.decode_one(each.parts[0])
        if each.kind == "held":
            assert isinstance(message, messages.Crossed)
            self._held[each.block] = message
            return
        if isinstance(message, messages.Crossed):
            self._held.pop(each.block, None)
            self._teach(each.block)
        super()._retell(each)

    def _open_block(self, index: int) -> StationBlock:
        if index in self._finished:
            raise LocalProtocolError(f"block {index} is finished: nothing can be told of it any more")
        if index not in self._blocks:
            self._blocks[index] = StationBlock(index, self.parameters, self._require_keys(), self._opening)
        block = self._blocks[index]
        assert isinstance(block, StationBlock)
        return block
