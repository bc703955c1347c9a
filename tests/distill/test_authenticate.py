"""Authentication: the one-time tag is RFC 8439's Poly1305, positions never go back, transcripts bind."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill.authenticate import (
    MAXIMUM_SKIPPED_PASSES,
    PassKeys,
    TagUse,
    Transcript,
    agreed_position,
    pass_key_bits,
    require_equal,
    split_online_code,
)
from satqkd.errors import AuthenticationError, RemoteProtocolError

RFC_KEY = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
RFC_TAG = bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9")
RFC_MESSAGE = b"Cryptographic Forum Research Group"


def test_the_tag_is_poly1305_of_rfc_8439() -> None:
    """RFC 8439 section 2.5.2, the key at the place of block 1, CONFIRM."""
    before = 32 + (4 + TagUse.CONFIRM) * 32
    key = bytes(before) + RFC_KEY + bytes(pass_key_bits(2) // 8 - before - 32)
    assert PassKeys(key, 2).one_time_tag(1, TagUse.CONFIRM, RFC_MESSAGE) == RFC_TAG


def test_every_use_of_every_block_has_its_own_key_once() -> None:
    keys = PassKeys(b"".join(bytes([i]) * 32 for i in range(9)), 2)
    tags = [keys.one_time_tag(block, use, b"same") for block in range(2) for use in TagUse]
    assert len(set(tags)) == 8
    for block, use in itertools.product(range(2), TagUse):
        with pytest.raises(AuthenticationError, match="spent already"):
            keys.one_time_tag(block, use, b"other")


def test_the_online_code_binds_direction_and_every_bit() -> None:
    keys = PassKeys(bytes(160), 1)
    codes = {keys.online_code(way, data) for way in (b"sat>sta", b"sta>sat") for data in (b"\x00", b"\x01")}
    assert len(codes) == 4
    assert all(len(code) == 16 for code in codes)


def test_the_online_key_serves_no_tag() -> None:
    one, other = (PassKeys(start + bytes(128), 1) for start in (bytes(32), bytes([1]) * 32))
    assert one.online_code(b"d", b"x") != other.online_code(b"d", b"x")
    assert one.one_time_tag(0, TagUse.CLOSE, b"x") == other.one_time_tag(0, TagUse.CLOSE, b"x")


@pytest.mark.parametrize("size", [0, 159, 161])
def test_too_little_or_too_much_key_is_refused(size: int) -> None:
    with pytest.raises(AuthenticationError, match="1280 key bits"):
        PassKeys(bytes(size), 1)


def test_text_form_hides_the_key() -> None:
    assert repr(PassKeys(b"k" * 160, 1)) == "PassKeys(...)"


def test_both_ends_agree_on_the_later_position() -> None:
    assert agreed_position(800, 400, 1) == agreed_position(400, 800, 1) == 800


def test_a_position_absurdly_far_is_refused() -> None:
    limit = MAXIMUM_SKIPPED_PASSES * pass_key_bits(2)
    assert agreed_position(80, 80 + limit, 2) == 80 + limit
    with pytest.raises(AuthenticationError, match="bits past ours"):
        agreed_position(80, 80 + limit + 8, 2)


def test_a_position_inside_a_byte_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        agreed_position(0, 3, 1)


Log = list[tuple[bool, bytes]]


def transcript(log: Log) -> bytes:
    record = Transcript(b"hello")
    for up, data in log:
        record.add(b"sta>sat" if up else b"sat>sta", data)
    return b"".join(record.parts())


def streams(log: Log) -> tuple[list[bytes], list[bytes]]:
    return [data for up, data in log if not up], [data for up, data in log if up]


@settings(max_examples=200, deadline=None)
@given(*[st.lists(st.tuples(st.booleans(), st.binary(max_size=3)), max_size=4)] * 2)
def test_transcripts_are_equal_only_for_equal_streams(one: Log, other: Log) -> None:
    assert (transcript(one) == transcript(other)) == (streams(one) == streams(other))


def test_the_transcript_binds_the_hellos() -> None:
    assert Transcript(b"one").parts() != Transcript(b"other").parts()


def test_a_difference_names_its_subject() -> None:
    require_equal(b"same", b"same", "x")
    with pytest.raises(AuthenticationError, match="transcript of block 3"):
        require_equal(b"same", b"sane", "transcript of block 3")


def test_a_message_shorter_than_its_code_is_refused() -> None:
    assert split_online_code(b"m" + bytes(16)) == (b"m", bytes(16))
    with pytest.raises(RemoteProtocolError):
        split_online_code(bytes(16))


def test_forgery_bounds_of_all_tags_add_up() -> None:
    """8 ceil(L / 16) / 2^106 each (Bernstein 2005, theorem 3.3): 1, 7 and 63 blocks of 16 bytes."""
    keys = PassKeys(bytes(pass_key_bits(1) // 8), 1)
    assert keys.epsilon == 0.0
    keys.one_time_tag(0, TagUse.CLOSE, b"x")
    keys.one_time_tag(0, TagUse.AMPLIFY, b"x" * 100, b"")
    keys.one_time_tag(0, TagUse.CONFIRM, b"x" * 500, b"x" * 500)
    assert keys.epsilon == 8 * (1 + 7 + 63) / 2**106
