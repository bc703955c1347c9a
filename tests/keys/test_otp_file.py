"""Encrypted files: killed after every write, half-write and commit, and gone on with; never key twice."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keys_cases import key_bytes
from otp_cases import Pair, Pipe, parts_of, records_of
from sqlalchemy import Connection

from memory_store import MemoryDatabase
from satqkd.errors import (
    AuthenticationError,
    ConfigError,
    DataFormatError,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
    ResourceError,
)
from satqkd.keys import decrypt, decrypt_file, encrypt_file
from satqkd.keys.otp import partial as otp_partial
from satqkd.keys.otp.format import TAG_BYTES, ChunkHead, read_prefix

TEXT = key_bytes(300, "text")
CHUNK = 64
KINDS = pytest.mark.parametrize("as_hybrid", [False, True], ids=["otp", "hybrid"])
Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hybrid files of some pieces too."""
    monkeypatch.setattr("satqkd.keys.otp.hybrid.PIECE_BYTES", CHUNK)


def seal(pair: Pair, folder: Path, text: bytes = TEXT, *, source: Any = None, **more: Any) -> bytes:
    more = {"as_hybrid": False, "resume": False, **more}
    report = encrypt_file(
        pair.sender,
        "xian",
        source or io.BytesIO(text),
        folder / "f.otp",
        randbytes=os.urandom,
        chunk_bytes=CHUNK,
        **more,
    )
    data = (folder / "f.otp").read_bytes()
    assert (report.bytes_in, report.bytes_out) == (len(text), len(data))
    return data


def unseal(pair: Pair, folder: Path, data: bytes, *, source: Any = None, **more: Any) -> bytes:
    report = decrypt_file(pair.receiver, source or io.BytesIO(data), folder / "f", peer="beijing", **more)
    text = (folder / "f").read_bytes()
    assert (report.bytes_in, report.bytes_out) == (len(data), len(text))
    return text


