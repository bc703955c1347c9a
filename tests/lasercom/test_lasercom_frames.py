"""The frame codec: bytes fixed, damage found, nothing raised for what comes from outside."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import LocalProtocolError
from satqkd.lasercom import frames
from satqkd.lasercom.frames import Direction, Frame, Held, Kind, Priority, decode, encode

PAGE = Path(__file__).parents[2] / "docs" / "wire-link.md"
U32 = st.integers(0, 2**32 - 1)
BOOT = st.integers(1, 2**32 - 1)

TAG = bytes.fromhex("01020304")
GOLDEN_DATA = Frame(Kind.DATA, TAG, Direction.FROM_STATION, 6, 3, Priority.FILES, False, True, 258, b"llo")
GOLDEN_HELD = (Held(0, 0, 0), Held(7, 2, 0b10110), Held(0, 0, 0), Held(1, 1, 0))
PLAIN = (b"pass", Direction.FROM_STATION, 1, 1)


@st.composite
def data_frames(draw: st.DrawFn) -> Frame:
    size = draw(st.integers(0, frames.MAXIMUM_PAYLOAD_BYTES))
    payload = draw(st.binary(min_size=min(size, 20), max_size=min(size, 20))).ljust(size, b"x")
    tag = draw(st.binary(min_size=4, max_size=4))
    direction = draw(st.sampled_from(Direction))
    first, last = (draw(st.booleans()), draw(st.booleans())) if size else (True, True)
    boots = draw(st.tuples(BOOT, BOOT))
    return Frame(Kind.DATA, tag, direction, *boots, draw(st.integers(0, 3)), first, last, draw(U32), payload)


@given(data_frames())
@settings(max_examples=200, deadline=None)
def test_a_frame_comes_back_as_it_was(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


def test_the_bytes_are_the_published_ones() -> None:
    held = frames.encode_held(GOLDEN_HELD)
    entry_1, entry_3 = "07000000" + "02000000" + "0100" + "16", "01000000" + "01000000" + "0000"
    assert held == bytes.fromhex("0a" + entry_1 + entry_3)
    page = PAGE.read_text().replace(" ", "").replace("\n", "")
    for frame, head in (
        (GOLDEN_DATA, "535102" + "5c" + "01020304" + "06000000" + "03000000" + "02010000"),
        (
            Frame(Kind.ACK, TAG, Direction.FROM_SATELLITE, 3, 6, sequence=9, payload=held),
            "535102" + "01" + "01020304" + "03000000" + "06000000" + "09000000",
        ),
        (
            Frame(Kind.OPEN, TAG, Direction.FROM_STATION, 6, 0),
            "535102" + "06" + "01020304" + "06000000" + "00000000" + "00000000",
        ),
    ):
        expected = bytes.fromhex(head) + frame.payload
        expected += zlib.crc32(expected).to_bytes(4, "little")
        assert encode(frame) == expected and expected.hex() in page


@pytest.mark.parametrize("size", [0, 1, 40, frames.MAXIMUM_PAYLOAD_BYTES])
def test_flipped_bits_are_found(size: int) -> None:
    rng = np.random.default_rng(size)
    good = encode(Frame(Kind.DATA, *PLAIN, 0, True, True, 3, rng.bytes(size)))
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


@given(st.integers(0, 255), st.binary(max_size=40))
@settings(max_examples=500, deadline=None)
def test_only_canonical_frames_with_a_good_checksum_are_taken(flags: int, tail: bytes) -> None:
    body = b"SQ\x02" + bytes([flags]) + b"pass" + bytes(3).join([b"\x01", b"\x00", b""]) + tail
    datagram = body + zlib.crc32(body).to_bytes(4, "little")
    frame = decode(datagram)
    assert frame is None or encode(frame) == datagram


@pytest.mark.parametrize(
    ("position", "value"),
    [(0, 0x54), (2, 1), (2, 3), (3, 0x5D), (3, 0x5F), (3, 0xDC), (8, 0), (12, 0)],
    ids=["magic", "older", "newer", "an ACK with a stream", "kind", "spare bit", "boot", "peer boot"],
)
def test_a_good_checksum_does_not_save_a_wrong_field(position: int, value: int) -> None:
    body = bytearray(encode(GOLDEN_DATA)[:-4])
    body[position] = value
    assert decode(bytes(body) + zlib.crc32(bytes(body)).to_bytes(4, "little")) is None


HELD = st.one_of(
    st.just(frames.NOTHING_HELD),
    st.builds(Held, U32, U32, st.integers(0, 2**frames.MAXIMUM_WINDOW_FRAMES - 1)),
)


@given(st.tuples(HELD, HELD, HELD, HELD))
@settings(max_examples=100, deadline=None)
def test_what_is_held_comes_back_and_fits_a_frame(held: tuple[Held, ...]) -> None:
    payload = frames.encode_held(held)
    assert len(payload) <= frames.MAXIMUM_PAYLOAD_BYTES
    assert frames.decode_held(payload) == held


@given(st.binary(max_size=40))
@settings(max_examples=500, deadline=None)
def test_malformed_acknowledgements_are_refused(payload: bytes) -> None:
    held = frames.decode_held(payload)
    assert held is None or frames.encode_held(held) == payload


def test_four_full_bitmaps_fit_a_frame() -> None:
    full = Held(2**32 - 1, 2**32 - 1, 2**frames.MAXIMUM_WINDOW_FRAMES - 1)
    assert len(frames.encode_held(4 * (full,))) <= frames.MAXIMUM_PAYLOAD_BYTES


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "01" + "07000000" + "00000000" + "0200" + "1600",
        "01" + "00000000" + "00000000" + "0000",
        "10" + "07000000" + "00000000" + "0000",
        "00" + "00",
    ],
    ids=["empty", "a bitmap that ends in 0", "an entry of nothing", "a fifth stream", "more than it says"],
)
def test_an_acknowledgement_has_one_form(payload: str) -> None:
    assert frames.decode_held(bytes.fromhex(payload)) is None


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Kind.DATA, b"pas", Direction.FROM_STATION, 1, 1, 0, True, True, 0, b"x"),
        Frame(Kind.DATA, *PLAIN, 4, True, True, 0, b"x"),
        Frame(Kind.DATA, *PLAIN, 0, True, True, 1 << 32, b"x"),
        Frame(Kind.DATA, *PLAIN, 0, True, False, 0, b""),
        Frame(Kind.DATA, *PLAIN, 0, True, True, 0, bytes(frames.MAXIMUM_PAYLOAD_BYTES + 1)),
        Frame(Kind.DATA, b"pass", Direction.FROM_STATION, 0, 1, 0, True, True, 0, b"x"),
        Frame(Kind.DATA, b"pass", Direction.FROM_STATION, 1, 0, 0, True, True, 0, b"x"),
        Frame(Kind.ACK, *PLAIN, 1, False, False, 0, b""),
        Frame(Kind.OPEN, *PLAIN, payload=b"x"),
    ],
)
def test_what_could_not_be_decoded_is_not_encoded(frame: Frame) -> None:
    with pytest.raises(LocalProtocolError, match="lasercom frame: expected"):
        encode(frame)
