"""The toy pass in three processes: the numbers of memory, one key in two files, nothing left half."""

import json
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wiretap
from satqkd.distill.authenticate import pass_key_bits
from satqkd.errors import ConfigError, Error, LinkError, ResourceError
from satqkd.keys import KeyStore, provision
from satqkd.mission import PassReport, ensure_authentication, open_store, presets
from satqkd.node import Fault, RunConfig, fly_in_processes, free_port, read_run_config, write_run_config
from satqkd.node.emulator import EmulatorReport
from satqkd.node.line import bound_socket
from toy_pass import (
    AT_UTC,
    PROTOCOL,
    Flight,
    fly_toy,
    link_key,
    repeatable,
    replaced,
    toy_satellite,
    toy_station,
)

SATELLITE_TOML = """
preset = "micius"
name = "toy-satellite"
reference_epoch_utc = "2016-12-19T16:52:13Z"
[source]
pulse_rate_mhz = 10
intensity_fluctuation = [0, 0, 0]
polarisation_extinction_db = "none"
[transmitter]
pointing_correlation_s = "none"
[beacon]
rate_khz = 2
code_shift_s = 2.5e-5
laser = "none"
detection_photons = "none"
[lasercom]
rate_mbit_s = 20
"""
STATION_TOML = """
preset = "xinglong"
name = "toy-station"
maximum_range_km = 646
calibration_loss_db = 0
zenith_optical_depth = 0.05
turbulence = "none"
[receiver]
optics_transmittance = 0.9
optical_error = 0.0105
[receiver.polarisation]
compensation = "ideal"
update_s = 1
residual_angle_rad = 0
depolarisation = 0
[receiver.tagger]
resolution_ps = 1
dead_time_s = 0
[receiver.detector]
jitter_tail_fraction = 0
afterpulse_probability = 0
[lasercom]
rate_mbit_s = 20
"""


def run_config(folder: Path, **changes: object) -> RunConfig:
    for name, text in (("satellite", SATELLITE_TOML), ("station", STATION_TOML)):
        (folder / f"toy-{name}.toml").write_text(text, encoding="utf-8")
    config = RunConfig(
        satellite=str(folder / "toy-satellite.toml"),
        station=str(folder / "toy-station.toml"),
        at_utc=AT_UTC,
        seed=1,
        folder=str(folder),
        port=free_port(),
        patience_s=60.0,
        record_datagrams=True,
        protocol=PROTOCOL,
    )
    return msgspec.structs.replace(config, **changes)


