"""One pass at one end: hello, acquisition, announcements, and the routing of messages to blocks.

No input or output: `receive(data, now_s)`, `next_event()`, `data_to_send()`; the station's session adds
`announce` and `end_block`. There are no timers: silence is the laser link's and the node's business. Times
are pass time, seconds since slot 0 on the satellite's clock. Messages arrive in order; one that was taken
before is dropped, one after a gap is refused and may come again. A node handles the events, and makes
`inputs()` and `memory()` durable, before it sends what the session wants sent: commit, then speak. From both
a session is taken up again after a crash, as if there had been none.
"""

from collections import deque
from enum import Enum
from typing import ClassVar

from satqkd.distill import messages
from satqkd.distill.authenticate import (
    RECEIPT,
    AuthenticationKeys,
    PassKeys,
    agreed_position,
    pass_key_bits,
    same,
    split_online_code,
)
from satqkd.distill.block import BlockHalf
from satqkd.distill.memory import FinishedBlock, Input, InputKind, Memory, RecordedRandom, Remembered
from satqkd.distill.outcome import BlockFinished, BlockReport, Event, RawLeftOut
from satqkd.distill.parameters import Parameters
from satqkd.distill.pooling import EmptyShelf, Pools, Shelf, claimed
from satqkd.errors import ForgedMessage, LocalProtocolError, RemoteProtocolError
from satqkd.randomness import RandBytes


class SessionState(Enum):
    """What a session knows of its peer."""

    GREETING = "has said hello, has not heard the peer's"
    RUNNING = "both agreed; blocks are under way"


