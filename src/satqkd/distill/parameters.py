"""What both ends agree before the first slot, and its digest for hello.

Block edges are slot numbers; the source's statistics, the bound, the epsilons and every policy stand
here. Nothing of it is ever taken from a block's own counts.
"""

import hashlib

import msgspec

from satqkd.config import Protocol, Source
from satqkd.errors import ConfigError
from satqkd.header import PublicHeader, public_header
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.security import ReceiverModel


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The agreed parameters of one pass. Equal digests mean equal parameters."""

    pass_id: str
    software: str
    """Versions whose numbers decide about lengths: both ends must compute the same ones."""
    satellite: str
    station: str
    source: Source
    station_basis_z_probability: float
    receiver: ReceiverModel
    """What the station vouches for about its receiver, for the bound."""
    protocol: Protocol
    slots: int
    """Pulses of the pass: slots 0 .. slots - 1."""
    expected_qber: float
    """From the link budget: used for the code class where too few rounds are revealed."""
    maximum_light_time_s: float
    """Largest light time of the pass; nothing that depends on key is said before it is past."""
    beacon_rate_hz: float
    """0 where a public header tells the clock."""
    beacon_code_shift_s: float
    header_slots: int = 0
    """Slots of each public header, which are never announced; 0 with a beacon."""
    header_interval_slots: int = 0
    """Header k begins with slot k times this."""

    def __post_init__(self) -> None:
        if self.slots < self.protocol.blocks:
            raise ConfigError(f"pass of {self.slots} slots cannot be cut into {self.protocol.blocks} blocks")
        if not 0 <= self.header_slots <= self.header_interval_slots:
            raise ConfigError(
                f"header of {self.header_slots} slots does not fit its interval of "
                f"{self.header_interval_slots}; lengthen the interval"
            )

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical MessagePack form, 32 bytes."""
        return hashlib.sha256(msgspec.msgpack.encode(self, order="deterministic")).digest()

    @property
    def header(self) -> PublicHeader | None:
        """The public header; None with a beacon."""
        if self.header_slots == 0:
            return None
        return public_header(
            self.satellite, header_slots=self.header_slots, interval_slots=self.header_interval_slots
        )

    def first_slot(self, block: int) -> int:
        """First slot of a block; `first_slot(blocks)` is the end of the last."""
        return block * self.slots // self.protocol.blocks

    def end_s(self, block: int) -> float:
        """Satellite time at which the block's last slot is past."""
        return self.first_slot(block + 1) / self.source.pulse_rate_hz

    def is_keyed(self, basis: int, intensity_class: int) -> bool:
        """Whether rounds of this basis and class carry key."""

        return (
            BASIS_NAMES[basis] in self.protocol.keyed_bases
            and CLASS_NAMES[intensity_class] in self.protocol.keyed_classes
        )

    @property
    def keyed_bases(self) -> tuple[int, ...]:
        """Keyed bases as numbers, in order: 0 Z, 1 X."""
        return tuple(basis for basis, name in enumerate("ZX") if name in self.protocol.keyed_bases)
