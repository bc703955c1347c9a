"""Blocks go whole from a node's store to its key server's, exactly once, whoever is killed and whenever."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from keys_cases import NOW, key_bytes

from satqkd.errors import (
    ConfigError,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
    RemoteProtocolError,
    StoreRestored,
)
from satqkd.keys import KeyStore
from satqkd.keys.push.intake import StoreIntake
from satqkd.keys.push.sending import PushReport, push_blocks
from satqkd.keys.push_door import Intake, NoLink, PushedBlock, StreamInUse, StreamState
from satqkd.keys.store.retirement import revoke_peer
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest

BLOCK, KEY = "relay:jinan-1:1", key_bytes(1000, "pair")
CHUNK_BYTES = 300
"""So a block is four chunks, the last shorter."""
CALLS = 6
"""Of one push: open, four chunks, close."""
LATER = "2026-02-02T03:04:05Z"


class Killed(BaseException):
    """A process ends here."""


class Line:
    """An intake that kills at its n-th call: before the call has any effect, or after it had."""

    def __init__(self, intake: Intake, *, kill_at: int | None = None, after: bool = False) -> None:
        self._intake, self._kill_at, self._after = intake, kill_at, after
        self.calls: list[str] = []

    def _killing(self, name: str, call: Callable[[], object]) -> object:
        self.calls.append(name)
        dies = len(self.calls) - 1 == self._kill_at
        if dies and not self._after:
            raise Killed
        answer = call()
        if dies:
            raise Killed
        return answer

    def open(self, stream_id: str, node: str, block: PushedBlock, *, now_utc: str) -> StreamState:
        found = self._killing("open", lambda: self._intake.open(stream_id, node, block, now_utc=now_utc))
        assert isinstance(found, StreamState)
        return found

    def take(self, stream_id: str, index: int, chunk: memoryview, *, now_utc: str) -> int:
        found = self._killing("take", lambda: self._intake.take(stream_id, index, chunk, now_utc=now_utc))
        assert isinstance(found, int)
        return found

    def close(self, stream_id: str, *, now_utc: str) -> None:
        self._killing("close", lambda: self._intake.close(stream_id, now_utc=now_utc))


class Site:
    """Beijing: the store of its node and that of its key server, each in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids = (f"00000000-0000-4000-8000-{number:012d}" for number in itertools.count())
        self.node = KeyStore.create(folder / "node.db", "beijing")
        self.server = KeyStore.create(folder / "server.db", "beijing")

    def add(
        self, block_id: str = BLOCK, key: bytes = KEY, *, origin: str = "hardware", **more: object
    ) -> None:
        self.node.add_block(
            block_id, peer="stellenbosch", kind="pair", origin=origin, key=key, state="confirmed",
            paths=(("jinan-1",),), now_utc=NOW, **more,
        )  # type: ignore[arg-type] # fmt: skip

    def intake(self, sender: str = "distiller", *, chunk_bytes: int = CHUNK_BYTES) -> StoreIntake:
        return StoreIntake(self.server, sender, peers=("stellenbosch",), chunk_bytes=chunk_bytes)

    def push(self, intake: Intake | None = None, *, peer: str | None = None) -> PushReport:
        return push_blocks(
            self.node,
            intake or self.intake(),
            peer=peer,
            new_id=lambda: next(self.ids),
            now_utc=lambda: LATER,
        )

    def reopen(self) -> None:
        """Both processes start again."""
        self.close()
        self.node = KeyStore.open(self.folder / "node.db")
        self.server = KeyStore.open(self.folder / "server.db")

    def close(self) -> None:
        self.node.close()
        self.server.close()

    def require_moved_once(self, bits: int = 8 * len(KEY)) -> None:
        """The server has the block as the node had it; the node has none of it, and nothing is on its way."""
        here, there = self.node.list_blocks()[0], self.server.list_blocks()
        assert len(there) == 1
        assert (there[0].live_bits, there[0].spent_bits, there[0].state) == (bits, 0, "confirmed")
        for name in ("block_id", "peer", "kind", "origin", "paths", "bits", "created_utc"):
            assert getattr(there[0], name) == getattr(here, name), name
        assert bytes(self.server.peek_for_check(BLOCK).expose()) == KEY
        assert (here.live_bits, here.spent_bits) == (0, bits)
        assert not any(self.node.peek_for_check(BLOCK).expose())
        with pytest.raises(KeyExhausted):
            self.node.spend("stellenbosch", "pair", 8, purpose="test", reference="")
        assert self.server.available_bits("stellenbosch", "pair") == bits // 2
        for store in (self.node, self.server):
            books = store.check()
            assert books.balanced, books.faults
            assert store.verify_audit().intact
            with store.snapshot() as connection:
                for table in ("pushes WHERE length(sealed) > 0", "stream_chunks"):
                    assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0
        assert self.push() == PushReport((), ())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.close()