class Session:
    """What both roles share: envelope, online code, sequence, hello, blocks."""

    SENDS: ClassVar[bytes]
    RECEIVES: ClassVar[bytes]

    def __init__(
        self,
        parameters: Parameters,
        node: str,
        peer: str,
        keys: AuthenticationKeys,
        shelf: Shelf | None = None,
        *,
        randbytes: RandBytes | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        """remembered: of the process before this one, the same parameters; omitted, the pass begins.

        Raises RemoteProtocolError, as `receive` does, where a remembered hello does not fit.
        """
        self.parameters = parameters
        self.state = SessionState.GREETING
        self.peer = peer
        self._node, self._store = node, keys
        self._keys: PassKeys | None = None
        self._random = RecordedRandom(_no_random if randbytes is None else randbytes)
        self._sent = self._received = self._next_slot = 0
        self._outgoing: deque[bytes] = deque()
        self._events: deque[Event] = deque()
        self._inputs: list[Input] = []
        self._blocks: dict[int, BlockHalf] = {}
        self._finished: dict[int, FinishedBlock] = {}
        self._shelf = EmptyShelf() if shelf is None else shelf
        self._peer_hello = b""
        self._peer_position_bits = 0
        self.proven = False
        """Whether the peer has shown, to this process, that it holds the same key."""
        if remembered is None:
            self._shelved = list(self._shelf.held(parameters.pool_names))
            self._pools = Pools(parameters, self._shelf)
            self._hello = messages.Hello(
                node, peer, parameters.digest, keys.position_bits, claimed(self._shelved)
            )
            self._send(self._hello)
        else:
            self._take_up(remembered.memory)
            for each in remembered.inputs:
                self._again(each)

    @property
    def finished(self) -> bool:
        """Whether every block of the pass has been reported."""
        return len(self._finished) == self.parameters.protocol.blocks

    def is_unknown_to(self, later: "Session") -> bool:
        """Whether the peer had not drawn this pass's authentication key when it said hello for a later one:
        it never took this pass up, and will not any more. Of two sessions whose hellos agree."""
        drawn = pass_key_bits(self.parameters.protocol.blocks)
        position = max(self._hello.authentication_position_bits, self._peer_position_bits)
        return not self.proven and later._peer_position_bits < position + drawn

    @property
    def spoken_for(self) -> set[str]:
        """Raw blocks on the shelf whose fate this pass decides: it may still take them or throw them away,
        and no other pass may claim them meanwhile."""
        if self.state is SessionState.GREETING:
            return {each.claim.block_id for each in self._shelved}
        if not self.parameters.planned:
            return set()
        blocks = range(self.parameters.protocol.blocks)
        promised = self._pools.promised(block for block in blocks if block not in self._finished)
        return promised.union(self._pools.left_out)

    def interrupted(self, reason: str) -> list[BlockReport]:
        """Accounts of the blocks that are open and will not be closed any more."""
        return [block.interrupted(reason) for block in self._blocks.values()]

    @property
    def authentication_bits_spent(self) -> int:
        """Authentication key that this pass has taken from the store."""
        return 0 if self._keys is None else pass_key_bits(self.parameters.protocol.blocks)

    @property
    def epsilon_authentication(self) -> float:
        """Forgery bounds of the pass's one-time tags so far, summed."""
        return 0.0 if self._keys is None else self._keys.epsilon

    @property
    def sent(self) -> int:
        """Messages said so far, those waiting in `data_to_send` included."""
        return self._sent

    @property
    def received(self) -> int:
        """Messages of the peer taken so far."""
        return self._received

    def receive(self, data: bytes, now_s: float) -> None:
        """Take one message of the peer; one taken before has no effect.

        Raises ForgedMessage, before anything changes, where the code on line does not fit or a message is
        missing before this one: the true message may still come. RemoteProtocolError and any other
        AuthenticationError are final.
        """
        envelope = self._open(data)
        if envelope is None:
            return
        message = envelope.message
        if isinstance(message, messages.Hello):
            self._on_hello(message, data)
        elif self.state is SessionState.GREETING:
            raise RemoteProtocolError(
                f"session is GREETING and cannot take {type(message).__name__}; expected Hello"
            )
        elif isinstance(message, messages.BlockMessage):
            self._on_block_message(message, now_s)
        else:
            self._on_link_message(message)

    def data_to_send(self) -> list[bytes]:
        """Messages for the peer, in order; call after events, inputs and memory are durable."""
        outgoing = list(self._outgoing)
        self._outgoing.clear()
        return outgoing

    def next_event(self) -> Event | None:
        """The oldest event not yet taken, or None."""
        return self._events.popleft() if self._events else None

    def inputs(self) -> list[Input]:
        """What blocks took in since the last call."""
        inputs, self._inputs = self._inputs, []
        return inputs

    def memory(self) -> Memory:
        """What is to be remembered beside the inputs of open blocks."""
        return Memory(
            sent=self._sent,
            received=self._received,
            own_hello=messages.encode_one(self._hello),
            peer_hello=self._peer_hello,
            held=tuple((each.claim, each.confirmed) for each in self._shelved),
            pass_key=b"" if self._keys is None else self._keys.key,
            epsilon_authentication=self.epsilon_authentication,
            next_slot=self._next_slot,
            left_out_told=not self._pools.left_out,
            finished=tuple(self._finished.values()),
        )

    def receipt(self) -> bytes:
        """How many messages of the peer are taken, under this end's code: the peer need not say them again.

        Empty before the hellos agree. Durable first, then said: outside of the numbered messages.
        """
        if self._keys is None:
            return b""
        body = messages.encode_receipt(messages.Receipt(self.parameters.pass_id, self._received))
        return body + self._keys.online_code(RECEIPT + self.SENDS, body)

    def receipted(self, data: bytes) -> int | None:
        """How many of this end's messages the peer has taken, by its receipt; None if it proves nothing."""
        if self._keys is None:
            return None
        body, code = split_online_code(data)
        receipt = messages.decode_receipt(body)
        if receipt is None or not same(self._keys.online_code(RECEIPT + self.RECEIVES, body), code):
            return None
        self.proven = True
        return receipt.received if receipt.received <= self._sent else None

    def _take_up(self, memory: Memory) -> None:
        """Put everything but open blocks back where it was."""
        own = messages.decode_one(memory.own_hello)
        assert isinstance(own, messages.Hello)
        self._hello, self._shelved = own, memory.shelved
        self._pools = Pools(self.parameters, self._shelf)
        if memory.pass_key:
            envelope = messages.decode(split_online_code(memory.peer_hello)[0])
            assert isinstance(envelope.message, messages.Hello)
            self._require_peer(envelope.message)
            blocks = self.parameters.protocol.blocks
            used = [each.block for each in memory.finished]
            self._keys = PassKeys(
                memory.pass_key, blocks, used_blocks=used, epsilon=memory.epsilon_authentication
            )
            self._agree(envelope.message, memory.peer_hello)
        if memory.left_out_told:
            self._pools.left_out = ()
        self._sent, self._received = memory.sent, memory.received
        self._next_slot = memory.next_slot
        for each in memory.finished:
            self._finished[each.block] = each
            self._settle_pool(each.block, each.kept_detections)

    def _again(self, each: Input) -> None:
        """Tell a block one of its inputs again; what it says and reports is known and dropped."""
        epsilon = self._require_keys().epsilon
        self._random.replay(each.random, lambda: self._retell(each))
        self._require_keys().epsilon = epsilon
        if each.block in self._blocks:
            self._blocks[each.block].events.clear()

    def _retell(self, each: Input) -> None:
        """One input, by its kind."""
        if each.kind != "heard":
            raise LocalProtocolError(f"journal: {type(self).__name__} knows no input of kind {each.kind!r}")
        message = messages.decode_one(each.parts[0])
        assert isinstance(message, messages.BlockMessage)
        self._blocks[each.block].receive(message)

    def _settle_pool(self, block: int, kept_detections: int | None) -> None:
        """What a block did to its pool, done again."""
        if kept_detections is None:
            self._pools.took(block)
        else:
            self._pools.keep(block, kept_detections)

    def _note(self, block: int, kind: InputKind, *parts: bytes) -> None:
        self._inputs.append(Input(block, kind, parts, self._random.noted()))

    def _on_hello(self, hello: messages.Hello, data: bytes) -> None:
        if self.state is not SessionState.GREETING:
            raise RemoteProtocolError(f"session is {self.state.name} and cannot take a second Hello")
        self._require_peer(hello)
        blocks = self.parameters.protocol.blocks
        position = agreed_position(
            self._hello.authentication_position_bits, hello.authentication_position_bits, blocks
        )
        if position < self._store.position_bits:
            raise RemoteProtocolError(
                f"both hellos agree on authentication key from bit {position} on, which is used here up to "
                f"bit {self._store.position_bits}: a later pass overtook this one, which cannot go on"
            )
        self._keys = PassKeys(self._store.draw(position, pass_key_bits(blocks)), blocks)
        self._agree(hello, data)
        self._on_running()

    def _require_peer(self, hello: messages.Hello) -> None:
        if (hello.node, hello.peer) != (self.peer, self._node):
            raise RemoteProtocolError(
                f"expected hello of {self.peer} to {self._node}, got {hello.node} to {hello.peer}: "
                f"wrong peer; check both configurations"
            )
        if hello.parameter_digest != self.parameters.digest:
            raise RemoteProtocolError(
                f"{hello.node} has other parameters for pass {self.parameters.pass_id}: give both ends the "
                f"same preset, protocol settings and version"
            )

    def _agree(self, hello: messages.Hello, data: bytes) -> None:
        """Both hellos are here: what follows from them."""
        hellos = sorted((self._hello, hello), key=lambda each: each.node)
        claims = {each.node: each.raw_blocks for each in hellos}
        satellite, station = (claims[node] for node in (self.parameters.satellite, self.parameters.station))
        self._pools = Pools(self.parameters, self._shelf, self._shelved, satellite=satellite, station=station)
        self._opening = b"".join(map(messages.encode_one, hellos)) + self.parameters.pass_id.encode()
        self._peer_hello, self._peer_position_bits = data, hello.authentication_position_bits
        self.state = SessionState.RUNNING

    def _on_running(self) -> None:
        """The hellos agree."""

    def _on_link_message(self, message: messages.Message) -> None:
        raise RemoteProtocolError(f"{type(self).__name__} cannot take {type(message).__name__}")

    def _on_block_message(self, message: messages.BlockMessage, now_s: float) -> None:
        self._require_unfinished(message.block, type(message).__name__)
        block = self._blocks.get(message.block)
        if block is None:
            raise RemoteProtocolError(
                f"{type(message).__name__} for block {message.block}, which is not open"
            )
        for reply in block.receive(message):
            self._send(reply)
        self._note(message.block, "heard", messages.encode_one(message))
        self._collect(block)
        if type(message) in block.TAGGED:
            self._leave_out()

    def _require_unfinished(self, index: int, what: str) -> None:
        if index in self._finished:
            raise RemoteProtocolError(f"block {index} is finished and cannot take {what}; the session ends")

    def _leave_out(self) -> None:
        """A one-time tag of the peer held, which covers both hellos: what they claim is now believed."""
        if self._pools.left_out:
            self._events.append(RawLeftOut(self._pools.left_out))
            self._pools.left_out = ()

    def _collect(self, block: BlockHalf) -> None:
        self._events.extend(block.events)
        if any(isinstance(event, BlockFinished) for event in block.events):
            kept = block.kept_detections if block.kept else None
            self._finished[block.index] = FinishedBlock(block.index, block.lessons(), kept)
            del self._blocks[block.index]
        block.events.clear()

    def _send(self, message: messages.AnyMessage | messages.BlockMessage) -> None:
        envelope = messages.Envelope(
            messages.VERSION,
            self.parameters.pass_id,
            self._sent,
            message,  # type: ignore[arg-type]
        )
        self._sent += 1
        data = messages.encode(envelope)
        self._outgoing.append(data + self._code(self.SENDS, data, message))

    def _open(self, data: bytes) -> messages.Envelope | None:
        """The next message; None for one that was taken before."""
        if self._peer_hello and data == self._peer_hello:
            return None
        body, code = split_online_code(data)
        if self._keys is not None and not same(self._code(self.RECEIVES, body, None), code):
            raise ForgedMessage(
                f"{self.peer}: a message's code differs from what the shared key demands: changed on its "
                f"way, a wrong peer, or stores out of step"
            )
        self.proven = self._keys is not None
        envelope = messages.decode(body)
        if envelope.pass_id != self.parameters.pass_id:
            raise RemoteProtocolError(
                f"expected pass {self.parameters.pass_id}, got a message of {envelope.pass_id}"
            )
        if envelope.sequence > self._received:
            raise ForgedMessage(
                f"{self.peer}: expected message {self._received}, got {envelope.sequence}: something "
                f"else was put in the place of what is missing"
            )
        if envelope.sequence < self._received:
            return None
        self._received += 1
        return envelope

    def _code(self, direction: bytes, data: bytes, message: object) -> bytes:
        """Zeros for hello (no key is agreed yet; the block's one-time tags cover it), else the code."""
        if self._keys is None or isinstance(message, messages.Hello):
            return bytes(16)
        return self._keys.online_code(direction, data)

    def _require_keys(self) -> PassKeys:
        if self._keys is None:
            raise RemoteProtocolError("session is GREETING: no block can be opened before hello")
        return self._keys


def _no_random(n_bytes: int) -> bytes:
    raise LocalProtocolError(f"{n_bytes} random bytes were asked for at an end that draws none")
