"""Who a client is: the application, KME or node that its certificate names, and nothing that it says besides.

The SAE id is the one URI `sae:<percent-encoded id>` among the subject alternative names; without such a
URI, the one common name of the subject. URIs come first because a common name holds 64 characters at
most, and ids are any text. A certificate with a URI `kme:<percent-encoded id>` is that KME's, one with
`node:<percent-encoded id>` that of a node which makes key, and no application's. Two names where one is
expected are refused. Knows no list of applications.
"""

import math
import ssl
from datetime import UTC
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from cryptography import x509
from cryptography.x509.oid import NameOID

from satqkd.errors import DataFormatError

SAE_SCHEME: Final = "sae:"
KME_SCHEME: Final = "kme:"
NODE_SCHEME: Final = "node:"


class Identity(NamedTuple):
    """What a certificate says of its holder."""

    sae: str
    """Empty for a KME and for a node."""
    kme: str
    """Empty for an application and for a node."""
    node: str
    """Empty for an application and for a KME."""
    serial: int
    not_after_s: float
    """When it ends, in Unix time."""


NOBODY: Final = Identity("", "", "", 0, -math.inf)
"""Of a connection that shows no certificate: ended before it began."""


def name_uri(scheme: str, name: str) -> str:
    """The URI that says a name in a certificate."""
    return scheme + quote(name, safe="")


def identity_of(certificate_der: bytes) -> Identity:
    """Who a certificate names. Raises DataFormatError where that is nobody, or more than one."""
    certificate = x509.load_der_x509_certificate(certificate_der)
    kme, node = _named(certificate, KME_SCHEME), _named(certificate, NODE_SCHEME)
    if node and (kme or _named(certificate, SAE_SCHEME)):
        raise DataFormatError(f"certificate: expected one holder, got {NODE_SCHEME} and another name")
    return Identity(
        sae="" if kme or node else _sae_of(certificate),
        kme=kme,
        node=node,
        serial=certificate.serial_number,
        not_after_s=certificate.not_valid_after_utc.astimezone(UTC).timestamp(),
    )


def peer_identity(tls: ssl.SSLObject | ssl.SSLSocket | None) -> Identity:
    """Who is at the other end of a TLS connection. Raises DataFormatError."""
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return NOBODY if der is None else identity_of(der)


def _sae_of(certificate: x509.Certificate) -> str:
    named = _named(certificate, SAE_SCHEME)
    if named:
        return named
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(common) != 1 or not common[0].value:
        raise DataFormatError(
            f"certificate: expected a URI {SAE_SCHEME}ID or one common name, got {len(common)} common names; "
            "make one with `satqkd pki issue`"
        )
    return str(common[0].value)


def _named(certificate: x509.Certificate, scheme: str) -> str:
    """The one name of a scheme; empty where there is none."""
    named = [uri for uri in _uris(certificate) if uri.startswith(scheme)]
    if len(named) > 1:
        raise DataFormatError(f"certificate: expected one {scheme} name, got {len(named)}; name one holder")
    return _unquoted(scheme, named[0].removeprefix(scheme)) if named else ""


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _unquoted(scheme: str, text: str) -> str:
    try:
        name = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not name:
        raise DataFormatError(f"certificate: expected {scheme} with percent-encoded UTF-8, got {text!r}")
    return name
