"""Two sessions that talk without a link, over detections made up from a table of settings.

No twin, no clock, no store: fast enough for properties. The table plays a source, a lossy channel and an
error rate; the sessions are the real ones.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Protocol, Source
from satqkd.distill import messages
from satqkd.distill.messages import RawClaim
from satqkd.distill.outcome import (
    BlockFinished,
    BlockReport,
    Event,
    RawConfirmed,
    RawLeftOut,
    RawReady,
    SecretConfirmed,
    SecretReady,
)
from satqkd.distill.parameters import Parameters, PlannedBlock
from satqkd.distill.pooling import HeldBlock
from satqkd.distill.satellite_session import SatelliteSession
from satqkd.distill.session import Session
from satqkd.distill.station_session import StationSession
from satqkd.errors import KeyExhausted
from satqkd.randomness import stream, stream_bytes
from satqkd.records import Settings
from satqkd.security import ReceiverModel

SOURCE = Source(
    pulse_rate_hz=1e6,
    wavelength_m=850e-9,
    intensities=(0.8, 0.1, 0.0),
    probabilities=(0.5, 0.25, 0.25),
    pulse_width_s=1e-10,
)
DOWN, UP = "down", "up"
LIGHT_TIME_S = 0.005
Hook = Callable[[str, bytes], bytes | None]
"""Given direction and a message, what arrives instead; None drops it."""


def parameters(
    *,
    slots: int = 200_000,
    expected_qber: float = 0.005,
    pass_id: str = "made-up.pass",
    planned: Sequence[tuple[str, int]] = (),
    **protocol: Any,
) -> Parameters:
    """Agreed parameters of a made-up pass; `planned`: pool and predicted bits of each block."""
    return Parameters(
        receiver=ReceiverModel(x_share=(0.5, 0.5)),
        pass_id=pass_id,
        planned=tuple(PlannedBlock(*each) for each in planned),
        software="tests",
        satellite="sat",
        station="sta",
        source=SOURCE,
        station_basis_z_probability=0.5,
        protocol=Protocol(**{"frame_bits": 32768, **protocol}),
        slots=slots,
        expected_qber=expected_qber,
        maximum_light_time_s=LIGHT_TIME_S,
        beacon_rate_hz=1e4,
        beacon_code_shift_s=5e-6,
    )


class Table:
    """What a made-up source sent and what came of it; the session's transmitter."""

    horizon_slots: int | None = None

    def __init__(
        self,
        agreed: Parameters,
        *,
        seed: int = 1,
        qber: float = 0.005,
        transmittance: float = 1.0,
        background: float = 1e-6,
    ) -> None:
        rng, slots = stream(seed, "table"), agreed.slots
        self.intensity_class = rng.choice(3, slots, p=agreed.source.probabilities).astype(np.uint8)
        self.basis = rng.integers(0, 2, slots, dtype=np.uint8)
        self.bit = rng.integers(0, 2, slots, dtype=np.uint8)
        mean = np.array(agreed.source.intensities)[self.intensity_class]
        clicks = rng.random(slots) < 1 - (1 - background) * np.exp(-transmittance * mean)
        self.slots: NDArray[np.int64] = np.flatnonzero(clicks)
        self.bases = rng.integers(0, 2, self.slots.size, dtype=np.uint8)
        wrong = (rng.random(self.slots.size) < qber).astype(np.uint8)
        same = self.bases == self.basis[self.slots]
        tossed = rng.integers(0, 2, self.slots.size, dtype=np.uint8)
        self.bits = np.where(same, self.bit[self.slots] ^ wrong, tossed).astype(np.uint8)

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """The source's answer."""
        return Settings(self.intensity_class[slots], self.basis[slots], self.bit[slots])

    def keep(self, rows: NDArray[Any]) -> None:
        """Forget all detections but these rows."""
        self.slots, self.bases, self.bits = self.slots[rows], self.bases[rows], self.bits[rows]

    def rounds(self, basis: int, intensity_class: int) -> NDArray[np.int64]:
        """Rows of detections with both ends in this basis, of this class."""
        sent = self.settings(self.slots)
        mask = (self.bases == sent.basis) & (sent.basis == basis) & (sent.intensity_class == intensity_class)
        return np.flatnonzero(mask)