class Flown:
    """The toy pass in processes, flown once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress: list[tuple[float, float]] = []
        self.report: PassReport = fly_in_processes(
            run_config(folder), lambda now_s, end_s: self.progress.append((now_s, end_s))
        )


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> Flown:
    return Flown(tmp_path_factory.mktemp("processes"))


def test_the_files_say_what_the_toy_says(tmp_path: Path) -> None:
    config = run_config(tmp_path)
    satellite, station = presets.satellite(config.satellite), presets.station(config.station)
    assert (satellite.name, station.name) == ("toy-satellite", "toy-station")
    for got, toy in ((satellite, toy_satellite()), (station, toy_station())):
        assert got == toy


def test_processes_give_the_numbers_of_memory(flown: Flown, flight: Flight) -> None:
    assert repeatable(flown.report) == repeatable(flight.report)
    assert (flown.report.outcome, flown.report.keys_match) == ("key", True)


def test_both_files_hold_one_key(flown: Flown, flight: Flight) -> None:
    stores = []
    for node in ("toy-satellite", "toy-station"):
        with KeyStore.open(flown.folder / f"{node}.sqlite") as store:
            stores.append(link_key(store))
            assert store.check().balanced
    assert stores[0] == stores[1]
    (key,), states = stores[0][0].values(), stores[0][1]
    assert 8 * len(key) == flown.report.secret_bits
    assert set(states.values()) == {"confirmed"}
    assert key not in flight.keys[0].values()


def test_each_process_reports_itself(flown: Flown) -> None:
    assert set(flown.report.processes) >= {"satellite", "station"}
    for row in flown.report.processes.values():
        assert row["cpu_s"] > 0
        assert row["max_rss_mib"] > 10
    assert flown.progress == sorted(flown.progress)
    names = {path.name for path in flown.folder.iterdir()}
    assert names >= {"satellite.json", "station.json", "events.satellite.jsonl", "events.station.jsonl"}
    assert not [name for name in names if name.endswith(".partial")]


def test_the_event_log_is_json_lines_without_key(flown: Flown) -> None:
    with KeyStore.open(flown.folder / "toy-station.sqlite") as store:
        (key,) = link_key(store)[0].values()
    for role in ("satellite", "station"):
        data = (flown.folder / f"events.{role}.jsonl").read_bytes()
        lines = [msgspec.json.decode(line) for line in data.splitlines()]
        assert all({"t_s", "utc", "node", "stage", "event"} <= set(line) for line in lines)
        assert {line["node"] for line in lines} == {role}
        assert key.hex()[:16].encode() not in data


def test_the_recorded_datagrams_tell_the_leak(flown: Flown, flight: Flight) -> None:
    data, datagrams, at = (flown.folder / "datagrams.bin").read_bytes(), [], 0
    while at < len(data):
        tick = int.from_bytes(data[at + 1 : at + 5], "little", signed=True)
        end = at + 7 + int.from_bytes(data[at + 5 : at + 7], "little")
        datagrams.append(("up" if data[at] else "down", tick / 20, data[at + 7 : end]))
        at = end
    said, rules = wiretap.from_datagrams(datagrams), wiretap.rules_of(flight.satellite.parameters)
    wiretap.check_order(said, rules)
    assert sum(wiretap.recount(said, 0, rules).leaked_bits.values()) == flown.report.leaked_bits


def test_two_passes_in_processes_share_a_pool_as_in_memory(tmp_path: Path) -> None:
    protocol = replaced(PROTOCOL, pooling="pooled", pool_sifted_bits=250_000)
    there, here = tmp_path / "processes", tmp_path / "memory"
    for folder in (there, here):
        folder.mkdir()
    for seed in (1, 2):
        config = run_config(there, seed=seed, protocol=protocol, record_datagrams=False)
        report, memory = fly_in_processes(config), fly_toy(here, seed=seed, protocol=protocol).report
        assert repeatable(report) == repeatable(memory)
        assert (report.kept_bits, report.pooled_bits) == (memory.kept_bits, memory.pooled_bits)
    assert (report.outcome, report.pooled_bits > 0) == ("key", True)
    with open_store(there, "toy-satellite") as above, open_store(there, "toy-station") as below:
        assert link_key(above) == link_key(below)
        for store in (above, below):
            assert [row.state for row in store.list_raw_blocks()] == ["used"]
            assert store.check().balanced


def test_a_port_in_use_ends_in_one_line(tmp_path: Path) -> None:
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError, match=f"{port} cannot be taken.*choose another") as caught:
            bound_socket("127.0.0.1", port)
        assert caught.value.exit_code == 2
        with pytest.raises((ConfigError, ResourceError), match=f"emulator: .*{port}") as launched:
            fly_in_processes(run_config(tmp_path, port=port))
    assert launched.value.exit_code == 2
    assert "\n" not in str(launched.value)


def test_stores_that_are_no_pair_end_the_pass_with_exit_code_3(tmp_path: Path) -> None:
    """Each has authentication key of the right amount, but not the other's."""
    for node, peer in (("toy-satellite", "toy-station"), ("toy-station", "toy-satellite")):
        (tmp_path / node).mkdir()
        with open_store(tmp_path, node) as one, open_store(tmp_path / node, peer) as other:
            provision(one, other, bits=1 << 14, randbytes=secrets.token_bytes, now_utc=AT_UTC)
    with pytest.raises(Error, match="differs from what the shared key demands") as caught:
        fly_in_processes(run_config(tmp_path))
    assert caught.value.exit_code == 3
    for node in ("toy-satellite", "toy-station"):
        with KeyStore.open(tmp_path / f"{node}.sqlite") as store:
            assert link_key(store) == ({}, {})


