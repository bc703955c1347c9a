"""Exported key under a lock: opened by it alone, whole or not at all."""

import secrets
from pathlib import Path

import pytest
from keys_cases import changed_bits, key_bytes

from satqkd.errors import ConfigError, DataFormatError, Error, ResourceError
from satqkd.keys import KeyRange
from satqkd.keys.at_rest.unlock import KeyFile, Lock, Passphrase
from satqkd.keys.care.sealed_export import Sealer, unseal
from satqkd.keys.secret import Secret

KEY = key_bytes(100, "export")
RANGES = (KeyRange("a", 0, 400), KeyRange("b", 8, 400))


def words(text: str = "some words") -> Passphrase:
    return Passphrase(lambda: text, log2_n=2)


def sealed(lock: Lock) -> bytes:
    return Sealer(lock, secrets.token_bytes).seal(Secret(KEY), RANGES, node="graz", peer="wien")


@pytest.mark.parametrize("sort", ["words", "file"])
def test_the_lock_opens_what_it_sealed(sort: str, tmp_path: Path) -> None:
    lock: Lock = words() if sort == "words" else KeyFile(tmp_path / "key")
    data = sealed(lock)
    header, key = unseal(data, lock)
    assert bytes(key.expose()) == KEY
    assert (header.node, header.peer, header.bits, header.ranges) == ("graz", "wien", 800, RANGES)
    assert not any(KEY[i : i + 8] in data for i in range(0, 100, 8))
    assert sealed(lock) != data


def test_another_lock_does_not(tmp_path: Path) -> None:
    data = sealed(words())
    for lock in (words("other words"), KeyFile(tmp_path / "key")):
        with pytest.raises(ConfigError):
            unseal(data, lock)


def test_every_changed_bit_and_every_cut_is_refused(tmp_path: Path) -> None:
    lock = KeyFile(tmp_path / "key")
    data = sealed(lock)
    for changed in [*changed_bits(data), *(data[:n] for n in range(len(data))), data + b"x"]:
        with pytest.raises(Error):
            unseal(changed, lock)
    with pytest.raises(DataFormatError):
        unseal(b"", lock)


def test_a_lock_that_cannot_be_had_fails_before_any_key_is_there(tmp_path: Path) -> None:
    with pytest.raises(ResourceError):
        Sealer(KeyFile(tmp_path / "nowhere" / "key"), secrets.token_bytes)
