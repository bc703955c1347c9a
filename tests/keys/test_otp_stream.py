"""Encrypted streams: any cut into chunks comes back, any change is refused, no key serves twice."""

import io
import itertools
from collections.abc import Iterator

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.poly1305 import Poly1305
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keys_cases import key_bytes
from otp_cases import Pair, Pipe, parts_of, records_of

from satqkd.errors import (
    AuthenticationError,
    ConfigError,
    DataFormatError,
    Error,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
)
from satqkd.keys import decrypt, decrypt_stream, encrypt, encrypt_stream, largest_plaintext_bytes
from satqkd.keys.model import MAC_KEY_BITS
from satqkd.keys.otp.format import CHUNK_BYTES
from satqkd.keys.otp.room import key_bits_for
from satqkd.keys.otp.stream import read_header

TEXT = key_bytes(200, "text")
KINDS = pytest.mark.parametrize("as_hybrid", [False, True], ids=["otp", "hybrid"])
many = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.sender.close()
    made.receiver.close()


# --- round trips


@many
@given(
    st.integers(0, 700),
    st.integers(1, 300),
    st.lists(st.integers(1, 90), min_size=1, max_size=5),
    st.booleans(),
)
def test_any_chunking_comes_back_and_costs_what_is_said(
    n_bytes: int, chunk_bytes: int, sizes: list[int], as_hybrid: bool
) -> None:
    if key_bits_for(n_bytes, chunk_bytes=chunk_bytes) > 8 * 4096:
        return
    pair, text, turns = Pair(), key_bytes(n_bytes, "text"), itertools.cycle(sizes)
    sealed, out = io.BytesIO(), io.BytesIO()
    report = encrypt_stream(
        pair.sender,
        "xian",
        Pipe(text, lambda: next(turns)),
        sealed,
        randbytes=lambda n: bytes(n),
        chunk_bytes=chunk_bytes,
        as_hybrid=as_hybrid,
    )
    back = decrypt_stream(pair.receiver, Pipe(sealed.getvalue(), lambda: next(turns)), out, peer="beijing")
    assert out.getvalue() == text
    assert (report.bytes_in, report.bytes_out) == (back.bytes_out, back.bytes_in)
    assert (back.bytes_out, back.bytes_in) == (n_bytes, len(sealed.getvalue()))
    wanted = 512 if as_hybrid else key_bits_for(n_bytes, chunk_bytes=chunk_bytes)
    for store in (pair.sender, pair.receiver):
        assert pair.spent_bits(store) == wanted
        assert store.check().balanced


def test_bytes_and_streams_are_one_format(pair: Pair) -> None:
    data = encrypt(pair.sender, "xian", TEXT)
    assert pair.opened(data) == TEXT
    assert decrypt(pair.receiver, pair.sealed(TEXT)) == TEXT
    assert decrypt(pair.receiver, pair.sealed(TEXT, as_hybrid=True)) == TEXT
    assert read_header(data).chunk_bytes == CHUNK_BYTES


def test_chunks_are_xor_with_their_own_key_and_tag(pair: Pair) -> None:
    """Recomputed here with nothing but xor and Poly1305; the key lies in a row, across a block's border."""
    text = key_bytes(1000, "long")
    prefix, chunks = parts_of(pair.sealed(text, chunk_bytes=400))
    position = 0
    for number, (data, size) in enumerate(zip(chunks, (400, 400, 200), strict=True)):
        mac_key, pad = pair.key[position : position + 32], pair.key[position + 32 : position + 32 + size]
        position += 32 + size
        plain = text[400 * number : 400 * number + size]
        assert data[-16 - size : -16] == bytes(a ^ b for a, b in zip(plain, pad, strict=True))
        assert data[-16:] == Poly1305.generate_tag(mac_key, prefix + data[:-16])
    heads = [record.head for record in records_of(prefix + b"".join(chunks))]
    assert [(head.number, head.last) for head in heads] == [(0, False), (1, False), (2, True)]
    assert [piece.block_id for piece in heads[2].ranges] == ["b0", "b1"]


