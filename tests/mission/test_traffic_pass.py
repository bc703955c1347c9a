"""Messages of users in the very passes that make their key: sealed, carried, opened, answered."""

from pathlib import Path
from typing import Any

import pytest

from satqkd.config import Traffic
from satqkd.keys import KeyStore
from satqkd.keys.traffic import Draft, content_of, incoming, outgoing, queue
from satqkd.lasercom import Kind, Priority, decode
from satqkd.mission import open_store
from satqkd.mission.emulator import DOWN, UP
from satqkd.randomness import stream_bytes
from toy_pass import Flight, fly_toy, toy_station

FILES = int(Priority.FILES)
NOW = "2016-12-19T16:00:00Z"
SAT, A, B = "toy-satellite", "toy-station", "toy-other"
STATIONS = {A: toy_station(), B: toy_station(name=B)}
GRANTS = Traffic(grant_bits=8192)
LARGE = Traffic(grant_bits=2**21)
PAIRS = Traffic(pairs=((A, B),), relay_least_bits=1024)


def draft(receiver: str, content: bytes, **changes: Any) -> Draft:
    fields: dict[str, Any] = {
        "receiver": receiver, "name": "", "is_text": True, "urgent": False, "policy": "wait", "demo": True,
        "content": content,
    }  # fmt: skip
    return Draft(**(fields | changes))


def put(folder: Path, node: str, message: Draft) -> str:
    """Into the node's store; the message's id."""
    with open_store(folder, node) as store:
        return queue(store, message, now_utc=NOW)


def state(folder: Path, node: str, message: str) -> str:
    with open_store(folder, node) as store:
        return next(row.state for row in outgoing(store) if row.id == message)


def content(folder: Path, node: str) -> list[bytes]:
    """Of all messages that came."""
    with open_store(folder, node) as store:
        return [content_of(store, row.sender, int(row.id.split(":")[1])) for row in incoming(store)]


def sealed_bits(folder: Path, node: str) -> int:
    """Key that messages have cost."""
    with open_store(folder, node) as store:
        return sum(row.key_bits for row in outgoing(store))


def checked(folder: Path) -> None:
    """Books balance to the bit, and nothing is wrong in any log."""
    for path in folder.glob("*.sqlite"):
        with KeyStore.open(path) as store:
            assert store.check().balanced
            assert store.verify_audit().intact


def said(flight: Flight) -> bytes:
    return b"".join(data for *_, data in flight.datagrams)


def test_both_ends_use_key_before_the_pass_that_made_it_is_over(tmp_path: Path) -> None:
    up, down = b"from the ground " * 20, b"from above " * 30
    ids = {
        node: put(tmp_path, node, draft(peer, text)) for node, peer, text in ((A, SAT, up), (SAT, A, down))
    }
    assert {state(tmp_path, node, each) for node, each in ids.items()} == {"waiting"}
    lines: list[dict[str, Any]] = []
    flight = fly_toy(tmp_path, traffic=GRANTS, lines=lines)
    assert {state(tmp_path, node, each) for node, each in ids.items()} == {"delivered"}
    assert (content(tmp_path, SAT), content(tmp_path, A)) == ([up], [down])
    at_s = {(line["node"], line["event"]): line["t_s"] for line in lines}
    assert at_s["satellite", "confirmed"] <= at_s["satellite", "granted"] < at_s["station", "sealed"]
    assert at_s["station", "sealed"] < at_s["satellite", "received"] < at_s["station", "delivered"] < 12
    for text in (up, down):
        assert text[:16] not in said(flight)
    for node in ("satellite", "station"):
        once = {name: flight.report.traffic[node].get(name) for name in ("sealed", "received", "delivered")}
        assert set(once.values()) == {1}
    checked(tmp_path)


def test_a_message_between_stations_is_carried_by_a_satellite_that_cannot_read_it(tmp_path: Path) -> None:
    text = b"for the other station's eyes only " * 25
    message = put(tmp_path, A, draft(B, text, name="wall.txt", is_text=False))
    stages = []
    for seed, station in enumerate((A, B, A, B, A), start=1):
        fly_toy(tmp_path, seed=seed, station=STATIONS[station], traffic=PAIRS)
        stages.append(state(tmp_path, A, message))
        assert text[:24] not in (tmp_path / f"{SAT}.sqlite").read_bytes()
    assert stages == ["waiting", "waiting", "handed", "handed", "delivered"]
    assert content(tmp_path, B) == [text]
    checked(tmp_path)


def test_without_key_the_message_waits_or_is_refused_and_nothing_is_said(tmp_path: Path) -> None:
    waits = put(tmp_path, A, draft(SAT, b"patient text"))
    fly_toy(tmp_path, traffic=Traffic())
    assert state(tmp_path, A, waits) == "waiting"
    refused = put(tmp_path, A, draft(SAT, b"impatient text", policy="refuse"))
    flight = fly_toy(tmp_path, seed=2, traffic=Traffic())
    assert (state(tmp_path, A, refused), state(tmp_path, A, waits)) == ("refused", "waiting")
    assert b"patient text" not in said(flight)


def test_key_of_the_twin_seals_nothing_that_is_not_marked_as_demonstration(tmp_path: Path) -> None:
    message = put(tmp_path, A, draft(SAT, b"this is earnest", demo=False))
    fly_toy(tmp_path, traffic=GRANTS)
    assert state(tmp_path, A, message) == "waiting"


@pytest.mark.parametrize("way", [UP, DOWN])
def test_what_an_outage_cuts_off_goes_on_in_the_next_pass(tmp_path: Path, way: str) -> None:
    """The link breaks off in the middle of a large message, which is not sealed anew."""
    text = bytes(range(256)) * 400
    sender, receiver = (A, SAT) if way == UP else (SAT, A)
    for node, peer in ((A, SAT), (SAT, A)):
        with open_store(tmp_path, node) as store:
            store.add_block(
                "earlier", peer=peer, kind="link", origin="twin", key=stream_bytes(1, "test", "key")(500_000),
                state="confirmed", allocator=SAT, now_utc=NOW,
            )  # fmt: skip
    message = put(tmp_path, sender, draft(receiver, text))
    carried = 0

    def cut(direction: str, now_s: float, data: bytes) -> bytes | None:
        nonlocal carried
        frame = decode(data)
        if direction == way and frame is not None and (frame.kind, frame.stream) == (Kind.DATA, FILES):
            carried += 1
        return None if carried > 50 else data

    fly_toy(tmp_path, traffic=LARGE, on_the_way=cut)
    assert carried > 50
    assert (state(tmp_path, sender, message), content(tmp_path, receiver)) == ("sealed", [])
    spent = sealed_bits(tmp_path, sender)
    whole = fly_toy(tmp_path, seed=2, traffic=LARGE)
    assert (state(tmp_path, sender, message), content(tmp_path, receiver)) == ("delivered", [text])
    assert sealed_bits(tmp_path, sender) == spent > 8 * len(text)
    assert whole.report.outcome == "key"
    checked(tmp_path)
