"""The state of a terminal in a pass, for operators: counts, stages and lengths, never key.

Read from the terminal's account and its store between two ticks; what a block under way has seen so far is
not looked into, so error rates are of finished blocks alone. No clock, no file of its own, no process.
"""

from collections.abc import Iterable

import msgspec

from satqkd.distill.authenticate import pass_key_bits
from satqkd.keys import KeyStore
from satqkd.lasercom import LinkCounts
from satqkd.mission.report import NodeReport
from satqkd.mission.telemetry import Telemetry
from satqkd.mission.terminal import Terminal


class BlockStatus(msgspec.Struct, frozen=True):
    """One block as far as it has come."""

    block: int
    stage: str
    """The last that was entered."""
    entered_s: float
    """Pass time of that."""
    outcome: str | None
    """None while it is open."""
    secret_bits: int


class KeyStatus(msgspec.Struct, frozen=True):
    """Key of one peer in the node's store."""

    peer: str
    confirmed_bits: int
    """Unused key of link or pair that both ends hold."""
    unconfirmed_bits: int
    """Not to be used before the peer is known to hold it."""
    authentication_bits: int
    """Unused."""
    authentication_passes: int
    """Passes of as many blocks as this one that it lasts for."""


class TerminalStatus(msgspec.Struct, frozen=True):
    """A terminal between two ticks."""

    pass_id: str
    peer: str
    session: str
    """`greeting` or `running`."""
    finished: bool
    blocks: tuple[BlockStatus, ...]
    detections: int
    """Of finished blocks, as `sifted_bits` and `errors`."""
    sifted_bits: int
    errors: int
    qber: float | None
    """None before a block's errors were counted."""
    link: LinkCounts
    goodput_bit_s: float
    """Bits of frames sent, repeated ones left out, over the time that the link has been up."""
    backlog_bytes: int
    """Given to the laser link and not yet acknowledged."""
    peer_telemetry: Telemetry | None
    """What the peer last told of itself; nobody vouches for it."""


def terminal_status(terminal: Terminal, now_s: float) -> TerminalStatus:
    """The state at a pass time."""
    report = terminal.report()
    finished = [block for block in report.blocks if block.block in _finished(report)]
    counted = [block for block in finished if block.errors_known]
    sifted, errors = (sum(getattr(block, name) for block in counted) for name in ("sifted_bits", "errors"))
    return TerminalStatus(
        pass_id=report.pass_id,
        peer=terminal.session.peer,
        session=terminal.session.state.name.lower(),
        finished=terminal.finished,
        blocks=_blocks(report),
        detections=sum(block.detections for block in finished),
        sifted_bits=sifted,
        errors=errors,
        qber=errors / sifted if sifted else None,
        link=report.link,
        goodput_bit_s=_goodput_bit_s(report.link, now_s - terminal.contact.link_start_s),
        backlog_bytes=terminal.backlog_bytes,
        peer_telemetry=terminal.telemetry.heard,
    )


def key_status(store: KeyStore, peers: Iterable[str], blocks: int) -> tuple[KeyStatus, ...]:
    """What is left with some peers, and with all others that the store knows; by name.

    blocks: of a pass, by which authentication key is counted in passes.
    """
    rows = {tuple(row.link.rsplit(" ", 1)): row for row in store.status()}
    names = sorted({peer for peer, _ in rows} | set(peers))
    found = []
    for peer in names:
        kept = [row for (name, kind), row in rows.items() if name == peer and kind != "auth"]
        left = rows.get((peer, "auth"))
        left_bits = 0 if left is None else left.live_bits
        found.append(
            KeyStatus(
                peer=peer,
                confirmed_bits=sum(row.live_bits for row in kept),
                unconfirmed_bits=sum(row.unconfirmed_bits for row in kept),
                authentication_bits=left_bits,
                authentication_passes=left_bits // pass_key_bits(blocks),
            )
        )
    return tuple(found)


def _finished(report: NodeReport) -> set[int]:
    """Blocks about which nothing more is said."""
    return {int(name.split(".")[0]) for name in report.stage_s if name.endswith((".finished", ".abandoned"))}


def _blocks(report: NodeReport) -> tuple[BlockStatus, ...]:
    finished = _finished(report)
    accounts = {block.block: block for block in report.blocks if block.block in finished}
    last: dict[int, tuple[float, str]] = {}
    for name, entered_s in report.stage_s.items():
        block, stage = name.split(".", 1)
        if entered_s >= last.get(int(block), (-1e9, ""))[0]:
            last[int(block)] = (entered_s, stage)
    return tuple(
        BlockStatus(
            block=block,
            stage=stage,
            entered_s=entered_s,
            outcome=accounts[block].outcome if block in accounts else None,
            secret_bits=accounts[block].secret_bits if block in accounts else 0,
        )
        for block, (entered_s, stage) in sorted(last.items())
    )


def _goodput_bit_s(link: LinkCounts, up_s: float) -> float:
    first_sent = link.frames - link.resent
    return 8 * link.bytes * first_sent / link.frames / up_s if link.frames and up_s > 0 else 0.0
