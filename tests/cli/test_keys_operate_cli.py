"""Commands for who runs a store, as they are typed: locks, backups, alarms, expiry, sealed exports."""

import io
import json
import sys
from pathlib import Path

import pytest
from command import Command

from satqkd.keys import KeyStore

NOW = "2026-01-02T03:04:05Z"
KEY = bytes(range(256)) * 4


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A station's store with pair key over one satellite."""
    path = str(tmp_path / "graz.db")
    with KeyStore.create(path, "graz") as made:
        made.add_block(
            "relay:sat:1",
            peer="wien",
            kind="pair",
            origin="hardware",
            key=KEY,
            state="confirmed",
            paths=(("sat",),),
            now_utc=NOW,
        )
    return path


def said(satqkd: Command, *words: str, code: int = 0) -> dict[str, object]:
    ended, out, err = satqkd(*words, "--json")
    assert ended == code, err
    told = json.loads(out)
    assert isinstance(told, dict)
    return told


def test_a_passphrase_locks_the_store_and_is_said_before_every_command(
    satqkd: Command, store: str, tmp_path: Path
) -> None:
    words = tmp_path / "words"
    words.write_text("some words\n")
    told = said(satqkd, "keys", "protect", "--store", store, "--by-passphrase-file", str(words))
    assert told == {"lock": "passphrase", "new_root": False}
    export = ("keys", "export", "--store", store, "--peer", "wien", "--bits", "8", "--clear")
    assert "locked by a passphrase" in satqkd.refusal(2, *export, "--out", str(tmp_path / "x"))
    assert satqkd("--passphrase-file", str(words), *export, "--out", str(tmp_path / "x")).code == 0
    assert (tmp_path / "x").read_bytes() == KEY[:1]


def test_a_passphrase_may_come_by_stdin_or_the_environment(
    satqkd: Command, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("some words\n"))
    assert satqkd("keys", "protect", "--store", store, "--by-passphrase-file", "-").code == 0
    audit = ("keys", "audit", "--store", store)
    assert satqkd(*audit).code == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO("some words\n"))
    assert satqkd("--passphrase-file", "-", *audit).code == 0
    (tmp_path / "words").write_text("some words")
    monkeypatch.setenv("SATQKD_PASSPHRASE_FILE", str(tmp_path / "words"))
    assert satqkd(*audit).code == 0


def test_a_key_file_elsewhere_and_a_new_root(satqkd: Command, store: str, tmp_path: Path) -> None:
    key = tmp_path / "elsewhere"
    told = said(satqkd, "keys", "protect", "--store", store, "--by-key-file", str(key), "--new-root")
    assert told == {"lock": "file", "new_root": True}
    Path(f"{store}.key").unlink()
    assert satqkd("--key-file", str(key), "keys", "protect", "--new-root", "--store", store).code == 0
    assert satqkd("--key-file", str(key), "keys", "audit", "--store", store).code == 0


def test_two_locks_at_once_or_none_are_refused(satqkd: Command, store: str) -> None:
    line = satqkd.refusal(2, "--key-file", "a", "--passphrase-file", "b", "keys", "audit", "--store", store)
    assert "--key-file and --passphrase-file" in line
    assert "--new-root" in satqkd.refusal(2, "keys", "protect", "--store", store)


def test_a_backup_is_made_and_brought_back_without_a_bit_used_twice(
    satqkd: Command, store: str, tmp_path: Path
) -> None:
    backup, out = tmp_path / "backup", tmp_path / "out"
    told = said(satqkd, "keys", "backup", "--store", store, "--out", str(backup))
    assert (told["node_id"], told["bytes"]) == ("graz", backup.stat().st_size)
    assert backup.stat().st_mode & 0o077 == 0
    assert "exists" in satqkd.refusal(2, "keys", "backup", "--store", store, "--out", str(backup))
    export = ("keys", "export", "--store", store, "--peer", "wien", "--bits", "80", "--clear", "--out")
    assert satqkd(*export, str(out)).code == 0
    assert "found one" in satqkd.refusal(2, "keys", "restore", str(backup), "--store", store)
    Path(store).unlink()
    assert said(satqkd, "keys", "restore", str(backup), "--store", store)["skipped_bits"] == 80
    assert satqkd(*export, str(tmp_path / "again")).code == 0
    assert out.read_bytes() + (tmp_path / "again").read_bytes() == KEY[:20]


