"""The development PKI, and certificates that change under a server that runs."""

import asyncio
import shutil
import ssl
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from delivery_cases import KMES, LOCAL, ODD, REMOTE, THIRD, Kme, files_of, serve_config
from hypothesis import given
from hypothesis import strategies as st
from toy_supply import ToyNetwork

from satqkd.delivery import KmeClient, read_serve_config, serving
from satqkd.delivery.gate import Gate
from satqkd.delivery.identity import identity_of, name_uri
from satqkd.delivery.peers import Peers
from satqkd.delivery.pki import issue, make_authority
from satqkd.delivery.pki_folder import PkiFolder
from satqkd.delivery.refusals import Refusal
from satqkd.delivery.server_file import write_server_files
from satqkd.delivery.settings import Roster
from satqkd.errors import ConfigError, DataFormatError, LinkError, ResourceError
from satqkd.keys.supply_door import NotEntitled

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AUTHORITY = make_authority("tests", NOW)


def signed(*, uris: list[str], common: list[str]) -> bytes:
    """A certificate in DER with just these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in common])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(each) for each in uris])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class TestIdentity:
    @given(st.text(min_size=1, max_size=200).filter(lambda text: "\x00" not in text and text.isprintable()))
    def test_any_name_comes_back(self, name: str) -> None:
        pair = issue(AUTHORITY, "sae", name, NOW)
        assert identity_of(pair.certificate.public_bytes(serialization.Encoding.DER)).sae == name

    def test_a_common_name_counts_where_no_uri_names_an_application(self) -> None:
        assert identity_of(signed(uris=[], common=["sae 1"])).sae == "sae 1"
        assert identity_of(signed(uris=["https://x"], common=["sae 1"])).sae == "sae 1"
        assert identity_of(signed(uris=["kme:y%2F"], common=["sae 1"]))[:2] == ("", "y/")
        assert identity_of(signed(uris=["sae:a%2Fb"], common=["sae 1"])).sae == "a/b"
        assert identity_of(signed(uris=["node:z"], common=["sae 1"]))[:3] == ("", "", "z")

    @pytest.mark.parametrize(
        ("uris", "common"),
        [
            ([], []),
            ([], ["a", "b"]),
            (["sae:a", "sae:b"], ["a"]),
            (["sae:"], ["a"]),
            (["sae:%ff"], ["a"]),
            (["node:a", "node:b"], []),
            (["node:a", "kme:a"], []),
            (["node:a", "sae:a"], []),
        ],
    )
    def test_nobody_and_more_than_one_are_refused(self, uris: list[str], common: list[str]) -> None:
        with pytest.raises(DataFormatError):
            identity_of(signed(uris=uris, common=common))

    def test_a_certificate_that_ends_while_its_connection_lives_serves_no_more(self, pki: PkiFolder) -> None:
        config = serve_config(pki.folder, "beijing", pki.folder)
        der = signed(uris=[name_uri("sae:", LOCAL)], common=["x"])
        clock = [NOW.timestamp()]
        gate = Gate(Roster(config, "beijing"), now_s=lambda: clock[0])
        line: Any = _Transport(der)
        assert gate.caller(line).sae == LOCAL
        clock[0] += 86_400.0
        with pytest.raises(Refusal) as refusal:
            gate.caller(line)
        assert refusal.value.status == 401

    def test_without_tls_nobody_is_known(self, pki: PkiFolder) -> None:
        gate = Gate(Roster(serve_config(pki.folder, "beijing", pki.folder), "beijing"))
        line: Any = _Transport(None)
        for each in (None, line):
            with pytest.raises(Refusal):
                gate.caller(each)


class _Transport:
    def __init__(self, der: bytes | None) -> None:
        self._der = der

    def get_extra_info(self, _: str) -> "_Transport | None":
        return None if self._der is None else self

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        return self._der


class TestFolder:
    def test_keys_are_their_owners_alone_and_every_name_has_its_file(self, tmp_path: Path) -> None:
        folder = PkiFolder.create(tmp_path / "pki", NOW)
        made = [folder.issue("sae", name, NOW) for name in (*ODD, "A", "a", "con", "a/b c")]
        assert len({each.file.lower() for each in made}) >= len(made) - 1
        keys = list((tmp_path / "pki").glob("*.key"))
        assert len(keys) == len(made) + 1
        assert {stat.S_IMODE(each.stat().st_mode) for each in keys} == {0o600}
        assert not list((tmp_path / "pki").glob("*.partial"))

    def test_nothing_is_written_over(self, tmp_path: Path) -> None:
        folder = PkiFolder.create(tmp_path / "pki", NOW)
        before = {each.name: each.read_bytes() for each in (tmp_path / "pki").iterdir()}
        with pytest.raises(ResourceError, match="expected a new or empty folder"):
            PkiFolder.create(tmp_path / "pki", NOW)
        folder.issue("sae", "a", NOW)
        with pytest.raises(ConfigError, match="has a certificate already"):
            folder.issue("sae", "a", NOW)
        after = {each.name: each.read_bytes() for each in (tmp_path / "pki").iterdir()}
        assert all(after[name] == data for name, data in before.items() if name != "index.json")

    def test_a_folder_without_an_authority_is_refused_in_words(self, tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match="satqkd pki init"):
            PkiFolder(tmp_path)

    def test_an_unknown_certificate_is_refused_with_the_nearest(self, tmp_path: Path) -> None:
        folder = PkiFolder.create(tmp_path / "pki", NOW)
        folder.issue("sae", "alpha", NOW)
        with pytest.raises(ConfigError, match=r"did you mean sae-alpha\.crt"):
            folder.revoke("sae-alpah.crt", NOW)

    def test_revoking_counts_for_every_certificate_of_the_holder(self, tmp_path: Path) -> None:
        folder = PkiFolder.create(tmp_path / "pki", NOW)
        old, other = folder.issue("sae", "a", NOW), folder.issue("sae", "b", NOW)
        new = PkiFolder(tmp_path / "pki").renew(old.file, NOW)
        folder = PkiFolder(tmp_path / "pki")
        folder.revoke(new.file, NOW)
        crl = x509.load_pem_x509_crl((tmp_path / "pki" / "revoked.crl").read_bytes())
        assert {entry.serial_number for entry in crl} == {int(old.serial, 16), int(new.serial, 16)}
        assert crl.is_signature_valid(folder._authority.certificate.public_key())  # type: ignore[arg-type]
        assert [each.revoked_utc is None for each in PkiFolder(tmp_path / "pki").issued] == [
            False,
            True,
            False,
        ]
        assert folder.issue("sae", "a", NOW).file == old.file
        assert other.revoked_utc is None

    def test_server_files_load_and_name_everybody(self, tmp_path: Path) -> None:
        folder = PkiFolder.create(tmp_path / "pki", NOW)
        for name in KMES.values():
            folder.issue("kme", name, NOW)
        nodes = [("distiller", KMES["beijing"])]
        for path in write_server_files(folder, list(KMES.values()), [("a@b", KMES["beijing"])], nodes):
            config = read_serve_config(path)
            assert [(each.id, each.kme) for each in config.sae] == [("a@b", KMES["beijing"])]
            own = "beijing" in path.name.lower()
            assert [each.id for each in config.node] == (["distiller"] if own else [])
            assert Path(config.tls.certificate).is_file() and Path(config.tls.key).is_file()


@pytest.fixture
def moving(pki: PkiFolder, tmp_path: Path) -> PkiFolder:
    """A copy of the session's PKI that a test may change."""
    shutil.copytree(pki.folder, tmp_path / "moving")
    return PkiFolder(tmp_path / "moving")


