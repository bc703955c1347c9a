"""What a pass may carry besides key, in three processes: an eavesdropper, messages of users."""

from pathlib import Path

import msgspec
from test_processes import run_config

from satqkd.config import Traffic
from satqkd.devices import parse_eve
from satqkd.keys.traffic import Draft, content_of, incoming, outgoing, spool
from satqkd.mission import contact_of, fly, open_store
from satqkd.node import fly_in_processes
from toy_pass import AT_UTC, PROTOCOL, repeatable, toy_satellite, toy_station


def test_an_eavesdropper_does_and_knows_in_processes_what_she_does_in_memory(tmp_path: Path) -> None:
    spec = "intercept-resend:0.1"
    in_processes = fly_in_processes(run_config(tmp_path, eve=spec))
    (tmp_path / "memory").mkdir()
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    in_memory = fly(contact, PROTOCOL, tmp_path / "memory", seed=1, eve=parse_eve(spec))
    assert repeatable(in_processes) == repeatable(in_memory)
    assert (in_processes.eve, in_processes.verdict) == (in_memory.eve, in_memory.verdict)
    assert in_processes.eve is not None and in_processes.eve.bits_known > 1000
    (kept,) = tmp_path.glob("eve.json")
    assert msgspec.json.decode(kept.read_bytes())["spec"] == spec


def test_messages_left_beside_both_stores_are_taken_over_and_delivered_in_the_pass(tmp_path: Path) -> None:
    """Nobody tells the nodes but the spool: the key is made, granted, spent and used up in one pass."""
    texts = {"toy-station": b"up" * 200, "toy-satellite": b"down" * 100}
    peers = {"toy-station": "toy-satellite", "toy-satellite": "toy-station"}
    config = run_config(tmp_path, traffic=Traffic(grant_bits=8192))
    for number, (node, text) in enumerate(texts.items()):
        message = Draft(
            receiver=peers[node],
            name="",
            is_text=True,
            urgent=number == 0,
            policy="wait",
            demo=True,
            content=text,
        )
        store = tmp_path / f"{node}.sqlite"
        spool.put(store, node, message, randbytes=lambda n_bytes, k=number: bytes([k]) * n_bytes)  # type: ignore[misc]
    report = fly_in_processes(config)
    assert report.outcome == "key"
    for node, peer in peers.items():
        assert spool.waiting(tmp_path / f"{node}.sqlite") == []
        with open_store(tmp_path, node) as store, open_store(tmp_path, peer) as other:
            assert [row.state for row in outgoing(store)] == ["delivered"]
            (came,) = incoming(other)
            assert content_of(other, node, int(came.id.split(":")[1])) == texts[node]
            assert store.check().balanced
    assert {name: told["delivered"] for name, told in report.traffic.items()} == {
        "satellite": 1,
        "station": 1,
    }
