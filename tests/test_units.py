"""Units stand in names: every public float parameter and field ends in its SI unit, or has none.

Read from the sources, so that nothing is imported or compiled. `cli` is left out: there a name is an
option, and its help tells the unit.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "satqkd"
UNITS = (
    "_m", "_rad", "_s", "_hz", "_db", "_ps", "_m_s", "_rad_s", "_bit_s", "_w_m2_sr_um", "_w", "_a", "_a_w",
    "_a_sqrt_hz", "_m23", "_m13", "_j", "_per_earth_radius", "_mib", "_bits", "_bytes",
)  # fmt: skip
TEXT_UNITS = ("_deg", "_km")
"""In results that people read."""
TEXT_ROOMS = ("mission/report.py", "mission/optimum.py", "show/")

DIMENSIONLESS = {
    # probabilities and shares
    "burst_loss", "changes", "corrupted", "duplicated", "reordered",
    "afterpulse", "basis_z_probability", "beacon_seen", "dark_probability", "dark_spread",
    "efficiency_spread", "keyed_shares", "measured_z", "sent_z", "splitter_x_share", "weights", "x_share",
    "class_error",
    "class_gain", "crossover", "depolarisation", "detector_efficiency", "efficiency", "epsilon",
    "epsilon_at", "epsilon_authentication", "epsilon_correctness", "epsilon_event", "epsilon_pa",
    "epsilon_secrecy", "error",
    "error_rate", "error_x", "error_z", "expected_qber", "fraction", "frame_error", "frame_loss", "gain",
    "leak", "live_fraction", "matched_gain", "matched_probability", "maximum_qber",
    "optical_error_x", "optical_error_z", "optics_transmittance", "others", "outage", "own", "place",
    "photons", "probabilities", "probability", "qber", "quantum_efficiency", "rates",
    "share", "station_basis_z_probability", "tail_fraction",
    "transmittance", "u", "uniform", "wrong_gain",
    # counts that may be bounds or expectations, and ratios of like to like
    "bandwidth_ratio", "bound", "count", "counts", "detection_photons", "detections", "errors",
    "extinction", "factor", "fading", "fading_variance", "gap", "index", "intensities", "intensity",
    "ionisation_ratio", "key_errors", "keyed", "keyed_singles", "lower", "mean", "mean_gap", "pulses",
    "ratio",
    "receiver_obscuration", "reconciliation_efficiency", "rytov", "scintillation_index", "spread",
    "test", "test_errors", "test_singles", "threshold", "transmitter_obscuration", "trials", "upper",
    "window_factor",
    # of attackers and monitors: probabilities, a largest transmittance; a reading's unit is its monitor's
    "brightest", "detector_share_tolerance", "false_alarm", "limit", "most_gain", "reading",
    # of skies
    "any_clear", "availability", "clear", "default_clear",
    # what an optimiser weighs and how far it goes; a channel's shares of light and noise
    "basis_spread", "brightness", "clear_sky", "intensity_range", "least_probability", "lost",
    "missing_factor", "noise", "noise_per_photon", "optical_error", "reach", "start", "step", "tolerance",
    "vacuum_intensity", "vacuum_leak", "variable_over_fixed", "weight", "wrong",
    # contrasts of polarisation; cosine and sine of its angles
    "contrast_x", "contrast_z", "cosine", "crossed", "crossed_x", "crossed_z", "sine",
    # optical depths
    "aerosol", "aerosol_optical_depth", "gas", "rayleigh", "zenith_optical_depth",
    # Allan deviations at 1 s, stellar magnitudes
    "magnitude_at_1000_km", "random_walk_frequency_noise", "sunlit_magnitude", "white_frequency_noise",
    # pure numbers of physics and mathematics
    "alpha", "beta", "delay_slope", "drift", "eccentricity", "exponent", "form", "process", "theta",
    # interpolation: whatever the values are
    "d0", "d1", "s0", "s1",
    # pass time over wall time; metrics' values with their labels
    "speed", "samples",
    # true or false, as numbers are
    "sunlit",
    # the name is the unit
    "days", "jd",
    # of planning: what is maximised, in whatever it is told; coefficients and gaps of its problems
    "baselines", "coefficients", "objective", "relative_gap", "total", "worst", "least_worst", "priority",
    "look_ahead", "need", "share_of_periods", "worst_share", "worst_share_of_periods",
    "clear_probability", "key_probability", "transfers", "effort", "target", "least", "most",
    "lowest", "median", "highest",
    # pairs of seconds, said so where they are
    "outages",
    # numbers fixed before counts are seen: guesses, weights, slopes
    "guess", "key", "slope",
    # any number: formatting and axes
    "otherwise", "value", "values", "wanted",
}  # fmt: skip


def float_names(source: str) -> Iterator[str]:
    """Names of float parameters of public functions and methods, and of float fields of public classes."""
    yield from _in_body(ast.parse(source).body)


def _in_body(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _in_body(node.body)
            yield from _fields(node)
        if isinstance(node, ast.FunctionDef) and (node.name == "__init__" or node.name[0] != "_"):
            arguments = node.args
            for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                if _is_float(each.annotation):
                    yield each.arg


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        is_field = isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        if is_field and each.target.id[0] != "_" and _is_float(each.annotation):
            yield each.target.id


def _is_float(annotation: ast.expr | None) -> bool:
    names = (
        "float",
        "Float",
        "Floats",
        "ArrayLike",
        "Array",
        "Fraction",
        "Positive",
        "Inside",
    )
    words = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} if annotation else set()
    return bool(words & set(names)) and not words & {"Callable", "ClassVar"}


def without_unit(source: str, *, text_units: bool) -> set[str]:
    """Float names of a source that end in no unit and are not known to have none."""
    allowed = UNITS + TEXT_UNITS if text_units else UNITS
    return {name for name in float_names(source) if not name.endswith(allowed) and name not in DIMENSIONLESS}


def _modules() -> list[Path]:
    return sorted(path for path in SOURCES.rglob("*.py") if path.parent.name != "cli")


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(SOURCES)))
def test_public_floats_have_their_unit_in_the_name(path: Path) -> None:
    text_units = str(path.relative_to(SOURCES)).startswith(TEXT_ROOMS)
    assert without_unit(path.read_text(encoding="utf-8"), text_units=text_units) == set()


def test_no_name_is_allowed_that_is_not_used() -> None:
    used = {name for path in _modules() for name in float_names(path.read_text(encoding="utf-8"))}
    assert DIMENSIONLESS - used == set()


def test_a_name_without_unit_is_reported_wherever_it_stands() -> None:
    source = """
def loss(range_m: float, height: ArrayLike, *, angle_deg: float, n: int) -> float: ...
def _private(width: float) -> float: ...
class Lamp:
    power: Positive
    _hidden: float
    def __init__(self, haste: float | None, when: Callable[[float], None]) -> None: ...
"""
    assert without_unit(source, text_units=False) == {"height", "angle_deg", "power", "haste"}
    assert without_unit(source, text_units=True) == {"height", "power", "haste"}