def test_a_hybrid_file_is_aes_gcm_with_numbered_pieces(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satqkd.keys.otp.hybrid.PIECE_BYTES", 80)
    data = pair.sealed(TEXT, as_hybrid=True)
    prefix_bytes = 10 + int.from_bytes(data[6:10], "little")
    section_bytes = 4 + int.from_bytes(data[prefix_bytes : prefix_bytes + 4], "little") + 16
    beside, rest = data[: prefix_bytes + section_bytes], data[prefix_bytes + section_bytes :]
    assert beside[-16:] == Poly1305.generate_tag(pair.key[:32], beside[:-16])
    cipher, found = AESGCM(pair.key[32:64]), b""
    for number, start in enumerate((0, 96, 192)):
        nonce = number.to_bytes(11, "big") + bytes([number == 2])
        found += cipher.decrypt(nonce, rest[start : start + 96], beside)
    assert found == TEXT


# --- what is refused


@KINDS
def test_a_file_opens_once(pair: Pair, as_hybrid: bool) -> None:
    data = pair.sealed(TEXT, as_hybrid=as_hybrid)
    assert pair.opened(data) == TEXT
    for again in (pair.opened, lambda each: decrypt(pair.receiver, each)):
        with pytest.raises(KeyAlreadyUsed) as refused:
            again(data)
        assert refused.value.exit_code == 3


def refused_as_a_whole(pair: Pair, data: bytes) -> None:
    """Bytes are opened whole or not at all: no key is used, and the true file opens afterwards."""
    before = pair.spent_bits(pair.receiver)
    with pytest.raises(Error):
        decrypt(pair.receiver, data)
    assert pair.spent_bits(pair.receiver) == before
    assert pair.receiver.check().balanced


def is_authentic_beginning(pair: Pair, data: bytes, text: bytes) -> None:
    """As a stream: what comes out before the refusal is the beginning of the true text."""
    copy, sink = pair.receiver_memory.copy(), io.BytesIO()
    with pytest.raises(Error):
        decrypt_stream(pair.receiver, io.BytesIO(data), sink)
    assert text.startswith(sink.getvalue()) and sink.getvalue() != text
    pair.receiver_memory.put_back(copy)


@KINDS
@many
@given(data=st.data())
def test_any_flipped_bit_is_refused(as_hybrid: bool, data: st.DataObject) -> None:
    pair = Pair()
    sealed = pair.sealed(TEXT, as_hybrid=as_hybrid)
    at = data.draw(st.integers(0, 8 * len(sealed) - 1))
    changed = bytearray(sealed)
    changed[at // 8] ^= 1 << at % 8
    refused_as_a_whole(pair, bytes(changed))
    is_authentic_beginning(pair, bytes(changed), TEXT)
    assert decrypt(pair.receiver, sealed) == TEXT


@KINDS
def test_a_cut_anywhere_is_refused(pair: Pair, as_hybrid: bool) -> None:
    sealed = pair.sealed(TEXT, as_hybrid=as_hybrid)
    for length in range(len(sealed)):
        refused_as_a_whole(pair, sealed[:length])
        is_authentic_beginning(pair, sealed[:length], TEXT)
    refused_as_a_whole(pair, sealed + b"x")
    is_authentic_beginning(pair, sealed + b"x", TEXT)
    assert decrypt(pair.receiver, sealed) == TEXT


@many
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_no_other_order_of_chunks_of_two_files_is_one(
    order: list[tuple[bool, int]], prefix_of_second: bool, renumber: bool
) -> None:
    """Drop, double, swap, splice; also with each chunk's number and last flag made to fit its new place."""
    pair = Pair()
    texts = TEXT, key_bytes(200, "other")
    files = [parts_of(pair.sealed(text, seed=name)) for text, name in zip(texts, "ab", strict=True)]
    if order == [(prefix_of_second, n) for n in range(4)]:
        return
    chunks = [files[second][1][number] for second, number in order]
    if renumber:
        chunks = [renumbered(each, n, last=n == len(chunks) - 1) for n, each in enumerate(chunks)]
        if chunks == files[prefix_of_second][1]:
            return
    data = files[prefix_of_second][0] + b"".join(chunks)
    refused_as_a_whole(pair, data)
    is_authentic_beginning(pair, data, texts[prefix_of_second])


def renumbered(chunk: bytes, number: int, *, last: bool) -> bytes:
    until = 4 + int.from_bytes(chunk[:4], "little")
    head = msgspec.msgpack.decode(chunk[4:until])
    encoded = msgspec.msgpack.encode([number, last, *head[2:]])
    return len(encoded).to_bytes(4, "little") + encoded + chunk[until:]


def test_a_file_that_ends_at_a_chunks_border_with_a_forged_flag_is_refused(pair: Pair) -> None:
    prefix, chunks = parts_of(pair.sealed(TEXT))
    data = prefix + chunks[0] + renumbered(chunks[1], 1, last=True)
    with pytest.raises(AuthenticationError) as refused:
        decrypt(pair.receiver, data)
    assert refused.value.exit_code == 3
    with pytest.raises(DataFormatError):
        decrypt(pair.receiver, prefix + chunks[0] + chunks[1])


@KINDS
def test_wrong_tags_are_counted_and_then_the_tags_key_is_spent(
    pair: Pair, as_hybrid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("satqkd.keys.ledger.onetime_mac.ATTEMPTS", 3)
    sealed = pair.sealed(TEXT, as_hybrid=as_hybrid)
    forged = section_broken(sealed) if as_hybrid else sealed[:-1] + bytes([sealed[-1] ^ 1])
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            decrypt(pair.receiver, forged)
    assert pair.spent_bits(pair.receiver) == MAC_KEY_BITS
    with pytest.raises(KeyAlreadyUsed):
        decrypt(pair.receiver, sealed)


def section_broken(sealed: bytes) -> bytes:
    """A hybrid file whose key section has another tag."""
    start = 10 + int.from_bytes(sealed[6:10], "little")
    tag_at = start + 4 + int.from_bytes(sealed[start : start + 4], "little")
    return sealed[:tag_at] + bytes([sealed[tag_at] ^ 1]) + sealed[tag_at + 1 :]


def test_a_piece_of_a_hybrid_file_that_does_not_open_leaves_the_key(pair: Pair) -> None:
    sealed = pair.sealed(TEXT, as_hybrid=True)
    for _ in range(3):
        with pytest.raises(AuthenticationError, match="not used up"):
            decrypt(pair.receiver, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert pair.spent_bits(pair.receiver) == 0
    assert decrypt(pair.receiver, sealed) == TEXT


@KINDS
def test_a_file_for_another_or_of_another_is_refused(pair: Pair, as_hybrid: bool) -> None:
    sealed = pair.sealed(TEXT, as_hybrid=as_hybrid)
    with pytest.raises(KeyNotFound, match="for 'xian'"):
        decrypt_stream(pair.sender, io.BytesIO(sealed), io.BytesIO())
    with pytest.raises(ConfigError, match="--peer"):
        decrypt_stream(pair.receiver, io.BytesIO(sealed), io.BytesIO(), peer="sanya")
    for peer in ("beijing", "Not A Name"):
        with pytest.raises(ConfigError):
            encrypt_stream(pair.sender, peer, io.BytesIO(TEXT), io.BytesIO(), randbytes=bytes)
    with pytest.raises(ConfigError, match="chunk_bytes"):
        pair.sealed(TEXT, chunk_bytes=CHUNK_BYTES + 1)
    assert pair.spent_bits(pair.receiver) == 0


# --- key before ciphertext, plain text before the key goes


class Watching(io.BytesIO):
    """A sink that asks, at each write, how much key is used."""

    def __init__(self, ask: "object") -> None:
        super().__init__()
        self._ask, self.seen = ask, []

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self.seen.append(self._ask())  # type: ignore[operator]
        return super().write(data)


@KINDS
def test_key_is_used_before_its_ciphertext_leaves(pair: Pair, as_hybrid: bool) -> None:
    sink = Watching(lambda: pair.spent_bits(pair.sender))
    encrypt_stream(
        pair.sender, "xian", io.BytesIO(TEXT), sink, randbytes=bytes, chunk_bytes=64, as_hybrid=as_hybrid
    )
    chunk = 8 * 64 + 256
    assert sink.seen == ([512, 512] if as_hybrid else [chunk, 2 * chunk, 3 * chunk, 3 * chunk + 320])


def test_plain_text_is_out_before_its_key_goes(pair: Pair) -> None:
    """So a sink that fails loses nothing: the chunk opens again."""
    data = pair.sealed(TEXT)
    sink = Watching(lambda: pair.spent_bits(pair.receiver))
    decrypt_stream(pair.receiver, io.BytesIO(data), sink)
    chunk = 8 * 64 + 256
    assert sink.seen == [0, chunk, 2 * chunk, 3 * chunk]


def test_a_stream_without_key_writes_nothing(pair: Pair) -> None:
    sink = io.BytesIO()
    with pytest.raises(KeyExhausted):
        encrypt_stream(pair.sender, "xian", io.BytesIO(bytes(5000)), sink, randbytes=bytes)
    assert sink.getvalue() == b"" and pair.spent_bits(pair.sender) == 0


def test_bytes_that_the_key_does_not_cover_use_none_of_it() -> None:
    """A question for the first chunk, or for one tag's key in all, would be answered with yes here."""
    pair = Pair(pair_bytes=3 << 19)
    largest = largest_plaintext_bytes(pair.sender, "xian")
    assert largest == (3 << 19) - 64
    with pytest.raises(KeyExhausted):
        encrypt(pair.sender, "xian", bytes(largest + 1))
    assert pair.spent_bits(pair.sender) == 0
    assert len(decrypt(pair.receiver, encrypt(pair.sender, "xian", bytes(largest)))) == largest


@many
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 60))
def test_the_largest_text_fits_and_one_more_byte_does_not(blocks: list[int], chunk_bytes: int) -> None:
    from satqkd.keys.otp.room import _plaintext_bytes_in

    total = sum(8 * each for each in blocks)
    largest = _plaintext_bytes_in([8 * each for each in blocks], chunk_bytes)
    assert largest == 0 or key_bits_for(largest, chunk_bytes=chunk_bytes) <= total
    assert key_bits_for(largest + 1, chunk_bytes=chunk_bytes) > total
