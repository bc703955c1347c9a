"""Keeps an operator informed: the node's own lines in the event log, and the snapshot on its board.

The snapshot is put up once a tick. The account of blocks and the store are read once a second of wall time,
for they cost more than a tick may. Listens to the terminal's events for what no account holds: whether the
clock is followed, and detections told so far.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from satqkd.errors import Error
from satqkd.keys import KeyStore
from satqkd.mission.contact import Contact
from satqkd.mission.status import key_status, terminal_status
from satqkd.mission.terminal import Terminal
from satqkd.node.board import Board, NodeStatus, State
from satqkd.node.event_log import EventLog
from satqkd.node.line import used_resources
from satqkd.node.memory import give_back_free_memory
from satqkd.sky import format_utc

TELEMETRY_S: Final = 10.0
"""Of pass time, between two lines of telemetry."""
ACCOUNT_S: Final = 1.0
"""Of wall time, between two looks into account and store."""


class Watch:
    """One node in one contact."""

    def __init__(
        self,
        role: str,
        name: str,
        contact: Contact,
        blocks: int,
        store: KeyStore,
        log: EventLog,
        board: Board,
        next_pass_utc: str | None,
    ) -> None:
        self._contact, self._blocks, self._store = contact, blocks, store
        self._log, self._board, self._next_pass_utc = log, board, next_pass_utc
        self._terminal: Terminal | None = None
        self._now_s: float | None = None
        self._detections, self._telemetry_s, self._account_s = 0, -1e9, -1e9
        last_error = None if board.status is None else board.status.last_error
        self._status = NodeStatus(
            node=name,
            role=role,
            state="starting",
            utc=_now_utc(),
            next_pass_utc=format_utc(contact.epoch + timedelta(seconds=contact.link_start_s)),
            last_error=last_error,
        )
        self._put_up()

    def follow(self, terminal: Terminal) -> None:
        """The terminal is made; what follows is about it."""
        self._terminal = terminal
        self._put_up(pass_id=terminal.parameters.pass_id, peer=terminal.session.peer)

    def write(self, line: dict[str, Any]) -> None:
        """The terminal's events, on their way to the log."""
        match line:
            case {"stage": "sync", "event": ("locked" | "lost") as event}:
                self._put_up(clock_locked=event == "locked")
            case {"stage": "sift", "event": "announced", "detections": detections}:
                self._detections += detections
        self._log.write(line)

    def tick(self, now_s: float | None) -> None:
        """A tick is worked at a pass time, or None: nothing is granted."""
        if now_s is None:
            self._put_up(state="waiting" if self._now_s is None else "in_pass")
            return
        if self._now_s is None:
            self._log.log(now_s, "node", "resumed" if self._log.begun else "started")
        self._now_s = now_s
        if now_s - self._telemetry_s >= TELEMETRY_S:
            self._telemetry_s = now_s
            self._tell_telemetry(now_s)
        self._put_up(state="in_pass", t_s=now_s, next_pass_utc=self._next_pass_utc)

    def end(self, *, stopped: bool) -> None:
        """The node's part is over, and its report written."""
        self._log.log(self._then_s, "node", "stopped" if stopped else "ended")
        self._account_s = -1e9
        self._put_up(state="stopped" if stopped else "finished", next_pass_utc=self._next_pass_utc)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """What ends the contact with an error stands in the log and on the board."""
        try:
            yield
        except Error as error:
            self._log.log(self._then_s, "node", "failed", reason=str(error))
            self._put_up(state="failed", last_error=str(error), next_pass_utc=self._next_pass_utc)
            raise

    @property
    def _then_s(self) -> float:
        return self._contact.link_start_s if self._now_s is None else self._now_s

    def _tell_telemetry(self, now_s: float) -> None:
        assert self._terminal is not None
        give_back_free_memory()
        cpu_s, _ = used_resources()
        self._log.log(
            now_s,
            "node",
            "telemetry",
            cpu_s=round(cpu_s, 3),
            rss_mib=round(rss_mib(), 1),
            backlog_bytes=self._terminal.backlog_bytes,
        )

    def _put_up(self, *, state: State | None = None, **news: Any) -> None:
        """A snapshot with the news in it."""
        if not self._board.watched:
            return
        if state is not None:
            news["state"] = state
        if time.monotonic() - self._account_s >= ACCOUNT_S:
            self._account_s = time.monotonic()
            news |= self._account()
        if self._status.role == "station":
            news["detections"] = self._detections
        self._status = msgspec.structs.replace(self._status, utc=_now_utc(), **news)
        self._board.status = self._status

    def _account(self) -> dict[str, Any]:
        """What costs more: of the terminal's account, the store and the process."""
        cpu_s, _ = used_resources()
        news: dict[str, Any] = {"cpu_s": round(cpu_s, 3), "rss_mib": round(rss_mib(), 1)}
        peers = [] if self._terminal is None else [self._terminal.session.peer]
        news["keys"] = key_status(self._store, peers, self._blocks)
        if self._terminal is not None:
            found = msgspec.structs.asdict(terminal_status(self._terminal, self._then_s))
            del found["finished"]
            news |= found
        return news


def rss_mib() -> float:
    """Memory of this process now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 2**20


def _now_utc() -> str:
    return format_utc(datetime.now(UTC))
