"""A node's line to its key server: an `Intake` over mutual TLS, in the words of `push_wire`.

The server must show a KME's certificate, of one KME where it is named: key goes to no application that
poses as a server. Knows no store.
"""

from base64 import b64encode
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

import msgspec

from satqkd.delivery.identity import Identity
from satqkd.delivery.line import TIMEOUT_S, Line
from satqkd.delivery.push_wire import (
    CLOSE_PATH,
    DONE,
    KEY_PATH,
    NO_LINK,
    OPEN_PATH,
    QOS_NOT_MET,
    STREAM_IN_USE,
    TOO_LITTLE_KEY,
    Close,
    CloseAnswer,
    OpenAnswer,
    OpenConnect,
    PushAnswer,
    Qos,
)
from satqkd.errors import DataFormatError, KeyExhausted, LinkError
from satqkd.keys.push_door import (
    CHUNK_BYTES,
    LEAST_CHUNK_BYTES,
    NoLink,
    PushedBlock,
    StreamInUse,
    StreamState,
)

_ERRORS: Final = {NO_LINK: NoLink, STREAM_IN_USE: StreamInUse, TOO_LITTLE_KEY: KeyExhausted}


class PushClient:
    """A connection to one key server, as a node.

    cert, key: PEM files of the node; ca: of who vouches for the server; kme: id that its certificate must
    name, None for any KME. Raises ConfigError for these; all methods raise LinkError (no connection, not
    trusted, another's certificate, busy), NotEntitled (not a node of the server's settings), DataFormatError
    besides what an `Intake` raises.
    """

    def __init__(
        self,
        url: str,
        *,
        cert: Path | str,
        key: Path | str,
        ca: Path | str,
        kme: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        def accept(who: Identity) -> None:
            if not who.kme or kme not in (None, who.kme):
                raise LinkError(
                    f"{url}: expected the certificate of {kme or 'a KME'}, got that of "
                    f"{who.kme or who.sae or who.node!r}; no key was sent"
                )

        self._line = Line(url, cert=cert, key=key, ca=ca, timeout_s=timeout_s, accept=accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_line()

    def close_line(self) -> None:
        """End the connection."""
        self._line.close()

    def open(self, stream_id: str, node: str, block: PushedBlock, *, now_utc: str) -> StreamState:
        """OPEN_CONNECT; where the server wants shorter chunks, with those."""
        answer = self._open(stream_id, node, block, CHUNK_BYTES)
        if answer.status == QOS_NOT_MET and answer.QoS.Key_chunk_size < CHUNK_BYTES:
            answer = self._open(stream_id, node, block, answer.QoS.Key_chunk_size)
        self._require_done(answer.status, answer.message)
        size = answer.QoS.Key_chunk_size
        if not LEAST_CHUNK_BYTES <= size <= CHUNK_BYTES or answer.index < 0:
            raise DataFormatError(
                f"{self._line.place}: expected chunks of {LEAST_CHUNK_BYTES} to {CHUNK_BYTES} bytes, got "
                f"{size}; is this a KME of this version?"
            )
        return StreamState(size, answer.index)

    def take(self, stream_id: str, index: int, chunk: memoryview, *, now_utc: str) -> int:
        """One chunk."""
        body = b'{"Key_stream_ID":"%b","index":%d,"Key_buffer":"%b"}' % (
            stream_id.encode(), index, b64encode(chunk),
        )  # fmt: skip
        answer = self._line.decoded(self._line.ask("POST", KEY_PATH, body), PushAnswer)
        self._require_done(answer.status, answer.message)
        return answer.index

    def close(self, stream_id: str, *, now_utc: str) -> None:
        """CLOSE; returns when the server says that the block is in its store."""
        body = msgspec.json.encode(Close(stream_id))
        answer = self._line.decoded(self._line.ask("POST", CLOSE_PATH, body), CloseAnswer)
        self._require_done(answer.status, answer.message)

    def _open(self, stream_id: str, node: str, block: PushedBlock, size: int) -> OpenAnswer:
        body = msgspec.json.encode(OpenConnect(node, block.peer, Qos(size), stream_id, block))
        return self._line.decoded(self._line.ask("POST", OPEN_PATH, body), OpenAnswer)

    def _require_done(self, status: int, message: str) -> None:
        if status != DONE:
            self._refuse(status, message)

    def _refuse(self, status: int, message: str) -> NoReturn:
        kind = _ERRORS.get(status)
        told = f"{self._line.place} refuses (status {status}): {message[:300]}"
        raise DataFormatError(told) if kind is None else kind(told)