class Pool:
    """Authentication key in memory; refuses what a store refuses, remembers what was drawn."""

    def __init__(self, *, seed: int = 1, position_bits: int = 0, bits: int = 1 << 18) -> None:
        self._key = stream_bytes(seed, "authentication")(bits // 8)
        self.position_bits = position_bits
        self.drawn: list[tuple[int, int]] = []

    def draw(self, position_bits: int, bits: int) -> bytes:
        """The session's door."""
        assert position_bits >= self.position_bits, "authentication key asked for twice"
        if position_bits + bits > 8 * len(self._key):
            raise KeyExhausted("too few bits in this pool")
        self.drawn.append((position_bits, bits))
        self.position_bits = position_bits + bits
        return self._key[position_bits // 8 : (position_bits + bits) // 8]


class MemoryShelf:
    """Raw blocks in memory; refuses what a store refuses, remembers what was taken and discarded."""

    def __init__(self) -> None:
        self.blocks: dict[str, tuple[RawClaim, bytes]] = {}
        self.states: dict[str, str] = {}
        self.taken: list[str] = []

    def held(self, pools: Collection[str]) -> list[HeldBlock]:
        """The session's door."""
        return [
            HeldBlock(claim, self.states[name] == "confirmed")
            for name, (claim, _) in self.blocks.items()
            if claim.pool in pools and self.states[name] in ("unconfirmed", "confirmed")
        ]

    def take(self, block_ids: Sequence[str], *, reference: str) -> list[bytes]:
        """The session's door."""
        for name in block_ids:
            assert self.states[name] in ("unconfirmed", "confirmed"), f"{name} was {self.states[name]}"
            self.states[name] = "used"
            self.taken.append(name)
        return [self.blocks[name][1] for name in block_ids]

    def handle(self, event: Event, agreed: Parameters) -> None:
        """What a node does with an event, before it sends anything."""
        if isinstance(event, RawReady):
            planned, name = agreed.planned[event.block], agreed.block_id(event.block)
            assert name not in self.blocks
            claim = RawClaim(name, planned.pool, planned.sifted_bits, event.detections)
            self.blocks[name], self.states[name] = (claim, event.data), "unconfirmed"
        elif isinstance(event, RawConfirmed):
            name = agreed.block_id(event.block)
            self.states[name] = "confirmed" if self.states[name] == "unconfirmed" else self.states[name]
        elif isinstance(event, RawLeftOut):
            for name in event.block_ids:
                assert self.states[name] in ("unconfirmed", "confirmed")
                self.states[name] = "discarded"


class Pair:
    """Both sessions and the wire between them."""

    def __init__(
        self,
        agreed: Parameters,
        table: Table,
        *,
        station_agreed: Parameters | None = None,
        pools: tuple[Pool, Pool] | None = None,
        shelves: tuple[MemoryShelf, MemoryShelf] | None = None,
        hook: Hook = lambda direction, data: data,
        seed: int = 1,
    ) -> None:
        self.agreed, self.table, self.hook = agreed, table, hook
        self.pools = pools or (Pool(), Pool())
        self.shelves = shelves or (MemoryShelf(), MemoryShelf())
        randbytes = stream_bytes(seed, "satellite")
        self.satellite = SatelliteSession(agreed, self.pools[0], table, randbytes, self.shelves[0])
        self.station = StationSession(station_agreed or agreed, self.pools[1], self.shelves[1])
        self.said: list[tuple[str, float, bytes]] = []
        self.events: dict[str, list[Event]] = {DOWN: [], UP: []}

    def exchange(self, now_s: float) -> None:
        """Carry messages both ways until neither end has more to say."""
        moved = True
        while moved:
            moved = False
            ends = ((DOWN, self.satellite, self.station), (UP, self.station, self.satellite))
            for direction, sender, receiver in ends:
                while (event := sender.next_event()) is not None:
                    self.events[direction].append(event)
                    self.shelves[direction == UP].handle(event, self.agreed)
                for data in sender.data_to_send():
                    moved = True
                    self.said.append((direction, now_s, data))
                    arrived = self.hook(direction, data)
                    if arrived is not None:
                        receiver.receive(arrived, now_s)

    def end_s(self, block: int) -> float:
        """When the block may be opened at the satellite."""
        return self.agreed.end_s(block) + LIGHT_TIME_S + 1e-6

    def announce(self, block: int, parts: int = 3) -> None:
        """Tell the block's detections in some messages, each when its slots are past."""
        first, end = self.agreed.first_slot(block), self.agreed.first_slot(block + 1)
        edges = np.linspace(first, end, parts + 1).astype(np.int64)
        for low, high in itertools.pairwise(edges):
            rows = slice(*np.searchsorted(self.table.slots, [low, high]))
            self.station.announce(self.table.slots[rows], self.table.bases[rows], self.table.bits[rows])
            self.exchange(high / SOURCE.pulse_rate_hz + LIGHT_TIME_S)

    def greet(self) -> None:
        """Hello, both ways."""
        self.exchange(-1.0)

    def open_block(self, block: int) -> None:
        """Close the announcements of a block and let it run to its end."""
        self.station.end_block(block, self.end_s(block))
        self.exchange(self.end_s(block))

    def fly(self) -> "Pair":
        """The whole pass."""
        self.greet()
        for block in range(self.agreed.protocol.blocks):
            self.announce(block)
            self.open_block(block)
        return self

    def reports(self, direction: str) -> list[BlockReport]:
        """What an end reported."""
        return [event.report for event in self.events[direction] if isinstance(event, BlockFinished)]

    def keys(self, direction: str) -> dict[int, bytes]:
        """Key of each block as an end holds it."""
        return {
            event.block: event.secret for event in self.events[direction] if isinstance(event, SecretReady)
        }

    def confirmed(self, direction: str) -> set[int]:
        """Blocks that an end may use."""
        return {event.block for event in self.events[direction] if isinstance(event, SecretConfirmed)}


def flown(agreed: Parameters | None = None, **table: Any) -> Pair:
    """A pair that has flown a made-up pass."""
    settled = agreed or parameters()
    return Pair(settled, Table(settled, **table)).fly()


def resealed(sender: Session, data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A message with its envelope changed and a code that fits: what a faulty peer could send."""
    body = change(data[:-16])
    keys = sender._keys
    assert keys is not None
    return body + keys.online_code(sender.SENDS, body)


def with_message(sender: Session, data: bytes, change: Callable[[Any], Any]) -> bytes:
    """A message replaced by another in the same envelope, under a code that fits."""

    def swap(body: bytes) -> bytes:
        envelope = messages.decode(body)
        return messages.encode(msgspec.structs.replace(envelope, message=change(envelope.message)))

    return resealed(sender, data, swap)


def kind_of(data: bytes) -> str:
    """Name of the message in wire bytes."""
    return str(msgspec.msgpack.decode(data[:-16])[3][0])
