"""What both ends agree in hello; the same at both, taken from no count."""

from typing import Annotated, Literal

from msgspec import Meta

from satqkd.config.base import Inside, Positive, Settings
from satqkd.errors import ConfigError


class Protocol(Settings, frozen=True, kw_only=True):
    """What both ends agree in hello; nothing of it is taken from a block's own counts."""

    bound: Literal["variable-sharp", "variable", "variable-martingale"] = "variable-sharp"
    """Bounds that hold for the counts as they come. `variable-martingale` is our own derivation, not reviewed
    outside; it needs `receiver.limits.basis_spread` of a passive receiver."""
    announcement: Literal["deferred", "streamed"] = "deferred"
    """When bases, classes and values of unkeyed rounds are told: after the block's last slot, or with each
    report. `streamed` needs a bound that holds while they are told: `variable-martingale`."""
    epsilon_secrecy: Inside = 1e-9
    epsilon_correctness: Inside = 1e-15
    keyed_bases: tuple[Literal["Z", "X"], ...] = ("Z", "X")
    keyed_classes: tuple[Literal["signal", "decoy"], ...] = ("signal",)
    blocks: Annotated[int, Meta(ge=1, le=100)] = 1
    """Blocks a pass is cut into, by slot numbers fixed before it."""
    block_policy: Literal["equal-slots", "equal-bits", "first-key"] = "equal-slots"
    """Where the cuts are: blocks of equal numbers of slots; of equal predicted sifted bits; a first one that
    ends as soon as it is foretold to give `first_key_bits` with 1.5 dB of the light missing, the others
    growing by one factor."""
    first_key_bits: Annotated[int, Meta(ge=1, le=1000000)] = 4096
    """Secret bits foretold of the first block, with `first-key`."""
    pooling: Literal["per-pass", "pooled", "by-loss"] = "per-pass"
    """Which blocks become one: none; those of all passes; those of all passes with about the same predicted
    loss."""
    pool_sifted_bits: Annotated[int, Meta(ge=1, le=4000000)] = 2000000
    """Predicted sifted bits that close a pool."""
    pool_loss_step_db: Annotated[float, Meta(ge=0.1, le=100)] = 3.0
    """Width of a pool's range of predicted mean loss, with `by-loss`."""
    maximum_qber: Inside = 0.055
    """An estimated QBER above this ends the block as `aborted`; the codes reach to 0.11."""
    announce_interval_s: Positive = 0.1
    reconciliation: Literal["ldpc", "cascade-least-leak", "cascade-fewest-rounds"] = "ldpc"
    """How the station's string becomes the satellite's."""
    further_rounds: Annotated[int, Meta(ge=0, le=5)] = 5
    """LDPC: how often frames that do not decode get further parities before they are revealed; 0: one shot,
    with the margin that takes."""
    polarisation_sample: Annotated[int, Meta(ge=0, le=1048576)] = 65536
    """Most rounds of a block with different bases whose bits the satellite tells, to find the angle between
    the frames; 0: none, and the plate is not turned after it."""
    frame_bits: Annotated[int, Meta(ge=8192, le=1048576)] = 262144
    """Largest reconciliation frame."""

    def __post_init__(self) -> None:
        if not self.keyed_bases or len(set(self.keyed_bases)) != len(self.keyed_bases):
            raise ConfigError(f"protocol.keyed_bases: expected Z, X or both once, got {self.keyed_bases}")
        if self.keyed_classes not in (("signal",), ("signal", "decoy")):
            raise ConfigError(
                'protocol.keyed_classes: expected ["signal"] or ["signal", "decoy"], got '
                f"{self.keyed_classes}"
            )
        if self.block_policy == "first-key" and self.blocks < 2:
            raise ConfigError(
                'protocol.blocks: expected at least 2 with block_policy = "first-key", got 1: the first '
                "block ends early and another takes what comes after it; raise blocks"
            )
        if self.announcement == "streamed" and self.pooling != "per-pass":
            raise ConfigError(
                f'protocol.pooling: expected "per-pass" with announcement = "streamed", got '
                f"{self.pooling!r}: a pool keeps bases untold over several passes, a stream tells them at "
                f'once; set pooling = "per-pass", or announcement = "deferred"'
            )
