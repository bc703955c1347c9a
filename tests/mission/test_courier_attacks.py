"""Somebody on the line says what he likes: messages come later or travel again; never twice, changed, lost.

The rows of the table of attacks in `docs/traffic.md`, one by one.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from courier_world import NOW, SAT, SETTINGS, A, B, Line, World, everything

from satqkd.keys.traffic import Parcel, content_of, incoming, make_grant, outgoing, parcels
from satqkd.mission.courier_messages import (
    CHUNK_BYTES,
    AnyCourierMessage,
    Chunk,
    Custody,
    Offer,
    Refused,
    Whole,
    decode,
    encode,
)

MESSAGE, RECEIPT = Parcel("message", A, B, 1), Parcel("receipt", B, A, 1)
CONTENT = hashlib.shake_256(b"content").digest(9000)


@pytest.fixture
def world() -> Iterator[World]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = World(Path(folder))
        yield made
        made.check()
        made.close()


def changed(
    change: Callable[[str, AnyCourierMessage], list[AnyCourierMessage] | None],
) -> Line:
    """A line on which somebody changes what he sees; None leaves it as it is."""

    def line(sender: str, receiver: str, priority: int, data: bytes) -> list[tuple[int, bytes]]:
        message = decode(data)
        assert message is not None
        new = change(sender, message)
        return [(priority, data)] if new is None else [(priority, encode(each)) for each in new]

    return line


def before_anything(*words: tuple[str, AnyCourierMessage]) -> Line:
    """Words said to a node just before it hears each true one."""

    def line(sender: str, receiver: str, priority: int, data: bytes) -> list[tuple[int, bytes]]:
        forged = [(priority, encode(each)) for to, each in words if to == receiver]
        return [*forged, (priority, data)]

    return line


def deliver_undisturbed(world: World) -> None:
    for station in (A, B) * 2:
        world.contact(station)
    assert world.states(A) == ["delivered"] * len(outgoing(world.stores[A]))
    assert len(incoming(world.stores[B])) == len(outgoing(world.stores[A]))
    assert content_of(world.stores[B], A, 1) == CONTENT


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_forged_custody_only_delays(world: World) -> None:
    world.queue(A, B, CONTENT)
    line = changed(
        lambda sender, each: [] if sender == A and isinstance(each, Chunk) else
        [Custody(MESSAGE, 9092, False)] if isinstance(each, Custody) and each.parcel == MESSAGE else None
    )  # fmt: skip
    world.contact(A, line)
    assert world.states(A) in (["handed"], ["sealed"])
    deliver_undisturbed(world)


def test_forged_refusals_only_delay(world: World) -> None:
    world.queue(A, B, CONTENT)
    world.contact(A)
    refusals = [(SAT, Refused(MESSAGE, "wrong tag")), (A, Refused(MESSAGE, "wrong tag"))]
    world.contact(B, before_anything(*refusals), ticks=2)
    deliver_undisturbed(world)


@pytest.mark.parametrize("station", [A, B])
def test_a_forged_receipt_neither_delivers_nor_loses(world: World, station: str) -> None:
    world.queue(A, B, CONTENT)
    world.contact(A)
    forged = Whole(RECEIPT, False, bytes(16))
    line = before_anything((A, forged), (SAT, forged))
    world.contact(station, lambda *said: [] if said[0] == B else line(*said), ticks=15)
    world.contact(A)
    assert world.states(A) == ["handed"]
    if station == A:
        assert "wrong_receipt" in [event["event"] for event in world.events]
    deliver_undisturbed(world)


def test_a_changed_ciphertext_is_thrown_away_and_comes_again(world: World) -> None:
    """Also with an offer that fits the change: then the tag tells."""
    world.queue(A, B, CONTENT)
    changes = []

    def change(sender: str, each: AnyCourierMessage) -> list[AnyCourierMessage] | None:
        if isinstance(each, Chunk) and each.parcel.kind == "message" and not changes:
            changes.append(each)
            return [msgspec.structs.replace(each, data=flip(each.data, 4000))]
        return None

    world.contact(A, changed(change))
    assert "spoilt" in [event["event"] for event in world.events]
    with world.stores[SAT].transaction() as connection:
        row = parcels.find(connection, MESSAGE)
        data = parcels.piece(connection, row, 0, row.size_bytes)
        parcels.remove(connection, MESSAGE)
        parcels.add(connection, MESSAGE, flip(data, 5000), urgent=False, utc=NOW)
    world.contact(B)
    assert incoming(world.stores[B]) == []
    assert ("dropped", "wrong tag") in [(each["event"], each.get("reason")) for each in world.events]
    deliver_undisturbed(world)


def test_chunks_of_somebody_else_between_do_not_get_through(world: World) -> None:
    world.queue(A, B, CONTENT)
    junk = [(SAT, Chunk(MESSAGE, offset, b"\0" * 100)) for offset in (0, 100, 8000)]
    world.contact(A, before_anything(*junk))
    world.contact(B, before_anything(*((B, each) for _, each in junk)))
    deliver_undisturbed(world)


def test_everything_said_twice_and_backwards_is_received_once(world: World) -> None:
    world.queue(A, B, CONTENT)
    world.contact(A, lambda sender, receiver, priority, data: [(priority, data)] * 3)
    world.contact(B, lambda sender, receiver, priority, data: [(priority, data)] * 3)
    old = list(world.said)
    for station in (A, B):
        ends = {SAT: world.courier(SAT, station), station: world.courier(station, SAT)}
        for _, receiver, priority, data in reversed(old):
            if receiver in ends:
                ends[receiver].receive(priority, data, NOW)
    deliver_undisturbed(world)


def test_words_sent_back_to_where_they_came_from_do_nothing(world: World) -> None:
    world.queue(A, B, CONTENT)
    world.contact(A, ticks=3)
    before = [store.check().spent_bits for store in world.stores.values()]
    back = world.courier(A, SAT), world.courier(SAT, A)
    for courier, name in zip(back, (A, SAT), strict=True):
        for sender, _, priority, data in world.said:
            if sender == name:
                courier.receive(priority, data, NOW)
    assert [store.check().spent_bits for store in world.stores.values()] == before
    deliver_undisturbed(world)


def test_a_forged_relay_record_is_refused_and_the_true_one_taken(world: World) -> None:
    world.queue(A, B, CONTENT)

    def change(sender: str, each: AnyCourierMessage) -> list[AnyCourierMessage] | None:
        if isinstance(each, Chunk) and each.parcel.kind == "relay":
            return [msgspec.structs.replace(each, data=flip(each.data, 200))]
        if isinstance(each, Offer) and each.parcel.kind == "relay":
            with world.stores[SAT].snapshot() as connection:
                row = parcels.find(connection, each.parcel)
                data = parcels.piece(connection, row, 0, row.size_bytes)
            return [msgspec.structs.replace(each, sha256=digest_with_flips(data))]
        return None

    world.contact(A, changed(change))
    assert world.states(A) == ["waiting"]
    assert ("dropped", "wrong tag") in [(each["event"], each.get("reason")) for each in world.events]
    deliver_undisturbed(world)


def digest_with_flips(data: bytes) -> bytes:
    """Of a record each of whose chunks has its byte 200 changed."""
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    return hashlib.sha256(b"".join(flip(each, 200) for each in chunks)).digest()


def test_a_forged_grant_makes_nobody_encrypt_with_used_key(world: World) -> None:
    with world.stores[SAT].transaction() as connection:
        number, record = make_grant(connection, SAT, A, 8000, NOW, demo=False)
    version, body, tag = msgspec.msgpack.decode(record)
    fields = msgspec.msgpack.decode(body)
    fields[4] = [[fields[4][0][0], 8000 + 256, 8000]]  # not granted: what a relay will take
    forged = msgspec.msgpack.encode([version, msgspec.msgpack.encode(fields), tag])
    parcel = Parcel("grant", SAT, A, number)
    courier = world.courier(A, SAT)
    courier.receive(3, encode(Whole(parcel, False, forged)), NOW)
    told = [decode(data) for _, data in courier.to_send(NOW, everything)]
    assert told == [Refused(parcel, "wrong tag")]
    assert world.stores[A].available_bits(SAT, "pair") == 0
    courier.receive(3, encode(Whole(parcel, False, record)), NOW)
    assert world.stores[A].available_bits(SAT, "pair") == 4000
    courier.receive(3, encode(Whole(parcel, False, record)), NOW)
    assert world.stores[A].available_bits(SAT, "pair") == 4000


def test_forged_custody_of_a_record_does_not_lose_it(world: World) -> None:
    world.queue(A, B, CONTENT)

    def change(sender: str, each: AnyCourierMessage) -> list[AnyCourierMessage] | None:
        if sender == SAT and isinstance(each, Offer) and each.parcel.kind == "relay":
            return []
        return None

    satellite, _ = world.contact(A, changed(change))
    record = Parcel("relay", SAT, A, 1)
    with world.stores[SAT].snapshot() as connection:
        row = parcels.find(connection, record)
    assert row is not None
    satellite.receive(3, encode(Custody(record, row.size_bytes, False)), NOW)
    satellite.receive(3, encode(Refused(record, "unreadable")), NOW)
    deliver_undisturbed(world)


def test_a_receipt_lost_under_forged_custody_is_said_again(world: World) -> None:
    """The receiver has forgotten that it is to be said; the message that comes again reminds it."""
    world.queue(A, B, CONTENT)
    world.contact(A)
    _, station = world.contact(
        B, changed(lambda sender, each: [] if each.parcel.kind == "receipt" and sender == B else None)
    )
    station.receive(3, encode(Custody(RECEIPT, 16, False)), NOW)
    with world.stores[B].snapshot() as connection:
        assert parcels.find(connection, RECEIPT) is None
    deliver_undisturbed(world)


def test_forged_offers_take_the_quota_of_one_connection_only(world: World) -> None:
    world.settings = msgspec.structs.replace(SETTINGS, quota_messages=4, quota_bytes=10**6)
    world.queue(A, B, CONTENT)
    junk = [
        (SAT, Offer(Parcel("message", A, B, number), 200_000, bytes(32), False)) for number in range(90, 100)
    ]
    world.contact(A, before_anything(*junk))
    assert outgoing(world.stores[A])[0].reason == "sat: full"
    with world.stores[SAT].snapshot() as connection:
        arriving = parcels.arriving(connection, A)
    assert len(arriving) == 4 and sum(row.size_bytes for row in arriving) <= 10**6
    deliver_undisturbed(world)


@pytest.mark.parametrize(
    ("parcel", "node", "peer"),
    [
        (Parcel("message", B, A, 1), SAT, A),  # a station speaks for another
        (Parcel("message", A, A, 1), SAT, A),
        (Parcel("receipt", B, A, 1), SAT, A),
        (Parcel("message", A, "nowhere", 1), SAT, A),
        (Parcel("relay", A, SAT, 1), SAT, A),  # only satellites make records
        (Parcel("grant", A, SAT, 1), SAT, A),
        (Parcel("relay", "other", A, 1), A, SAT),
        (Parcel("message", A, B, 1), A, SAT),  # a station carries nothing
        (Parcel("message", SAT, B, 1), A, SAT),
    ],
)
def test_what_goes_the_wrong_way_is_refused(world: World, parcel: Parcel, node: str, peer: str) -> None:
    for message in (Whole(parcel, False, b"x"), Offer(parcel, 5000, bytes(32), False)):
        courier = world.courier(node, peer)
        courier.receive(3, encode(message), NOW)
        told = [decode(data) for _, data in courier.to_send(NOW, everything)]
        assert told[0] == Refused(parcel, "unknown receiver")
        with world.stores[node].snapshot() as connection:
            assert parcels.arriving(connection, peer) == []


def test_questions_without_end_do_not_fill_the_memory(world: World) -> None:
    courier = world.courier(SAT, A)
    question = encode(Offer(Parcel("message", A, "nowhere", 1), 5000, bytes(32), False))
    for _ in range(400):
        courier.receive(3, question, NOW)
    assert len(courier.to_send(NOW, everything)) <= 256 + 5


def test_a_parcel_too_large_is_refused_unread(world: World) -> None:
    courier = world.courier(SAT, A)
    courier.receive(3, encode(Offer(MESSAGE, 2**27, bytes(32), False)), NOW)
    told = [decode(data) for _, data in courier.to_send(NOW, everything)]
    assert told[0] == Refused(MESSAGE, "too large")
