"""Goodput of the laser link against a QUIC bulk transfer through the same emulated channel, on virtual time.

The channel is the emulator's: rates, light time, frame loss in time, bursts, outages; same seeds for both.
QUIC (`aioquic`) is stepped without sockets, to the millisecond, the laser link in ticks of 50 ms as the nodes
are. What the channel let through is measured on the line kept full by the laser link: bits of frames that
came through in the measured time. Goodput counts payload that came out in order, and nothing else.

    python benchmarks/link.py [--json] [--seconds 12] [--only WORD]
"""

import argparse
import cProfile
import json
import pstats
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from satqkd.config import Impairments
from satqkd.lasercom import Channel, Direction, Endpoint, Fates, FrameLoss, Priority

try:
    from link_quic import QuicPair
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"benchmarks/link.py: {missing.name} is missing, the QUIC that the link is compared with; "
        'install the tools for developers: pip install "satqkd[dev]"'
    ) from None

TICK_S = 0.05
START_S = 2.0
"""Measured from here on: both are past their opening."""
DOWN_BIT_S, UP_BIT_S = 10e6, 2e6
QUEUE_S = 0.25
"""Of line that may wait for the transmitter; more would only delay QUIC's acknowledgements."""
MESSAGE = bytes(range(256)) * 64
OUTAGES_S = (1.0, 5.0, 20.0, 60.0)
TRANSFER_BYTES = 2 << 20
Outages = tuple[tuple[float, float], ...]


class Scenario(NamedTuple):
    """One condition of the line."""

    name: str
    loss: tuple[FrameLoss, FrameLoss]
    impairments: Impairments = Impairments()
    outages: Outages = ()
    both: bool = False
    """Bulk both ways at once; else downwards alone."""
    light_time_s: Callable[[float], float] = lambda now_s: 0.004

    def channels(self) -> tuple[Channel, Channel]:
        """Down and up."""
        down, up = (
            Channel(
                rate_bit_s=rate,
                frame_loss=self.loss[number],
                rng=np.random.default_rng([7, number]),
                maximum_queue_bytes=int(rate * QUEUE_S / 8),
                outages=self.outages,
                fates=Fates(self.impairments, np.random.default_rng([8, number])),
            )
            for number, rate in enumerate((DOWN_BIT_S, UP_BIT_S))
        )
        return down, up


class Flow(NamedTuple):
    """One direction of a run, in bytes since the measured time began."""

    payload: float
    passed: float
    """Of frames that arrived whole, each counted once."""


class LinkPair:
    """Two endpoints of the laser link on two channels."""

    def __init__(self, scenario: Scenario) -> None:
        self.channels = scenario.channels()
        self._light_time_s = scenario.light_time_s
        self.ends = tuple(
            Endpoint(
                link_tag=b"test",
                direction=direction,
                boot=1,
                rate_bit_s=rate,
                light_time_s=scenario.light_time_s,
                maximum_message_bytes=1 << 20,
                tick_s=TICK_S,
            )
            for direction, rate in zip(Direction, (DOWN_BIT_S, UP_BIT_S), strict=True)
        )
        self.read_bytes, self.passed_bytes = [0, 0], [0, 0]
        self.cpu_s = [0.0, 0.0]
        self.ticks = 0

    @property
    def now_s(self) -> float:
        return self.ticks * TICK_S

    def fill(self, way: int) -> None:
        """Keep an end's buffer full."""
        while self.ends[way].room(len(MESSAGE), priority=Priority.FILES):
            self.ends[way].send(MESSAGE, priority=Priority.FILES)

    def tick(self) -> None:
        for way in (0, 1):
            arrived = self.channels[1 - way].due(self.now_s)
            self.passed_bytes[1 - way] += sum(map(len, arrived))
            began_s = time.process_time()
            end = self.ends[way]
            for datagram in arrived:
                end.receive(datagram, self.now_s)
            while (message := end.next_message()) is not None:
                self.read_bytes[1 - way] += len(message[1])
            datagrams = end.data_to_send(self.now_s)
            self.cpu_s[way] += time.process_time() - began_s
            for datagram in datagrams:
                self.channels[way].submit(datagram, self.now_s, self._light_time_s(self.now_s))
        self.ticks += 1


