"""A satellite, stations and the links between them: real terminals on real stores, stepped tick by tick.

Everything from `Terminal` down is the real software of both ends: journal, key store, laser link, sessions,
decoder, amplification. What is not: light comes from a table, and the bound is arithmetic that gives key for
few bits (a proved one gives none below some ten thousand). User traffic and other guests ride along by
`Guest`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol
from unittest.mock import patch

import satqkd.distill.block as block_module
from satqkd.config import Traffic
from satqkd.errors import KeyExhausted, KeyNotFound, RemoteProtocolError
from satqkd.keys import KeyStore, provision
from satqkd.lasercom import FrameLoss
from satqkd.mission.emulator import DOWN, UP, LaserLink
from satqkd.mission.satellite_terminal import SatelliteTerminal
from satqkd.mission.station_terminal import StationTerminal
from satqkd.mission.terminal import NO_TRAFFIC, TICKS_PER_S, Terminal
from satqkd.randomness import stream_bytes
from satqkd.results import KeyLength
from simulator.contact import TableContact, contact_of_flight
from simulator.dice import Flight, Plan
from simulator.history import History
from simulator.light import Light, TableClock
from simulator.reached import faults_of_link, reached_by_death, reached_by_end, reached_by_start
from simulator.stores import Crash, WatchedStore, dying_store
from simulator.wire import watch

NOW = "2026-01-02T03:04:05Z"
AUTH_BITS = 1 << 18


class Guest(Protocol):
    """What rides along in the terminals, user traffic for one; asked between contacts and at the end."""

    def before(self, world: "World", flight: Flight) -> None:
        """A contact begins: give the nodes something to do."""

    def boarded(self, world: "World", node: str, terminal: Terminal) -> None:
        """A terminal was made, of a node that started."""

    def faults(self, world: "World") -> list[str]:
        """What does not hold of the guest when all is over, in words."""


class OnTheLink(Protocol):
    """Who sees every datagram on its way, and says what arrives in its place."""

    def arrives(self, way: str, now_s: float, datagrams: list[bytes]) -> list[bytes]:
        """Way: "down" to the station, or "up"."""


class TableStation(StationTerminal):
    """A station whose clicks come with their slots."""

    def __init__(self, contact: TableContact, *args: Any, **settings: Any) -> None:
        super().__init__(contact, *args, **settings)
        self._clock = TableClock(contact.satellite.source.pulse_rate_hz)  # type: ignore[assignment]


def simple_length(counts: Any, *_: Any, keyed_bases: tuple[str, ...], **__: Any) -> KeyLength:
    """A quarter of the signal bits beyond a hundred: no bound, and the same at both ends."""
    signal = dict.fromkeys(keyed_bases, 0)
    for row in counts:
        if row.class_name == "signal" and row.basis in signal:
            signal[row.basis] += row.detections
    bases = {basis: {"secret_bits": max(0, bits - 100) // 4} for basis, bits in signal.items()}
    return KeyLength(sum(row["secret_bits"] for row in bases.values()), "simulator", {"bases": bases})


@contextmanager
def cheap_bound() -> Iterator[None]:
    """Within, lengths are `simple_length`."""
    with patch.object(block_module, "key_length", simple_length):
        yield


class Node:
    """One node over all contacts: its store lives on, its terminal comes and goes."""

    def __init__(self, name: str, history: History) -> None:
        self.name, self.history = name, history
        self.role = "satellite" if name == "sat" else "station"
        self.store, self.database = dying_store(name, history)
        self.terminal: Terminal | None = None
        self.down_until_s = -math.inf
        self.audits: list[list[dict[str, Any]]] = []
        """The audit log at the end of each contact."""
        self.over = False
        """Its process ended in this contact for good: the pass failed."""


class World:
    """All of it."""

    def __init__(self, plan: Plan, *, guests: Sequence[Guest] = (), traffic: Traffic = NO_TRAFFIC) -> None:
        self.plan, self.guests, self.traffic = plan, guests, traffic
        self.history = History()
        self.attackers: dict[int, OnTheLink] = {}
        """By contact: who sits on its classical link."""
        self.dead_ways: dict[int, str] = {}
        """By contact: "down" or "up" where nothing comes through that way."""
        names = ["sat", *dict.fromkeys(flight.station for flight in plan.flights)]
        self.nodes = {name: Node(name, self.history) for name in names}
        for name in names[1:]:
            bits = stream_bytes(plan.seed, "simulator", "auth", name)
            self._provision(name, bits)

    def _provision(self, station: str, randbytes: Callable[[int], bytes]) -> None:
        above, below = self.nodes["sat"].store, self.nodes[station].store
        provision(above, below, AUTH_BITS, randbytes=randbytes, now_utc=NOW)

    def run(self) -> "World":
        """Fly all contacts of the plan."""
        with cheap_bound():
            for flight in self.plan.flights:
                for guest in self.guests:
                    guest.before(self, flight)
                Contact(self, flight).fly()
                self._users(flight)
        return self

    def _users(self, flight: Flight) -> None:
        """The satellite takes link key, the station the same: what a relay does."""
        bits = flight.users_spend_bits
        if not bits:
            return
        above, below = self.nodes["sat"].store, self.nodes[flight.station].store
        with suppress(KeyExhausted, KeyNotFound):
            settings: dict[str, Any] = {"purpose": "relay", "reference": f"{flight.number}", "demo": True}
            spent = above.spend(flight.station, "link", bits, **settings)
            below.spend_at("sat", "link", spent.ranges, **settings)
            self.history.reached["users took key"] += 1


class Contact:
    """One contact of the plan, flown."""

    def __init__(self, world: World, flight: Flight) -> None:
        self.world, self.flight, self.history = world, flight, world.history
        seed = 1000 * world.plan.seed + flight.number
        self.contact = contact_of_flight(flight, days=float(flight.number))
        self.parameters = self.contact.parameters(flight.protocol, seed=seed)
        self.light = Light(self.parameters, seed=seed, qber=flight.qber, horizon_slots=flight.horizon_slots)
        self.randbytes = stream_bytes(seed, "simulator", "satellite")
        loss = FrameLoss.constant(flight.frame_loss)
        self.link = LaserLink(self.contact, loss, loss, seed=seed)
        self.ends = (world.nodes["sat"], world.nodes[flight.station])
        self.falls = list(flight.falls)

    def fly(self) -> None:
        """Tick by tick until both are done or the link ends."""
        for node in self.ends:
            node.terminal, node.over, node.down_until_s = None, False, -math.inf
            node.database.crash = None
        for tick in self.link.ticks:
            now_s = tick / TICKS_PER_S
            self._arm(now_s)
            said = [
                self._step(node, now_s, self._due(way, now_s))
                for node, way in zip(self.ends, (UP, DOWN), strict=True)
            ]
            for way, datagrams in zip((DOWN, UP), said, strict=True):
                if way != self.world.dead_ways.get(self.flight.number):
                    self.link.submit(way, datagrams, now_s)
            if not self.falls and all(each.over or self._done(each) for each in self.ends):
                break
        self._account()

    def _due(self, way: str, now_s: float) -> list[bytes]:
        due, attacker = self.link.due(way, now_s), self.world.attackers.get(self.flight.number)
        return due if attacker is None else attacker.arrives(way, now_s, due)

    def _done(self, node: Node) -> bool:
        return node.terminal is not None and node.terminal.finished

    def _arm(self, now_s: float) -> None:
        """Deaths that are due wait for the node's next commits."""
        while self.falls and self.falls[0].at_s <= now_s:
            fall = self.falls.pop(0)
            node = self.world.nodes[fall.node]
            node.database.crash, node.database.crash_after_changes = fall.when, fall.changes
            self._down_s = fall.down_s

    def _clock_s(self, node: Node, now_s: float) -> float:
        steps = [step for step in self.flight.steps if step.node == node.name and step.at_s <= now_s]
        return now_s + sum(step.by_s for step in steps)

    def _step(self, node: Node, now_s: float, datagrams: list[bytes]) -> list[bytes]:
        if node.over or now_s < node.down_until_s:
            return []
        then_s = self._clock_s(node, now_s)
        try:
            if node.terminal is None:
                node.terminal = self._start(node)
            if round(then_s * TICKS_PER_S) < node.terminal.first_tick:
                return []
            return node.terminal.step(then_s, datagrams)
        except Crash:
            self._fell(node, now_s)
        except RemoteProtocolError as error:
            node.over, node.terminal = True, None
            self.history.note(node.name, "failed", pass_id=self.parameters.pass_id, reason=str(error))
        return []

    def _start(self, node: Node) -> Terminal:
        store: KeyStore = WatchedStore(node.database, node.name, self.history)
        node.store = store  # type: ignore[assignment]
        settings: dict[str, Any] = {
            "store": store,
            "origin": "twin",
            "traffic": self.world.traffic,
            "log": lambda line: self._log(node, line),
        }
        terminal: Terminal
        if node.name == "sat":
            terminal = SatelliteTerminal(
                self.contact,
                self.parameters,
                transmitter=self.light,  # type: ignore[arg-type]
                randbytes=self.randbytes,
                **settings,
            )
        else:
            terminal = TableStation(
                self.contact,
                self.parameters,
                receiver=self.light.receiver(),
                tie_bits=stream_bytes(self.world.plan.seed, "ties"),
                **settings,
            )
        watch(terminal, node.name, self.history)
        reached_by_start(self.history, terminal)
        for guest in self.world.guests:
            guest.boarded(self.world, node.name, terminal)
        self.history.note(node.name, "start", pass_id=self.parameters.pass_id)
        return terminal

    def _log(self, node: Node, line: dict[str, Any]) -> None:
        told = f"{line['stage']} {line['event']}"
        if told in NOTED:
            self.history.reached[f"{node.role} logs {told}"] += 1

    def _fell(self, node: Node, now_s: float) -> None:
        reached_by_death(self.history, node.role, node.terminal)
        node.terminal, node.down_until_s = None, now_s + self._down_s
        self.history.note(node.name, "crash", at_s=now_s)
        self.history.faults["node killed"] += 1

    def _account(self) -> None:
        reached_by_end(self.history, self.flight, [node.store for node in self.ends])
        faults_of_link(self.history, self.flight, self.link.counts().values())
        for node in self.ends:
            node.terminal, node.database.crash = None, None
            node.audits.append(node.store.audit_entries())


NOTED = ("session failed", "session given_up", "link forged", "pool kept", "pool left_out")