def test_a_block_moves_whole_and_is_the_same_at_the_server(site: Site) -> None:
    site.add()
    line = Line(site.intake())
    report = site.push(line)
    assert (report.bits, report.left) == (8 * len(KEY), ())
    assert line.calls == ["open", *["take"] * 4, "close"]
    site.require_moved_once()
    entries = [each for each in site.node.audit_entries() if each["event"] == "spend"]
    assert [(each["purpose"], each["ranges"]) for each in entries] == [("pushed", [[BLOCK, 0, 8 * len(KEY)]])]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(CALLS))
def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(site: Site, call: int, after: bool) -> None:
    site.add()
    with pytest.raises(Killed):
        site.push(Line(site.intake(), kill_at=call, after=after))
    site.reopen()
    line = Line(site.intake())
    report = site.push(line)
    assert [each.block_id for each in report.pushed] == [BLOCK]
    assert line.calls.count("take") == {0: 4, 5: 0}.get(call, 4 - call + (not after))
    site.require_moved_once()


@pytest.mark.parametrize("call", range(1, CALLS))
def test_while_it_is_on_its_way_neither_end_gives_any_of_it_out(site: Site, call: int) -> None:
    site.add()
    with pytest.raises(Killed):
        site.push(Line(site.intake(), kill_at=call))
    with pytest.raises(KeyExhausted):
        site.node.spend("stellenbosch", "pair", 8, purpose="test", reference="")
    with pytest.raises(KeyNotFound):
        site.server.spend("stellenbosch", "pair", 8, purpose="test", reference="")


@pytest.mark.parametrize("call", [*range(1, CALLS), None])
def test_a_kill_between_use_log_and_commit_pushes_under_the_same_name(site: Site, call: int | None) -> None:
    site.add()
    site.close()
    shutil.copy(site.folder / "node.db", site.folder / "old.db")
    site.reopen()
    if call is None:
        site.push()
    else:
        with pytest.raises(Killed):
            site.push(Line(site.intake(), kill_at=call))
    site.close()
    shutil.copy(site.folder / "old.db", site.folder / "node.db")
    site.reopen()
    with pytest.raises(KeyExhausted):
        site.node.spend("stellenbosch", "pair", 8, purpose="test", reference="")
    assert len(site.push().pushed) == 1
    site.require_moved_once()


def test_an_old_copy_pushes_again_what_the_server_has_without_effect(site: Site) -> None:
    site.add()
    site.close()
    shutil.copy(site.folder / "node.db", site.folder / "old.db")
    site.reopen()
    site.push()
    site.add("relay:jinan-1:2", key_bytes(64, "more"))
    site.node.spend("stellenbosch", "pair", 8, purpose="test", reference="")
    site.server.spend("stellenbosch", "pair", 80, purpose="test", reference="")
    site.close()
    shutil.copy(site.folder / "old.db", site.folder / "node.db")
    with pytest.raises(StoreRestored):
        KeyStore.open(site.folder / "node.db")
    KeyStore.recover(site.folder / "node.db")
    site.reopen()
    assert [each.block_id for each in site.push().pushed] == [BLOCK]
    assert [row.spent_bits for row in site.server.list_blocks()] == [80]
    assert site.node.list_blocks()[0].live_bits == 0


def test_key_whose_logs_are_lost_is_not_pushed(site: Site) -> None:
    site.add()
    with pytest.raises(Killed):
        site.push(Line(site.intake(), kill_at=3))
    site.close()
    for name in ("node.db", "server.db"):
        (site.folder / f"{name}.uses").unlink()
        KeyStore.recover(site.folder / name, discard=True)
    site.reopen()
    assert site.push() == PushReport((), ())
    assert site.server.list_blocks() == []
    with site.server.snapshot() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM stream_chunks").scalar() == 0