def files_of(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Deaths:
    """What a kill would leave, at every moment of one run."""

    def __init__(self, folder: Path, memory: MemoryDatabase, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._memory = folder, memory
        self.left: list[tuple[Files, bytes]] = []
        committed, sync = memory.transaction, otp_partial._sync

        @contextmanager
        def transaction() -> Iterator[Connection]:
            with committed() as connection:
                yield connection
            self.note()

        def synced(file: BinaryIO) -> None:
            self.note()
            before = Path(file.name).stat().st_size
            file.flush()
            self.note(torn=(Path(file.name).name, before))
            self.note()
            sync(file)

        def noted(call: Callable[..., Any]) -> Callable[..., Any]:
            def done(*arguments: Any, **named: Any) -> Any:
                result = call(*arguments, **named)
                self.note()
                return result

            return done

        patch.setattr(memory, "transaction", transaction, raising=False)
        patch.setattr(otp_partial, "_sync", synced)
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, noted(getattr(Path, name)))
        patch.setattr(otp_partial, "_write_new", noted(otp_partial._write_new))

    def note(self, torn: tuple[str, int] | None = None) -> None:
        files = files_of(self._folder)
        if torn is not None:
            name, before = torn
            files[name] = files[name][: (before + len(files[name])) // 2]
        state = files, self._memory.copy()
        if state not in self.left:
            self.left.append(state)


def put(folder: Path, files: Files) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def torn_records(data: bytes) -> Iterator[tuple[ChunkHead, bytes]]:
    """Chunks of what a kill left, the last perhaps cut short, each with what there is of it."""
    if not data:
        return
    rest = data[len(read_prefix(io.BytesIO(data)).data) :]
    while len(rest) > 4 and len(rest) >= 4 + int.from_bytes(rest[:4], "little"):
        until = 4 + int.from_bytes(rest[:4], "little")
        head = msgspec.msgpack.decode(rest[4:until], type=ChunkHead)
        size = until + head.plaintext_bytes + TAG_BYTES
        yield head, rest[:size]
        rest = rest[size:]


@KINDS
def test_encryption_killed_at_any_moment_is_resumed_without_key_used_twice(
    tmp_path: Path, as_hybrid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pair = tmp_path / "run", Pair()
    folder.mkdir()
    with monkeypatch.context() as patch:
        deaths = Deaths(folder, pair.sender_memory, patch)
        seal(pair, folder, as_hybrid=as_hybrid)
    assert len(deaths.left) >= (5 if as_hybrid else 5 * 5)
    start = pair.receiver_memory.copy()
    for files, store in deaths.left:
        put(folder, files)
        pair.sender_memory.put_back(store)
        pair.receiver_memory.put_back(start)
        if "f.otp" in files:
            with pytest.raises(ResourceError, match="exists"):
                seal(pair, folder, as_hybrid=as_hybrid, resume=True)
            data = files["f.otp"]
        else:
            if "f.otp.partial" in files:
                with pytest.raises(ResourceError, match="--resume"):
                    seal(pair, folder, as_hybrid=as_hybrid)
                assert files_of(folder) == files and pair.sender_memory.copy() == store
            data = seal(pair, folder, as_hybrid=as_hybrid, resume=True)
            assert list(files_of(folder)) == ["f.otp"]
        assert decrypt(pair.receiver, data) == TEXT
        assert pair.sender.check().balanced
        if not as_hybrid:
            named = {record.head.ranges: record.data for record in records_of(data)}
            for head, torn in torn_records(files.get("f.otp.partial", b"")):
                assert head.ranges not in named or named[head.ranges].startswith(torn[:-TAG_BYTES])


@KINDS
def test_decryption_killed_at_any_moment_is_resumed_and_loses_nothing(
    tmp_path: Path, as_hybrid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key used before the plain text is on the disk would lose it in some of these."""
    folder, pair = tmp_path / "run", Pair()
    folder.mkdir()
    data = pair.sealed(TEXT, chunk_bytes=CHUNK, as_hybrid=as_hybrid)
    with monkeypatch.context() as patch:
        deaths = Deaths(folder, pair.receiver_memory, patch)
        assert unseal(pair, folder, data) == TEXT
    assert len(deaths.left) >= (8 if as_hybrid else 5 * 6)
    spent = pair.spent_bits(pair.receiver)
    for files, store in deaths.left:
        put(folder, files)
        pair.receiver_memory.put_back(store)
        for name, content in files.items():
            if name in ("f", "f.partial"):
                assert TEXT.startswith(content), "only verified plain text is ever on the disk"
        if "f" in files:
            assert files["f"] == TEXT
        else:
            if "f.partial" in files:
                with pytest.raises(ResourceError, match="--resume"):
                    unseal(pair, folder, data)
            assert unseal(pair, folder, data, resume=True) == TEXT
            assert list(files_of(folder)) == ["f"]
        assert pair.spent_bits(pair.receiver) == spent
        assert pair.receiver.check().balanced
        with pytest.raises(KeyAlreadyUsed):
            decrypt(pair.receiver, data)


def killed(pair: Pair, folder: Path, chunks: int) -> Any:
    """A source that kills its reader after some chunks: nothing is tidied up."""

    class Killed(BaseException):
        pass

    class Source(io.BytesIO):
        left = CHUNK * (chunks + 1)

        def read(self, size: int | None = -1, /) -> bytes:
            self.left -= size or 0
            if self.left < 0:
                raise Killed
            return super().read(size)

    with pytest.raises(Killed):
        seal(pair, folder, source=Source(TEXT))
    return Killed


def test_another_plain_text_is_not_gone_on_with(tmp_path: Path) -> None:
    pair = Pair()
    killed(pair, tmp_path, 2)
    before, files = pair.spent_bits(pair.sender), files_of(tmp_path)
    assert before == 2 * (8 * CHUNK + 256)
    for other in (TEXT[:70] + b"x" + TEXT[71:], TEXT[:CHUNK], TEXT[: 2 * CHUNK], b""):
        with pytest.raises(ConfigError, match="another"):
            seal(pair, tmp_path, other, resume=True)
        assert pair.spent_bits(pair.sender) == before and files_of(tmp_path) == files
    longer = TEXT + b"more"
    assert decrypt(pair.receiver, seal(pair, tmp_path, longer, resume=True)) == longer


def test_only_as_it_was_begun(tmp_path: Path) -> None:
    pair = Pair()
    killed(pair, tmp_path, 2)
    with pytest.raises(ConfigError, match="begun as otp from 'beijing' for 'xian'"):
        seal(pair, tmp_path, as_hybrid=True, resume=True)
    (tmp_path / "f.otp.partial").rename(tmp_path / "f.partial")
    (tmp_path / "f.otp.partial-notes").rename(tmp_path / "f.partial-notes")
    with pytest.raises(ResourceError, match="not what an earlier `satqkd decrypt`"):
        unseal(pair, tmp_path, pair.sealed(TEXT), resume=True)
    (tmp_path / "f.partial-notes").unlink()
    with pytest.raises(ResourceError, match="notes"):
        unseal(pair, tmp_path, pair.sealed(TEXT), resume=True)


def test_a_damaged_chunk_of_the_partial_file_is_made_anew_with_other_key(tmp_path: Path) -> None:
    pair = Pair()
    killed(pair, tmp_path, 3)
    partial = tmp_path / "f.otp.partial"
    data = bytearray(partial.read_bytes())
    data[-1] ^= 1
    partial.write_bytes(data)
    assert decrypt(pair.receiver, seal(pair, tmp_path, resume=True)) == TEXT
    assert pair.spent_bits(pair.sender) == 8 * 300 + 5 * 256 + 8 * CHUNK + 256


def test_resume_begins_where_nothing_is(tmp_path: Path) -> None:
    pair = Pair()
    data = seal(pair, tmp_path, resume=True)
    assert unseal(pair, tmp_path, data, resume=True) == TEXT


def test_a_changed_chunk_keeps_what_came_before_it(tmp_path: Path) -> None:
    pair = Pair()
    data = pair.sealed(TEXT, chunk_bytes=CHUNK)
    prefix, chunks = parts_of(data)
    third = chunks[2][:-1] + bytes([chunks[2][-1] ^ 1])
    forged = prefix + b"".join([*chunks[:2], third, *chunks[3:]])
    with pytest.raises(AuthenticationError, match=r"2 chunks are kept in .*f\.partial.*--resume") as refused:
        unseal(pair, tmp_path, forged)
    assert refused.value.exit_code == 3
    assert not (tmp_path / "f").exists() and (tmp_path / "f.partial").read_bytes() == TEXT[: 2 * CHUNK]
    with pytest.raises(DataFormatError, match="another file"):
        unseal(pair, tmp_path, pair.sealed(TEXT, chunk_bytes=CHUNK, seed="other"), resume=True)
    other = prefix + chunks[0][:-1] + bytes([chunks[0][-1] ^ 1]) + b"".join(chunks[1:])
    with pytest.raises(DataFormatError, match="another than when"):
        unseal(pair, tmp_path, other, resume=True)
    assert unseal(pair, tmp_path, data, resume=True) == TEXT


def test_plain_text_that_was_tampered_with_is_not_passed_on(tmp_path: Path) -> None:
    pair = Pair()
    data = pair.sealed(TEXT, chunk_bytes=CHUNK)
    with pytest.raises(DataFormatError):
        unseal(pair, tmp_path, data[:-1], source=Pipe(data[:-1]))
    (tmp_path / "f.partial").write_bytes(b"x" + (tmp_path / "f.partial").read_bytes()[1:])
    with pytest.raises(KeyAlreadyUsed, match="does not hold its plain text"):
        unseal(pair, tmp_path, data, resume=True)
    assert not (tmp_path / "f").exists()


def test_a_store_that_went_back_is_noticed(tmp_path: Path) -> None:
    pair = Pair()
    start, data = pair.receiver_memory.copy(), pair.sealed(TEXT, chunk_bytes=CHUNK)
    with pytest.raises(DataFormatError):
        unseal(pair, tmp_path, data[:-1], source=Pipe(data[:-1]))
    pair.receiver_memory.put_back(start)
    with pytest.raises(KeyStoreError, match="went back"):
        unseal(pair, tmp_path, data, resume=True)


@KINDS
def test_what_can_be_known_beforehand_is_asked_before_any_key_is_used(
    tmp_path: Path, as_hybrid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair()
    data = pair.sealed(TEXT, chunk_bytes=CHUNK, as_hybrid=as_hybrid)
    ours, theirs = pair.spent_bits(pair.sender), pair.spent_bits(pair.receiver)
    with pytest.raises(DataFormatError), pytest.MonkeyPatch.context():
        unseal(pair, tmp_path, data[:40])
    if not as_hybrid:
        with pytest.raises(KeyExhausted):
            seal(pair, tmp_path, bytes(4000))
        for wrong in (data[:-1], data + b"x"):
            with pytest.raises(DataFormatError):
                unseal(pair, tmp_path, wrong)
    with pytest.raises(KeyNotFound):
        encrypt_file(
            pair.sender, "sanya", io.BytesIO(b"x"), tmp_path / "f", randbytes=os.urandom, as_hybrid=as_hybrid
        )
    with pytest.raises(ResourceError, match="no folder"):
        seal(pair, tmp_path / "nowhere", as_hybrid=as_hybrid)
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(ResourceError, match="room for"):
            seal(pair, tmp_path, as_hybrid=as_hybrid)
        with pytest.raises(ResourceError, match="room for"):
            unseal(pair, tmp_path, data)
    assert (pair.spent_bits(pair.sender), pair.spent_bits(pair.receiver)) == (ours, theirs)
    assert files_of(tmp_path) == {}
    assert unseal(pair, tmp_path, data) == TEXT
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_key_that_ends_in_mid_stream_is_waited_for(tmp_path: Path) -> None:
    """A stream of unknown length: what is done is kept, further key goes on with it."""
    pair, text = Pair(), key_bytes(4000, "long")
    with pytest.raises(KeyExhausted, match="--resume"):
        seal(pair, tmp_path, text, source=Pipe(text))
    for store, peer in ((pair.sender, "xian"), (pair.receiver, "beijing")):
        store.add_block(
            "more", peer=peer, kind="pair", origin="hardware", key=key_bytes(4096, "more"), state="confirmed",
            allocator="beijing", now_utc="2026-01-02T03:04:05Z",
        )  # fmt: skip
    data = seal(pair, tmp_path, text, source=Pipe(text), resume=True)
    assert unseal(pair, tmp_path, data, source=Pipe(data)) == text


def test_a_disk_that_fills_up_keeps_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, syncs = Pair(), iter(range(100))
    sync = otp_partial._sync

    def full(file: BinaryIO) -> None:
        if next(syncs) == 9:
            raise OSError(28, os.strerror(28))
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(otp_partial, "_sync", full)
        with pytest.raises(ResourceError, match=r"No space left.*--resume"):
            seal(pair, tmp_path)
    assert decrypt(pair.receiver, seal(pair, tmp_path, resume=True)) == TEXT


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=3))
def test_any_sequence_of_kills_ends_in_one_file(tmp_path: Path, first: int, more: list[int]) -> None:
    pair = Pair()
    put(tmp_path / "run", {})
    killed(pair, tmp_path / "run", first)
    for _ in more:
        with pytest.raises(DataFormatError), pytest.MonkeyPatch.context() as patch:
            patch.setattr("satqkd.keys.otp.chunks._seal", fail)
            seal(pair, tmp_path / "run", resume=True)
    assert decrypt(pair.receiver, seal(pair, tmp_path / "run", resume=True)) == TEXT


def fail(*_: object) -> None:
    raise DataFormatError("a stop after key was taken and before its ciphertext was written")
