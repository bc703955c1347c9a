"""What a node tells of itself: snapshots, Prometheus metrics, the local port; nothing secret."""

import http.client
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from satqkd.errors import DataFormatError, LinkError, ResourceError
from satqkd.exposition import CONTENT_TYPE
from satqkd.keys import KeyStore
from satqkd.lasercom import LinkCounts
from satqkd.mission import contact_of, ensure_authentication, open_store
from satqkd.mission.emulator import LinkEmulator
from satqkd.mission.run_pass import station_terminal, step_through
from satqkd.mission.satellite_end import satellite_terminal
from satqkd.mission.status import BlockStatus, KeyStatus, key_status, terminal_status
from satqkd.node.ask import ask_status
from satqkd.node.board import Board, NodeStatus
from satqkd.node.event_log import EventLog
from satqkd.node.launch import free_port
from satqkd.node.local_server import local_server
from satqkd.node.metrics import exposition
from satqkd.node.watch import Watch
from toy_pass import AT_UTC, PROTOCOL, link_key, toy_satellite, toy_station

STATUS = NodeStatus(
    node='odd "name"\\',
    role="station",
    state="in_pass",
    utc="2016-12-19T16:52:09.825Z",
    pass_id="toy",
    peer="toy-satellite",
    t_s=12.5,
    clock_locked=True,
    blocks=(BlockStatus(0, "finished", 3.0, "key", 1000), BlockStatus(1, "announced", 9.0, None, 0)),
    detections=1234,
    sifted_bits=600,
    errors=6,
    qber=0.01,
    keys=(KeyStatus("toy-satellite", 1000, 24, 4096, 3), KeyStatus("other", 1, 0, 0, 0)),
    link=LinkCounts(bytes=5000, frames=50, lost=3, resent=2, rejected=1),
    goodput_bit_s=800.0,
    backlog_bytes=77,
    rss_mib=100.0,
    cpu_s=2.5,
)


def free_tcp_port() -> int:
    return free_port()


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    line.request(method, path)
    answer = line.getresponse()
    return answer.status, answer.getheader("Content-Type", ""), answer.read()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TestMetrics:
    def test_prometheus_reads_every_number_back(self) -> None:
        found = samples(exposition(STATUS))
        me = (("node", STATUS.node), ("role", "station"))
        assert found["satqkd_pass_time_seconds", me] == 12.5
        assert found["satqkd_clock_locked", me] == 1
        assert found["satqkd_detections_total", me] == 1234
        assert found["satqkd_sifted_bits_total", me] == 600
        assert found["satqkd_qber_ratio", me] == 0.01
        assert found["satqkd_blocks_open", me] == 1
        assert found["satqkd_link_sent_bytes_total", me] == 5000
        assert found["satqkd_link_resent_frames_total", me] == 2
        assert found["satqkd_process_resident_memory_bytes", me] == 100 * 2**20
        peer = (("node", STATUS.node), ("peer", "toy-satellite"), ("role", "station"))
        assert found["satqkd_authentication_key_passes", peer] == 3
        states = {dict(labels)["state"]: value for (name, labels), value in found.items() if "state" in name}
        assert [state for state, value in states.items() if value == 1] == ["in_pass"]
        assert len(states) == 6

    def test_every_metric_has_help_a_type_and_a_name_with_its_unit(self) -> None:
        units = ("seconds", "bits", "bytes", "frames", "ratio", "per_second", "passes", "total")
        bare = {"satqkd_node_state", "satqkd_clock_locked", "satqkd_blocks_open", "satqkd_detections"}
        for family in text_string_to_metric_families(exposition(STATUS)):
            assert family.documentation.endswith(".")
            assert family.type in ("gauge", "counter")
            assert family.name.endswith(units) or family.name in bare
            if family.type == "counter":
                assert all(sample.name.endswith("_total") for sample in family.samples)

    def test_what_is_not_known_has_no_sample(self) -> None:
        text = exposition(msgspec.structs.replace(STATUS, qber=None, t_s=None, clock_locked=None, keys=()))
        names = {name for name, _ in samples(text)}
        assert not names & {"satqkd_qber_ratio", "satqkd_pass_time_seconds", "satqkd_clock_locked"}
        assert "satqkd_detections_total" in names