def test_only_whole_confirmed_pair_blocks_of_the_peer_go(site: Site) -> None:
    for number in range(4):
        site.add(f"relay:jinan-1:{number}")
    site.node.spend("stellenbosch", "pair", 8, purpose="test", reference="")
    site.node.spend_at(
        "stellenbosch", "pair", [_range("relay:jinan-1:1", 8 * 992)], purpose="test", reference=""
    )
    for kind, block_id, state in (
        ("pair", "u", "unconfirmed"),
        ("auth", "a", "confirmed"),
        ("link", "l", "confirmed"),
    ):
        site.node.add_block(
            block_id, peer="stellenbosch", kind=kind, origin="hardware", key=KEY, state=state,  # type: ignore[arg-type]
            allocator="beijing" if kind == "link" else None, now_utc=NOW,
        )  # fmt: skip
    assert site.push(peer="xian").pushed == ()
    names = [each.block_id for each in site.push(peer="stellenbosch").pushed]
    assert names == ["relay:jinan-1:2", "relay:jinan-1:3"]


def _range(block_id: str, offset_bits: int) -> object:
    from satqkd.keys import KeyRange

    return KeyRange(block_id, offset_bits, 8)


def test_who_allocates_origin_and_age_travel_along(site: Site) -> None:
    site.add(origin="twin", allocator="stellenbosch")
    site.push()
    [row] = site.server.list_blocks()
    assert (row.origin, row.created_utc) == ("twin", NOW)
    assert site.server.available_bits("stellenbosch", "pair", demo=True) == 0
    request = KeyRequest(peer="stellenbosch", master="a", slaves=("b",), count=1, size_bits=64)
    with pytest.raises(KeyStoreError):
        KeySupply(site.server).draw(request, now_utc=NOW)


def test_a_block_for_a_node_that_the_server_does_not_know_is_left_unused(site: Site) -> None:
    site.add()
    intake = StoreIntake(site.server, "distiller", peers=("xian",))
    report = site.push(intake)
    assert (report.pushed, [each.block_id for each in report.left]) == ((), [BLOCK])
    assert site.node.list_blocks()[0].spent_bits == 0
    site.push()
    site.require_moved_once()


def test_a_block_that_the_server_has_by_another_way_is_left(site: Site) -> None:
    site.add()
    site.server.add_block(
        BLOCK, peer="stellenbosch", kind="pair", origin="hardware", key=KEY, state="confirmed", now_utc=NOW
    )
    assert "stored already" in site.push().left[0].reason
    assert site.node.available_bits("stellenbosch", "pair") == 4 * len(KEY)


BLOCK_TOLD = PushedBlock(
    block_id=BLOCK, peer="stellenbosch", origin="hardware", paths=(), bits=8 * len(KEY), own_from_bits=0,
    own_until_bits=4000, created_utc=NOW,
)  # fmt: skip
STREAM = "00000000-0000-4000-8000-00000000abcd"


