"""The laser link between two terminals: the time master's model of what flies between them.

One channel each way, with its rate, light time, frame loss in time and impairments. Ticks are counted in
whole numbers, so that memory and processes see the same times. Looks into no datagram.
"""

from collections.abc import Callable, Sequence
from typing import Final

from satqkd.config.lasercom import Impairments, Lasercom
from satqkd.lasercom import Channel, ChannelCounts, Fates, FrameLoss
from satqkd.mission.contact import Contact
from satqkd.mission.fading import Fading
from satqkd.mission.flown import FlownContact
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.randomness import stream

Tap = Callable[[str, float, bytes], None]
"""Called with direction, pass time and bytes of every datagram given to a transmitter."""
DOWN: Final = "down"
UP: Final = "up"


class LaserLink:
    """Both directions of one contact's laser link, given how each loses frames."""

    def __init__(
        self,
        contact: FlownContact,
        down: FrameLoss,
        up: FrameLoss,
        *,
        seed: int,
        tap: Tap | None = None,
        outages: Sequence[tuple[float, float]] = (),
    ) -> None:
        self._contact = contact
        self._tap = tap
        self._channels = {
            DOWN: _channel(contact.satellite.lasercom, down, seed, DOWN, outages),
            UP: _channel(contact.station.lasercom, up, seed, UP, outages),
        }

    @property
    def ticks(self) -> range:
        """Tick numbers of the contact; tick k is pass time k / TICKS_PER_S."""
        return range(
            int(self._contact.link_start_s * TICKS_PER_S), int(self._contact.link_end_s * TICKS_PER_S) + 1
        )

    def submit(self, direction: str, datagrams: list[bytes], now_s: float) -> None:
        """Give what a node sent in this tick to its transmitter."""
        light_time_s = self._contact.light_time_s(now_s)
        for datagram in datagrams:
            if self._tap is not None:
                self._tap(direction, now_s, datagram)
            self._channels[direction].submit(datagram, now_s, light_time_s)

    def due(self, direction: str, now_s: float) -> list[bytes]:
        """What has arrived at the other end by now."""
        return self._channels[direction].due(now_s)

    def counts(self) -> dict[str, ChannelCounts]:
        """What each direction was given and lost."""
        return {direction: channel.counts for direction, channel in self._channels.items()}


class LinkEmulator(LaserLink):
    """The link of a live contact: what fades loses its frames, what falls in an outage (from, to) too."""

    def __init__(
        self,
        contact: Contact,
        *,
        seed: int,
        tap: Tap | None = None,
        outages: Sequence[tuple[float, float]] = (),
    ) -> None:
        fading = Fading(contact, seed)
        super().__init__(contact, fading.downlink(), fading.uplink(), seed=seed, tap=tap, outages=outages)


def _channel(
    lasercom: Lasercom,
    frame_loss: FrameLoss,
    seed: int,
    direction: str,
    outages: Sequence[tuple[float, float]],
) -> Channel:
    impairments = lasercom.impairments
    fates = Fates(impairments, stream(seed, "lasercom", direction, "fates"))
    return Channel(
        rate_bit_s=lasercom.rate_bit_s,
        frame_loss=frame_loss,
        rng=stream(seed, "lasercom", direction),
        outages=[*outages, *((outage.from_s, outage.to_s) for outage in impairments.outages)],
        fates=None if impairments == Impairments() else fates,
    )
