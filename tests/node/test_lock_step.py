"""The lock-step exchange when somebody is late, silent or gone; and what a satellite's process loads."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from satqkd.errors import LinkError
from satqkd.node.emulator import _Master
from satqkd.node.process import ROLES, _Loop, bound_socket
from satqkd.node.run_config import RunConfig
from satqkd.node.wire import Packet, PacketKind, batch, decode

STATION, SATELLITE = ROLES["station"], ROLES["satellite"]


class CountingTerminal:
    """Steps and notes the times."""

    finished = False

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def step(self, now_s: float, datagrams: list[bytes]) -> list[bytes]:
        self.times_s.append(now_s)
        return []


class StillLink:
    """A laser link on which nothing flies; only its ticks are looked at."""

    ticks = range(3)

    def submit(self, direction: str, datagrams: list[bytes], now_s: float) -> None:
        assert datagrams == []

    def due(self, direction: str, now_s: float) -> list[bytes]:
        return []


def config(port: int, patience_s: float) -> RunConfig:
    return RunConfig(satellite="a", station="b", folder=".", port=port, patience_s=patience_s)


@pytest.fixture
def emulator_line() -> Iterator[socket.socket]:
    with bound_socket("127.0.0.1", 0) as line:
        yield line


def loop(port: int, patience_s: float = 5.0) -> tuple[_Loop, CountingTerminal, socket.socket]:
    line = bound_socket("127.0.0.1", 0)
    line.connect(("127.0.0.1", port))
    terminal = CountingTerminal()
    return _Loop(line, terminal, config(port, patience_s), "station"), terminal, line  # type: ignore[arg-type]


def test_a_late_grant_is_answered_or_ignored_but_never_worked_again(emulator_line: socket.socket) -> None:
    node, terminal, line = loop(emulator_line.getsockname()[1])
    emulator_line.settimeout(1.0)
    with line:
        for tick in (1, 2, 1, 2):
            node._on_grant(Packet(PacketKind.GRANT, STATION, 0, tick, 0, 0, b""))
    assert terminal.times_s == [0.05, 0.1]
    answers = [decode(emulator_line.recv(1000)) for _ in range(3)]
    assert [packet.tick for packet in answers if packet is not None] == [1, 2, 2]


def test_a_node_whose_emulator_has_gone_says_so_long_before_its_patience_ends() -> None:
    """It must neither spin nor wait: the port refuses."""
    line = bound_socket("127.0.0.1", 0)
    node, _, mine = loop(line.getsockname()[1], patience_s=600.0)
    node._on_grant(Packet(PacketKind.GRANT, STATION, 0, 0, 0, 0, b""))
    line.close()
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    with mine, pytest.raises(LinkError, match="gone"):
        node.run()
    assert time.monotonic() - began_s < 20
    assert time.process_time() - began_cpu_s < 1


def test_the_emulator_names_the_node_that_is_silent_while_the_other_talks(
    emulator_line: socket.socket,
) -> None:
    master = _Master(emulator_line, StillLink(), patience_s=1.0)  # type: ignore[arg-type]
    over = threading.Event()

    def station() -> None:
        """Greets for both, then answers every grant and talks on without end."""
        with bound_socket("127.0.0.1", 0) as line, bound_socket("127.0.0.1", 0) as dead:
            for speaker, role in ((line, STATION), (dead, SATELLITE)):
                speaker.sendto(batch(PacketKind.HELLO, role, 0, [])[0], emulator_line.getsockname())
            while not over.wait(0.05):
                line.sendto(batch(PacketKind.DONE, STATION, 0, [])[0], emulator_line.getsockname())

    talker = threading.Thread(target=station)
    talker.start()
    began_s = time.monotonic()
    try:
        with pytest.raises(LinkError, match=r"tick 0: no answer for 1 s from satellite;"):
            master.run(None)
    finally:
        over.set()
        talker.join()
    assert time.monotonic() - began_s < 4


def test_a_satellite_process_loads_no_numba() -> None:
    """What it does in a pass is done here: settings, syndromes, verification, amplification."""
    code = """
import sys
import numpy as np
from satqkd.distill import amplify, reconcile, verify
from satqkd.devices import TwinTransmitter
from satqkd.mission import presets
import satqkd.node.process
source = presets.satellite("jinan-1").source
bits = TwinTransmitter(source, (1, 2)).settings(np.arange(20_000)).bit
reconcile.syndrome(bits, 10)
verify.tag(bits, bytes(verify.seed_bytes(1e-15)), 1e-15)
amplify.amplify(bits, 1000, bytes(2500))
print([name for name in ("numba", "llvmlite", "matplotlib", "scipy.stats") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
