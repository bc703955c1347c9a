"""What must hold of a run, whatever went wrong in it: judged from its history, from both stores, from nothing
that the software under test says of itself.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from satqkd.keys import Journal
from satqkd.keys.secret import Secret
from satqkd.keys.store.journal import ACCOUNT
from satqkd.mission.account import Note
from simulator.history import Event, History
from simulator.words import Words, word_of

if TYPE_CHECKING:
    from simulator.world import World

WORDS_OF_THE_PEER = {"sat": "Done", "station": "Confirmed"}
"""By role: what must have been heard before a block is confirmed."""
POOL_CUT = "a block of a pool cannot be cut"
UNHEARD = ("the peer was not heard in its contact", "the peer did not hear it in its contact")
BY_A_CLOCK = ("before its last slot is past", "slots not sent yet", "expected", "gap")


def violations(world: "World") -> list[str]:
    """Everything that does not hold, in words."""
    history = world.history
    return [
        *single_use(history),
        *Words(history).tag_faults(),
        *handed_on(history),
        *confirmed(history),
        *books(world),
        *kept(world),
        *accounted(world),
        *(fault for guest in world.guests for fault in guest.faults(world)),
    ]


def single_use(history: History) -> list[str]:
    """A range of key is used once at each end, and for the same thing at both."""
    faults = []
    taken: dict[str, list[tuple[int, int, Event]]] = defaultdict(list)
    for event in history.of("use"):
        for block_id, start, end in event.what["ranges"]:
            for first, last, other in taken[block_id]:
                if start < last and first < end:
                    same_use = [
                        other.what[name] == event.what[name] for name in ("purpose", "reference", "key")
                    ]
                    if other.node == event.node or not all(same_use):
                        faults.append(f"{block_id} bits {start} to {end} used twice: {other} / {event}")
            taken[block_id].append((start, end, event))
    return faults


def handed_on(history: History) -> list[str]:
    """What the link hands on in a connection is the beginning of what was given to it: nothing made up,
    changed, doubled, left out or out of order."""
    said: dict[tuple[object, ...], list[bytes]] = defaultdict(list)
    taken: dict[tuple[object, ...], list[bytes]] = defaultdict(list)
    for event in history.of("said"):
        said[event.node, event.what["peer"], event.what["boots"], event.what["priority"]].append(
            event.what["message"]
        )
    for event in history.of("taken"):
        boots = event.what["boots"][::-1]
        taken[event.what["peer"], event.node, boots, event.what["priority"]].append(event.what["message"])
    return [
        f"{key[1]} took {len(found)} messages of {key[0]} in connection {key[2]}, not the first it said"
        for key, found in taken.items()
        if found != said[key][: len(found)]
    ]


def confirmed(history: History) -> list[str]:
    """A block is confirmed where both ends hold the same key and the peer has said so; then it stays."""
    faults, held, heard = [], {}, set()
    settled: dict[tuple[str, str], str] = {}
    for event in history.events:
        if event.kind == "taken":
            word = word_of(event, event.what["peer"])
            if word is not None and word.kind in ("Done", "Confirmed") and word.message.matches:
                heard.add((event.node, f"{word.pass_id}.block{word.message.block}", word.kind))
        elif event.kind == "add" and event.what["sort"] == "link":
            held[event.node, event.what["block_id"]] = event
        elif event.kind in ("confirm", "discard") and (event.node, event.what["block_id"]) in held:
            block_id = event.what["block_id"]
            mine = held[event.node, block_id]
            if event.kind == "confirm":
                theirs = held.get((mine.what["peer"], block_id))
                if theirs is None or theirs.what["key"] != mine.what["key"]:
                    faults.append(
                        f"{block_id} confirmed at {event.node}, the other end holds other key or none"
                    )
                role = "sat" if event.node == "sat" else "station"
                if (event.node, block_id, WORDS_OF_THE_PEER[role]) not in heard:
                    faults.append(f"{block_id} confirmed at {event.node} without the peer's word")
            if settled.setdefault((event.node, block_id), event.kind) != event.kind:
                faults.append(
                    f"{block_id} at {event.node}: {event.kind} after {settled[event.node, block_id]}"
                )
    return faults


def books(world: "World") -> list[str]:
    """To the bit: what came in is live, used or wiped; the audit chain holds and only grows."""
    faults = []
    for name, node in world.nodes.items():
        report, history = node.store.check(), world.history
        faults += [f"{name}: {fault}" for fault in report.faults]
        added = sum(8 * len(event.what["key"]) for event in history.of("add") if event.node == name)
        used = sum(8 * len(event.what["key"]) for event in history.of("use") if event.node == name)
        used += sum(event.what["bits"] for event in history.of("skip") if event.node == name)
        # Key for users' messages is taken and made within the store; the ledger's own check counts it.
        at_door = (report.distilled_bits, report.spent_bits) == (added, used)
        if not (at_door or (world.guests and report.distilled_bits >= added and report.spent_bits >= used)):
            faults.append(
                f"{name}: the store tells {report.distilled_bits} bits in and {report.spent_bits} used, "
                f"{added} and {used} went through its door"
            )
        if not node.store.verify_audit().intact:
            faults.append(f"{name}: the audit chain is broken")
        entries = node.store.audit_entries()
        if any(entries[: len(before)] != before for before in node.audits):
            faults.append(f"{name}: the audit log is not what it was, and more")
    return faults


def kept(world: "World") -> list[str]:
    """What was confirmed is confirmed at the end, and all of it that is not used is the key that came in."""
    faults = []
    keys = {(event.node, event.what["block_id"]): event.what["key"] for event in world.history.of("add")}
    for event in world.history.of("confirm"):
        block_id, node = event.what["block_id"], world.nodes[event.node]
        row = next((row for row in node.store.list_blocks() if row.block_id == block_id), None)
        if row is None or row.state != "confirmed":
            faults.append(f"{block_id} was confirmed at {event.node} and is {row and row.state}")
        elif not row.spent_bits and node.store.peek_for_check(block_id) != Secret(keys[event.node, block_id]):
            faults.append(f"{block_id} at {event.node} is not the key that came in")
    return faults


def accounted(world: "World") -> list[str]:
    """When the last contact was calm, every pass has ended, alike at both ends, with all its blocks."""
    faults = []
    for flight in world.plan.flights:
        station = world.nodes[flight.station]
        pass_id = f"sat.{flight.station}.{flight.number}"
        journals = Journal(world.nodes["sat"].store, flight.station), Journal(station.store, "sat")
        rows = [journal.find(pass_id) for journal in journals]
        reasons = [row.reason for row in rows if row is not None and row.reason]
        broken = [reason for reason in reasons if not _may_fail(reason, flight)]
        faults += [f"{pass_id} failed: {reason}" for reason in broken]
        if all(row is None for row in rows) or reasons:
            continue
        states = {None if row is None else row.state for row in rows}
        if states != {"closed"}:
            faults.append(f"{pass_id} is {states} after a calm contact")
            continue
        faults += _blocks(world, pass_id, flight.station, flight.protocol.blocks, journals)
    return faults


def _may_fail(reason: str, flight: "object") -> bool:
    if flight.pool and POOL_CUT in reason:  # type: ignore[attr-defined]
        return True
    if flight.steps and any(text in reason for text in BY_A_CLOCK):  # type: ignore[attr-defined]
        return True
    return reason in UNHEARD


def _blocks(
    world: "World", pass_id: str, station: str, blocks: int, journals: tuple[Journal, Journal]
) -> list[str]:
    faults = []
    told = []
    for journal in journals:
        notes = [msgspec.msgpack.decode(data, type=Note) for data in journal.entries(pass_id, ACCOUNT)]
        reports = {note.report.block: note.report for note in notes if note.report is not None}
        told.append(
            {block: (each.outcome, each.secret_bits, each.sifted_bits) for block, each in reports.items()}
        )
        if set(reports) != set(range(blocks)):
            faults.append(f"{pass_id}: blocks {sorted(reports)} of {blocks} are accounted for")
    if told[0] != told[1]:
        faults.append(f"{pass_id}: the ends account for {told[0]} and {told[1]}")
    states = [
        {
            row.block_id: row.state
            for row in node.store.list_blocks()
            if row.block_id.startswith(f"{pass_id}.")
        }
        for node in (world.nodes["sat"], world.nodes[station])
    ]
    if states[0] != states[1] or not set(states[0].values()) <= {"confirmed", "discarded"}:
        faults.append(f"{pass_id}: {states[0]} at the satellite, {states[1]} at the station")
    return faults
