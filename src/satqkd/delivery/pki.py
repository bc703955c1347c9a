"""A development PKI: one authority, server certificates of KMEs, client certificates of others.

Makes and signs; knows no file. For laboratories and tests: the authority's key is a file beside the others,
and there is no online status. ECDSA on P-256, X.509 v3. The time is an argument.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from satqkd.delivery.identity import KME_SCHEME, NODE_SCHEME, SAE_SCHEME, name_uri
from satqkd.errors import DataFormatError

Kind = Literal["kme", "sae", "node"]
_SCHEMES: Final[dict[Kind, str]] = {"kme": KME_SCHEME, "sae": SAE_SCHEME, "node": NODE_SCHEME}
AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 397
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_CN_CHARACTERS: Final = 64
"""The most that X.520 lets a common name hold."""
_EARLIER: Final = timedelta(minutes=5)
"""Certificates hold from a little before they are made: clocks differ."""


class Pair(NamedTuple):
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PEM, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def make_authority(name: str, now: datetime, *, days: int = AUTHORITY_DAYS) -> Pair:
    """A self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_CN_CHARACTERS])])
    builder = _builder(subject, subject, key, now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def issue(
    authority: Pair, kind: Kind, name: str, now: datetime, *, hosts: Sequence[str] = (), days: int = LEAF_DAYS
) -> Pair:
    """A certificate with a fresh key.

    kme: names a server, for `hosts` (names or addresses) and this machine, which is a client of other KMEs
    too. sae: names an application. node: names a process that pushes key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_CN_CHARACTERS])])
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if kind == "kme":
        usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(name_uri(_SCHEMES[kind], name))]
    if kind == "kme":
        names += [_host(each) for each in dict.fromkeys((*LOCAL_NAMES, *hosts))]
    builder = _builder(subject, authority.certificate.subject, key, now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def make_revocations(authority: Pair, serials: Sequence[int], now: datetime) -> bytes:
    """A signed list of revoked serial numbers, PEM. It ends with its authority, and then refuses all."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(now - _EARLIER).next_update(authority.certificate.not_valid_after_utc)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def read_pair(certificate_pem: bytes, key_pem: bytes, where: str) -> Pair:
    """A certificate and its key from PEM. Raises DataFormatError."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise DataFormatError(f"{where}: expected a certificate and its key in PEM ({error})") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise DataFormatError(
            f"{where}: expected a certificate and its own P-256 key; take those of one `pki init`"
        )
    return Pair(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    public = key.public_key()
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _EARLIER).not_valid_after(now + timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
