"""The satellite's end of a pass: it answers for the slots it sent, and refuses to before they are past.

See `session` for what both roles share: envelope, online code, sequence, hello, routing to blocks.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from satqkd.distill import gaps, messages
from satqkd.distill.authenticate import TO_SATELLITE, TO_STATION, AuthenticationKeys
from satqkd.distill.memory import Input, Remembered
from satqkd.distill.parameters import Parameters
from satqkd.distill.pooling import Shelf
from satqkd.distill.raw_blocks import pack_settings, unpack_settings
from satqkd.distill.satellite_block import SatelliteBlock
from satqkd.distill.session import Session
from satqkd.errors import RemoteProtocolError
from satqkd.randomness import RandBytes
from satqkd.records import Settings


class SettingsSource(Protocol):
    """What the satellite's session needs of its transmitter."""

    @property
    def horizon_slots(self) -> int | None:
        """How many of the latest slots are remembered; None when all are."""

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """What was sent in these slots."""


class SatelliteSession(Session):
    """The satellite's end: reference string, syndromes, seeds."""

    SENDS, RECEIVES = TO_STATION, TO_SATELLITE

    def __init__(
        self,
        parameters: Parameters,
        keys: AuthenticationKeys,
        transmitter: SettingsSource,
        randbytes: RandBytes,
        shelf: Shelf | None = None,
        *,
        remembered: Remembered | None = None,
    ) -> None:
        self._transmitter = transmitter
        self.lock_report: messages.LockReport | None = None
        ends = parameters.satellite, parameters.station
        super().__init__(parameters, *ends, keys, shelf, randbytes=randbytes, remembered=remembered)

    def _on_running(self) -> None:
        self._send(
            messages.BeaconSchedule(self.parameters.beacon_rate_hz, self.parameters.beacon_code_shift_s)
        )

    def _on_link_message(self, message: messages.Message) -> None:
        if isinstance(message, messages.LockReport):
            self.lock_report = message
        else:
            super()._on_link_message(message)

    def _on_block_message(self, message: messages.BlockMessage, now_s: float) -> None:
        if isinstance(message, messages.Announce):
            self._on_announce(message, now_s)
            return
        if isinstance(message, messages.Ended | messages.Keep):
            self._require_past(message.block, now_s)
            self._end_block(self._open_block(message.block), message)
        super()._on_block_message(message, now_s)
        if isinstance(message, messages.Keep):
            self._pools.keep(message.block, message.detections)

    def _end_block(self, block: SatelliteBlock, message: messages.Ended | messages.Keep) -> None:
        """The rule agreed in hello says whether a block is opened or kept; raw blocks are used up when the
        block's end has come with just their detections."""
        opened = isinstance(message, messages.Ended)
        if opened != self._pools.closes(block.index):
            raise RemoteProtocolError(
                f"block {block.index} is to be {'kept' if opened else 'opened'} by what both hellos say, "
                f"{type(message).__name__} came: the session ends"
            )
        joining = self._pools.joining_detections(block.index)
        if isinstance(message, messages.Ended) and block.will_open(message, joining):
            raw_blocks = self._pools.take(block.index)
            block.join(raw_blocks)
            self._note(block.index, "joined", *raw_blocks)

    def _on_announce(self, message: messages.Announce, now_s: float) -> None:
        first, end = (self.parameters.first_slot(message.block + step) for step in (0, 1))
        if (
            message.start_slot < max(self._next_slot, first)
            or message.block >= self.parameters.protocol.blocks
        ):
            raise RemoteProtocolError(
                f"announcement of block {message.block} starts at slot {message.start_slot}, which is told "
                f"already or outside its block; the session ends"
            )
        block = self._open_block(message.block)
        block.expect(message.detections)
        sent = int(now_s * self.parameters.source.pulse_rate_hz)
        slots = gaps.decode(
            message.gaps,
            start_slot=message.start_slot,
            maximum_count=message.detections,
            end_slot=min(end, sent),
        )
        if slots.size != message.detections:
            raise RemoteProtocolError(f"expected {message.detections} slots, got {slots.size}")
        if slots.size == 0:
            return
        if block.is_cut or self._is_forgotten(int(slots[0]), sent):
            self._cut(block, message)
            return
        self._next_slot = int(slots[-1]) + 1
        settings = self._transmitter.settings(slots)
        block.announced(message, settings)
        self._note(message.block, "announced", messages.encode_one(message), pack_settings(settings))

    def _retell(self, each: Input) -> None:
        block = self._open_block(each.block)
        if each.kind == "announced":
            message = messages.decode_one(each.parts[0])
            assert isinstance(message, messages.Announce)
            if len(each.parts) == 1:
                block.cut(message)
            else:
                block.announced(message, unpack_settings(each.parts[1:]))
        elif each.kind == "joined":
            block.pooled_detections = sum(claim.detections for claim in self._pools.took(each.block))
            block.join(each.parts)
        else:
            super()._retell(each)

    def _is_forgotten(self, slot: int, sent: int) -> bool:
        horizon = self._transmitter.horizon_slots
        return horizon is not None and slot < sent - horizon

    def _cut(self, block: SatelliteBlock, message: messages.Announce) -> None:
        """The link was interrupted for longer than the source remembers: the block ends before this."""
        if self.parameters.planned:
            raise RemoteProtocolError(
                f"block {block.index}: slots from {message.start_slot} on are forgotten, and a block of a "
                f"pool cannot be cut; the session ends"
            )
        for reply in block.cut(message):
            self._send(reply)
        self._note(block.index, "announced", messages.encode_one(message))

    def _open_block(self, index: int) -> SatelliteBlock:
        self._require_unfinished(index, "more")
        if index not in self._blocks:
            if index >= self.parameters.protocol.blocks:
                raise RemoteProtocolError(
                    f"block {index} of a pass of {self.parameters.protocol.blocks} blocks"
                )
            self._blocks[index] = SatelliteBlock(
                index, self.parameters, self._require_keys(), self._opening, self._random
            )
        block = self._blocks[index]
        assert isinstance(block, SatelliteBlock)
        return block

    def _require_past(self, block: int, now_s: float) -> None:
        """Nothing that depends on key is told of a block before its last pulse has reached the ground."""
        past_s = self.parameters.end_s(block) + self.parameters.maximum_light_time_s
        if now_s < past_s:
            raise RemoteProtocolError(
                f"the end of block {block} came at {now_s:.3f} s, before its last slot is past "
                f"({past_s:.3f} s): the station's clock or the peer is wrong; the session ends"
            )
