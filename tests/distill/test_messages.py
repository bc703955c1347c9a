"""Messages: the bytes on the wire, and what is refused before anything is built from it."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill import messages as m
from satqkd.errors import RemoteProtocolError

TABLE = ((1, 2, 3), (4, 5, 6))
ONE_OF_EACH: tuple[m.Message, ...] = (
    m.Hello("sat", "sta", bytes(32), 256, (m.RawClaim("p.block0", "pooled.x", 1000, 2000),)),
    m.BeaconSchedule(1e4, 5e-6),
    m.LockReport(True, 7),
    m.Announce(0, 5, 2, b"gaps"),
    m.Cut(0, 70_000),
    m.Keep(0, 2, bytes(16)),
    m.Kept(0, bytes(16)),
    m.Ended(0, 2),
    m.Bases(0, 2, b"\x01"),
    m.Sift(0, b"\x03", b"\x01", b"\x00", b"\x01"),
    m.Crossed(0, b"\x01"),
    m.ChooseCodes(0, (3, 4)),
    m.Parities(0, 1, b"parities"),
    m.Verdicts(0, 1, b"\x01"),
    m.Reveal(0, 1, b"values"),
    m.Verify(0, b"seed", b"tag"),
    m.Close(0, b"tag", TABLE, bytes(16)),
    m.Amplify(0, (8, 16), (b"one", b"two"), bytes(16)),
    m.Confirm(0, bytes(16)),
    m.Confirmed(0, True, bytes(16)),
    m.Done(0, True),
    m.Abandon(0, "aborted", "too noisy"),
    m.Values(0, (b"one", b"two")),
    m.Errors(0, TABLE),
)


def enveloped(message: Any, sequence: int = 0) -> m.Envelope:
    return m.Envelope(m.VERSION, "a.pass", sequence, message)


def plain(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def test_the_samples_cover_every_message() -> None:
    assert {type(each) for each in ONE_OF_EACH} == set(get_args(m.AnyMessage))


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda each: type(each).__name__)
def test_a_message_is_an_array_that_begins_with_its_name(message: Any) -> None:
    data = m.encode(enveloped(message, 9))
    assert m.decode(data) == enveloped(message, 9)
    version, pass_id, sequence, (name, *_) = msgspec.msgpack.decode(data)
    assert (version, pass_id, sequence, name) == (2, "a.pass", 9, type(message).__name__)


def test_golden_bytes() -> None:
    data = m.encode(m.Envelope(m.VERSION, "p", 3, m.Announce(2, 70_000, 1, b"\x01\x00\x00\x00\x00\x01")))
    assert (
        data.hex() == "9402a17003" + "95a8416e6e6f756e6365" + "02" + "ce00011170" + "01" + "c406010000000001"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        plain({"version": 1}),
        plain([2, "p", 0]),
        plain([2, "p", 0, ["Nonsense", 0]]),
        plain([2, "p", 0, ["Done", 0, True, 5]]),
        plain([2, "p", 0, ["Done", 0]]),
        plain([2, "p", -1, ["Done", 0, True]]),
        plain([2, "p", 0, ["Done", 2**16, True]]),
        plain([2, "p" * 129, 0, ["Done", 0, True]]),
        plain([2, "p", 0, ["Done", 0, True], "more"]),
        plain([2, "p", 0, ["Confirm", 0, bytes(15)]]),
        plain([2, "p", 0, ["Hello", "a", "b", bytes(31), 0, []]]),
        plain([2, "p", 0, ["Hello", "a", "b", bytes(32), 0]]),
        plain([2, "p", 0, ["Hello", "a", "b", bytes(32), 0, [["c", "p", -1, 0]]]]),
        plain([2, "p", 0, ["Verify", 0, bytes(257), b""]]),
        plain([2, "p", 0, ["Verdicts", 0, 2, b""]]),
        plain([2, "p", 0, ["ChooseCodes", 0, [1, 2, 3]]]),
        plain([2, "p", 0, ["Abandon", 0, "key", ""]]),
        plain([2, "p", 0, ["Errors", 0, [[-1, 0, 0], [0, 0, 0]]]]),
        plain([1, "p", 0, ["Done", 0, True]]),
    ],
    ids=range(21),
)
def test_what_is_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        m.decode(data)


def test_a_message_above_the_cap_is_refused_unread() -> None:
    with pytest.raises(RemoteProtocolError, match="at most"):
        m.decode(bytes(m.MAXIMUM_MESSAGE_BYTES + 1))


def test_another_version_says_what_to_do() -> None:
    with pytest.raises(RemoteProtocolError, match="version 2, the peer speaks 3"):
        m.decode(plain([3, "p", 0, ["Done", 0, True]]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_the_one_error(data: bytes) -> None:
    try:
        m.decode(data)
    except RemoteProtocolError:
        return


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ONE_OF_EACH), st.data())
def test_any_changed_byte_is_another_message_or_the_one_error(message: Any, draw: st.DataObject) -> None:
    data = bytearray(m.encode(enveloped(message)))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        assert isinstance(m.decode(bytes(data)).message, m.Message)
    except RemoteProtocolError:
        return