class TestLocalServer:
    def test_the_snapshot_is_served_as_json_and_as_metrics(self) -> None:
        board, port = Board(), free_tcp_port()
        with local_server(port, board):
            assert board.watched
            assert get(port, "/status")[0] == 503
            board.status = STATUS
            assert ask_status(port) == STATUS
            code, kind, body = get(port, "/metrics")
            assert (code, kind) == (200, CONTENT_TYPE)
            assert body.decode() == exposition(STATUS)
            assert get(port, "/")[0] == 404
            assert get(port, "/status", "POST")[0] == 405
        with pytest.raises(LinkError, match=f"{port}: no node tells its state here"):
            ask_status(port)

    def test_a_busy_node_still_answers(self) -> None:
        """The loop does not come back from its work; snapshots do not wait for it."""
        board, port, over = Board(), free_tcp_port(), threading.Event()

        def work() -> None:
            with local_server(port, board):
                board.status = STATUS
                while not over.is_set():
                    sum(range(20_000))

        busy = threading.Thread(target=work)
        busy.start()
        try:
            while board.status is None:
                time.sleep(0.01)
            assert [ask_status(port).t_s for _ in range(5)] == [12.5] * 5
        finally:
            over.set()
            busy.join()

    def test_it_listens_on_loopback_alone(self) -> None:
        board, port = Board(), free_tcp_port()
        with local_server(port, board):
            lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
            here = [line.split()[1] for line in lines if line.split()[1].endswith(f":{port:04X}")]
            listening = [each for each in here if each.startswith(("0100007F", "00000000"))]
            assert listening and all(each.startswith("0100007F") for each in listening)

    def test_a_port_in_use_is_refused_in_words(self) -> None:
        port = free_tcp_port()
        taken = pytest.raises(ResourceError, match=f"{port} cannot be taken")
        with local_server(port, Board()), taken, local_server(port, Board()):
            pass

    def test_without_a_port_nobody_listens_and_nothing_is_loaded(self) -> None:
        board = Board()
        with local_server(None, board):
            assert not board.watched

    def test_another_service_on_the_port_is_told(self) -> None:
        import http.server

        class Other(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"hello": 1}')

            def log_message(self, *_: Any) -> None: ...

        with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
            thread = threading.Thread(target=other.handle_request)
            thread.start()
            with pytest.raises(DataFormatError, match="expected the state of a node of this version"):
                ask_status(other.server_address[1])
            thread.join()


class Watched:
    """The toy pass in memory with an operator at either end."""

    def __init__(self, folder: Path) -> None:
        contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
        self.seen: dict[str, list[NodeStatus]] = {"satellite": [], "station": []}
        with open_store(folder, "toy-satellite") as above, open_store(folder, "toy-station") as below:
            ensure_authentication(above, below, contact, PROTOCOL)
            link = LinkEmulator(contact, seed=1)
            ends = []
            for role, store, make in (
                ("satellite", above, satellite_terminal),
                ("station", below, station_terminal),
            ):
                log = EventLog(folder / f"events.{role}.jsonl", contact.epoch, role)
                board = Board()
                board.watched = True
                watch = Watch(role, f"toy-{role}", contact, 1, store, log, board, None)
                terminal: Any = make(contact, PROTOCOL, store, seed=1, log=watch.write)  # type: ignore[operator]
                watch.follow(terminal)
                self._observe(terminal, watch, board, role)
                ends.append((terminal, watch, board))
            step_through(link, ends[0][0], ends[1][0])
            for terminal, watch, board in ends:
                watch.end(stopped=False)
                assert board.status is not None
                self.seen[terminal.NODE].append(board.status)
            self.final = [terminal_status(terminal, 10.0) for terminal, _, _ in ends]
            self.keys = [key_status(store, [], 1) for store in (above, below)]
            self.secret = next(iter(link_key(above)[0].values()))
            self.report = ends[1][0].report()

    def _observe(self, terminal: Any, watch: Watch, board: Board, role: str) -> None:
        true = terminal.step

        def step(now_s: float, datagrams: list[bytes]) -> list[bytes]:
            said: list[bytes] = true(now_s, datagrams)
            watch._account_s = -1e9
            watch.tick(now_s)
            assert board.status is not None
            self.seen[role].append(board.status)
            return said

        terminal.step = step


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(tmp_path_factory.mktemp("watched"))