class TestIntake:
    def opened(self, site: Site, **changes: object) -> StoreIntake:
        intake = site.intake()
        block = PushedBlock(
            **{name: getattr(BLOCK_TOLD, name) for name in BLOCK_TOLD.__struct_fields__} | changes
        )  # type: ignore[arg-type]
        assert intake.open(STREAM, "beijing", block, now_utc=NOW) == StreamState(CHUNK_BYTES, 0)
        return intake

    def take(self, intake: StoreIntake, index: int, data: bytes | None = None) -> int:
        chunk = KEY[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES] if data is None else data
        return intake.take(STREAM, index, memoryview(chunk), now_utc=NOW)

    def test_chunks_come_again_or_too_early_without_effect(self, site: Site) -> None:
        intake = self.opened(site)
        assert [self.take(intake, index) for index in (0, 0, 3, 1, 0, 2, 1, 3)] == [1, 1, 1, 2, 2, 3, 3, 4]
        intake.close(STREAM, now_utc=NOW)
        assert self.take(intake, 2) == 4
        intake.close(STREAM, now_utc=NOW)
        assert bytes(site.server.peek_for_check(BLOCK).expose()) == KEY
        assert intake.open(STREAM, "beijing", BLOCK_TOLD, now_utc=NOW).next_index == 4

    def test_other_bytes_and_other_lengths_are_refused(self, site: Site) -> None:
        intake = self.opened(site)
        self.take(intake, 0)
        with pytest.raises(ConfigError, match="came before"):
            self.take(intake, 0, bytes(CHUNK_BYTES))
        for index, length in ((1, CHUNK_BYTES - 1), (1, CHUNK_BYTES + 1), (3, CHUNK_BYTES), (1, 0)):
            with pytest.raises(ConfigError, match="bytes, got"):
                self.take(intake, index, bytes(length))
        for index in (-1, 4):
            with pytest.raises(ConfigError, match="no chunk"):
                self.take(intake, index, bytes(CHUNK_BYTES))

    def test_a_stream_with_missing_chunks_is_not_closed(self, site: Site) -> None:
        intake = self.opened(site)
        self.take(intake, 0)
        with pytest.raises(KeyExhausted, match="expected 4 chunks, got 1"):
            intake.close(STREAM, now_utc=NOW)
        assert site.server.list_blocks() == []

    def test_a_stream_is_of_one_sender_and_one_block(self, site: Site) -> None:
        self.opened(site)
        with pytest.raises(StreamInUse):
            site.intake("other").open(STREAM, "beijing", BLOCK_TOLD, now_utc=NOW)
        with pytest.raises(StreamInUse):
            self.opened(site, own_until_bits=0)
        for call in (
            lambda: self.take(site.intake("other"), 0),
            lambda: site.intake("other").close(STREAM, now_utc=NOW),
        ):
            with pytest.raises(KeyNotFound):
                call()

    def test_a_second_stream_of_a_block_replaces_one_that_brought_nothing_alone(self, site: Site) -> None:
        intake = self.opened(site)
        second = STREAM.replace("abcd", "abce")
        intake.open(second, "beijing", BLOCK_TOLD, now_utc=NOW)
        with pytest.raises(StreamInUse, match="given up"):
            self.take(intake, 0)
        intake.take(second, 0, memoryview(KEY[:CHUNK_BYTES]), now_utc=NOW)
        with pytest.raises(StreamInUse, match="on its way"):
            intake.open(STREAM.replace("abcd", "abcf"), "beijing", BLOCK_TOLD, now_utc=NOW)

    @pytest.mark.parametrize(
        "changes",
        [{"peer": "beijing"}, {"own_from_bits": 4008}, {"own_until_bits": 8008}, {"block_id": "a b"}],
        ids=str,
    )
    def test_a_block_that_cannot_be_is_refused(self, site: Site, changes: dict[str, object]) -> None:
        with pytest.raises((ConfigError, NoLink)):
            self.opened(site, **changes)
        with pytest.raises(ConfigError, match="whose server"):
            site.intake().open(STREAM, "xian", BLOCK_TOLD, now_utc=NOW)


@pytest.mark.parametrize("end", ["node", "server"])
def test_key_that_is_revoked_on_its_way_never_arrives(site: Site, end: str) -> None:
    site.add()
    with pytest.raises(Killed):
        site.push(Line(site.intake(), kill_at=3))
    done = revoke_peer(getattr(site, end), "stellenbosch", reason="test", now_utc=LATER)
    assert done.pushes == 1
    site.reopen()
    report = site.push()
    assert report.pushed == ()
    assert len(report.left) == (end == "server")
    assert site.server.list_blocks() == []


def test_an_old_copy_does_not_push_what_was_revoked_since(site: Site) -> None:
    site.add()
    with pytest.raises(Killed):
        site.push(Line(site.intake(), kill_at=3))
    site.close()
    shutil.copy(site.folder / "node.db", site.folder / "old.db")
    site.reopen()
    revoke_peer(site.node, "stellenbosch", reason="test", now_utc=LATER)
    site.close()
    shutil.copy(site.folder / "old.db", site.folder / "node.db")
    site.reopen()
    assert site.push() == PushReport((), ())


def test_a_server_that_never_wants_the_next_chunk_does_not_hold_the_node_for_ever(site: Site) -> None:
    site.add()

    class Stuck(Line):
        def take(self, stream_id: str, index: int, chunk: memoryview, *, now_utc: str) -> int:
            return index

    with pytest.raises(RemoteProtocolError, match="push again"):
        site.push(Stuck(site.intake()))
    site.push()
    site.require_moved_once()


def test_a_block_that_is_revoked_between_open_and_set_out_stays(site: Site) -> None:
    site.add()

    class Revoking(Line):
        def open(self, stream_id: str, node: str, block: PushedBlock, *, now_utc: str) -> StreamState:
            revoke_peer(site.node, "stellenbosch", reason="test", now_utc=LATER)
            return super().open(stream_id, node, block, now_utc=now_utc)

    report = site.push(Revoking(site.intake()))
    assert "given up meanwhile" in report.left[0].reason
    with pytest.raises(KeyAlreadyUsed):
        site.add()
