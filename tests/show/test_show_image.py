"""The demo's image and its file format."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from satqkd.errors import DataFormatError
from satqkd.show import as_noise, demo_image, from_ppm, to_ppm


def test_the_demo_image_is_the_same_every_time_and_fits_the_pad():
    first = demo_image()
    assert first.shape == (100, 200, 3) and first.dtype == np.uint8
    assert (first == demo_image()).all()
    assert 8 * len(to_ppm(first)) < 550_000


def test_the_demo_image_shows_something():
    grey = demo_image().mean(axis=2)
    assert np.ptp(grey) > 200
    assert grey[:20].mean() < grey[60:68].mean() - 20, "the sky is darkest above"


@pytest.mark.parametrize("size", [(16, 16), (31, 77), (640, 320)])
def test_other_sizes(size: tuple[int, int]):
    assert demo_image(*size).shape == (size[1], size[0], 3)


def test_a_size_without_room_for_a_picture_is_refused():
    with pytest.raises(DataFormatError, match="at least 16 x 16"):
        demo_image(15, 100)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    colour=st.booleans(),
    fill=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_round_trip(height: int, width: int, colour: bool, fill: int):
    shape = (height, width, 3) if colour else (height, width)
    pixels = np.random.default_rng(fill).integers(0, 256, shape, dtype=np.uint8)
    data = to_ppm(pixels)
    back = from_ppm(data)
    assert back.shape == shape and (back == pixels).all() and back.flags.writeable
    header = f"P{6 if colour else 5}\n{width} {height}\n255\n"
    assert data == header.encode() + pixels.tobytes()


def test_pixels_that_look_like_header_space_stay_pixels():
    pixels = np.frombuffer(b"\n 9\t\r1", dtype=np.uint8).reshape(2, 3)
    assert (from_ppm(to_ppm(pixels)) == pixels).all()


@given(data=st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_image_or_refused(data: bytes):
    check_read(data)


@given(
    cut=st.integers(0, 40),
    at=st.integers(0, 10),
    byte=st.integers(0, 255),
)
@example(cut=0, at=3, byte=ord("0"))
@example(cut=0, at=5, byte=ord("9"))
@settings(max_examples=200, deadline=None)
def test_a_damaged_image_is_an_image_or_refused(cut: int, at: int, byte: int):
    data = bytearray(to_ppm(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)))
    data[at] = byte
    check_read(bytes(data[: len(data) - cut]))


def check_read(data: bytes) -> None:
    try:
        pixels = from_ppm(data)
    except DataFormatError as error:
        assert str(error).startswith("image: expected")
    else:
        assert data.endswith(pixels.tobytes()) and pixels.size > 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P3\n1 1\n255\n0 0 0",
        b"P6\n1 1\n255\n\0\0",
        b"P6\n1 1\n255\n\0\0\0\0",
        b"P5\n0 1\n255\n",
        b"P5\n1 1\n65535\n\0\0",
        b"P5\n999999999 999999999\n255\n\0",
        b"P5\n# note\n1 1\n255\n\0",
    ],
)
def test_what_is_no_image_is_refused(data: bytes):
    with pytest.raises(DataFormatError, match="image: expected"):
        from_ppm(data)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros(4, np.uint8), np.zeros((0, 4), np.uint8)],
)
def test_what_is_no_pixels_is_refused(pixels: np.ndarray):
    with pytest.raises(DataFormatError, match="image: expected uint8"):
        to_ppm(pixels)


def test_noise_shows_the_bytes_where_the_pixels_were():
    image = demo_image(40, 20)
    data = to_ppm(image)
    pad = np.random.default_rng(2).bytes(len(data))
    ciphertext = bytes(a ^ b for a, b in zip(data, pad, strict=True))
    noise = as_noise(ciphertext, image.shape)
    assert noise.shape == image.shape
    assert ((noise ^ image).tobytes()) == pad[-image.size :]
    with pytest.raises(DataFormatError, match="at least the 2400 bytes"):
        as_noise(ciphertext[:2399], image.shape)
