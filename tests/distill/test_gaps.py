"""Rice coding of slot numbers: round trip, length against the entropy, and nothing a peer sends hurts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill import gaps
from satqkd.errors import LocalProtocolError, RemoteProtocolError
from satqkd.randomness import stream

LIMITS = {"start_slot": 100, "maximum_count": 1000, "end_slot": 100_000}


def geometric_slots(click_probability: float, n: int, seed: int = 1) -> np.ndarray:
    return np.cumsum(stream(seed, "gaps-test").geometric(click_probability, n)).astype(np.int64)


def bits(text: str) -> bytes:
    """'0110...' as wire bits, bit 0 first."""
    return np.packbits([int(c) for c in text], bitorder="little").tobytes()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1 << 45), st.lists(st.integers(0, 1 << 40), max_size=60))
def test_round_trip(start: int, steps: list[int]) -> None:
    slots = start + np.cumsum(np.array(steps, dtype=np.int64) + 1) - 1
    data = gaps.encode(slots, start_slot=start)
    end = int(slots[-1]) + 1 if slots.size else start
    decoded = gaps.decode(data, start_slot=start, maximum_count=60, end_slot=end)
    assert decoded.dtype == np.int64
    np.testing.assert_array_equal(decoded, slots)


@pytest.mark.parametrize("click_probability", [0.5, 0.1, 1e-3, 3e-5, 1.7e-5, 1e-6])
def test_length_is_within_an_eighth_of_a_bit_of_the_entropy(click_probability: float) -> None:
    p, n = click_probability, 100_000
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)) / p
    used = 8 * len(gaps.encode(geometric_slots(p, n), start_slot=1)) / n
    assert entropy - 0.02 < used < entropy + 0.14


def test_the_parameter_is_the_best_one() -> None:
    for mean in (0.3, 1.0, 2.5, 40.0, 777.0, 5e4):
        ratio = mean / (1 + mean)
        expected = [k + 1 + ratio ** (1 << k) / (1 - ratio ** (1 << k)) for k in range(30)]
        assert gaps.parameter(mean) == int(np.argmin(expected))


def test_wire_vector() -> None:
    """Slots 7, 8, 12 from 5: gaps 2, 0, 3; mean 5/3, parameter 1; plane 001, unary 01 1 01."""
    data = gaps.encode(np.array([7, 8, 12]), start_slot=5)
    assert data == bytes([3, 0, 0, 0, 1]) + bits("001" + "01101")
    assert gaps.encode(np.zeros(0, np.int64), start_slot=5) == bytes(5)


def test_exactly_the_limits_are_accepted_and_one_past_them_refused() -> None:
    data = gaps.encode(np.array([100, 200, 300]), start_slot=100)
    gaps.decode(data, start_slot=100, maximum_count=3, end_slot=301)
    with pytest.raises(RemoteProtocolError, match="slots below 300"):
        gaps.decode(data, start_slot=100, maximum_count=3, end_slot=300)
    with pytest.raises(RemoteProtocolError, match="at most 2 slots"):
        gaps.decode(data, start_slot=100, maximum_count=2, end_slot=301)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(4),
        bytes([0, 0, 0, 0, 1]),  # a parameter without slots
        bytes(6),  # a byte too much
        bytes([1, 0, 0, 0, 49]) + bytes(10),  # parameter out of range
        bytes([1, 0, 0, 0, 0]) + bits("00000000"),  # unary part without end
        bytes([1, 0, 0, 0, 0]) + bits("0101"),  # one gap too many: a set bit in the padding
        bytes([2, 0, 0, 0, 0]) + bits("01"),  # one gap too few
        bytes([1, 0, 0, 0, 0]) + bits("01000000" + "00000000"),  # a byte of padding
        bytes([255, 255, 255, 255, 48]) + bytes(100),  # claims 4 G slots
        bytes([1, 0, 0, 0, 40]) + bits("1" * 40 + "1"),  # slot far beyond the end
    ],
)
def test_malformed_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"announcement: expected .* got"):
        gaps.decode(data, **LIMITS)


def test_sums_that_would_wrap_around_are_refused() -> None:
    n, k = 60_000, 48
    planes = np.ones(n * k, np.uint8)
    data = (
        n.to_bytes(4, "little") + bytes([k]) + np.packbits(np.append(planes, np.ones(n, np.uint8))).tobytes()
    )
    with pytest.raises(RemoteProtocolError):
        gaps.decode(data, start_slot=0, maximum_count=n, end_slot=1 << 50)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_valid(data: bytes) -> None:
    check_bytes(data)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_encodings_are_refused_or_valid(draw: st.DataObject) -> None:
    """Near misses: a valid encoding, some bytes overwritten, cut or lengthened."""
    data = bytearray(gaps.encode(geometric_slots(0.02, 200) + 100, start_slot=100))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(-3, 3))
    check_bytes(bytes(data[:cut]) if cut < 0 else bytes(data) + bytes(cut))


def check_bytes(data: bytes) -> None:
    try:
        slots = gaps.decode(data, **LIMITS)
    except RemoteProtocolError:
        return
    assert slots.size <= 1000
    assert (np.diff(slots, prepend=99) > 0).all()
    assert slots.max(initial=0) < 100_000


@pytest.mark.parametrize("slots", [[5, 5], [6, 5], [3, 9]])
def test_own_mistakes_are_told(slots: list[int]) -> None:
    with pytest.raises(LocalProtocolError, match="increasing from 4"):
        gaps.encode(np.array(slots), start_slot=4)
