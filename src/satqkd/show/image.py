"""The image that the demo sends under one-time pad: drawn by code, so no file is shipped.

A night landscape with a satellite, its track and its laser beam, the same for everybody. The file format
is the binary netpbm one (P5 grey, P6 colour): a few bytes of header, then one byte a sample, so that
the bytes of a ciphertext can be shown as pixels. Knows no key and no file system.
"""

import math
import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError
from satqkd.randomness import stream

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]

WIDTH: Final = 200
HEIGHT: Final = 100
"""Default size in pixels: 60 015 bytes as colour, which takes 0.48 Mbit of key."""

_HEADER_BYTES: Final = 32
"""More than the header of any picture of the demo takes."""
_HEADER: Final = re.compile(rb"(P[56])[ \t\r\n]+(\d{1,9})[ \t\r\n]+(\d{1,9})[ \t\r\n]+(\d{1,9})[ \t\r\n]")
_STATION: Final = (0.30, 0.80)
_SATELLITE: Final = (0.66, 0.17)
"""Places as fractions of width and height from the upper left corner."""


def demo_image(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """The demo's picture, uint8 of shape (height, width, 3), the same at every call.

    width, height: pixels, at least 16 each. Raises DataFormatError below.
    """
    if width < 16 or height < 16:
        raise DataFormatError(f"demo image: expected at least 16 x 16 pixels, got {width} x {height}")
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    picture = _sky(x, y)
    _add_stars(picture)
    for layer, (crest, colour) in enumerate(_RIDGES):
        inside = y > _ridge(x, layer, crest)
        picture[inside] = _lit(np.asarray(colour), y[inside], crest)
    _add_beam(picture, x, y)
    _add_station(picture, x, y)
    return np.asarray(np.clip(picture * 255, 0, 255).round(), dtype=np.uint8)


def fitted_image(most_bytes: int) -> Pixels:
    """The demo's picture, twice as wide as high, as large as its netpbm file may be.

    Raises DataFormatError when not even the smallest fits.
    """
    height = math.isqrt(max(0, most_bytes - _HEADER_BYTES) // 6)
    return demo_image(2 * height, height)


def to_ppm(pixels: Pixels) -> bytes:
    """Pixels as a binary netpbm file: shape (height, width) as P5, (height, width, 3) as P6.

    Its size is the number of samples plus the header `P6\\n200 100\\n255\\n`. Raises DataFormatError for
    another dtype or shape.
    """
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (colour or pixels.ndim == 2) or pixels.size == 0:
        raise DataFormatError(
            f"image: expected uint8 of shape (height, width) or (height, width, 3), got {pixels.dtype} "
            f"{pixels.shape}"
        )
    height, width = pixels.shape[:2]
    return b"%s\n%d %d\n255\n" % (b"P6" if colour else b"P5", width, height) + pixels.tobytes()


def from_ppm(data: bytes) -> Pixels:
    """Pixels of a binary netpbm file of 8 bits a sample without comments; a copy of its own.

    Returns uint8 of shape (height, width) for P5, (height, width, 3) for P6. Raises DataFormatError for
    anything else: another format, another depth, too few or too many bytes.
    """
    header = _HEADER.match(data)
    if header is None:
        raise DataFormatError(f"image: expected a binary netpbm file, P5 or P6, got {data[:12]!r}...")
    width, height, depth = (int(header[group]) for group in (2, 3, 4))
    shape = (height, width, 3) if header[1] == b"P6" else (height, width)
    expected = height * width * (3 if header[1] == b"P6" else 1)
    if depth != 255 or expected == 0:
        raise DataFormatError(f"image: expected a size and the depth 255, got {width} x {height}, {depth}")
    if len(data) - header.end() != expected:
        raise DataFormatError(
            f"image: expected {expected} bytes of pixels for {width} x {height}, got "
            f"{len(data) - header.end()}; the file is cut short or has something behind it"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header.end()).reshape(shape).copy()


def as_noise(ciphertext: bytes, shape: tuple[int, ...]) -> Pixels:
    """The ciphertext's bytes as an image of this shape: what a listener sees in the image's place.

    Takes the last bytes, because in the file the pixels come after the header. Raises DataFormatError
    when the ciphertext is shorter than the image.
    """
    size = int(np.prod(shape))
    if len(ciphertext) < size or size == 0:
        raise DataFormatError(
            f"ciphertext: expected at least the {size} bytes of an image of shape {shape}, "
            f"got {len(ciphertext)}"
        )
    return np.frombuffer(ciphertext[-size:], dtype=np.uint8).reshape(shape).copy()


_RIDGES: Final = (
    (0.66, (0.150, 0.170, 0.310)),
    (0.75, (0.085, 0.105, 0.205)),
    (0.86, (0.030, 0.045, 0.100)),
)
"""Crest as a fraction of the height and colour of each mountain range, the farthest first."""
_SKY_DEPTHS: Final = (0.0, 0.35, 0.58, 0.72, 1.0)
_SKY_COLOURS: Final = (
    (0.020, 0.035, 0.110),
    (0.065, 0.090, 0.250),
    (0.290, 0.200, 0.430),
    (0.900, 0.520, 0.420),
    (0.980, 0.740, 0.460),
)


def _sky(x: Plane, y: Plane) -> Plane:
    """From night above to the last light at the horizon, and the haze of the Milky Way across it."""
    planes = [np.interp(y, _SKY_DEPTHS, channel) for channel in np.transpose(_SKY_COLOURS)]
    across = y - 0.42 + 0.45 * x + 0.03 * np.sin(9 * x)
    ripple = 1 + 0.35 * np.sin(31 * x + 17 * y) * np.sin(23 * y - 11 * x)
    haze = 0.13 * np.exp(-((across / 0.09) ** 2)) * np.clip(1 - y / 0.6, 0, 1) * ripple
    return np.asarray(np.stack(planes, axis=-1) + haze[..., None] * np.array([0.85, 0.9, 1.1]))


def _add_stars(picture: Plane) -> None:
    height, width = picture.shape[:2]
    rng = stream(0, "show", "stars")
    count = width * height // 90
    columns = (rng.random(count) * width).astype(np.int64)
    rows = (rng.random(count) ** 1.4 * height * 0.62).astype(np.int64)
    glow = rng.random(count) ** 5 * (1 - rows / (0.66 * height))
    np.add.at(picture, (rows, columns), glow[:, None] * np.array([0.95, 0.97, 1.0]))


def _add_beam(picture: Plane, x: Plane, y: Plane) -> None:
    """The satellite's dashed track, the satellite on it, and the light between it and the station."""
    aspect = picture.shape[1] / picture.shape[0]
    along, aside = _along_beam(x, y, aspect)
    within = (along > 0) & (along < 1)
    width = 0.006 + 0.020 * along
    beam = np.exp(-((aside / width) ** 2)) * within * (0.85 - 0.45 * along)
    picture += beam[..., None] * np.array([0.20, 0.95, 0.55])
    track = np.abs(y - _track(x)) < 0.5 / picture.shape[0]
    picture[track & ((x * 36 % 1) < 0.45)] += 0.28
    distance = np.hypot((x - _SATELLITE[0]) * aspect, y - _SATELLITE[1])
    picture += np.exp(-((distance / 0.028) ** 2))[..., None] * np.array([0.9, 1.0, 0.95])
    panels = (np.abs(y - _SATELLITE[1]) < 0.014) & (np.abs(x - _SATELLITE[0]) * aspect < 0.075)
    picture[panels] = (0.55, 0.75, 0.95)
    picture[distance < 0.024] = (1.0, 1.0, 0.97)


def _track(x: Plane) -> Plane:
    return np.asarray(_SATELLITE[1] + (x - _SATELLITE[0]) * (0.55 * (x - _SATELLITE[0]) - 0.06))


def _along_beam(x: Plane, y: Plane, aspect: float) -> tuple[Plane, Plane]:
    """Fraction of the way down the beam, and the distance from its axis in image heights."""
    dx, dy = (_STATION[0] - _SATELLITE[0]) * aspect, _STATION[1] - _SATELLITE[1]
    length = np.hypot(dx, dy)
    px, py = (x - _SATELLITE[0]) * aspect, y - _SATELLITE[1]
    return (px * dx + py * dy) / length**2, (px * dy - py * dx) / length


def _ridge(x: Plane, layer: int, crest: float) -> Plane:
    """A jagged line: sines of falling size, phases of their own in each layer."""
    phase = stream(0, "show", f"ridge{layer}").random(6) * 2 * np.pi
    line = np.full_like(x, crest)
    for k in range(6):
        line -= 0.055 * np.sin(2 * np.pi * (1.3 + layer) * 1.9**k * x + phase[k]) / 1.85**k
    return line


def _lit(colour: NDArray[np.float64], y: Plane, crest: float) -> Plane:
    """Mountains lighten towards the valley, as haze does."""
    haze = np.clip(y - crest + 0.08, 0, 0.2)
    return np.asarray(colour + haze[:, None] * np.array([0.35, 0.25, 0.35]))


def _add_station(picture: Plane, x: Plane, y: Plane) -> None:
    """A dome on the nearest range, its slit open."""
    aspect = picture.shape[1] / picture.shape[0]
    dx, dy = (x - _STATION[0]) * aspect, y - _STATION[1] - 0.05
    dome = (np.hypot(dx, dy) < 0.06) & (dy < 0)
    wall = (np.abs(dx) < 0.06) & (dy >= 0) & (dy < 0.07)
    shade = np.clip(0.85 + 4 * dx, 0.45, 1.0)
    picture[dome | wall] = shade[dome | wall, None] * np.array([0.88, 0.90, 0.95])
    picture[dome & (np.abs(dx - 0.02) < 0.011)] = (0.10, 0.42, 0.28)
