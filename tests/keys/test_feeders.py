"""The feeders of examples/: two ends of a tunnel, a toy KME pair, and programs on PATH that only pretend."""

import base64
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from keys_cases import key_bytes

from satqkd.errors import DataFormatError, Error, KeyNotFound, LinkError, ResourceError
from satqkd.keys import Secret

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
import feeders  # noqa: E402
import strongswan_ppk  # noqa: E402
import wireguard_psk  # noqa: E402

PEER = base64.b64encode(bytes(32)).decode()
FAKE = """#!{python}
import os, sys
from pathlib import Path
folder = Path({folder!r})
name = Path(sys.argv[0]).name
stdin = sys.stdin.read()
with (folder / f"{{name}}.log").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if (folder / "broken").exists():
    sys.exit("Unable to modify interface: No such device")
if "preshared-keys" in sys.argv:
    psk = folder / "psk"
    print("{peer}", psk.read_text().strip() if psk.exists() and psk.read_text() else "(none)", sep="\\t")
elif name == "wg":
    (folder / "psk").write_text(stdin)
"""


class Key(msgspec.Struct, frozen=True, eq=False):
    key_id: str
    key: Secret


class ToyKme:
    """Both ends' KMEs: each key is drawn once and fetched once."""

    def __init__(self) -> None:
        self.drawn: dict[str, bytes] = {}
        self.waiting: dict[str, bytes] = {}

    def get_keys(self, slave: str, number: int = 1, size_bits: int = 256) -> Sequence[Key]:
        name = str(uuid.UUID(int=len(self.drawn) + 1))
        self.drawn[name] = self.waiting[name] = key_bytes(size_bits // 8, name)
        return [Key(name, Secret(self.drawn[name]))]

    def get_keys_by_id(self, master: str, ids: Sequence[str]) -> Sequence[Key]:
        if not set(ids) <= self.waiting.keys():
            raise KeyNotFound("one or more keys specified are not found on KME")
        return [Key(each, Secret(self.waiting.pop(each))) for each in ids]


class ToyTunnel:
    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.broken = False

    def use(self, key_id: str, key: Secret) -> None:
        if self.broken:
            raise ResourceError("no such device")
        self.keys.append(bytes(key.expose()))

    def undo(self) -> None:
        self.keys.pop()


class Ends:
    """An initiator and a responder, and a line between them that does as it is told."""

    def __init__(self) -> None:
        self.kme, self.here, self.there = ToyKme(), ToyTunnel(), ToyTunnel()
        self.responder = feeders.Responder(self.kme, "vpn-a", self.there)
        self.initiator = feeders.Initiator(self.kme, "vpn-b", self.here, self.ask)
        self.said: list[bytes] = []
        self.deliver: Callable[[bytes], bytes] = self.responder.answer

    def ask(self, data: bytes) -> bytes:
        self.said.append(data)
        return self.deliver(data)

    def same(self) -> bool:
        return self.here.keys == self.there.keys


def lost(_: bytes) -> bytes:
    raise LinkError("no answer")


def test_both_ends_get_the_first_half_of_the_same_key() -> None:
    ends = Ends()
    ids = [ends.initiator.rotate() for _ in range(3)]
    assert ids == list(ends.kme.drawn) and len(set(ids)) == 3
    assert ends.here.keys == ends.there.keys == [ends.kme.drawn[each][:32] for each in ids]
    for said in ends.said:
        for key in ends.kme.drawn.values():
            assert key[:32].hex().encode() not in said and base64.b64encode(key[:32]) not in said


def test_an_offer_that_was_lost_is_made_again_with_the_same_key() -> None:
    ends = Ends()
    ends.deliver = lost
    for _ in range(2):
        with pytest.raises(LinkError):
            ends.initiator.rotate()
    assert ends.same() and len(ends.kme.drawn) == 1
    ends.deliver = ends.responder.answer
    ends.initiator.rotate()
    assert ends.same() and len(ends.kme.drawn) == 1


def test_an_answer_that_was_lost_leaves_the_ends_one_step_apart_until_it_is_asked_again() -> None:
    ends = Ends()

    def deaf(data: bytes) -> bytes:
        ends.responder.answer(data)
        return lost(data)

    ends.deliver = deaf
    with pytest.raises(LinkError):
        ends.initiator.rotate()
    assert (len(ends.here.keys), len(ends.there.keys)) == (0, 1)
    ends.deliver = ends.responder.answer
    ends.initiator.rotate()
    assert ends.same() and len(ends.here.keys) == len(ends.kme.drawn) == 1


def test_a_responder_that_cannot_keeps_both_at_the_old_key() -> None:
    ends = Ends()
    ends.initiator.rotate()
    ends.there.broken = True
    with pytest.raises(LinkError, match="no such device"):
        ends.initiator.rotate()
    assert ends.same() and len(ends.here.keys) == 1
    ends.there.broken = False
    ends.initiator.rotate()
    assert ends.same() and len(ends.here.keys) == 2 and len(ends.kme.drawn) == 3


def test_an_initiator_that_cannot_takes_the_responder_back() -> None:
    ends = Ends()
    ends.initiator.rotate()
    ends.here.broken = True
    with pytest.raises(ResourceError):
        ends.initiator.rotate()
    assert ends.same() and len(ends.here.keys) == 1
    with pytest.raises(Error):  # somebody says the offer again that was taken back
        feeders.read_line(answer := ends.responder.answer(ends.said[-2]))[1].kind == "done" or lost(answer)
    assert ends.same()


@pytest.mark.parametrize("change", ["kind", "key id", "tag", "garbage"])
def test_a_line_of_somebody_else_changes_nothing(change: str) -> None:
    ends = Ends()
    ends.initiator.rotate()
    key, another = (ends.kme.get_keys("vpn-b", 1, feeders.KEY_BITS)[0] for _ in range(2))
    true = feeders.sign(feeders.Line("use", key.key_id), key.key)
    other = {
        "kind": feeders.sign(feeders.Line("undo", next(iter(ends.kme.drawn))), key.key),
        "key id": feeders.sign(feeders.Line("use", another.key_id), key.key),
        "tag": feeders.sign(feeders.Line("use", key.key_id), Secret(bytes(64))),
        "garbage": b"{}" + true,
    }[change]
    try:
        answer = ends.responder.answer(other)
    except DataFormatError:
        answer = b""
    assert b"done" not in base64.b64decode(json.loads(answer)["body"]) if answer else True
    assert len(ends.there.keys) == 1


def test_an_answer_of_somebody_else_is_not_believed() -> None:
    ends = Ends()
    ends.deliver = lambda data: feeders.sign(
        feeders.Line("done", feeders.read_line(data)[1].key_id), Secret(bytes(64))
    )
    with pytest.raises(LinkError, match="not of the peer"):
        ends.initiator.rotate()
    ends.deliver = lambda data: data  # its own line comes back
    with pytest.raises(LinkError, match="not of the peer"):
        ends.initiator.rotate()
    assert ends.here.keys == []


def test_health_turns_with_hysteresis() -> None:
    health = feeders.Health()
    told = [health.note(success=each) for each in (False, False, True, False, False, False, True, True, True)]
    assert told == [False] * 5 + [True, False, True, False]
    assert health.is_good


def test_after_a_failure_it_is_tried_sooner_and_then_less_often(capsys: pytest.CaptureFixture[str]) -> None:
    ends, waits = Ends(), []
    ends.deliver = lost
    went_well = feeders.rotate_for_ever(ends.initiator, 10.0, rotations=6, sleep=waits.append)
    assert waits == [2.0, 4.0, 8.0, 10.0, 10.0] and not went_well
    ends.deliver = ends.responder.answer
    assert feeders.rotate_for_ever(ends.initiator, 10.0, rotations=3, sleep=waits.append)
    assert waits[5:] == [10.0, 10.0]
    told = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert told.count("rotation fails") == 1 and told.count("kept the old key") == 6


# --- the two programs


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`wg` and `swanctl` that note their arguments and keep what they were given."""
    for name in ("wg", "swanctl"):
        path = tmp_path / name
        path.write_text(FAKE.format(python=sys.executable, folder=str(tmp_path), peer=PEER))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_wireguard_gets_its_key_by_stdin_and_can_go_back(programs: Path) -> None:
    tunnel = wireguard_psk.WireGuard("wg0", PEER)
    keys = [key_bytes(32, name) for name in ("one", "two")]
    encoded = [base64.b64encode(key).decode() for key in keys]
    for number, key in enumerate(keys):
        tunnel.use(str(number), Secret(key))
        assert (programs / "psk").read_text().strip() == encoded[number]
    tunnel.undo()
    assert (programs / "psk").read_text().strip() == encoded[0]
    log = (programs / "wg.log").read_text()
    assert log.splitlines()[1:] == [f"set wg0 peer {PEER} preshared-key /dev/stdin"] * 3
    assert not any(each in log for each in encoded)


def test_wireguard_without_a_key_before_goes_back_to_none(programs: Path) -> None:
    tunnel = wireguard_psk.WireGuard("wg0", PEER)
    tunnel.use("1", Secret(key_bytes(32, "one")))
    tunnel.undo()
    assert (programs / "psk").read_text() == ""
    with pytest.raises(ResourceError, match="no key before"):
        tunnel.undo()


def test_wireguard_that_fails_says_so_and_keeps_the_old_key(programs: Path) -> None:
    tunnel = wireguard_psk.WireGuard("wg0", PEER)
    tunnel.use("1", Secret(key_bytes(32, "one")))
    before = (programs / "psk").read_text()
    (programs / "broken").touch()
    with pytest.raises(ResourceError, match="No such device") as refused:
        tunnel.use("2", Secret(key_bytes(32, "two")))
    assert base64.b64encode(key_bytes(32, "two")).decode() not in str(refused.value)
    (programs / "broken").unlink()
    assert (programs / "psk").read_text() == before
    with pytest.raises(ResourceError, match="expected a peer"):
        wireguard_psk.WireGuard("wg0", "other").use("1", Secret(key_bytes(32, "one")))


def test_strongswan_gets_a_file_of_the_last_two_keys(programs: Path, tmp_path: Path) -> None:
    file, id_file = tmp_path / "ppk.conf", tmp_path / "id.conf"
    tunnel = strongswan_ppk.StrongSwan(file, id_file)
    for name in ("a", "b", "c"):
        tunnel.use(name, Secret(key_bytes(32, name)))
    assert (
        file.read_text()
        == "secrets {\n"
        + "".join(
            f'  ppk-{name} {{\n    id = "{name}"\n    secret = 0x{key_bytes(32, name).hex()}\n  }}\n'
            for name in "bc"
        )
        + "}\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert id_file.read_text() == 'ppk_id = "c"\n'
    assert (programs / "swanctl.log").read_text() == "--load-creds --noprompt\n--load-conns\n" * 3
    tunnel.undo()
    assert id_file.read_text() == 'ppk_id = "b"\n' and key_bytes(32, "c").hex() not in file.read_text()


def test_strongswan_that_fails_has_its_file_as_it_was(programs: Path, tmp_path: Path) -> None:
    tunnel = strongswan_ppk.StrongSwan(tmp_path / "ppk.conf")
    tunnel.use("a", Secret(key_bytes(32, "a")))
    before = (tmp_path / "ppk.conf").read_text()
    (programs / "broken").touch()
    with pytest.raises(ResourceError):
        tunnel.use("b", Secret(key_bytes(32, "b")))
    assert (tmp_path / "ppk.conf").read_text() == before
    assert not list(tmp_path.glob(".ppk*"))


@pytest.mark.parametrize(
    ("script", "words", "printed"),
    [
        (
            "wireguard_psk",
            ("--interface", "wg0", "--peer", PEER),
            f"wg set wg0 peer {PEER} preshared-key /dev/stdin\n",
        ),
        ("strongswan_ppk", ("--file", "x"), "swanctl --load-creds --noprompt\n"),
    ],
)
def test_a_dry_run_prints_the_command_and_runs_nothing(
    programs: Path, script: str, words: tuple[str, ...], printed: str
) -> None:
    command = [sys.executable, str(EXAMPLES / f"{script}.py"), "initiator", *words, "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == printed
    assert not list(programs.glob("*.log")) and not Path("x").exists()


def test_two_ends_over_a_socket(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kme, there = ToyKme(), ToyTunnel()
    responder = feeders.Responder(kme, "vpn-a", there)
    told: dict[str, Any] = {}
    listening = threading.Event()

    def tell(event: str, **more: Any) -> None:
        told.update(more)
        if event == "listening":
            listening.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeders, "tell", tell)
        thread = threading.Thread(
            target=feeders.serve, args=(responder, "127.0.0.1", 0), kwargs={"answers": 2}, daemon=True
        )
        thread.start()
        listening.wait()
        ask = feeders.asker("127.0.0.1", told["port"])
        with socket.create_connection(("127.0.0.1", told["port"])) as stranger:
            stranger.sendall(b"x" * 5000)
        initiator = feeders.Initiator(kme, "vpn-b", wireguard_psk.WireGuard("wg0", PEER), ask)
        for _ in range(2):
            initiator.rotate()
        thread.join()
    assert (programs / "psk").read_text().strip() == base64.b64encode(there.keys[-1]).decode()
    with pytest.raises(LinkError, match="offered again"):
        ask(b"x\n")
