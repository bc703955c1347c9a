"""The three methods by which a node pushes key into this server's store, as thin handlers.

For certificates of nodes that the settings name. What the standard has a status for is told by it, with
HTTP 200; what is malformed is a 400 like everywhere.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from satqkd.delivery.desk import PUSH_WANTS, Desk
from satqkd.delivery.push_wire import (
    BODY_BYTES,
    CLOSE_PATH,
    DONE,
    KEY_PATH,
    OPEN_PATH,
    QOS_NOT_MET,
    STATUS_OF,
    Close,
    CloseAnswer,
    OpenAnswer,
    OpenConnect,
    PushAnswer,
    PushKey,
    Qos,
)
from satqkd.delivery.refusals import bad_request
from satqkd.delivery.routes import Answer, Call, Route
from satqkd.delivery.wire import decoded, query_of
from satqkd.errors import Error
from satqkd.keys.push_door import CHUNK_BYTES, Intake

T = TypeVar("T")


async def post_open(desk: Desk, call: Call) -> Answer:
    """OPEN_CONNECT: a stream is begun, or goes on."""
    query_of(call.query, ())
    asked = decoded(call.body, call.content_type, OpenConnect)
    if asked.Destination != asked.Metadata.peer:
        raise bad_request("Destination: expected the peer of Metadata, got another node")
    stream_id, size = asked.Key_stream_ID.lower(), asked.QoS.Key_chunk_size
    if size > CHUNK_BYTES:
        told = OpenAnswer(stream_id, Qos(CHUNK_BYTES), 0, QOS_NOT_MET, "chunks are too long")
        return Answer(msgspec.json.encode(told))
    state, status, words = await _asked(
        desk,
        call,
        lambda intake, utc: intake.open(stream_id, asked.Source, asked.Metadata, now_utc=utc),
        chunk_bytes=size,
    )
    chunk_bytes, index = (size, 0) if state is None else (state.chunk_bytes, state.next_index)
    return Answer(msgspec.json.encode(OpenAnswer(stream_id, Qos(chunk_bytes), index, status, words)))


async def post_key(desk: Desk, call: Call) -> Answer:
    """One chunk; one that came before has no effect."""
    query_of(call.query, ())
    asked = decoded(call.body, call.content_type, PushKey)
    chunk = memoryview(asked.Key_buffer)
    wanted, status, words = await _asked(
        desk,
        call,
        lambda intake, utc: intake.take(asked.Key_stream_ID.lower(), asked.index, chunk, now_utc=utc),
    )
    return Answer(msgspec.json.encode(PushAnswer(wanted or 0, status, words)))


async def post_close(desk: Desk, call: Call) -> Answer:
    """CLOSE: the answer is the receipt."""
    query_of(call.query, ())
    asked = decoded(call.body, call.content_type, Close)
    _, status, words = await _asked(
        desk, call, lambda intake, utc: intake.close(asked.Key_stream_ID.lower(), now_utc=utc)
    )
    return Answer(msgspec.json.encode(CloseAnswer(status, words)))


async def _asked(
    desk: Desk, call: Call, work: Callable[[Intake, str], T], *, chunk_bytes: int = CHUNK_BYTES
) -> tuple[T | None, int, str]:
    """What the intake says, or the standard's status for what it refuses, in words. Raises Refusal."""
    try:
        return await desk.push(call.caller, work, chunk_bytes=chunk_bytes), DONE, ""
    except PUSH_WANTS as want:
        return None, _status_of(want), str(want)


def _status_of(want: Error) -> int:
    status = STATUS_OF.get(type(want))
    if status is None:
        raise bad_request(str(want)[:300])
    return status


PUSH: Final = (
    Route(
        "postOpenConnect", "POST", OPEN_PATH, post_open, "From nodes: begin a stream of key, or go on",
        OpenAnswer, body=OpenConnect, body_required=True, asked_by="node", body_bytes=BODY_BYTES,
    ),
    Route(
        "postPushKey", "POST", KEY_PATH, post_key, "From nodes: one chunk of key", PushAnswer,
        body=PushKey, body_required=True, asked_by="node", body_bytes=BODY_BYTES,
    ),
    Route(
        "postClose", "POST", CLOSE_PATH, post_close, "From nodes: the block is whole", CloseAnswer,
        body=Close, body_required=True, asked_by="node", body_bytes=BODY_BYTES,
    ),
)  # fmt: skip
