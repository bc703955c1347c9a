"""Which situations a run was in, counted, so that a hollow one shows. Judges nothing."""

from collections.abc import Iterable, Sequence

import msgspec

from satqkd.distill.session import SessionState
from satqkd.keys import Journal, KeyStore
from satqkd.keys.store.journal import ACCOUNT
from satqkd.lasercom import ChannelCounts
from satqkd.mission.account import Note
from satqkd.mission.terminal import Terminal
from simulator.dice import Flight
from simulator.history import History
from simulator.words import word_of


def reached_by_start(history: History, terminal: Terminal) -> None:
    """A terminal was made."""
    history.reached[f"{terminal.NODE} taken up again"] += terminal.resumed
    history.reached[f"{terminal.NODE} goes on with an earlier pass"] += bool(terminal.earlier)


def reached_by_death(history: History, role: str, terminal: Terminal | None) -> None:
    """A node dies: in which states its blocks are."""
    if terminal is None:
        history.reached[f"{role} dies as it starts"] += 1
        return
    for conversation in terminal._conversations():
        session = conversation.session
        states = [block.state.name for block in session._blocks.values()]
        if session.state is SessionState.GREETING and not conversation.closed:
            states = ["GREETING"]
        for state in states or ["no block"]:
            history.reached[f"{role} dies in {state}"] += 1


def reached_by_end(history: History, flight: Flight, stores: Sequence[KeyStore]) -> None:
    """A contact is over: what is half done."""
    ours = {flight.station, "sat"}
    above, below = (
        {row.block_id: row.state for row in store.list_blocks() if row.kind == "link" and row.peer in ours}
        for store in stores
    )
    for block_id in above.keys() | below.keys():
        pair = above.get(block_id, "none"), below.get(block_id, "none")
        history.reached[f"block after a contact: {pair[0]} above, {pair[1]} below"] += 1
    kinds = [flight.protocol.announcement, "pooled" if flight.pool else "alone"]
    for kind in (*kinds, "cut off" if flight.link_end_s < flight.slots / 12e3 else "whole"):
        history.reached[f"contact: {kind}"] += 1


def faults_of_link(history: History, flight: Flight, counts: Iterable[ChannelCounts]) -> None:
    """What the emulated link did."""
    for each in counts:
        for name in ("lost", "corrupted", "duplicated", "reordered"):
            history.faults[f"datagram {name}"] += getattr(each, name)
    history.faults["link outage"] += len(flight.impairments.outages)
    history.faults["clock step"] += len(flight.steps)
    history.faults["source that forgets"] += flight.horizon_slots is not None


def reached_by_all(history: History, stores: dict[str, KeyStore], flights: Sequence[Flight]) -> None:
    """When all is over: outcomes, and which messages were said."""
    for flight in flights:
        journal = Journal(stores["sat"], flight.station)
        pass_id = f"sat.{flight.station}.{flight.number}"
        if journal.find(pass_id) is None:
            continue
        for data in journal.entries(pass_id, ACCOUNT):
            report = msgspec.msgpack.decode(data, type=Note).report
            if report is not None:
                history.reached[f"block {report.outcome}{', pooled' if report.pooled_bits else ''}"] += 1
    for event in history.of("taken"):
        word = word_of(event, event.what["peer"])
        history.reached[f"heard {word.kind if word else 'Receipt'}"] += 1
