"""satqkd: a satellite quantum-key-distribution system, from the photon to the delivered key.

    import satqkd

    report = satqkd.run_pass("micius", "xinglong", at_utc="2016-12-19T16:52:13Z")
    print(report.secret_bits, report.qber, report.outcome)

The names below are the public ones; each is loaded when it is first used, so that importing the package
costs nothing and a satellite's process never loads what only a station needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

__version__ = "0.1.0"

if TYPE_CHECKING:
    from satqkd.keys import KeyStore
    from satqkd.mission.contact import contact_of
    from satqkd.mission.foretold import expected_key
    from satqkd.mission.optimise import optimise_source
    from satqkd.mission.planning import link_budget
    from satqkd.mission.presets import satellite, station
    from satqkd.mission.run_pass import run_pass
    from satqkd.security import key_length
    from satqkd.sky import find_passes

_HOMES: Final = {
    "KeyStore": "satqkd.keys",
    "contact_of": "satqkd.mission.contact",
    "expected_key": "satqkd.mission.foretold",
    "find_passes": "satqkd.sky",
    "key_length": "satqkd.security",
    "link_budget": "satqkd.mission.planning",
    "optimise_source": "satqkd.mission.optimise",
    "run_pass": "satqkd.mission.run_pass",
    "satellite": "satqkd.mission.presets",
    "station": "satqkd.mission.presets",
}

__all__ = [
    "KeyStore",
    "__version__",
    "contact_of",
    "expected_key",
    "find_passes",
    "key_length",
    "link_budget",
    "optimise_source",
    "run_pass",
    "satellite",
    "station",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'satqkd' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
