"""A QUIC bulk transfer by `aioquic` over two emulated channels, on virtual time: the reference of `link.py`.

The connection classes are driven as their documentation says: datagrams in, timers, datagrams out; a step a
millisecond, sooner than any event waits. Satellite is the client. Flow control and idle timeout are set so
wide that neither ever acts; the certificate is made here and not checked.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from satqkd.lasercom import Channel

STEP_S = 1e-3
BACKLOG_BYTES = 1 << 21
PIECE = bytes(1 << 18)
DATAGRAM_BYTES = 1200
"""The least that aioquic takes; the laser link's are 1128."""
WIDE_BYTES = 1 << 30


def _certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return dated.sign(key, hashes.SHA256()), key


def _configuration(*, client: bool, algorithm: str) -> QuicConfiguration:
    chosen = QuicConfiguration(
        is_client=client,
        alpn_protocols=["bulk"],
        congestion_control_algorithm=algorithm,
        max_datagram_size=DATAGRAM_BYTES,
        max_data=WIDE_BYTES,
        max_stream_data=WIDE_BYTES,
        idle_timeout=600.0,
        verify_mode=ssl.CERT_NONE,
    )
    if not client:
        chosen.certificate, chosen.private_key = _certificate()
    return chosen


class QuicPair:
    """Client (satellite, sends down) and server (station, sends up)."""

    def __init__(
        self, channels: tuple[Channel, Channel], light_time_s: Callable[[float], float], *, algorithm: str
    ) -> None:
        self.channels = channels
        self._light_time_s = light_time_s
        self._client = QuicConnection(configuration=_configuration(client=True, algorithm=algorithm))
        self._client.connect(("peer", 1), now=0.0)
        self._server = QuicConnection(
            configuration=_configuration(client=False, algorithm=algorithm),
            original_destination_connection_id=self._client.original_destination_connection_id,
        )
        self._heard = [True, False]
        self._ready = [False, False]
        self._streams: list[int | None] = [None, None]
        self._given_bytes = [0, 0]
        self.read_bytes = [0, 0]
        """By direction, payload that came out in order."""
        self.terminated: str | None = None
        self._steps = 0

    @property
    def now_s(self) -> float:
        return self._steps * STEP_S

    def send(self, way: int, n_bytes: int) -> None:
        """Give payload to the sender of a direction."""
        end = (self._client, self._server)[way]
        stream = self._streams[way]
        if stream is None:
            stream = self._streams[way] = end.get_next_available_stream_id()
        end.send_stream_data(stream, bytes(n_bytes))
        self._given_bytes[way] += n_bytes

    def run_until(self, until_s: float, *, fill: tuple[int, ...], enough: int | None = None) -> float:
        """Step on, the senders of `fill` supplied, until a time or enough bytes came down; the time then."""
        while self.now_s < until_s and (enough is None or self.read_bytes[0] < enough):
            for way in fill:
                if self._ready[way] and self._given_bytes[way] - self.read_bytes[way] < BACKLOG_BYTES:
                    self.send(way, len(PIECE))
            self._step()
        return self.now_s

    def _step(self) -> None:
        now_s = self.now_s
        for way, end in enumerate((self._client, self._server)):
            for datagram in self.channels[1 - way].due(now_s):
                self._heard[way] = True
                end.receive_datagram(datagram, ("peer", 1), now=now_s)
            timer_s = end.get_timer()
            if timer_s is not None and timer_s <= now_s:
                end.handle_timer(now=now_s)
            while (event := end.next_event()) is not None:
                self._note(way, event)
            for datagram, _ in end.datagrams_to_send(now=now_s) if self._heard[way] else ():
                self.channels[way].submit(datagram, now_s, self._light_time_s(now_s))
        self._steps += 1

    def _note(self, way: int, event: object) -> None:
        if isinstance(event, StreamDataReceived):
            self.read_bytes[1 - way] += len(event.data)
        elif isinstance(event, HandshakeCompleted):
            self._ready[way] = True
        elif isinstance(event, ConnectionTerminated):
            self.terminated = event.reason_phrase
