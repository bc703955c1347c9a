"""TLS of the server: 1.2 or later, a client certificate always, revoked ones refused; files read anew.

`TlsFiles` notices a change of certificate, key, authorities or revocation list. A new context serves new
connections; those that live are asked again by the gate. Sessions are not resumed: a resumed one would not
show its certificate again. Knows no application.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from satqkd.delivery.settings import Tls
from satqkd.errors import ConfigError


class Trust(NamedTuple):
    """What the files say at one time."""

    context: ssl.SSLContext
    revoked: frozenset[int]
    """Serial numbers."""


class TlsFiles:
    """The files and whether they changed."""

    def __init__(self, settings: Tls) -> None:
        self._settings = settings
        self._seen: tuple[object, ...] = ()

    def load(self) -> Trust:
        """Read all. Raises ConfigError that names the file."""
        self._seen = self._state()
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 0
        _named(settings.certificate, lambda: context.load_cert_chain(settings.certificate, settings.key))
        _named(settings.ca, lambda: context.load_verify_locations(settings.ca))
        revoked: frozenset[int] = frozenset()
        if settings.crl is not None:
            crl = settings.crl
            _named(crl, lambda: context.load_verify_locations(crl))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
            revoked = revoked_serials(Path(crl))
        return Trust(context, revoked)

    def changed(self) -> bool:
        """Whether any file is another than at the last `load`."""
        return self._state() != self._seen

    def _state(self) -> tuple[object, ...]:
        names = (self._settings.certificate, self._settings.key, self._settings.ca, self._settings.crl)
        return tuple(_stamp(name) for name in names if name is not None)


def revoked_serials(path: Path) -> frozenset[int]:
    """Serial numbers of all lists in a PEM file. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(str(path), error) from None
    pieces = data.split(b"-----BEGIN X509 CRL-----")[1:]
    try:
        lists = [x509.load_pem_x509_crl(b"-----BEGIN X509 CRL-----" + piece) for piece in pieces]
    except ValueError as error:
        raise _unreadable(str(path), error) from None
    return frozenset(entry.serial_number for each in lists for entry in each)


def _stamp(name: str) -> object:
    try:
        found = Path(name).stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def _named(name: str, read: Callable[[], None]) -> None:
    try:
        read()
    except (OSError, ssl.SSLError) as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> ConfigError:
    told = getattr(error, "strerror", None) or str(error)
    return ConfigError(
        f"{name}: expected PEM of this server's [tls] settings ({told}); see `satqkd pki init`"
    )
