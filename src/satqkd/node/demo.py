"""The whole system once: two passes, the relay between the stations, an image under one-time pad.

Each pass is three processes; each step after it is a process of its own that opens one store. The demo
looks at no key: what it knows are reports, and the image before and after. Everything in its folder is
made by it and is replaced when it runs there again.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from satqkd.errors import LinkError, ResourceError
from satqkd.keys import plaintext_bytes_of
from satqkd.mission import presets
from satqkd.mission.contact import contact_of
from satqkd.mission.files import write_pass_folder, write_whole
from satqkd.mission.report import PassReport
from satqkd.node.launch import Progress, failure_of, fly_in_processes, free_port
from satqkd.node.run_config import RunConfig
from satqkd.results import to_json

SATELLITE: Final = "jinan-1"
STATION_A: Final = "beijing"
STATION_B: Final = "stellenbosch"
MARKER: Final = ".satqkd-demo"
STORES: Final = "stores"
MakeImage = Callable[[int], bytes]
"""A file of at most so many bytes, to be sent."""
Say = Callable[[str], None]


class DemoResult(msgspec.Struct, frozen=True):
    """What `satqkd demo --json` prints."""

    passes: tuple[PassReport, ...]
    relay: dict[str, Any] | None
    image: dict[str, Any] | None
    seed: int
    wall_s: float


def run_demo(
    folder: Path, *, seed: int, make_image: MakeImage, say: Say, progress: Callable[[str], Progress]
) -> DemoResult:
    """Fly both passes, relay, encrypt at one station, decrypt at the other; write `demo.json`.

    make_image: given the most bytes the pair's key can cover. Raises ResourceError when the folder holds
    something that is not an earlier demo's.
    """
    started_s = time.monotonic()
    _prepare(folder)
    reports = tuple(
        _fly(folder, name, seed, progress(f"{SATELLITE} over {name}")) for name in (STATION_A, STATION_B)
    )
    relay = image = None
    if all(report.outcome == "key" for report in reports):
        relay = _relay(folder)
        say(f"relay {relay['relay_id']}: {relay['bits']} bits end to end for {STATION_A} and {STATION_B}")
        image = _send_image(folder, make_image(plaintext_bytes_of(relay["bits"])))
        say(f"image of {image['bytes']} bytes encrypted at {STATION_A}, decrypted at {STATION_B}")
    result = DemoResult(reports, relay, image, seed, time.monotonic() - started_s)
    write_whole(folder / "demo.json", to_json(result))
    return result


def _prepare(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise ResourceError(f"{folder} holds files that no demo wrote; choose another --out")
    if folder.exists():
        shutil.rmtree(folder)
    (folder / STORES).mkdir(parents=True)
    (folder / MARKER).touch()


def _fly(folder: Path, station: str, seed: int, progress: Progress) -> PassReport:
    here = folder / station
    here.mkdir()
    config = RunConfig(
        satellite=SATELLITE,
        station=station,
        seed=seed,
        folder=str(here),
        stores=str(folder / STORES),
        port=free_port(),
    )
    report = fly_in_processes(config, progress)
    contact = contact_of(presets.satellite(SATELLITE), presets.station(station))
    write_pass_folder(here, contact, report)
    return report


def _relay(folder: Path) -> dict[str, Any]:
    """The satellite combines both links; the record goes to both stations by any path."""
    record = folder / "relay.record"
    made = _step("keys", "relay", "--store", _store(folder, SATELLITE), "--a", STATION_A, "--b", STATION_B,
                 "--out", str(record), "--demo", "--json")  # fmt: skip
    for station in (STATION_A, STATION_B):
        _step("keys", "accept", str(record), "--store", _store(folder, station), "--demo", "--json")
    return made


def _send_image(folder: Path, image: bytes) -> dict[str, Any]:
    before, sealed, after = (folder / name for name in ("image.ppm", "image.ppm.otp", "image-received.ppm"))
    write_whole(before, image)
    _step("encrypt", str(before), "--store", _store(folder, STATION_A), "--peer", STATION_B,
          "--out", str(sealed), "--demo", "--json")  # fmt: skip
    _step("decrypt", str(sealed), "--store", _store(folder, STATION_B), "--peer", STATION_A,
          "--out", str(after), "--demo", "--json")  # fmt: skip
    return {
        "bytes": len(image),
        "sha256_before": _sha256(before),
        "sha256_after": _sha256(after),
        "ciphertext_sha256": _sha256(sealed),
    }


def _store(folder: Path, node: str) -> str:
    return str(folder / STORES / f"{node}.sqlite")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _step(*arguments: str) -> dict[str, Any]:
    """One command in a process of its own; its JSON. Raises its error."""
    done = subprocess.run(
        [sys.executable, "-m", "satqkd", *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise failure_of(arguments[0], done.returncode, done.stderr)
    answer = msgspec.json.decode(done.stdout)
    if not isinstance(answer, dict):
        raise LinkError(f"{arguments[0]}: expected one JSON object on stdout")
    return answer
