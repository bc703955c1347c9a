"""The account of a pass: each node's own, and both put together as the outward contract names it.

Counts, lengths and times; never key. Fields of `PassReport` are what `satqkd pass --json` prints.
"""

from typing import Any, Final

import msgspec
import numpy as np

from satqkd.devices import EveAccount
from satqkd.distill.outcome import BlockReport, ErrorProfile, Outcome
from satqkd.distill.parameters import Parameters
from satqkd.distill.recovery import ClockReport
from satqkd.lasercom import ChannelCounts, LinkCounts
from satqkd.mission.eve_report import EveReport, eve_report, verdict
from satqkd.mission.flown import FlownContact
from satqkd.mission.monitors import MonitorReading
from satqkd.mission.telemetry import Telemetry
from satqkd.results import ClassCounts
from satqkd.security.tails import shannon_bits
from satqkd.sky import format_utc


class BlockAngle(msgspec.Struct, frozen=True):
    """How the polarisation frames lay in a block, as the station found it when the block was over."""

    block: int
    rounds: int
    """Of different bases, told for this."""
    angle_deg: float
    """Of the light's axes in the receiver's, the plate as it was set; positive from H toward +."""
    standard_error_deg: float
    contrast_z: float
    contrast_x: float
    plate_deg: float
    """By which the plate turned this block's light back, after what earlier blocks taught."""


class ResumedBlock(msgspec.Struct, frozen=True):
    """A block of an earlier pass that was gone on with, and came to its end, in this contact."""

    pass_id: str
    report: BlockReport


class NodeReport(msgspec.Struct, frozen=True):
    """What one node knows at the end of a pass."""

    node: str
    pass_id: str
    blocks: tuple[BlockReport, ...]
    profiles: tuple[ErrorProfile, ...]
    confirmed_s: dict[int, float]
    """Pass time at which each block's key was confirmed."""
    stage_s: dict[str, float]
    """Pass time at which `block.stage` was entered."""
    authentication_bits_spent: int
    epsilon_authentication: float
    link: LinkCounts
    polarisation: tuple[BlockAngle, ...] = ()
    """Of the station."""
    raw_left_out: tuple[str, ...] = ()
    """Raw blocks of earlier passes discarded in this one: not both ends held them confirmed."""
    resumed: tuple[ResumedBlock, ...] = ()
    """Blocks of earlier passes that came to their end in this contact."""
    clock: ClockReport | None = None
    """What the station's clock followed and lost; None at the satellite."""
    monitors: tuple[MonitorReading, ...] = ()
    """Of the station: every reading of every block it closed."""
    traffic: dict[str, int] = {}
    """How often each thing happened to messages of users at this end, by event; since its process took the
    contact up."""
    telemetry: Telemetry | None = None
    """What the peer last told of itself."""
    cpu_s: float | None = None
    """Of the node's own process; None where both ends share one."""
    max_rss_mib: float | None = None


class PaceReport(msgspec.Struct, frozen=True):
    """How well pass time kept its pace against the wall clock; seconds of the latter."""

    speed: float | None
    """Pass time over wall time; None without pacing."""
    ticks: int
    """Granted."""
    largest_lateness_s: float
    """Of a tick after its due time."""
    mean_lateness_s: float
    """Over all ticks; those in time count 0."""


class PassReport(msgspec.Struct, frozen=True, kw_only=True):
    """One pass, both ends. Times in seconds; see `docs/results.md`."""

    pass_id: str
    satellite: str
    station: str
    start_utc: str
    duration_s: float
    max_elevation_deg: float
    min_range_km: float
    pulses: int
    detections: int
    sifted_bits: int
    qber: float | None
    counts: tuple[ClassCounts, ...]
    blocks: tuple[dict[str, Any], ...]
    frames: int
    frames_failed: int
    reconciliation_efficiency: float | None
    leaked_bits: int
    authentication_bits_spent: int
    secret_bits: int
    kept_bits: int
    pooled_bits: int
    raw_left_out: tuple[str, ...]
    epsilon_secrecy: float
    epsilon_correctness: float
    epsilon_authentication: float
    bound: str
    announcement: str
    keys_match: bool
    outcome: Outcome
    reason: str
    timings_s: dict[str, Any]
    classical: dict[str, Any]
    traffic: dict[str, dict[str, int]]
    processes: dict[str, Any]
    monitors: tuple[MonitorReading, ...]
    eve: EveReport | None
    verdict: str
    seed: int
    origin: str


