"""Files of many chunks through the commands: what comes out is what went in, in memory that does not grow."""

import hashlib
import os
import sys
from pathlib import Path

import pytest
from keys_cases import NOW

from satqkd.keys import KeyStore

MIB = 1 << 20
BLOCK_BYTES = 1 << 24
PEAK_MIB = 260
"""More than the libraries take, less than they and a long file."""


def share(folder: Path, size: int) -> None:
    """Pair key for so many bytes in both stores, all of it beijing's to allocate."""
    for node, peer in (("beijing", "xian"), ("xian", "beijing")):
        with KeyStore.create(folder / f"{node}.sqlite", node) as store:
            for number in range(1 + size // BLOCK_BYTES):
                store.add_block(
                    f"b{number}",
                    peer=peer,
                    kind="pair",
                    origin="hardware",
                    key=hashlib.shake_128(b"%d" % number).digest(BLOCK_BYTES),
                    state="confirmed",
                    allocator="beijing",
                    now_utc=NOW,
                )


def peak_mib(*words: str) -> float:
    """The most memory that a command took, MiB; it must succeed."""
    done = os.posix_spawn(sys.executable, [sys.executable, "-m", "satqkd", *words], dict(os.environ))
    _, status, usage = os.wait4(done, 0)
    assert status == 0
    return usage.ru_maxrss / 1024


def there_and_back(folder: Path, size: int) -> float:
    """A file of random bytes goes and comes back; the most memory taken, MiB."""
    share(folder, size)
    plain, back = folder / "plain", folder / "back"
    expected = hashlib.sha256()
    with plain.open("wb") as file:
        for _ in range(size // MIB):
            file.write(part := os.urandom(MIB))
            expected.update(part)
    words = ("--store", str(folder / "beijing.sqlite"), "--peer", "xian")
    most = peak_mib("encrypt", str(plain), *words)
    plain.unlink()
    words = ("--store", str(folder / "xian.sqlite"), "--peer", "beijing", "--out", str(back))
    most = max(most, peak_mib("decrypt", str(plain) + ".otp", *words))
    with back.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == expected.digest()
    for node in ("beijing", "xian"):
        with KeyStore.open(folder / f"{node}.sqlite", read_only=True) as store:
            assert store.status()[0].spent_bits == 8 * size + 256 * size // MIB
    return most


def test_some_megabytes(tmp_path: Path) -> None:
    there_and_back(tmp_path, 5 * MIB)


@pytest.mark.soak
def test_a_gigabyte_in_bounded_memory(tmp_path: Path) -> None:
    most = there_and_back(tmp_path, 1 << 30)
    print(f"peak memory {most:.0f} MiB")
    assert most < PEAK_MIB