def link_run(scenario: Scenario, seconds: float) -> tuple[list[Flow], LinkPair]:
    """The laser link's flows, down and up."""
    pair = LinkPair(scenario)
    before = [(0, 0), (0, 0)]
    while pair.now_s < START_S + seconds:
        for way in (0, 1) if scenario.both else (0,):
            pair.fill(way)
        pair.tick()
        if pair.now_s <= START_S:
            before = list(zip(pair.read_bytes, pair.passed_bytes, strict=True))
    flows = [
        Flow(read - earlier[0], passed - earlier[1])
        for read, passed, earlier in zip(pair.read_bytes, pair.passed_bytes, before, strict=True)
    ]
    return flows, pair


def quic_run(scenario: Scenario, seconds: float, algorithm: str) -> list[float]:
    """QUIC's payload bytes, down and up."""
    pair = QuicPair(scenario.channels(), scenario.light_time_s, algorithm=algorithm)
    ways = (0, 1) if scenario.both else (0,)
    pair.run_until(START_S, fill=ways)
    before = list(pair.read_bytes)
    pair.run_until(START_S + seconds, fill=ways)
    return [read - earlier for read, earlier in zip(pair.read_bytes, before, strict=True)]


def scenarios() -> list[Scenario]:
    """The conditions of the table."""

    def even(loss: float) -> tuple[FrameLoss, FrameLoss]:
        return FrameLoss.constant(loss), FrameLoss.constant(loss)

    every_ten = tuple((8.0 + 10 * n, 9.0 + 10 * n) for n in range(60))
    short, long = (Impairments(burst_loss=0.1, burst_s=mean_s) for mean_s in (0.05, 0.5))
    return [
        Scenario("no loss", even(0.0)),
        Scenario("1 % at random", even(0.01)),
        Scenario("10 % at random", even(0.1)),
        Scenario("30 % at random", even(0.3)),
        Scenario("10 % in bursts of 50 ms", even(0.0), short),
        Scenario("10 % in bursts of 500 ms", even(0.0), long),
        Scenario("1 s outage every 10 s", even(0.001), outages=every_ten),
        Scenario("1 % at random, both ways", even(0.01), both=True),
        Scenario("10 % at random, both ways", even(0.1), both=True),
        fading_pass(from_s=0.0),
    ]


def fading_pass(*, from_s: float) -> Scenario:
    """The first half minute of the calibrated pass, low in the sky, both ways, light time of the orbit."""
    from satqkd.mission import contact_of, presets
    from satqkd.mission.fading import Fading

    contact = contact_of(presets.satellite("jinan-1"), presets.station("stellenbosch"))
    fading = Fading(contact, 1)
    losses = tuple(
        FrameLoss(start_s=each.start_s - from_s, step_s=each.step_s, probability=each.probability)
        for each in (fading.downlink(), fading.uplink())
    )
    return Scenario(
        "fading, jinan-1 at stellenbosch",
        (losses[0], losses[1]),
        both=True,
        light_time_s=lambda now_s: contact.light_time_s(now_s + from_s),
    )


def goodput_rows(scenario: Scenario, seconds: float) -> list[dict[str, Any]]:
    """A row for each direction that carries bulk."""
    flows, _ = link_run(scenario, seconds)
    quic = {algorithm: quic_run(scenario, seconds, algorithm) for algorithm in ("cubic", "reno")}
    rows = []
    for way in (0, 1) if scenario.both else (0,):
        let_bit_s, ours_bit_s = (8 * each / seconds for each in (flows[way].passed, flows[way].payload))
        theirs = {name: 8 * payload[way] / seconds for name, payload in quic.items()}
        rows.append(
            {
                "scenario": scenario.name,
                "direction": ("down", "up")[way],
                "let_through_mbit_s": let_bit_s / 1e6,
                "link_mbit_s": ours_bit_s / 1e6,
                "link_share": ours_bit_s / let_bit_s,
                **{f"quic_{name}_mbit_s": each / 1e6 for name, each in theirs.items()},
                **{f"quic_{name}_share": each / let_bit_s for name, each in theirs.items()},
                "ratio_to_better_quic": ours_bit_s / max(*theirs.values(), 1.0),
            }
        )
    return rows


