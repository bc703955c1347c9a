"""One pass at one end: hello, acquisition, announcements, and the routing of messages to blocks.

No input or output: `receive(data, now_s)`, `next_event()`, `data_to_send()`; the station's session adds
`announce` and `end_block`. There are no timers: silence is the laser link's and the node's business. Times
are pass time, seconds since slot 0 on the satellite's clock. Messages arrive in order and once (the laser
link's business too); anything else ends the session. A node handles the events before it sends what the
session wants sent: commit, then speak.
"""

from collections import deque
from enum import Enum
from typing import ClassVar

from satqkd.distill import messages
from satqkd.distill.authenticate import (
    AuthenticationKeys,
    PassKeys,
    agreed_position,
    pass_key_bits,
    require_equal,
    split_online_code,
)
from satqkd.distill.block import BlockHalf
from satqkd.distill.outcome import BlockFinished, BlockReport, Event, RawLeftOut
from satqkd.distill.parameters import Parameters
from satqkd.distill.pooling import EmptyShelf, Pools, Shelf, claimed
from satqkd.errors import RemoteProtocolError


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
    ) -> None:
        self.parameters = parameters
        self.state = SessionState.GREETING
        self.peer = peer
        self._node, self._store = node, keys
        self._keys: PassKeys | None = None
        self._sent = self._received = 0
        self._outgoing: deque[bytes] = deque()
        self._events: deque[Event] = deque()
        self._blocks: dict[int, BlockHalf] = {}
        self._shelf = EmptyShelf() if shelf is None else shelf
        self._shelved = self._shelf.held(parameters.pool_names)
        self._pools = Pools(parameters, self._shelf)
        self._hello = messages.Hello(
            node, peer, parameters.digest, keys.position_bits, claimed(self._shelved)
        )
        self._send(self._hello)

    @property
    def finished(self) -> bool:
        """Whether every block of the pass has been reported."""
        return sum(block.reported for block in self._blocks.values()) == self.parameters.protocol.blocks

    def interrupted(self, reason: str) -> list[BlockReport]:
        """Accounts of the blocks that are open and will not be closed any more."""
        return [block.interrupted(reason) for block in self._blocks.values() if not block.reported]

    @property
    def authentication_bits_spent(self) -> int:
        """Authentication key that this pass has taken from the store."""
        return 0 if self._keys is None else pass_key_bits(self.parameters.protocol.blocks)

    @property
    def epsilon_authentication(self) -> float:
        """Forgery bounds of the pass's one-time tags so far, summed."""
        return 0.0 if self._keys is None else self._keys.epsilon

    def receive(self, data: bytes, now_s: float) -> None:
        """Take one message of the peer. Raises RemoteProtocolError or AuthenticationError; both are final."""
        envelope = self._open(data)
        message = envelope.message
        if isinstance(message, messages.Hello):
            self._on_hello(message)
        elif self.state is SessionState.GREETING:
            raise RemoteProtocolError(
                f"session is GREETING and cannot take {type(message).__name__}; expected Hello"
            )
        elif isinstance(message, messages.BlockMessage):
            self._on_block_message(message, now_s)
        else:
            self._on_link_message(message)

    def data_to_send(self) -> list[bytes]:
        """Messages for the peer, in order; call after the events are handled."""
        outgoing = list(self._outgoing)
        self._outgoing.clear()
        return outgoing

    def next_event(self) -> Event | None:
        """The oldest event not yet taken, or None."""
        return self._events.popleft() if self._events else None

    def _on_hello(self, hello: messages.Hello) -> None:
        if self.state is not SessionState.GREETING:
            raise RemoteProtocolError(f"session is {self.state.name} and cannot take a second Hello")
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
        blocks = self.parameters.protocol.blocks
        position = agreed_position(
            self._hello.authentication_position_bits, hello.authentication_position_bits, blocks
        )
        self._keys = PassKeys(self._store.draw(position, pass_key_bits(blocks)), blocks)
        hellos = sorted((self._hello, hello), key=lambda each: each.node)
        claims = {each.node: each.raw_blocks for each in hellos}
        satellite, station = (claims[node] for node in (self.parameters.satellite, self.parameters.station))
        self._pools = Pools(self.parameters, self._shelf, self._shelved, satellite=satellite, station=station)
        self._opening = b"".join(map(messages.encode_one, hellos)) + self.parameters.pass_id.encode()
        self.state = SessionState.RUNNING
        self._on_running()

    def _on_running(self) -> None:
        """The hellos agree."""

    def _on_link_message(self, message: messages.Message) -> None:
        raise RemoteProtocolError(f"{type(self).__name__} cannot take {type(message).__name__}")

    def _on_block_message(self, message: messages.BlockMessage, now_s: float) -> None:
        block = self._blocks.get(message.block)
        if block is None:
            raise RemoteProtocolError(
                f"{type(message).__name__} for block {message.block}, which is not open"
            )
        for reply in block.receive(message):
            self._send(reply)
        self._collect(block)
        if type(message) in block.TAGGED:
            self._leave_out()

    def _leave_out(self) -> None:
        """A one-time tag of the peer held, which covers both hellos: what they claim is now believed."""
        if self._pools.left_out:
            self._events.append(RawLeftOut(self._pools.left_out))
            self._pools.left_out = ()

    def _collect(self, block: BlockHalf) -> None:
        self._events.extend(block.events)
        if any(isinstance(event, BlockFinished) for event in block.events):
            block.reported = True
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

    def _open(self, data: bytes) -> messages.Envelope:
        body, code = split_online_code(data)
        if self._keys is not None:
            require_equal(self._code(self.RECEIVES, body, None), code, "message")
        envelope = messages.decode(body)
        if envelope.pass_id != self.parameters.pass_id:
            raise RemoteProtocolError(
                f"expected pass {self.parameters.pass_id}, got a message of {envelope.pass_id}"
            )
        if envelope.sequence != self._received:
            raise RemoteProtocolError(f"expected message {self._received}, got {envelope.sequence}")
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