class TestWatch:
    def test_the_snapshots_follow_the_pass(self, watched: Watched) -> None:
        for seen in watched.seen.values():
            times = [each.t_s for each in seen if each.t_s is not None]
            assert times == sorted(times) and times[0] == -10.0
            assert [seen[0].state, seen[-1].state] == ["in_pass", "finished"]
            assert seen[0].session == "greeting" and seen[-2].session == "running"
            assert seen[-1].blocks[0].outcome == "key"
            assert seen[5].qber is None and seen[-1].qber == pytest.approx(0.01, abs=0.02)

    def test_the_station_counts_detections_as_they_are_told_and_knows_its_clock(
        self, watched: Watched
    ) -> None:
        seen = watched.seen["station"]
        told = [each.detections for each in seen]
        assert told == sorted(told)
        assert len(set(told)) > 20
        assert told[-1] == pytest.approx(
            watched.report.blocks[0].detections, abs=3
        )  # cut: beyond the last slot
        assert [each.clock_locked for each in seen[:5]] == [None] * 5
        assert seen[-1].clock_locked

    def test_stages_are_those_of_the_account(self, watched: Watched) -> None:
        stages = {each.blocks[0].stage for each in watched.seen["satellite"] if each.blocks}
        assert {"sifted", "amplified", "finished"} <= stages
        for end in watched.final:
            assert (end.blocks[0].stage, end.blocks[0].outcome) == ("finished", "key")
            assert end.finished and end.backlog_bytes == 0
            assert end.goodput_bit_s == pytest.approx(8 * end.link.bytes / 20.0, rel=0.2)

    def test_counts_are_of_finished_blocks_alone(self, watched: Watched) -> None:
        open_yet = [each for each in watched.seen["satellite"] if each.blocks and not each.blocks[0].outcome]
        assert open_yet
        assert {(each.detections, each.sifted_bits, each.qber) for each in open_yet} == {(0, 0, None)}
        assert watched.seen["satellite"][-1].detections == watched.report.blocks[0].detections

    def test_the_store_tells_key_and_what_authentication_lasts_for(self, watched: Watched) -> None:
        (above,), (below,) = watched.keys
        assert (above.peer, below.peer) == ("toy-station", "toy-satellite")
        assert above.confirmed_bits == below.confirmed_bits == 8 * len(watched.secret)
        assert above.unconfirmed_bits == 0
        assert above.authentication_passes == 15

    def test_no_key_is_in_any_snapshot(self, watched: Watched) -> None:
        for seen in watched.seen.values():
            text = msgspec.json.encode(seen[-1]) + exposition(seen[-1]).encode()
            assert watched.secret[:6] not in text and watched.secret[:6].hex().encode() not in text


def test_a_failure_stands_on_the_board_and_in_the_log(tmp_path: Path) -> None:
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    board = Board()
    board.watched = True
    with (
        KeyStore.create(tmp_path / "x.sqlite", "toy-satellite") as store,
        EventLog(tmp_path / "events.jsonl", contact.epoch, "satellite") as log,
    ):
        watch = Watch("satellite", "toy-satellite", contact, 1, store, log, board, "2030-01-01T00:00:00Z")
        with pytest.raises(LinkError), watch.failures():
            raise LinkError("the emulator is gone; the pass is lost")
    assert board.status is not None
    assert (board.status.state, board.status.next_pass_utc) == ("failed", "2030-01-01T00:00:00Z")
    assert board.status.last_error == "the emulator is gone; the pass is lost"
    line = msgspec.json.decode((tmp_path / "events.jsonl").read_bytes())
    assert (line["stage"], line["event"], line["t_s"]) == ("node", "failed", -10.0)
