"""What a node tells of itself: an immutable snapshot, put up by the loop, read by anybody.

One reference is swapped; a reader in another thread sees the old snapshot or the new one, whole. Nothing
secret is ever in it.
"""

from typing import Literal

import msgspec

from satqkd.lasercom import LinkCounts
from satqkd.mission.status import BlockStatus, KeyStatus
from satqkd.mission.telemetry import Telemetry

State = Literal["starting", "waiting", "in_pass", "finished", "stopped", "failed"]


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A node at one moment; see `docs/operators.md`."""

    node: str
    """Name of satellite or station."""
    role: str
    state: State
    utc: str
    """Of the snapshot, by this machine's clock."""
    pass_id: str | None = None
    peer: str | None = None
    t_s: float | None = None
    """Pass time of the last tick."""
    clock_locked: bool | None = None
    """At a station: it follows the satellite's clock."""
    session: str | None = None
    blocks: tuple[BlockStatus, ...] = ()
    detections: int = 0
    """Told to the satellite so far, at a station; of finished blocks, at a satellite."""
    sifted_bits: int = 0
    """Of finished blocks, as `errors` and `qber`."""
    errors: int = 0
    qber: float | None = None
    keys: tuple[KeyStatus, ...] = ()
    link: LinkCounts = LinkCounts()
    goodput_bit_s: float = 0.0
    backlog_bytes: int = 0
    peer_telemetry: Telemetry | None = None
    """What the peer last told of itself."""
    rss_mib: float = 0.0
    """Memory of the process now."""
    cpu_s: float = 0.0
    """CPU time of the process so far."""
    next_pass_utc: str | None = None
    """Begin of the next contact of a schedule, or of this one while it is waited for."""
    last_error: str | None = None
    """What ended the last contact that failed."""


class Board:
    """Holds the newest snapshot."""

    def __init__(self) -> None:
        self.status: NodeStatus | None = None
        """None until the first is put up."""
        self.watched = False
        """Somebody may read it; else nobody need write it."""
