"""The door to hardware: what the protocol needs from a sender and from a receiver, and nothing more.

Three kinds stand behind it: the digital twin, recorded tags, and live drivers. A driver is a class
with the members below; nobody inherits. The door knows slots, settings and time tags; it does not
know bases announced, keys, messages or the other end of the link.

Slots count pulses from 0 at the pass epoch; slot i leaves the satellite i / pulse_rate_hz seconds of
the satellite's clock after it. A driver calls no one back: the node asks, on its own ticks.
"""

from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import LocalProtocolError
from satqkd.records import Settings, Tags


class Transmitter(Protocol):
    """The satellite's source: remembers what it sent.

    A flight source draws its settings from a quantum random number generator at gigabits a second and
    keeps them in a ring buffer, or expands them from a seed (then the security is computational).
    """

    @property
    def horizon_slots(self) -> int | None:
        """How many of the latest slots are still remembered; None when every slot of the pass is.

        Asking for an older slot (or one not sent yet) raises LocalProtocolError and gives nothing:
        settings that are gone cannot be redrawn. Slot numbers come from the peer, so the protocol
        compares them with this horizon first and answers the peer with its own refusal.
        """
        ...

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """Class, basis and bit of each slot asked for, in the order asked.

        slots: int64, shape (n,), >= 0, strictly increasing. Asking twice gives the same answer.
        Raises LocalProtocolError for slots out of order or past the horizon.
        """
        ...


class Receiver(Protocol):
    """The station's detectors and time tagger."""

    def read(self, until_s: float) -> Tags:
        """The tags of the next stretch: everything tagged since the last call, up to `until_s`.

        until_s is pass time on the satellite's clock: the stretch ends at the instant when light that
        left the satellite then reaches the station. It never decreases from call to call
        (LocalProtocolError). Live hardware need not know that instant: it may give a tag one stretch
        late, but each tag is given once, and tags are in order of time within and across calls.

        The joined stream does not depend on where calls cut it. `time_ps` is the station's own clock,
        whose offset and drift against the satellite are for the protocol to find; channels are 0..3
        for H, V, +, - and 4 for the beacon detector. Where `label_swap` is "random" a detector that clicks
        while light is turned by 90 degrees is told as its channel + 5, that is 5..8; the bit that turned
        it is said nowhere else. An empty stretch gives empty columns.
        """
        ...


@runtime_checkable
class Skips(Protocol):
    """A receiver that can begin in the middle of a pass, when its process was started again."""

    def skip(self, until_s: float) -> None:
        """Give no tags of light emitted well before `until_s`: nobody tagged it. Before the first read."""
        ...


@runtime_checkable
class TurnsPlate(Protocol):
    """What a receiver may offer besides: a half-wave plate that follows what finished blocks have taught."""

    def turn_plate(self, angle_rad: float, from_slot: int) -> None:
        """From light of `from_slot` on, turn the light back by `angle_rad` besides what prediction asks for.

        angle_rad: of polarisation, twice that of the plate, and the whole of it: it replaces the setting
        before. Positive where light lies from the receiver's axes toward + from H. Slots increase from call
        to call. Asked about half a second before the light arrives; LocalProtocolError when it is too late.
        """
        ...


class BiasReadings(msgspec.Struct, frozen=True, eq=False):
    """Bias currents of the four detectors, one row a reading, in order of time."""

    t_s: NDArray[np.float64]
    """Pass time of emission at which the reading ended; shape (n,)."""
    current_a: NDArray[np.float64]
    """Mean over the reading, detectors H, V, +, -; shape (n, 4)."""


@runtime_checkable
class Monitored(Protocol):
    """What a receiver may offer besides: its detectors' bias currents, which show light no click tells."""

    def readings(self, until_s: float) -> BiasReadings:
        """The readings that ended since the last call, up to `until_s`, a pass time as in `read`."""
        ...


def check_slots(slots: NDArray[np.int64], who: str) -> None:
    """What a transmitter may be asked for: int64, shape (n,), >= 0, strictly increasing.

    Raises LocalProtocolError that names `who` was asked.
    """
    if slots.dtype != np.int64 or slots.ndim != 1 or (slots[:1] < 0).any() or (np.diff(slots) <= 0).any():
        raise LocalProtocolError(
            f"{who}: expected slots >= 0 in increasing order (int64, one dimension), got {slots.dtype} of "
            f"shape {slots.shape}; sort them and drop repeated ones before asking"
        )
