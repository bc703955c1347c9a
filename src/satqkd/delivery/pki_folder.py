"""The folder of a development PKI: which file is whose, what was issued, what is revoked.

`authority.crt`, `authority.key`, `revoked.crl`, `index.json`, and a `.crt` and a `.key` for each name. Keys
are readable by their owner alone; nothing is written over but by `renew` and `revoke`, which replace a file
whole. The time is an argument.
"""

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from satqkd.delivery.pki import LEAF_DAYS, Kind, Pair, issue, make_authority, make_revocations, read_pair
from satqkd.errors import ConfigError, DataFormatError, ResourceError, nearest
from satqkd.sky import format_utc

AUTHORITY: Final = "authority"
REVOKED: Final = "revoked.crl"
INDEX: Final = "index.json"
_NAME_CHARACTERS: Final = 80
"""Of a file's name; longer names end in a digest."""


class Issued(msgspec.Struct, frozen=True):
    """One certificate that the authority signed."""

    serial: str
    """Hexadecimal."""
    kind: Kind
    name: str
    hosts: tuple[str, ...]
    file: str
    """Its `.crt`, in the folder; a renewed one's file holds its successor."""
    not_after_utc: str
    revoked_utc: str | None = None


class PkiFolder:
    """An authority and what it issued. Raises ResourceError where the folder has none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._authority = read_pair(
                (folder / f"{AUTHORITY}.crt").read_bytes(),
                (folder / f"{AUTHORITY}.key").read_bytes(),
                str(folder),
            )
            self.issued = msgspec.json.decode((folder / INDEX).read_bytes(), type=list[Issued])
        except OSError as error:
            raise ResourceError(
                f"{error.filename}: expected the folder of an authority ({error.strerror}); "
                "make one with `satqkd pki init`"
            ) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataFormatError(
                f"{folder / INDEX}: expected what `satqkd pki` writes, got {error}"
            ) from None

    @classmethod
    def create(cls, folder: Path, now: datetime) -> "PkiFolder":
        """A new authority with an empty list of revocations. Raises ResourceError where files are there."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            taken = next(folder.iterdir(), None)
        except OSError as error:
            raise ResourceError(
                f"{folder}: cannot be made ({error.strerror}); choose another folder"
            ) from None
        if taken is not None:
            raise ResourceError(
                f"{folder}: expected a new or empty folder, found {taken.name}; choose another"
            )
        pair = make_authority("satqkd development authority", now)
        _write_new(folder / f"{AUTHORITY}.key", pair.key_pem, secret=True)
        _write_new(folder / f"{AUTHORITY}.crt", pair.certificate_pem)
        _write_new(folder / REVOKED, make_revocations(pair, [], now))
        _write_new(folder / INDEX, b"[]\n")
        return cls(folder)

    def issue(
        self, kind: Kind, name: str, now: datetime, *, hosts: Sequence[str] = (), days: int = LEAF_DAYS
    ) -> Issued:
        """A certificate for a new name. Raises ConfigError where the name has one that is not revoked."""
        if any(each.name == name and each.kind == kind and each.revoked_utc is None for each in self.issued):
            raise ConfigError(f"{kind} {name!r} has a certificate already; `satqkd pki renew` or `revoke` it")
        stem = f"{kind}-{_stem(name)}"
        return self._signed(kind, name, hosts, stem, now, days)

    def renew(self, file: str, now: datetime, *, days: int = LEAF_DAYS) -> Issued:
        """A new certificate and key in the place of one; the old one holds until it ends or is revoked."""
        old = self.find(file)
        return self._signed(old.kind, old.name, old.hosts, Path(old.file).stem, now, days)

    def revoke(self, file: str, now: datetime) -> list[Issued]:
        """Put every certificate of a file's holder that was issued so far on the list."""
        old = self.find(file)
        holder, utc = (old.kind, old.name), format_utc(now)
        self.issued = [
            msgspec.structs.replace(each, revoked_utc=each.revoked_utc or utc)
            if (each.kind, each.name) == holder
            else each
            for each in self.issued
        ]
        serials = [int(each.serial, 16) for each in self.issued if each.revoked_utc is not None]
        self._write_index()
        _replace(self.folder / REVOKED, make_revocations(self._authority, serials, now))
        return [each for each in self.issued if (each.kind, each.name) == holder]

    def find(self, file: str) -> Issued:
        """The newest certificate in a file of the folder. Raises ConfigError."""
        name = Path(file).name
        found = [each for each in self.issued if each.file == name]
        if not found:
            near = nearest(name, [each.file for each in self.issued])
            raise ConfigError(
                f"{file}: expected a certificate that this authority issued; {near or 'none is near'}"
            )
        return found[-1]

    def _signed(
        self, kind: Kind, name: str, hosts: Sequence[str], stem: str, now: datetime, days: int
    ) -> Issued:
        pair: Pair = issue(self._authority, kind, name, now, hosts=hosts, days=days)
        made = Issued(
            serial=f"{pair.certificate.serial_number:x}",
            kind=kind,
            name=name,
            hosts=tuple(hosts),
            file=f"{stem}.crt",
            not_after_utc=format_utc(pair.certificate.not_valid_after_utc),
        )
        self.issued = [*self.issued, made]
        self._write_index()
        _replace(self.folder / f"{stem}.key", pair.key_pem, secret=True)
        _replace(self.folder / f"{stem}.crt", pair.certificate_pem)
        return made

    def _write_index(self) -> None:
        _replace(self.folder / INDEX, msgspec.json.format(msgspec.json.encode(self.issued)) + b"\n")


def _stem(name: str) -> str:
    """A file's name for any name: percent-encoded, so that it is one segment; long ones end in a digest."""
    text = quote(name, safe=" ").replace(" ", "_").replace("%", "=")
    if len(text) <= _NAME_CHARACTERS and text == name:
        return text
    return f"{text[:_NAME_CHARACTERS]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _write_new(path: Path, data: bytes, *, secret: bool = False) -> None:
    if path.exists():
        raise ResourceError(f"{path} exists; nothing of a PKI is written over")
    _replace(path, data, secret=secret)


def _replace(path: Path, data: bytes, *, secret: bool = False) -> None:
    """A file whole or as it was; a secret one is never readable by others."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror}); make room there") from None
