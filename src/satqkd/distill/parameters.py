"""What both ends agree before the first slot, and its digest for hello.

Block edges are slot numbers; the source's statistics, the bound, the epsilons and every policy stand
here. Nothing of it is ever taken from a block's own counts.
"""

import hashlib
from itertools import pairwise

import msgspec

from satqkd.config import Protocol, Source
from satqkd.errors import ConfigError
from satqkd.header import PublicHeader, public_header
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.security import BOUNDS, ReceiverModel, SecurityTargets, agreed_weights
from satqkd.security.weights import WeightSet


class PlannedBlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is predicted of a block before its pass, and the pool that follows from it."""

    pool: str
    sifted_bits: int

    def __post_init__(self) -> None:
        if not self.pool or self.sifted_bits < 0:
            raise ConfigError(
                f"planned block: expected the name of a pool and a prediction >= 0, got {self.pool!r} and "
                f"{self.sifted_bits}"
            )


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
    edges: tuple[int, ...] = ()
    """First slots of all blocks but the first; none where blocks have equal numbers of slots."""
    planned: tuple[PlannedBlock, ...] = ()
    """One a block where blocks are pooled; none where each is amplified by itself."""

    def __post_init__(self) -> None:
        if self.slots < self.protocol.blocks:
            raise ConfigError(f"pass of {self.slots} slots cannot be cut into {self.protocol.blocks} blocks")
        whole = (0, *self.edges, self.slots)
        if len(self.edges) not in (0, self.protocol.blocks - 1) or any(
            before >= after for before, after in pairwise(whole)
        ):
            raise ConfigError(
                f"block edges: expected {self.protocol.blocks - 1} slots increasing between 0 and "
                f"{self.slots}, or none, got {self.edges}"
            )
        if len(self.planned) not in (0, self.protocol.blocks):
            raise ConfigError(
                f"expected a prediction for each of {self.protocol.blocks} blocks or none, got "
                f"{len(self.planned)}"
            )
        if self.streamed and not BOUNDS[self.protocol.bound].streamed:
            fine = [name for name, bound in BOUNDS.items() if bound.streamed and bound.proved]
            raise ConfigError(
                f'protocol.announcement: "streamed" tells bases and classes while the light still comes, and '
                f"{self.protocol.bound} is proved only for an adversary who learns them afterwards; set "
                f'bound = "{fine[0]}", or announcement = "deferred"'
            )
        if not 0 <= self.header_slots <= self.header_interval_slots:
            raise ConfigError(
                f"header of {self.header_slots} slots does not fit its interval of "
                f"{self.header_interval_slots}; lengthen the interval"
            )

    @property
    def streamed(self) -> bool:
        """Whether bases and classes are told while the block lasts."""
        return self.protocol.announcement == "streamed"

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical MessagePack form and of what each end works out from it, 32 bytes."""
        return hashlib.sha256(msgspec.msgpack.encode((self, self.weights), order="deterministic")).digest()

    @property
    def weights(self) -> dict[str, tuple[WeightSet, ...]]:
        """Sets of the martingale bound by key basis, none under another bound.

        Raises ConfigError for a source or receiver that the bound does not cover.
        """
        rules = self.protocol
        if rules.bound != "variable-martingale":
            return {}
        return agreed_weights(
            self.source,
            SecurityTargets(rules.epsilon_secrecy, rules.epsilon_correctness),
            keyed_bases=rules.keyed_bases,
            keyed_classes=rules.keyed_classes,
            receiver=self.receiver,
        )

    @property
    def header(self) -> PublicHeader | None:
        """The public header; None with a beacon."""
        if self.header_slots == 0:
            return None
        return public_header(
            self.satellite, header_slots=self.header_slots, interval_slots=self.header_interval_slots
        )

    @property
    def pool_names(self) -> tuple[str, ...]:
        """Pools that blocks of this pass belong to, each once."""
        return tuple(dict.fromkeys(planned.pool for planned in self.planned))

    def block_id(self, block: int) -> str:
        """Name of a block in both stores; not made from its key."""
        return f"{self.pass_id}.block{block}"

    def first_slot(self, block: int) -> int:
        """First slot of a block; `first_slot(blocks)` is the end of the last."""
        if self.edges:
            return (0, *self.edges, self.slots)[block]
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
