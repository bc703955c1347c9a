"""One pass's session with all of it that outlives its process: journal, outbox, blocks in the store, account.

The order is always the same. What comes in is worked through inside the caller's transaction: blocks stored
and confirmed, inputs, memory and messages written down. When that is durable, messages are offered to the
link, each until the peer's receipt shows that it was taken. So a node that is killed at any moment is taken
up again as if the last datagrams had not come: the peer has no receipt for what they carried, and says it
again. At a later contact with the same peer an unfinished pass goes on in the same way.
"""

from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from satqkd.distill.memory import Input, Memory, Remembered
from satqkd.distill.outcome import (
    BlockFinished,
    BlockReport,
    ErrorProfile,
    Event,
    RawConfirmed,
    RawLeftOut,
    RawReady,
    SecretConfirmed,
    SecretReady,
    SecretRefused,
    StageEntered,
)
from satqkd.distill.parameters import Parameters
from satqkd.distill.session import Session
from satqkd.errors import ConfigError, KeyNotFound, RemoteProtocolError
from satqkd.keys import Journal, KeyStore
from satqkd.keys.store.journal import ACCOUNT, INPUT, NO_BLOCK, ConversationRow
from satqkd.lasercom import Endpoint, Priority
from satqkd.mission.account import Account, Note
from satqkd.mission.kept import KeptBlocks
from satqkd.sky import format_utc, parse_utc

RECEIPT_S: Final = 0.25
"""A receipt a quarter of a second is enough: it only tells what need not be said again."""
Written = tuple[float, Memory, bytes]
"""Pass time of the last tick written down, memory, and of a pass that is over the last receipt, which is no
secret: whoever waits for it in vain asks at a later contact, when its key is gone."""
LogLine = Callable[..., None]
"""Called with pass time, stage, event and counts."""
MakeSession = Callable[[Parameters, KeptBlocks, Remembered | None], Session]