def outage_row(outage_s: float) -> dict[str, Any]:
    """How long after the end of an outage a transfer is done that had begun a second before it."""
    clean = FrameLoss.constant(0.001)
    begin_s = START_S + 1.0
    scenario = Scenario("outage", (clean, clean), outages=((begin_s, begin_s + outage_s),))
    pair = LinkPair(scenario)
    limit_s = begin_s + outage_s + 120
    while pair.now_s < START_S:
        pair.tick()
    for _ in range(TRANSFER_BYTES // len(MESSAGE)):
        pair.ends[0].send(MESSAGE, priority=Priority.FILES)
    while pair.read_bytes[0] < TRANSFER_BYTES and pair.now_s < limit_s:
        pair.tick()
    row: dict[str, Any] = {"outage_s": outage_s, "link_done_s": pair.now_s - begin_s - outage_s}
    for algorithm in ("cubic", "reno"):
        theirs = QuicPair(scenario.channels(), scenario.light_time_s, algorithm=algorithm)
        theirs.run_until(START_S, fill=())
        theirs.send(0, TRANSFER_BYTES)
        done_s = theirs.run_until(limit_s, fill=(), enough=TRANSFER_BYTES)
        lost = theirs.read_bytes[0] < TRANSFER_BYTES
        row[f"quic_{algorithm}_done_s"] = None if lost else done_s - begin_s - outage_s
    return row


def cpu_rows() -> dict[str, Any]:
    """Processor time of both ends for a full line at 1 % loss, and where it goes."""
    scenario = scenarios()[1]
    profile = cProfile.Profile()
    _, pair = link_run(scenario, 20.0)
    megabytes = pair.read_bytes[0] / 1e6
    profile.enable()
    link_run(scenario, 5.0)
    profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    own = sorted(((value[2], key[2]) for key, value in stats.items()), reverse=True)[:6]
    total = sum(value[2] for value in stats.values())
    return {
        "sender_ms_per_mb": 1e3 * pair.cpu_s[0] / megabytes,
        "receiver_ms_per_mb": 1e3 * pair.cpu_s[1] / megabytes,
        "hottest": [{"function": name, "share": spent / total} for spent, name in own],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    chosen = parser.parse_args()
    result: dict[str, Any] = {"goodput": [], "outages": []}
    if not chosen.json:
        print(f"{'scenario':34s} {'way':4s} {'let through':>11s} {'link':>14s} {'quic cubic':>14s}", end=" ")
        print(f"{'quic reno':>14s} {'ratio':>7s}    Mbit/s and share of what was let through")
    for scenario in scenarios():
        if chosen.only in scenario.name:
            for row in goodput_rows(scenario, chosen.seconds):
                result["goodput"].append(row)
                _show(row, chosen.json)
    if not chosen.only:
        for outage_s in OUTAGES_S:
            result["outages"].append(outage_row(outage_s))
            if not chosen.json:
                print("  ".join(f"{name} {_number(value)}" for name, value in result["outages"][-1].items()))
        result["cpu"] = cpu_rows()
        if not chosen.json:
            print(result["cpu"])
    if chosen.json:
        print(json.dumps(result))


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


def _show(row: dict[str, Any], quiet: bool) -> None:
    if quiet:
        return
    cells = [f"{row['scenario']:34s} {row['direction']:4s} {row['let_through_mbit_s']:11.3f}"]
    cells += [
        f"{row[name + '_mbit_s']:6.3f} {100 * row[name + '_share']:5.1f} %"
        for name in ("link", "quic_cubic", "quic_reno")
    ]
    print(" ".join(cells), f"{row['ratio_to_better_quic']:7.2f}", flush=True)


if __name__ == "__main__":
    main()
