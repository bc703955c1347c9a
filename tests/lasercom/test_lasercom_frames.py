"""The frame codec: bytes fixed, damage found, nothing raised for what comes from outside."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import LocalProtocolError
from satqkd.lasercom import frames
from satqkd.lasercom.frames import Direction, Frame, Held, Kind, decode, encode

PAGE = Path(__file__).parents[2] / "docs" / "wire-link.md"
U32 = st.integers(0, 2**32 - 1)

GOLDEN_DATA = Frame(Kind.DATA, bytes.fromhex("01020304"), 3, 5, Direction.FROM_STATION, 1, 258, 5, 2, b"llo")
GOLDEN_HELD = (Held(0, 0), Held(7, 0b10110), Held(2, 0), Held(0, 0))


@st.composite
def data_frames(draw: st.DrawFn) -> Frame:
    total = draw(st.integers(0, 5000))
    offset = draw(st.integers(0, max(total - 1, 0)))
    size = min(total - offset, draw(st.integers(1, frames.MAXIMUM_PAYLOAD_BYTES)))
    payload = draw(st.binary(min_size=min(size, 20), max_size=min(size, 20))).ljust(size, b"x")
    tag = draw(st.binary(min_size=4, max_size=4))
    direction = draw(st.sampled_from(Direction))
    boots = draw(st.integers(1, 2**32 - 1)), draw(U32)
    return Frame(
        Kind.DATA, tag, *boots, direction, draw(st.integers(0, 3)), draw(U32), total, offset, payload
    )


@given(data_frames())
@settings(max_examples=200, deadline=None)
def test_a_frame_comes_back_as_it_was(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


def test_the_bytes_are_the_published_ones() -> None:
    data = "5351020001020304" + "03000000" + "05000000" + "0101" + "0300"
    data += "02010000" + "05000000" + "02000000" + "6c6c6f"
    expected = bytes.fromhex(data)
    expected += zlib.crc32(expected).to_bytes(4, "little")
    assert encode(GOLDEN_DATA) == expected
    held = frames.encode_held(GOLDEN_HELD)
    nothing = "00000000" + "0000"
    assert held == bytes.fromhex(nothing + "07000000" + "0100" + "16" + "02000000" + "0000" + nothing)
    ends = bytes.fromhex("01020304"), 5, 3, Direction.FROM_SATELLITE
    acknowledgement = Frame(Kind.ACK, *ends, 0, 9, 0, 0, held)
    opening = Frame(Kind.OPEN, bytes.fromhex("01020304"), 5, 0, Direction.FROM_SATELLITE, 0, 0, 0, 0, b"")
    page = PAGE.read_text().replace(" ", "").replace("\n", "")
    for frame in (GOLDEN_DATA, acknowledgement, opening):
        assert encode(frame).hex() in page


@pytest.mark.parametrize("size", [0, 1, 40, frames.MAXIMUM_PAYLOAD_BYTES])
def test_flipped_bits_are_found(size: int) -> None:
    rng = np.random.default_rng(size)
    good = encode(Frame(Kind.DATA, b"pass", 1, 1, Direction.FROM_SATELLITE, 0, 3, size, 0, rng.bytes(size)))
    bits = range(8 * len(good)) if size < 100 else rng.choice(8 * len(good), size=2000, replace=False)
    for first in bits:
        for second in (first, int(rng.integers(8 * len(good)))):
            bad = bytearray(good)
            for bit in {int(first), second}:
                bad[bit // 8] ^= 1 << (bit % 8)
            assert decode(bytes(bad)) is None


@given(st.binary(max_size=1300))
@settings(max_examples=300, deadline=None)
def test_noise_is_no_frame(noise: bytes) -> None:
    assert decode(noise) is None


@given(st.binary(min_size=20, max_size=60), st.booleans())
@settings(max_examples=500, deadline=None)
def test_only_canonical_frames_with_a_good_checksum_are_taken(tail: bytes, honest_length: bool) -> None:
    body = bytearray(
        b"SQ\x02" + bytes([tail[0] % 4]) + b"pass" + tail[6:14] + bytes([tail[1] % 3, tail[2] % 5]) + tail[3:]
    )
    if honest_length and len(body) >= 32:
        body[18:20] = (len(body) - 32).to_bytes(2, "little")
        body[24:32] = bytes([tail[4], 0, 0, 0, tail[5], 0, 0, 0])
    datagram = bytes(body) + zlib.crc32(bytes(body)).to_bytes(4, "little")
    frame = decode(datagram)
    assert frame is None or encode(frame) == datagram


@pytest.mark.parametrize(
    ("position", "value"),
    [(0, 0x54), (2, 3), (3, 3), (8, 0), (16, 2), (17, 4), (18, 4), (24, 4), (28, 3)],
    ids=["magic", "version", "kind", "boot", "direction", "stream", "length", "message too short", "offset"],
)
def test_a_good_checksum_does_not_save_a_wrong_field(position: int, value: int) -> None:
    body = bytearray(encode(GOLDEN_DATA)[:-4])
    body[position] = value
    assert decode(bytes(body) + zlib.crc32(bytes(body)).to_bytes(4, "little")) is None


HELD = st.builds(Held, U32, st.integers(0, 2**frames.MAXIMUM_WINDOW_FRAMES - 1))


SMALL = st.builds(Held, U32, st.integers(0, 2**512 - 1))


@given(st.tuples(HELD, SMALL, SMALL, SMALL))
@settings(max_examples=100, deadline=None)
def test_what_is_held_comes_back_and_fits_a_frame(held: tuple[Held, ...]) -> None:
    payload = frames.encode_held(held)
    assert len(payload) <= frames.MAXIMUM_PAYLOAD_BYTES
    assert frames.decode_held(payload) == held


@given(st.tuples(HELD, HELD, HELD, HELD))
@settings(max_examples=100, deadline=None)
def test_what_has_no_room_is_not_told_and_nothing_else_is(held: tuple[Held, ...]) -> None:
    payload = frames.encode_held(held)
    assert len(payload) <= frames.MAXIMUM_PAYLOAD_BYTES
    told = frames.decode_held(payload)
    assert told is not None
    for mine, theirs in zip(held, told, strict=True):
        assert theirs.expected == mine.expected
        assert theirs.bitmap & mine.bitmap == theirs.bitmap
        assert mine.bitmap % (1 << theirs.bitmap.bit_length()) == theirs.bitmap


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_malformed_acknowledgements_are_refused(payload: bytes) -> None:
    held = frames.decode_held(payload)
    assert held is None or frames.encode_held(held) == payload


def test_a_bitmap_ends_with_its_last_set_bit() -> None:
    longer = bytes.fromhex("07000000" + "0200" + "1600" + 3 * ("00000000" + "0000"))
    assert frames.decode_held(longer) is None


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Kind.DATA, b"pas", 1, 1, Direction.FROM_STATION, 0, 0, 1, 0, b"x"),
        Frame(Kind.DATA, b"pass", 1, 1, Direction.FROM_STATION, 4, 0, 1, 0, b"x"),
        Frame(Kind.DATA, b"pass", 0, 1, Direction.FROM_STATION, 0, 0, 1, 0, b"x"),
        Frame(Kind.DATA, b"pass", 1, 1 << 32, Direction.FROM_STATION, 0, 0, 1, 0, b"x"),
        Frame(Kind.OPEN, b"pass", 1, 1, Direction.FROM_STATION, 0, 0, 0, 0, b"x"),
        Frame(Kind.DATA, b"pass", 1, 1, Direction.FROM_STATION, 0, 1 << 32, 1, 0, b"x"),
        Frame(Kind.DATA, b"pass", 1, 1, Direction.FROM_STATION, 0, 0, 1, 1, b"x"),
        Frame(Kind.DATA, b"pass", 1, 1, Direction.FROM_STATION, 0, 0, 1, 0, b""),
        Frame(Kind.DATA, b"pass", 1, 1, Direction.FROM_STATION, 0, 0, 1101, 0, bytes(1101)),
        Frame(Kind.ACK, b"pass", 1, 1, Direction.FROM_STATION, 1, 0, 0, 0, b""),
    ],
)
def test_what_could_not_be_decoded_is_not_encoded(frame: Frame) -> None:
    with pytest.raises(LocalProtocolError, match="lasercom frame: expected"):
        encode(frame)
