"""Made-up pass folders in the form other rooms write them; the numbers are of the right size, not real."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

DURATION_S = 352.4


def pass_dict(**changes: Any) -> dict[str, Any]:
    """A pass report as plain JSON."""
    terms = {
        basis: {
            "secret_bits": 535_021 + k,
            "single_photons": 1_400_312 + k,
            "keyed_single_photons": 1_400_312 + k,
            "phase_error_rate": 0.013456 + k / 1e4,
            "entropy_bits": 1_254_321.75 + k,
            "leaked_bits": 198_765 + k,
            "amplification_bits": 62.789,
            "verification_bits": 51.829,
            "epsilon_event": 5.2083e-21,
        }
        for k, basis in enumerate(("Z", "X"))
    }
    counts = [
        {"basis": b, "class": c, "intensity": i, "probability": p, "detections": d + k, "errors": e + k}
        for k, b in enumerate(("Z", "X"))
        for c, i, p, d, e in (
            ("signal", 0.8, 0.5, 2_345_671, 24_681),
            ("decoy", 0.1, 0.25, 151_233, 2_077),
            ("vacuum", 0.0, 0.25, 3_911, 1_955),
        )
    ]
    block = {
        "block": 0,
        "outcome": "key",
        "reason": "",
        "detections": 10_004_321,
        "sifted_bits": 4_691_343,
        "errors": 49_363,
        "frames": 19,
        "frames_failed": 1,
        "leaked_bits": {"Z": 198_765, "X": 198_766},
        "secret_bits": 1_070_043,
        "counts": counts,
        "terms": {"bases": terms, "keyed_classes": ["signal"], "leaked_bits": 397_531},
    }
    link = {"bytes": 9_876_543, "frames": 8_765, "lost": 87, "resent": 91}
    return {
        "pass_id": "jinan-1.stellenbosch.20241011T192345Z.seed1",
        "satellite": "jinan-1",
        "station": "stellenbosch",
        "start_utc": "2024-10-11T19:23:45.000Z",
        "duration_s": DURATION_S,
        "max_elevation_deg": 78.31,
        "min_range_km": 511.42,
        "pulses": 220_250_000_000,
        "detections": 10_004_321,
        "sifted_bits": 4_691_343,
        "qber": 0.010522,
        "counts": counts,
        "blocks": [block],
        "frames": 19,
        "frames_failed": 1,
        "reconciliation_efficiency": 1.1234,
        "leaked_bits": 397_531,
        "authentication_bits_spent": 1_536,
        "secret_bits": 1_070_043,
        "epsilon_secrecy": 1e-9,
        "epsilon_correctness": 1e-15,
        "epsilon_authentication": 1e-25,
        "bound": "variable-sharp",
        "announcement": "deferred",
        "keys_match": True,
        "outcome": "key",
        "reason": "",
        "timings_s": {
            "wall": 21.37,
            "last_photon_to_key": 5.432,
            "first_key_after_start": 357.8,
            "stages": {"stellenbosch": {"0.open": 352.45, "0.close": 356.1}},
        },
        "classical": {
            "down": link,
            "up": {name: 2 * n for name, n in link.items()},
            "outages": [],
            "wall_s": 21.37,
        },
        "processes": {"satellite": {"cpu_s": 4.21, "max_rss_mib": 131.5}},
        "seed": 1,
        "origin": "twin",
    } | changes


def no_key_dict() -> dict[str, Any]:
    """A pass in which nothing came of it: every value that may be null is."""
    return pass_dict(
        max_elevation_deg=None,
        min_range_km=None,
        detections=0,
        sifted_bits=0,
        qber=None,
        counts=[],
        blocks=[],
        frames=0,
        frames_failed=0,
        reconciliation_efficiency=None,
        leaked_bits=0,
        secret_bits=0,
        keys_match=False,
        outcome="no_key",
        reason="the laser link ended before the block was closed",
        timings_s={"wall": 3.2, "last_photon_to_key": None, "first_key_after_start": None, "stages": {}},
        classical={"outages": [], "wall_s": 3.2},
    )


def course_dict() -> dict[str, Any]:
    """The course of a pass that culminates in its middle and then sinks to where only the laser works."""
    t_s = np.arange(0.0, 402.0)
    along_km = 7.1 * (t_s - DURATION_S / 2)
    range_km = np.hypot(511.42, along_km) + 1e-4 * along_km**2
    elevation_deg = np.clip(78.3 * 511.42 / range_km - 8, 1, 90)
    parts = {
        "diffraction_db": 22.1 + 20 * np.log10(range_km / 511.42),
        "pointing_db": np.full_like(t_s, 0.62),
        "atmosphere_db": 1.1 / np.sin(np.radians(elevation_deg)),
        "receiver_db": np.full_like(t_s, 3.01),
        "calibration_db": np.full_like(t_s, 4.5),
        "detector_db": np.full_like(t_s, 3.01),
    }
    total_db = np.sum(list(parts.values()), axis=0)
    sifted_hz = 625e6 * 0.5 * 0.5 * 0.8 * 10 ** (-total_db / 10)
    columns = parts | {
        "t_s": t_s,
        "elevation_deg": elevation_deg,
        "range_km": range_km,
        "range_rate_m_s": 1e3 * np.gradient(range_km),
        "total_db": total_db,
        "background_hz": np.full_like(t_s, 40.0),
        "expected_detection_hz": 2.1 * sifted_hz,
        "expected_sifted_hz": sifted_hz,
        "expected_qber": 0.0085 + 20.0 / sifted_hz,
        "expected_decoy_qber": 0.0085 + 160.0 / sifted_hz,
    }
    evidence = [
        {"path": "source.pulse_rate_hz", "mark": "inferred", "source": "press", "preset": "jinan-1"},
        {"path": "source.wavelength_m", "mark": "assumed", "source": "usual", "preset": "jinan-1"},
        {
            "path": "calibration_loss_db",
            "mark": "calibrated",
            "source": "1.07 Mbit",
            "preset": "stellenbosch",
            "value": 4.5,
        },
        {"path": "latitude_rad", "mark": "published", "source": "map", "preset": "stellenbosch"},
    ]
    return {
        "columns": {name: values.tolist() for name, values in columns.items()},
        "evidence": evidence,
    }


def station_dict(seed: int = 1) -> dict[str, Any]:
    """The station's account: profiles of Poisson counts about the expected rates."""
    rng = np.random.default_rng(seed)
    columns = course_dict()["columns"]
    seconds = range(int(DURATION_S))
    sifted = rng.poisson([columns["expected_sifted_hz"][s] for s in seconds])
    revealed = rng.poisson([columns["expected_sifted_hz"][s] / 16 for s in seconds])
    errors = rng.binomial(revealed, [columns["expected_decoy_qber"][s] for s in seconds])
    profile = {
        "block": 0,
        "second": list(seconds),
        "sifted": sifted.tolist(),
        "revealed": revealed.tolist(),
        "errors": errors.tolist(),
    }
    return {"node": "stellenbosch", "profiles": [profile]}


def write_folder(folder: Path, report: dict[str, Any]) -> Path:
    """A pass folder with all three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("pass", report), ("course", course_dict()), ("station", station_dict())):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


DEMO: dict[str, Any] = {
    "passes": [],
    "relay": {"relay_id": "r-0001", "bits": 480_512, "spent_a": 480_768, "spent_b": 480_769},
    "image": {
        "bytes": 60_015,
        "sha256_before": "ab" * 32,
        "sha256_after": "ab" * 32,
        "ciphertext_sha256": "cd" * 32,
    },
    "seed": 1,
    "wall_s": 61.7,
}


@pytest.fixture
def samples() -> SimpleNamespace:
    """The makers above."""
    return SimpleNamespace(
        pass_dict=pass_dict,
        no_key_dict=no_key_dict,
        course_dict=course_dict,
        write_folder=write_folder,
        demo=DEMO,
    )
