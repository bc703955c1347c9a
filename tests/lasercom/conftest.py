"""Two ends of a laser link and the two channels between them, on virtual time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from satqkd.lasercom import Channel, Direction, Endpoint, FrameLoss

TICK_S = 0.05
TAG = b"pass"
Mischief = Callable[[list[bytes]], list[bytes]]


def make_endpoint(direction: Direction, *, rate_bit_s: float = 10e6, **settings: object) -> Endpoint:
    chosen = {
        "link_tag": TAG,
        "boot": 1,
        "light_time_s": lambda now_s: 0.004,
        "maximum_message_bytes": 4 << 20,
        **settings,
    }
    return Endpoint(direction=direction, rate_bit_s=rate_bit_s, **chosen)


@dataclass
class Link:
    """`down` is satellite to station, `up` the way back; `mischief` may change what a channel delivers."""

    loss: float | tuple[float, float] = 0.0
    rates_bit_s: tuple[float, float] = (10e6, 2e6)
    light_time_s: float = 0.004
    seed: int = 1
    outages: Sequence[tuple[float, float]] = ()
    mischief: Mischief = list
    settings: dict[str, object] = field(default_factory=dict)
    opened: bool = True

    def __post_init__(self) -> None:
        losses = self.loss if isinstance(self.loss, tuple) else (self.loss, self.loss)
        self.down, self.up = (
            Channel(
                rate_bit_s=rate,
                frame_loss=FrameLoss.constant(loss),
                rng=np.random.default_rng([self.seed, n]),
                outages=self.outages,
            )
            for n, (rate, loss) in enumerate(zip(self.rates_bit_s, losses, strict=True))
        )
        self.satellite, self.station = (
            make_endpoint(direction, rate_bit_s=rate, **self.settings)
            for direction, rate in zip(Direction, self.rates_bit_s, strict=True)
        )
        self.ticks = 0
        self.at_station: list[tuple[float, int, bytes]] = []
        self.at_satellite: list[tuple[float, int, bytes]] = []
        self.trace: list[bytes] = []
        while self.opened and not (self.satellite.connection and self.station.connection):
            self.tick()

    @property
    def now_s(self) -> float:
        return self.ticks * TICK_S

    def tick(self) -> None:
        for end, channel in ((self.satellite, self.down), (self.station, self.up)):
            for datagram in end.data_to_send(self.now_s):
                self.trace.append(datagram)
                channel.submit(datagram, self.now_s, self.light_time_s)
        self.ticks += 1
        for channel, end, inbox in (
            (self.down, self.station, self.at_station),
            (self.up, self.satellite, self.at_satellite),
        ):
            for datagram in self.mischief(channel.due(self.now_s)):
                end.receive(datagram, self.now_s)
            while (message := end.next_message()) is not None:
                inbox.append((self.now_s, *message))

    def run(self, *, until_s: float) -> None:
        while self.now_s < until_s and not (self.satellite.idle and self.station.idle):
            self.tick()


def spoil(rng: np.random.Generator) -> Mischief:
    """Deliver some datagrams twice, some with one to three bits flipped, some stale ones again."""
    old: list[bytes] = []

    def spoiled(datagrams: list[bytes]) -> list[bytes]:
        delivered = []
        for datagram in datagrams:
            old.append(datagram)
            if rng.random() < 0.1:
                damaged = bytearray(datagram)
                for bit in rng.choice(8 * len(damaged), size=int(rng.integers(1, 4)), replace=False):
                    damaged[bit // 8] ^= 1 << (bit % 8)
                delivered.append(bytes(damaged))
                if rng.random() < 0.5:
                    continue
            delivered.append(datagram)
            if rng.random() < 0.1:
                delivered.append(old[int(rng.integers(len(old)))])
        return delivered

    return spoiled


@pytest.fixture(scope="session")
def link() -> type[Link]:
    return Link


@pytest.fixture(scope="session")
def endpoint() -> Callable[..., Endpoint]:
    return make_endpoint


@pytest.fixture(scope="session")
def spoiler() -> Callable[[np.random.Generator], Mischief]:
    return spoil