@pytest.fixture
def kme(moving: PkiFolder, network: ToyNetwork, tmp_path: Path) -> Iterator[Kme]:
    supply = network.supply("beijing")
    with serving(supply, serve_config(moving.folder, "beijing", tmp_path)) as address:
        yield Kme(address, supply, moving.folder)


def reloads(kme: Kme, outcome: str) -> int:
    """How often certificates were read anew, from the metrics."""
    import urllib.request

    with urllib.request.urlopen(str(kme.address.metrics_url)) as answer:
        text = answer.read().decode()
    line = next(each for each in text.splitlines() if f'reloads_total{{outcome="{outcome}"}}' in each)
    return int(float(line.rsplit(" ", 1)[1]))


@contextmanager
def reloaded(kme: Kme, outcome: str = "done") -> Iterator[None]:
    """Change files in the block; afterwards the server has noticed."""
    import time

    before = reloads(kme, outcome)
    yield
    while reloads(kme, outcome) == before:
        time.sleep(0.01)


def file_of(folder: PkiFolder, name: str) -> str:
    return files_of(folder.folder, name)[0].name


class TestRotation:
    def test_a_revoked_client_is_refused_on_new_connections_and_on_those_that_live(
        self, moving: PkiFolder, kme: Kme
    ) -> None:
        with kme.client(THIRD) as living, kme.client(LOCAL) as other:
            assert living.status(LOCAL).master == THIRD
            assert other.status(THIRD).master == LOCAL
            with reloaded(kme):
                moving.revoke(file_of(moving, THIRD), datetime.now(UTC))
            with pytest.raises(NotEntitled, match="revoked"):
                living.get_keys(LOCAL)
            assert other.status(THIRD).master == LOCAL
        with kme.client(THIRD) as fresh, pytest.raises(LinkError):
            fresh.status(LOCAL)
        with kme.client(LOCAL) as fresh:
            assert fresh.status(THIRD).master == LOCAL

    def test_a_resumed_session_is_no_way_round(self, moving: PkiFolder, kme: Kme) -> None:
        import socket

        context = kme.context(THIRD)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(("127.0.0.1", kme.port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as line,
        ):
            session = line.session
        with (
            socket.create_connection(("127.0.0.1", kme.port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as line,
        ):
            assert not line.session_reused

    def test_a_renewed_server_certificate_is_taken_up_and_connections_live_on(
        self, moving: PkiFolder, kme: Kme
    ) -> None:
        def serial() -> int:
            pem = ssl.get_server_certificate(("127.0.0.1", kme.port))
            return x509.load_pem_x509_certificate(pem.encode()).serial_number

        with kme.client(LOCAL) as living:
            first = living.get_keys(LOCAL)
            old = serial()
            with reloaded(kme):
                new = moving.renew(file_of(moving, KMES["beijing"]), datetime.now(UTC))
            assert serial() == int(new.serial, 16) != old
            assert living.get_keys_by_id(LOCAL, [first[0].key_id])[0].key == first[0].key
        with kme.client(LOCAL) as fresh:
            assert fresh.status(LOCAL).source_kme == KMES["beijing"]

    def test_files_that_cannot_be_read_leave_the_old_ones_in_force(self, moving: PkiFolder, kme: Kme) -> None:
        crl = moving.folder / "revoked.crl"
        good = crl.read_bytes()
        with reloaded(kme, "failed"):
            crl.write_bytes(b"-----BEGIN X509 CRL-----\nrubbish\n-----END X509 CRL-----\n")
        with kme.client(LOCAL) as client:
            assert client.status(LOCAL).master == LOCAL
        with reloaded(kme):
            crl.write_bytes(good)

    def test_another_authoritys_client_is_refused(self, kme: Kme, tmp_path: Path) -> None:
        other = PkiFolder.create(tmp_path / "other", datetime.now(UTC))
        other.issue("sae", LOCAL, datetime.now(UTC))
        cert, key = files_of(other.folder, LOCAL)
        with (
            KmeClient(kme.address.url, cert=cert, key=key, ca=kme.folder / "authority.crt") as client,
            pytest.raises(LinkError),
        ):
            client.status(LOCAL)

    def test_a_client_certificate_that_has_ended_is_refused(self, moving: PkiFolder, kme: Kme) -> None:
        moving.renew(file_of(moving, LOCAL), datetime.now(UTC) - timedelta(days=30), days=1)
        with kme.client(LOCAL) as client, pytest.raises(LinkError):
            client.status(REMOTE)


class TestBetweenKmes:
    def test_only_the_certificate_of_the_very_kme_is_believed(self, beijing: Kme, tmp_path: Path) -> None:
        url = beijing.address.url.replace("127.0.0.1", "localhost")
        kmes = [{"id": each, "node": node, "url": url} for node, each in KMES.items()]
        peers = Peers(serve_config(beijing.folder, "beijing", tmp_path, kme=kmes))
        with pytest.raises(LinkError, match="expected its certificate, got that of KME/Beijing"):
            asyncio.run(peers.entitle(KMES["stellenbosch"], LOCAL, ["a", "b"], ["x"]))
        with pytest.raises(NotEntitled, match=r"refuses \(401\)"):  # itself is no other KME
            asyncio.run(peers.entitle(KMES["beijing"], LOCAL, ["a", "b"], ["x"]))


class TestClientSide:
    def test_a_server_of_another_authority_is_not_believed(
        self, beijing: Kme, pki: PkiFolder, tmp_path: Path
    ) -> None:
        other = PkiFolder.create(tmp_path / "other", NOW)
        cert, key = files_of(pki.folder, LOCAL)
        with (
            KmeClient(beijing.address.url, cert=cert, key=key, ca=other.folder / "authority.crt") as client,
            pytest.raises(LinkError, match="certificate"),
        ):
            client.status(REMOTE)

    @pytest.mark.parametrize("missing", ["cert", "key", "ca"])
    def test_a_missing_file_is_refused_in_words(self, pki: PkiFolder, missing: str) -> None:
        cert, key = files_of(pki.folder, LOCAL)
        files: dict[str, Path] = {"cert": cert, "key": key, "ca": pki.folder / "authority.crt"}
        files[missing] = pki.folder / "nowhere.pem"
        with pytest.raises(ConfigError, match=r"nowhere\.pem"):
            KmeClient("https://localhost:1", **files)

    @pytest.mark.parametrize("url", ["http://localhost", "localhost:8443", "https://", "https://h/api", ""])
    def test_a_url_that_is_none_is_refused(self, pki: PkiFolder, url: str) -> None:
        cert, key = files_of(pki.folder, LOCAL)
        with pytest.raises(ConfigError, match="url: expected"):
            KmeClient(url, cert=cert, key=key, ca=pki.folder / "authority.crt")

    def test_a_connection_that_the_server_closed_is_made_anew(self, start: Callable[..., Kme]) -> None:
        import time

        kme = start("beijing", limits={"idle_s": 0.05})
        with kme.client(LOCAL) as client:
            [one] = client.get_keys(LOCAL)
            time.sleep(0.3)
            [same] = client.get_keys_by_id(LOCAL, [one.key_id])
            assert one.key == same.key