def test_a_store_without_its_use_log_is_recovered_by_wiping(
    satqkd: Command, store: str, tmp_path: Path
) -> None:
    export = ("keys", "export", "--store", store, "--peer", "wien", "--bits", "80", "--clear", "--out")
    satqkd(*export, str(tmp_path / "out"))
    Path(f"{store}.uses").unlink()
    assert "--discard" in satqkd.refusal(3, *export, str(tmp_path / "more"))
    assert "--discard" in satqkd.refusal(3, "keys", "recover", "--store", store)
    told = said(satqkd, "keys", "recover", "--store", store, "--discard")
    assert told["wiped_bits"] == 8 * len(KEY) - 80
    assert satqkd("keys", "audit", "--store", store).code == 0


def test_a_low_row_ends_with_1_and_policy_files_say_more(satqkd: Command, store: str, tmp_path: Path) -> None:
    status = ("keys", "status", "--store", store)
    code, out, _ = satqkd(*status, "--json")
    (row,) = json.loads(out)
    names = ("link", "live_bits", "reserved_bits", "spent_bits", "unconfirmed_bits", "oldest_utc")
    assert code == 0
    assert tuple(row)[:6] == names
    assert (row["link"], row["live_bits"], row["colluders"], row["alarms"]) == ("wien pair", 8192, 1, [])
    assert satqkd(*status, "--low", "8192").code == 0
    code, out, _ = satqkd(*status, "--low", "8193")
    assert code == 1
    assert "low" in out
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[[pair]]\npeer = "wien"\nmax_age_days = 0.001\n[[pair]]\npeer = "xian"\nlow_bits = 1\n'
    )
    code, out, _ = satqkd(*status, "--network", str(policy), "--json")
    assert code == 1
    assert [(row["link"], row["alarms"]) for row in json.loads(out)] == [
        ("wien pair", ["old"]),
        ("xian pair", ["low"]),
    ]
    code, out, _ = satqkd(*status, "--metrics")
    assert code == 0
    assert 'satqkd_store_live_bits{node="graz",peer="wien",kind="pair"} 8192.0' in out.splitlines()


def test_expiry_and_revocation(satqkd: Command, store: str, tmp_path: Path) -> None:
    words = ("--store", store)
    assert said(satqkd, "keys", "expire", *words, "--older-than", "1e5")["blocks"] == []
    assert said(satqkd, "keys", "revoke", *words, "--node", "micius")["blocks"] == []
    told = said(satqkd, "keys", "revoke", *words, "--node", "micius", "--node", "sat", "--reason", "lost")
    assert (told["blocks"], told["bits"]) == (["relay:sat:1"], 8 * len(KEY))
    for wrong in ((), ("--peer", "a", "--block", "b")):
        assert "one of them" in satqkd.refusal(2, "keys", "revoke", *words, *wrong)
    policy = tmp_path / "policy.toml"
    policy.write_text('[[pair]]\npeer = "wien"\nmax_age_days = 0.001\n')
    assert said(satqkd, "keys", "expire", *words, "--network", str(policy))["bits"] == 0
    assert "either" in satqkd.refusal(2, "keys", "expire", *words)


def test_key_is_exported_sealed_within_the_quota_and_opened_elsewhere(
    satqkd: Command, store: str, tmp_path: Path
) -> None:
    policy, lock, sealed, out = (tmp_path / name for name in ("policy.toml", "lock", "sealed", "out"))
    policy.write_text('[[pair]]\npeer = "wien"\nbits_a_day = 800\n')
    export = ("keys", "export", "--store", store, "--peer", "wien", "--network", str(policy))
    told = said(satqkd, *export, "--bits", "800", "--to-key", str(lock), "--out", str(sealed))
    assert told["ranges"] == [["relay:sat:1", 0, 800]]
    assert KEY[:16] not in sealed.read_bytes()
    assert sealed.stat().st_mode & 0o077 == 0
    opened = said(satqkd, "keys", "unseal", str(sealed), "--by-key", str(lock), "--out", str(out))
    assert (opened["node"], opened["peer"], opened["ranges"]) == ("graz", "wien", told["ranges"])
    assert out.read_bytes() == KEY[:100]
    line = satqkd.refusal(3, *export, "--bits", "8", "--clear", "--out", str(tmp_path / "more"))
    assert "quota" in line
    for wrong in ((), ("--clear", "--to-key", str(lock))):
        line = satqkd.refusal(2, *export, "--bits", "8", *wrong, "--out", str(tmp_path / "more"))
        assert "no key was used" in line
    assert not (tmp_path / "more").exists()