UNFINISHED: Final = "the laser link ended before the block was closed"


def pass_report(
    contact: FlownContact,
    parameters: Parameters,
    satellite: NodeReport,
    station: NodeReport,
    channels: dict[str, ChannelCounts],
    *,
    seed: int,
    origin: str,
    wall_s: float,
    eve: EveAccount | None = None,
) -> PassReport:
    """Both nodes' accounts as one. A block counts as key only where both ends confirmed it.

    eve: what the twin tells of its attacker, which neither node knows.
    """
    blocks = _both(satellite.blocks, station.blocks)
    counts = _summed(blocks)
    keys = max(1, sum(block.outcome == "key" for block in blocks))
    outcome, reason = _outcome(blocks, parameters.protocol.blocks)
    attacked = None if eve is None else eve_report(eve, blocks)
    return PassReport(
        pass_id=parameters.pass_id,
        satellite=parameters.satellite,
        station=parameters.station,
        start_utc=format_utc(contact.epoch),
        duration_s=contact.quantum_end_s,
        max_elevation_deg=float(np.degrees(contact.look.elevation_rad[contact.quantum_rows].max())),
        min_range_km=float(contact.look.range_m[contact.quantum_rows].min()) / 1e3,
        pulses=contact.slots,
        detections=sum(block.detections for block in blocks),
        sifted_bits=sum(block.sifted_bits for block in blocks),
        qber=_qber(blocks),
        counts=counts,
        blocks=tuple(_block_row(block, station.polarisation) for block in blocks),
        frames=sum(block.frames for block in blocks),
        frames_failed=sum(block.frames_failed for block in blocks),
        reconciliation_efficiency=_efficiency(blocks, parameters),
        leaked_bits=sum(sum(block.leaked_bits.values()) for block in blocks),
        authentication_bits_spent=station.authentication_bits_spent,
        secret_bits=sum(block.secret_bits for block in blocks),
        kept_bits=sum(block.kept_bits for block in blocks),
        pooled_bits=sum(block.pooled_bits for block in blocks),
        raw_left_out=tuple(sorted({*satellite.raw_left_out, *station.raw_left_out})),
        epsilon_secrecy=keys * parameters.protocol.epsilon_secrecy,
        epsilon_correctness=keys * parameters.protocol.epsilon_correctness,
        epsilon_authentication=max(satellite.epsilon_authentication, station.epsilon_authentication),
        bound=parameters.protocol.bound,
        announcement=parameters.protocol.announcement,
        keys_match=any(block.keys_match for block in blocks)
        and all(block.keys_match for block in blocks if block.outcome in ("key", "unconfirmed")),
        outcome=outcome,
        reason=reason,
        timings_s=_timings(parameters, satellite, station, wall_s),
        classical=_classical(satellite, station, channels, wall_s),
        traffic={node.node: node.traffic for node in (satellite, station)},
        processes={
            node.node: {"cpu_s": node.cpu_s, "max_rss_mib": node.max_rss_mib}
            for node in (satellite, station)
            if node.cpu_s is not None
        },
        monitors=station.monitors,
        eve=attacked,
        verdict=verdict(attacked, blocks, station.monitors),
        seed=seed,
        origin=origin,
    )


def with_pace(report: PassReport, pace: PaceReport) -> PassReport:
    """The report with how well the clock's pace was kept among its timings."""
    return msgspec.structs.replace(report, timings_s=report.timings_s | {"pace": pace})


def _both(satellite: tuple[BlockReport, ...], station: tuple[BlockReport, ...]) -> list[BlockReport]:
    """The station's account of each block, as key only where the satellite says so too."""
    confirmed = {block.block for block in satellite if block.outcome == "key"}
    return [
        block
        if block.outcome != "key" or block.block in confirmed
        else msgspec.structs.replace(
            block, outcome="unconfirmed", reason="the satellite never heard the last word", secret_bits=0
        )
        for block in station
    ]


def _qber(blocks: list[BlockReport]) -> float | None:
    """Error rate of the keyed rounds whose errors were counted."""
    counted = [block for block in blocks if block.errors_known]
    sifted = sum(block.sifted_bits for block in counted)
    return sum(block.errors for block in counted) / sifted if sifted else None


