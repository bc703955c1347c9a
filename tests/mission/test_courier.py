"""User traffic over contacts: delivered once, end to end, resumed after outages, within its caps."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from courier_world import NOW, SAT, SETTINGS, A, B, World, draft, everything
from sqlalchemy import select

from satqkd.keys.sql.traffic_schema import OUTBOX
from satqkd.keys.traffic import Parcel, content_of, incoming, outgoing, queue, spool
from satqkd.mission.courier import Courier
from satqkd.mission.courier_messages import CHUNK_BYTES, Chunk, Offer, Whole, decode, encode

FILE = hashlib.shake_256(b"a file").digest(600_000)
LATER = "2026-03-02T03:04:05Z"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where there is a file system in memory: what is tested here is not the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.check()
    made.close()


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[World]:
    """With key for a file of 600 kB each way."""
    settings = msgspec.structs.replace(SETTINGS, relay_bits=2**24)
    made = World(tmp_path, 1_300_000, settings)
    yield made
    made.check()
    made.close()


def test_both_ways_end_to_end_with_receipts(world: World) -> None:
    world.queue(A, B, b"the Great Wall", name="wall.txt", is_text=False)
    world.queue(B, A, b"Table Mountain")
    for station in (A, B, A):
        world.contact(station)
    assert (world.states(A), world.states(B)) == (["delivered"], ["handed"])
    world.contact(B)
    assert world.states(B) == ["delivered"]
    assert content_of(world.stores[B], A, 1) == b"the Great Wall"
    assert content_of(world.stores[A], B, 1) == b"Table Mountain"
    (row,) = incoming(world.stores[B])
    assert (row.name, row.is_text, row.key_bits) == ("wall.txt", False, outgoing(world.stores[A])[0].key_bits)


def test_the_satellite_never_holds_plain_text_and_the_wire_shows_none(world: World) -> None:
    content, name = b"nobody but the two stations reads this", "very-private.txt"
    world.queue(A, B, content, name=name, is_text=False)
    world.contact(A)
    on_board = b"".join(path.read_bytes() for path in world.folder.glob("sat.db*"))
    world.contact(B)
    everywhere = on_board + world.wire() + repr(world.events).encode()
    assert content not in everywhere and name.encode() not in everywhere
    assert content_of(world.stores[B], A, 1) == content


def test_plain_text_is_never_in_clear_on_the_senders_disk_and_gone_once_sealed(world: World) -> None:
    content = b"wiped when sealed " * 400
    world.queue(A, B, content)
    disk = lambda: b"".join(path.read_bytes() for path in world.folder.glob(f"{A}.db*"))  # noqa: E731
    with world.stores[A].snapshot() as connection:
        cell = bytes(connection.execute(select(OUTBOX.c.content)).scalar_one())
    assert b"wiped when sealed" not in disk()
    assert cell[-40:] in disk()
    world.contact(A)
    assert world.states(A) == ["handed"]
    assert not any(cell[i : i + 16] in disk() for i in range(30, len(cell) - 16, 500))


def test_key_is_spent_before_the_first_byte_leaves(world: World) -> None:
    """When the first message of the link tells of it, the store has it spent already, to the bit."""
    world.queue(A, B, b"hello")
    seen = []

    def line(sender: str, receiver: str, priority: int, data: bytes) -> list[tuple[int, bytes]]:
        message = decode(data)
        if sender == A and message is not None and message.parcel.kind == "message":
            pair = next(row for row in world.stores[A].status() if row.link == f"{B} pair")
            seen.append(pair.spent_bits)
        return [(priority, data)]

    world.contact(A, line)
    (row,) = outgoing(world.stores[A])
    assert seen == [row.key_bits] and row.key_bits >= 8 * 5 + 256 + 128


def test_the_record_goes_before_what_is_sealed_under_it(world: World) -> None:
    world.queue(A, B, b"x" * 5000)
    world.contact(A)
    world.said.clear()
    world.contact(B)
    kinds = [
        message.parcel.kind
        for sender, _, _, data in world.said
        if sender == SAT and isinstance(message := decode(data), Offer | Whole)
    ]
    assert kinds[0] == "relay" and "message" in kinds


def test_an_urgent_message_goes_first_and_whole_by_the_first_priority(wide: World) -> None:
    wide.queue(A, B, FILE)
    wide.contact(A, ticks=1)
    wide.queue(A, B, b"come back", urgent=True)
    wide.said.clear()
    wide.contact(A)
    said = [(priority, decode(data)) for sender, _, priority, data in wide.said if sender == A]
    places = {
        type(message).__name__: place for place, (_, message) in reversed(list(enumerate(said))) if message
    }
    assert places["Whole"] < places["Chunk"]
    urgent = [priority for priority, message in said if isinstance(message, Whole)]
    assert urgent[0] == 0 and {priority for priority, each in said if isinstance(each, Chunk)} == {3}


def test_an_urgent_message_that_overtakes_its_key_waits_for_it(world: World) -> None:
    """It is kept, opened when the record comes, answered once."""
    world.contact(A)
    world.queue(A, B, b"come back", urgent=True)
    world.contact(A)
    held = []

    def records_late(sender: str, receiver: str, priority: int, data: bytes) -> list[tuple[int, bytes]]:
        message = decode(data)
        if isinstance(message, Offer | Whole) and message.parcel.kind == "relay":
            held.append((priority, data))
            return []
        return [(priority, data)]

    satellite, station = world.contact(B, records_late)
    assert incoming(world.stores[B]) == []
    assert "kept_for_key" in [event["event"] for event in world.events]
    for priority, data in held:
        station.receive(priority, data, NOW)
    for _ in range(20):
        for one, other in ((station, satellite), (satellite, station)):
            for priority, data in one.to_send(NOW, everything):
                other.receive(priority, data, NOW)
    assert content_of(world.stores[B], A, 1) == b"come back"


@pytest.mark.parametrize("lost_after", [2, 5, 11, 17])
def test_a_transfer_resumes_where_the_disk_ends(wide: World, lost_after: int) -> None:
    """An outage, then new couriers as after a restart: little is sent twice."""
    wide.queue(A, B, FILE)
    chunks = 0

    def cut(sender: str, receiver: str, priority: int, data: bytes) -> list[tuple[int, bytes]]:
        nonlocal chunks
        if isinstance(message := decode(data), Chunk) and message.parcel.kind == "message":
            chunks += 1
        return [(priority, data)] if chunks < lost_after else []

    wide.contact(A, cut, ticks=60)
    before = sum(len(data) for sender, _, _, data in wide.said if sender == A)
    wide.said.clear()
    wide.contact(A)
    assert wide.states(A) == ["handed"]
    again = sum(len(data) for sender, _, _, data in wide.said if sender == A)
    kept = max(0, (lost_after - 1) * CHUNK_BYTES // 2**18 * 2**18)
    assert again < len(FILE) - kept + 20_000, (before, again)
    wide.contact(B)
    assert content_of(wide.stores[B], A, 1) == FILE


def test_links_room_is_kept_and_nothing_is_lost_for_want_of_it(wide: World) -> None:
    wide.queue(A, B, FILE)
    left = [0]

    def room(priority: int, n_bytes: int) -> bool:
        fits = n_bytes <= left[0]
        left[0] -= n_bytes if fits else 0
        return fits

    ends = {SAT: wide.courier(SAT, A), A: wide.courier(A, SAT)}
    for _ in range(400):
        for node, other in ((SAT, A), (A, SAT)):
            left[0] = 40_000
            said = ends[node].to_send(NOW, room)
            assert sum(len(data) for _, data in said) <= 40_000
            for priority, data in said:
                ends[other].receive(priority, data, NOW)
    assert wide.states(A) == ["handed"]


def test_a_message_sent_again_after_a_restart_is_received_once_and_answered_again(world: World) -> None:
    world.queue(A, B, b"once")
    world.contact(A)
    world.contact(B, lambda sender, *said: [] if sender == B and b"receipt" in said[2] else [said[1:]])
    assert len(incoming(world.stores[B])) == 1
    world.contact(B)
    world.contact(A)
    assert world.states(A) == ["delivered"]
    assert len(incoming(world.stores[B])) == 1


def test_satellite_and_station_write_to_each_other_under_granted_link_key(tmp_path: Path) -> None:
    world = World(tmp_path, settings=msgspec.structs.replace(SETTINGS, pairs=(), grant_bits=16_000))
    world.queue(A, SAT, b"please point lower")
    world.queue(SAT, A, b"pointing lower")
    world.contact(A)
    world.contact(A)
    assert (world.states(A), world.states(SAT)) == (["delivered"], ["delivered"])
    assert content_of(world.stores[SAT], A, 1) == b"please point lower"
    assert content_of(world.stores[A], SAT, 1) == b"pointing lower"
    link = next(row for row in world.stores[SAT].status() if row.link == f"{A} link")
    assert link.spent_bits == 16_000 + 256
    world.check()
    world.close()


def test_without_key_it_waits_then_goes_when_key_comes(tmp_path: Path) -> None:
    world = World(tmp_path, link_bytes=400)
    world.queue(A, B, b"x" * 300)
    world.queue(A, B, b"small")
    world.queue(A, B, b"y" * 300, policy="refuse")
    world.contact(A)
    assert world.states(A) == ["waiting", "handed", "refused"]
    rows = outgoing(world.stores[A])
    assert "bits asked for, this end may still use" in rows[0].reason
    assert (rows[2].key_bits, rows[2].ended_utc) == (0, NOW)
    for station in (A, B):
        world.add_link(station, f"second-{station}", 4000)
    world.contact(A)
    assert world.states(A) == ["handed", "handed", "refused"]
    world.check()
    world.close()


def test_twin_key_is_neither_relayed_nor_taken_without_demo(tmp_path: Path) -> None:
    world = World(tmp_path, origin="twin")
    world.queue(A, B, b"hello", demo=True)
    world.contact(A)
    assert world.states(A) == ["waiting"] and b"relay" not in world.wire()
    world.demo = True
    world.contact(A)
    assert world.states(A) == ["handed"]
    world.queue(A, B, b"not for a demonstration")
    world.contact(A)
    assert world.states(A) == ["handed", "waiting"]
    assert "--demo" in outgoing(world.stores[A])[1].reason
    world.demo = False
    world.contact(B)
    assert incoming(world.stores[B]) == []
    assert ("dropped", "origin") in [(event["event"], event.get("reason")) for event in world.events]
    world.demo = True
    world.contact(B)
    assert content_of(world.stores[B], A, 1) == b"hello"
    world.check()
    world.close()


def test_the_satellite_keeps_within_the_quota_and_says_so(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, quota_messages=2)
    world = World(tmp_path, settings=settings)
    world.contact(A)
    for _ in range(4):
        world.queue(A, B, b"hello")
    world.contact(A)
    assert world.states(A) == ["handed", "handed", "sealed", "sealed"]
    assert outgoing(world.stores[A])[2].reason == "sat: full"
    for station in (B, A) * 3:
        world.contact(station)
    assert world.states(A) == ["delivered"] * 4
    world.check()
    world.close()


def test_an_unknown_receiver_is_refused_and_the_reason_is_told(world: World) -> None:
    world.stores[A].add_block(
        "stray",
        peer="nowhere",
        kind="pair",
        origin="hardware",
        key=bytes(range(200)) * 2,
        state="confirmed",
        now_utc=NOW,
    )
    world.queue(A, "nowhere", b"hello")
    world.contact(A)
    (row,) = outgoing(world.stores[A])
    assert (row.state, row.reason) == ("sealed", "sat: unknown receiver")


def test_what_grows_old_is_given_up_and_its_key_stays_spent(world: World) -> None:
    world.queue(A, B, b"hello")
    world.contact(A)
    spent = world.stores[A].check().spent_bits
    world.contact(A, now_utc=LATER)
    assert world.states(A) == ["expired"]
    assert world.stores[A].check().spent_bits == spent
    world.contact(B, now_utc=LATER)
    assert incoming(world.stores[B]) == []


def test_the_spool_is_taken_over_once_wiped_and_sent(world: World) -> None:
    store = world.stores[A]
    path = spool.put(store.path, A, draft(B, b"from the spool"), randbytes=lambda n: b"\x07" * n)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    again = path.read_bytes()
    courier = world.courier(A, SAT)
    courier.poll_spool(NOW)
    assert list(path.parent.iterdir()) == []
    path.write_bytes(again)  # as if the node had died between its commit and the removal
    path.chmod(0o600)
    courier.poll_spool(NOW)
    assert [event["event"] for event in courier.events()][:1] == ["queued"]
    assert world.states(A) == ["waiting"]
    for station in (A, B):
        world.contact(station)
    assert content_of(world.stores[B], A, 1) == b"from the spool"


def test_a_spool_that_others_can_write_is_not_believed(world: World) -> None:
    store = world.stores[A]
    path = spool.put(store.path, A, draft(B), randbytes=lambda n: b"\x07" * n)
    path.parent.chmod(0o777)
    courier = world.courier(A, SAT)
    for _ in range(3):
        courier.poll_spool(NOW)
    assert [event["event"] for event in courier.events()] == ["spool_refused"]
    assert outgoing(store) == []


def test_a_link_in_the_spool_is_removed_and_what_it_names_left_alone(world: World, tmp_path: Path) -> None:
    folder = spool.folder_of(world.stores[A].path)
    folder.mkdir(mode=0o700)
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    (folder / "a.message").symlink_to(target)
    (folder / "b.message").hardlink_to(target)
    courier = world.courier(A, SAT)
    courier.poll_spool(NOW)
    assert list(folder.iterdir()) == [] and target.read_bytes() == b"precious"
    assert outgoing(world.stores[A]) == []


def test_no_bytes_make_it_raise_and_a_flood_does_not_fill_the_log(world: World) -> None:
    courier = world.courier(SAT, A)
    noise = [hashlib.shake_256(bytes([i])).digest(i) for i in range(200)]
    cut = encode(Whole(Parcel("message", A, B, 1), False, b"x" * 40))
    bad = [*noise, *(cut[:i] for i in range(len(cut))), bytes(1_000_000)]
    for data in bad:
        courier.receive(3, data, NOW)
    assert [event["event"] for event in courier.events()] == ["rejected"] * len(bad).bit_length()
    assert queue(world.stores[A], draft(B), now_utc=NOW) == f"{A}:1"


def test_secrets_have_no_text() -> None:
    assert "secret" not in repr(draft(B, b"secret"))


def test_couriers_made_anew_at_every_tick_still_deliver(tmp_path: Path) -> None:
    """The store alone carries small parcels."""
    world = World(tmp_path, link_bytes=300)
    world.queue(A, B, b"hello")
    for station in (A, B, A):
        said: list[tuple[str, int, bytes]] = []
        for _ in range(6):
            ends: dict[str, Courier] = {
                SAT: world.courier(SAT, station),
                station: world.courier(station, SAT),
            }
            for receiver, priority, data in said:
                ends[receiver].receive(priority, data, NOW)
            said = [
                (other, priority, data)
                for node, other in ((SAT, station), (station, SAT))
                for priority, data in ends[node].to_send(NOW, everything)
            ]
    assert world.states(A) == ["delivered"]
    assert len(incoming(world.stores[B])) == 1
    world.close()
