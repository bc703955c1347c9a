"""A satellite or a station as a process: its store, its terminal, its part in one contact.

Lock-step with the emulator over one UDP socket. What it reports is written whole or not at all. A node that
dies keeps its store: key is marked spent before it is used. Asked to end, it finishes the tick, reports what
there is and says so to the emulator.
"""

import secrets
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from satqkd.devices import EveAccount
from satqkd.keys import KeyStore
from satqkd.mission.contact import Contact
from satqkd.mission.files import EVE_FILE, open_store, write_node_report, write_whole
from satqkd.mission.report import NodeReport
from satqkd.mission.satellite_end import satellite_terminal
from satqkd.mission.terminal import Terminal
from satqkd.node.board import Board
from satqkd.node.event_log import EventLog
from satqkd.node.faults import Victim
from satqkd.node.follower import Ending, Follower
from satqkd.node.line import ROLES, bound_socket, used_resources
from satqkd.node.local_server import local_server
from satqkd.node.run_config import RunConfig
from satqkd.node.stop import Stop, stopping
from satqkd.node.watch import Watch
from satqkd.node.wire import Line, contact_tag

INCARNATION_BYTES = 4


class NodeEnd(NamedTuple):
    """How a node's part in a contact ended."""

    report: NodeReport
    stopped: bool
    """By a signal, not by the emulator."""
    finished: bool
    """Every block was reported and said."""


def run_node(config: RunConfig, role: Victim) -> NodeEnd:
    """Take part in the pass until the emulator ends it or a signal comes; write `ROLE.json`.

    Raises LinkError when the emulator falls silent, and whatever the session raises.
    """
    board = Board()
    with stopping() as stop, local_server(config.local_port(role), board):
        return take_part(config, role, stop=stop, board=board)


def take_part(
    config: RunConfig, role: Victim, *, stop: Stop, board: Board, next_pass_utc: str | None = None
) -> NodeEnd:
    """`run_node` with a board that outlives the contact. next_pass_utc: told there when this one is over."""
    contact = config.contact()
    name = contact.satellite.name if role == "satellite" else contact.station.name
    with (
        open_store(config.store_folder, name) as store,
        EventLog(config.directory / f"events.{role}.jsonl", contact.epoch, role) as log,
    ):
        watch = Watch(role, name, contact, config.protocol.blocks, store, log, board, next_pass_utc)
        with watch.failures():
            if role == "satellite":
                terminal, told_by_eve = _satellite(config, contact, store, watch)
            else:
                terminal, told_by_eve = _station(config, contact, store, watch)
            watch.follow(terminal)
            ending = _follow(config, contact, terminal, role, stop, watch)
        cpu_s, max_rss_mib = used_resources()
        report = msgspec.structs.replace(terminal.report(), cpu_s=cpu_s, max_rss_mib=max_rss_mib)
        write_node_report(config.directory, report)
        account = told_by_eve()
        if account is not None:
            write_whole(config.directory / EVE_FILE, msgspec.json.encode(account))
        watch.end(stopped=ending is Ending.STOPPED)
        return NodeEnd(report, ending is Ending.STOPPED, terminal.finished)


WithEve = tuple[Terminal, Callable[[], EveAccount | None]]
"""A terminal, and what tells of the attacker on its light when the pass is over."""


def _satellite(config: RunConfig, contact: Contact, store: KeyStore, watch: Watch) -> WithEve:
    terminal = satellite_terminal(
        contact, config.protocol, store, seed=config.seed, traffic=config.traffic, log=watch.write
    )
    return terminal, lambda: None


def _station(config: RunConfig, contact: Contact, store: KeyStore, watch: Watch) -> WithEve:
    # Here, so that a satellite's process loads nothing of a station.
    from satqkd.devices import parse_eve
    from satqkd.mission.run_pass import twin_station

    eve = None if config.eve is None else parse_eve(config.eve)
    return twin_station(
        contact,
        config.protocol,
        store,
        seed=config.seed,
        eve=eve,
        traffic=config.traffic,
        log=watch.write,
    )


def _follow(
    config: RunConfig, contact: Contact, terminal: Terminal, role: Victim, stop: Stop, watch: Watch
) -> Ending:
    incarnation = int.from_bytes(secrets.token_bytes(INCARNATION_BYTES))
    where = Line(contact_tag(terminal.parameters.pass_id), ROLES[role], incarnation)
    with bound_socket("", 0) as line:
        line.connect((config.host, config.port))
        return Follower(
            line,
            terminal,
            where,
            patience_s=config.patience_s,
            first_tick=terminal.first_tick,
            stop=stop,
            each_tick=watch.tick,
        ).run()