class Conversation:
    """What one end does and knows of one pass.

    open_session: makes the session, anew or from what was remembered. Raises ConfigError where the pass
    began with other parameters. spoken_for: raw blocks that unfinished passes before this one decide about.
    """

    def __init__(
        self,
        parameters: Parameters,
        open_session: MakeSession,
        *,
        store: KeyStore,
        peer: str,
        epoch: datetime,
        origin: str,
        log: LogLine,
        spoken_for: Collection[str] = (),
    ) -> None:
        self.parameters, self.epoch = parameters, epoch
        self.account = Account()
        self.log = log
        self._store, self._peer, self._origin = store, peer, origin
        self._journal = Journal(store, peer)
        self._kept = KeptBlocks(store, peer, origin=origin, spoken_for=spoken_for)
        self._notes: list[Note] = []
        self._fresh: deque[tuple[int, bytes]] = deque()
        self._offered = self._taken = 0
        self._receipted = 0
        self._receipt_due_s = float("-inf")
        self._written = b""
        self.worked_s = float("-inf")
        """Pass time up to which all that was taken in and said is written down."""
        row = self._journal.find(parameters.pass_id)
        self.resumed = row is not None
        self.closed = row is not None and row.state != "open"
        self.failure = "" if row is None else row.reason
        self.session = open_session(parameters, self._kept, None if row is None else self._remembered(row))
        self.reported_before = len(self.account.reports)
        """Blocks whose end an earlier process saw."""
        if row is None:
            self._begin()

    def _begin(self) -> None:
        with self._store.work():
            self._journal.begin(
                self.parameters.pass_id,
                parameters=msgspec.msgpack.encode(self.parameters),
                epoch_utc=format_utc(self.epoch),
            )
            self.write_down(float("-inf"))

    def _remembered(self, row: ConversationRow) -> Remembered:
        pass_id = self.parameters.pass_id
        if row.parameters != msgspec.msgpack.encode(self.parameters):
            raise ConfigError(
                f"pass {pass_id} began with other parameters, by the store {self._store.path}: go on "
                f"with the same presets, protocol settings and version, or take another pass, seed or folder"
            )
        for data in self._journal.entries(pass_id, ACCOUNT):
            self.account.add(msgspec.msgpack.decode(data, type=Note))
        inputs = self._journal.entries(pass_id, INPUT)
        written = self._journal.memory(pass_id) or b""
        self.worked_s, memory, _ = msgspec.msgpack.decode(written, type=Written)
        first = next(self._journal.outbox(pass_id, start=0), (memory.sent, b""))[0]
        self._offered = self._taken = first
        return Remembered(memory, tuple(msgspec.msgpack.decode(data, type=Input) for data in inputs))

    @property
    def finished(self) -> bool:
        """Every block is reported, and the peer has taken all that was said."""
        return self.closed or (self.session.finished and self._taken == self.session.sent)

    @property
    def answered(self) -> bool:
        """Whether the peer is known to have taken anything of it."""
        return self._taken > 0

    @property
    def backlog(self) -> int:
        """Messages that the peer is not known to have taken."""
        return self.session.sent - self._taken

    def receive_receipt(self, data: bytes) -> None:
        """Messages that the peer has taken need not be kept; what proves nothing is ignored."""
        taken = self.session.receipted(data)
        if taken is not None and taken > self._taken and not self.closed:
            self._taken = taken
            self._offered = max(self._offered, taken)
            self._journal.taken(self.parameters.pass_id, taken)

    def handle_events(self, now_s: float) -> list[Event]:
        """Do what the session wants done; gives what is not for the store to handle."""
        others = []
        while (event := self.session.next_event()) is not None:
            if not self._handle(event, now_s):
                others.append(event)
        return others

    def note(self, note: Note) -> None:
        """Something for the report, to be written down."""
        self.account.add(note)
        self._notes.append(note)

    def write_down(self, now_s: float) -> None:
        """Make durable, with the caller's transaction, what came in and what is to be said."""
        if self.closed:
            return
        pass_id, memory = self.parameters.pass_id, self.session.memory()
        finished = {each.block for each in memory.finished}
        for each in self.session.inputs():
            if each.block not in finished:
                self._journal.append(pass_id, each.block, INPUT, msgspec.msgpack.encode(each))
        for note in self._notes:
            self._journal.append(pass_id, NO_BLOCK, ACCOUNT, msgspec.msgpack.encode(note))
            if note.report is not None:
                self._journal.forget_block(pass_id, note.report.block)
        self._notes.clear()
        said = self.session.data_to_send()
        for number, data in enumerate(said, start=memory.sent - len(said)):
            self._journal.put(pass_id, number, data)
            self._fresh.append((number, data))
        encoded = msgspec.msgpack.encode(memory)
        if encoded != self._written:
            self._journal.remember(pass_id, msgspec.msgpack.encode((now_s, memory, b"")))
            self._written, self.worked_s = encoded, now_s
        if self.finished:
            self._close("")

    def fail(self, error: RemoteProtocolError, now_s: float) -> None:
        """The session is over: nothing more is said or taken, what was journalled is overwritten."""
        self.handle_events(now_s)
        self.session.data_to_send()
        self._fresh.clear()
        self.log(now_s, "session", "failed", reason=str(error))
        self._close(str(error))

    def give_up(self, reason: str, now_s: float) -> None:
        """An unfinished pass that will not be gone on with."""
        self.log(now_s, "session", "given_up", reason=reason)
        self._close(reason)

    def _close(self, reason: str) -> None:
        spent, epsilon = self.session.authentication_bits_spent, self.session.epsilon_authentication
        note = Note(0.0, spent_bits=spent, epsilon=epsilon)
        self.account.add(note)
        self._journal.append(self.parameters.pass_id, NO_BLOCK, ACCOUNT, msgspec.msgpack.encode(note))
        without_key = msgspec.structs.replace(self.session.memory(), pass_key=b"")
        last_receipt = b"" if reason else self.session.receipt()
        memory = msgspec.msgpack.encode((self.worked_s, without_key, last_receipt))
        self._journal.close(self.parameters.pass_id, memory=memory, reason=reason)
        self.closed, self.failure = True, reason

    def reconnected(self) -> None:
        """The link starts anew: what the peer has not receipted is said again."""
        self._fresh.clear()
        self._offered, self._receipted = self._taken, -1

    def speak(self, link: Endpoint, now_s: float) -> None:
        """Give the link what is durable, as much as it takes."""
        for number, data in self._waiting():
            if not link.room(len(data), priority=Priority.DISTILLATION):
                break
            link.send(data, priority=Priority.DISTILLATION)
            self._offered = number + 1
        self._speak_receipt(link, now_s)

    def _waiting(self) -> Any:
        """Messages not yet given to the link: fresh ones from memory, earlier ones from the outbox."""
        while self._fresh and self._fresh[0][0] < self._offered:
            self._fresh.popleft()
        if self._fresh and self._fresh[0][0] == self._offered:
            yield from list(self._fresh)
        elif not self.closed and self._offered < self.session.sent:
            yield from self._journal.outbox(self.parameters.pass_id, start=self._offered)

    def _speak_receipt(self, link: Endpoint, now_s: float) -> None:
        received = self.session.received
        if received == self._receipted or now_s < self._receipt_due_s:
            return
        receipt = self.session.receipt()
        if receipt and link.room(len(receipt), priority=Priority.DISTILLATION):
            link.send(receipt, priority=Priority.DISTILLATION)
            self._receipted, self._receipt_due_s = received, now_s + RECEIPT_S

    def block_id(self, block: int) -> str:
        """Name of a block in both stores; not made from the key."""
        return self.parameters.block_id(block)

    def end_utc(self, block: int) -> str:
        """When the block's last slot is past, as both stores note it."""
        return format_utc(self.epoch + timedelta(seconds=self.parameters.end_s(block)))

    def _handle(self, event: Event, now_s: float) -> bool:
        match event:
            case SecretReady():
                self._add_block(event)
                self.log(now_s, "amplify", "stored_unconfirmed", block=event.block, bits=event.bits)
            case SecretConfirmed():
                self._store.confirm_block(self.block_id(event.block))
                self.note(Note(now_s, event.block, confirmed=True))
                self.log(now_s, "authenticate", "confirmed", block=event.block)
            case SecretRefused():
                self._store.discard_block(self.block_id(event.block))
                self.log(now_s, "authenticate", "discarded", block=event.block)
            case RawReady() | RawConfirmed():
                self._kept.handle(event, self, now_s)
            case RawLeftOut():
                self._kept.handle(event, self, now_s)
                self.note(Note(now_s, left_out=event.block_ids))
            case StageEntered():
                self.note(Note(now_s, event.block, stage=event.stage))
                self.log(now_s, "block", event.stage, block=event.block)
            case ErrorProfile():
                self.note(Note(now_s, event.block, profile=event))
            case BlockFinished(report):
                self.note(Note(now_s, report.block, report=report))
                self._log_report(report, now_s)
            case _:
                return False
        return True

    def _log_report(self, report: BlockReport, now_s: float) -> None:
        self.log(
            now_s,
            "block",
            "reported",
            block=report.block,
            outcome=report.outcome,
            reason=report.reason,
            sifted_bits=report.sifted_bits,
            errors=report.errors,
            leaked_bits=sum(report.leaked_bits.values()),
            secret_bits=report.secret_bits,
        )

    def _add_block(self, event: SecretReady) -> None:
        self._store.add_block(
            self.block_id(event.block),
            peer=self._peer,
            kind="link",
            origin=self._origin,
            key=event.secret,
            allocator=self.parameters.satellite,
            now_utc=self.end_utc(event.block),
        )


def stored_receipt(journal: Journal, pass_id: str) -> bytes:
    """The last word about a pass that ended well here: all was taken. Empty for any other."""
    try:
        row = journal.find(pass_id)
    except KeyNotFound:
        return b""
    if row is None or row.state != "closed":
        return b""
    _, _, receipt = msgspec.msgpack.decode(journal.memory(pass_id) or b"", type=Written)
    return bytes(receipt)


def stored_epoch(row: ConversationRow) -> datetime:
    """UTC of pass time 0 of a pass in the journal."""
    return parse_utc(row.epoch_utc)


def stored_parameters(row: ConversationRow) -> Parameters:
    """Agreed parameters of a pass in the journal."""
    return msgspec.msgpack.decode(row.parameters, type=Parameters)