def _summed(blocks: list[BlockReport]) -> tuple[ClassCounts, ...]:
    if not blocks:
        return ()
    first, *others = (block.counts for block in blocks)
    return tuple(sum(rows, start=row) for row, *rows in zip(first, *others, strict=True))


def _outcome(blocks: list[BlockReport], expected: int) -> tuple[Outcome, str]:
    """The best a pass reached; the reason of what came short."""
    reasons = [block.reason for block in blocks if block.reason]
    if len(blocks) < expected:
        reasons.append(UNFINISHED)
    outcomes: set[Outcome] = {block.outcome for block in blocks}
    reached: tuple[Outcome, ...] = ("key", "unconfirmed", "aborted", "no_key")
    best: Outcome = next((outcome for outcome in reached if outcome in outcomes), "no_key")
    return best, "; ".join(reasons)


def _block_row(block: BlockReport, angles: tuple[BlockAngle, ...]) -> dict[str, Any]:
    return {
        "block": block.block,
        "outcome": block.outcome,
        "reason": block.reason,
        "detections": block.detections,
        "sifted_bits": block.sifted_bits,
        "errors": block.errors,
        "frames": block.frames,
        "frames_failed": block.frames_failed,
        "leaked_bits": block.leaked_bits,
        "parity_bits": block.parity_bits,
        "reconciliation_rounds": block.reconciliation_rounds,
        "secret_bits": block.secret_bits,
        "pool": block.pool,
        "kept_bits": block.kept_bits,
        "pooled_bits": block.pooled_bits,
        "counts": block.counts,
        "polarisation": next((each for each in angles if each.block == block.block), None),
        "terms": {} if block.length is None else block.length.terms,
    }


def _efficiency(blocks: list[BlockReport], parameters: Parameters) -> float | None:
    """Bits reconciliation leaked over the Shannon limit of each basis' own error rate."""
    reconciled = [block for block in blocks if block.reconciliation_bits and block.errors_known]
    limit = 0.0
    for block in reconciled:
        for basis in parameters.protocol.keyed_bases:
            classes = parameters.protocol.keyed_classes
            rows = [row for row in block.counts if row.basis == basis and row.class_name in classes]
            sifted, errors = sum(row.detections for row in rows), sum(row.errors for row in rows)
            limit += shannon_bits(sifted, errors)
    leaked = sum(block.reconciliation_bits for block in reconciled)
    return leaked / limit if limit else None


def _timings(
    parameters: Parameters, satellite: NodeReport, station: NodeReport, wall_s: float
) -> dict[str, Any]:
    last = parameters.protocol.blocks - 1
    confirmed = sorted(satellite.confirmed_s.values())
    return {
        "wall": wall_s,
        "last_photon_to_key": satellite.confirmed_s[last] - parameters.end_s(last)
        if last in satellite.confirmed_s
        else None,
        "first_key_after_start": confirmed[0] if confirmed else None,
        "key_after_block_end": {
            str(block): confirmed_s - parameters.end_s(block)
            for block, confirmed_s in sorted(satellite.confirmed_s.items())
        },
        "stages": {node.node: node.stage_s for node in (satellite, station)},
        "longest_stay": {node.node: _longest_stay(node.stage_s) for node in (satellite, station)},
    }


def _longest_stay(stage_s: dict[str, float]) -> dict[str, float]:
    """Longest time that any block spent in each stage; the last stage of a block has no end."""
    stays: dict[str, float] = {}
    entered: dict[str, tuple[str, float]] = {}
    for place, at_s in sorted(stage_s.items(), key=lambda each: each[1]):
        block, stage = place.split(".")
        if block in entered:
            before, since_s = entered[block]
            stays[before] = max(stays.get(before, 0.0), at_s - since_s)
        entered[block] = (stage, at_s)
    return stays


def _classical(
    satellite: NodeReport, station: NodeReport, channels: dict[str, ChannelCounts], wall_s: float
) -> dict[str, Any]:
    senders = {"down": satellite.link, "up": station.link}
    rows: dict[str, Any] = {
        direction: {
            "bytes": counts.bytes,
            "frames": counts.frames,
            "lost": counts.lost + counts.dropped,
            "resent": senders[direction].resent,
        }
        for direction, counts in channels.items()
    }
    outages = [
        {"direction": direction, "from_s": from_s, "to_s": to_s}
        for direction, counts in channels.items()
        for from_s, to_s in counts.outages
    ]
    return rows | {"outages": outages, "wall_s": wall_s}