def test_a_node_without_its_emulator_gives_up(tmp_path: Path) -> None:
    from satqkd.node.process import run_node

    with pytest.raises(LinkError, match=r"emulator.*the pass is lost") as caught:
        run_node(run_config(tmp_path, patience_s=0.3), "satellite")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "satellite.json").exists()


def test_an_emulator_without_nodes_names_who_is_missing(tmp_path: Path) -> None:
    from satqkd.node.emulator import run_emulator

    with pytest.raises(LinkError, match="satellite, station"):
        run_emulator(run_config(tmp_path, patience_s=0.3))
    assert not (tmp_path / "channels.json").exists()


def test_a_run_file_comes_back(tmp_path: Path) -> None:
    config = run_config(tmp_path, protocol=replaced(PROTOCOL, keyed_bases=("Z",)))
    write_run_config(config, tmp_path / "run.toml")
    assert read_run_config(tmp_path / "run.toml") == config


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed", "sead", "unknown key sead; did you mean seed"),
        ("port = ", "port = 7", "port"),
        ("folder = ", 'folder = "/nowhere/at/all" #', "does not exist"),
        ("blocks = ", 'blocks = "two" #', "blocks"),
    ],
)
def test_a_run_file_with_a_fault_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "run.toml"
    write_run_config(run_config(tmp_path), path)
    path.write_text(path.read_text().replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        read_run_config(path)


def test_labels_are_swapped_alike_in_processes_and_in_memory(tmp_path: Path, flight: Flight) -> None:
    config = run_config(tmp_path)
    path = tmp_path / "toy-station.toml"
    path.write_text(
        path.read_text().replace("[receiver]", '[receiver]\nlabel_swap = "random"'), encoding="utf-8"
    )
    in_processes = fly_in_processes(config)
    (tmp_path / "memory").mkdir()
    in_memory = fly_toy(tmp_path / "memory", station=toy_station(receiver__label_swap="random"))
    assert repeatable(in_processes) == repeatable(in_memory.report)
    assert repeatable(in_processes) != repeatable(flight.report)
    assert in_processes.outcome == "key"


def test_the_plate_is_turned_alike_in_processes_and_in_memory(tmp_path: Path) -> None:
    """Three blocks under an angle: what block 0 taught turns the light of block 2."""
    protocol = replaced(PROTOCOL, blocks=3)
    config = run_config(tmp_path, protocol=protocol)
    for name, old, new in (
        ("station", "residual_angle_rad = 0", "static_angle_deg = 6"),
        ("satellite", "pulse_rate_mhz = 10", "pulse_rate_mhz = 3"),
    ):
        path = tmp_path / f"toy-{name}.toml"
        path.write_text(path.read_text().replace(old, new), encoding="utf-8")
    in_processes = fly_in_processes(config)
    (tmp_path / "memory").mkdir()
    station = presets.station(config.station)
    satellite = presets.satellite(config.satellite)
    in_memory = fly_toy(tmp_path / "memory", satellite=satellite, station=station, protocol=protocol)
    assert repeatable(in_processes) == repeatable(in_memory.report)
    angles = [msgspec.to_builtins(row["polarisation"]) for row in in_processes.blocks]
    assert angles == [msgspec.to_builtins(row["polarisation"]) for row in in_memory.report.blocks]
    assert [angle["plate_deg"] != 0 for angle in angles] == [False, False, True]


@pytest.mark.parametrize(
    "kills",
    [
        [("station", 3.0)],
        [("satellite", 3.0)],
        [("station", 8.4)],
        [("satellite", 8.4)],
        [("satellite", 2.0), ("station", 2.0), ("station", 5.0), ("satellite", 8.3)],
    ],
    ids=lambda kills: " ".join(f"{role}@{at_s}" for role, at_s in kills),
)
def test_nodes_killed_by_signal_9_go_on_with_the_pass(tmp_path: Path, kills: list[tuple[Any, float]]) -> None:
    """While light falls, and while the block is reconciled; the last kills both at once, and each again."""
    faults = tuple(Fault(at_s=at_s, what="kill", role=role, down_s=0.5) for role, at_s in kills)
    report = fly_in_processes(run_config(tmp_path, faults=faults))
    assert (report.outcome, report.keys_match, report.authentication_bits_spent) == (
        "key", True, pass_key_bits(1)
    )  # fmt: skip
    stores = []
    for node, peer in (("toy-satellite", "toy-station"), ("toy-station", "toy-satellite")):
        with KeyStore.open(tmp_path / f"{node}.sqlite") as store:
            stores.append(link_key(store))
            assert store.auth_position(peer) == pass_key_bits(1)
            assert store.check().balanced
    assert stores[0] == stores[1] != ({}, {})
    lines = [json.loads(line) for line in (tmp_path / "events.emulator.jsonl").read_text().splitlines()]
    assert [each["role"] for each in lines if each["event"] == "killed"] == [role for role, _ in kills]


def test_a_node_that_is_killed_and_one_link_that_is_cut_by_plan_end_in_one_key(tmp_path: Path) -> None:
    """Killed with signal 9 in the tick in which it would greet; another process of it takes the pass up."""
    faults = (
        Fault(at_s=-10.0, what="kill", role="station", down_s=1.0),
        Fault(at_s=3.0, what="cut", for_s=1.0),
    )
    report = fly_in_processes(run_config(tmp_path, faults=faults))
    assert (report.outcome, report.keys_match) == ("key", True)
    assert {(each["from_s"], each["to_s"]) for each in report.classical["outages"]} == {(3.0, 4.0)}
    lines = (tmp_path / "events.emulator.jsonl").read_text(encoding="utf-8").splitlines()
    told = [(row["t_s"], row["event"]) for row in map(msgspec.json.decode, lines)]
    assert [each for each in told if each[1] in ("killed", "restarted", "cut", "restored")] == [
        (-10.0, "killed"), (-9.0, "restarted"), (3.0, "cut"), (4.0, "restored")
    ]  # fmt: skip
    for node in ("toy-satellite", "toy-station"):
        with KeyStore.open(tmp_path / f"{node}.sqlite") as store:
            assert store.check().balanced


def test_a_node_asked_to_end_reports_and_ends_with_code_4_and_the_pass_with_it(tmp_path: Path) -> None:
    config = run_config(tmp_path, speed="realtime")
    contact = config.contact()
    with open_store(tmp_path, "toy-satellite") as one, open_store(tmp_path, "toy-station") as other:
        ensure_authentication(one, other, contact, PROTOCOL)
    path = tmp_path / "run.toml"
    write_run_config(config, path)
    running = {
        role: subprocess.Popen(
            [sys.executable, "-m", "satqkd", role, str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for role in ("emulator", "satellite", "station")
    }
    log = tmp_path / "events.satellite.jsonl"
    while not (log.exists() and "started" in log.read_text(encoding="utf-8")):
        assert running["satellite"].poll() is None
        time.sleep(0.05)
    running["satellite"].send_signal(signal.SIGTERM)
    said = running["satellite"].communicate()[1].decode()
    codes = {role: process.wait() for role, process in running.items()}
    for process in running.values():
        if process.stderr is not None:
            process.stderr.close()
    assert codes == {"emulator": 0, "satellite": 4, "station": 0}
    assert said.startswith("satqkd: asked to end in mid-pass")
    assert (tmp_path / "satellite.json").exists() and (tmp_path / "station.json").exists()
    carried = msgspec.json.decode((tmp_path / "emulator.json").read_bytes(), type=EmulatorReport)
    assert (carried.ended_by, carried.pace.speed) == ("satellite", 1.0)


@pytest.mark.parametrize(
    "words",
    [{"what": "kill"}, {"what": "cut", "role": "station", "for_s": 1.0}, {"what": "cut"}],
)
def test_a_fault_whose_fields_do_not_go_together_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="faults at 5 s: expected"):
        Fault(at_s=5.0, **words)
