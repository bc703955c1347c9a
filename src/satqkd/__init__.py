"""satqkd: a satellite quantum-key-distribution system, from the photon to the delivered key.

    import satqkd

    report = satqkd.run_pass("micius", "xinglong", at_utc="2016-12-19T16:52:13Z")
    print(report.secret_bits, report.qber, report.outcome)

The names below are the public ones; each is loaded when it is first used, so that importing the package
costs nothing and a satellite's process never loads what only a station needs.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from satqkd.keys import KeyStore
    from satqkd.mission.contact import contact_of
    from satqkd.mission.foretold import expected_key
    from satqkd.mission.optimise import optimise_source
    from satqkd.mission.planning import link_budget
    from satqkd.mission.presets import satellite, station
    from satqkd.mission.run_pass import run_pass
    from satqkd.plan.network import read_scenario
    from satqkd.plan.planner import make_plan
    from satqkd.security import key_length
    from satqkd.sky import find_passes
else:
    from satqkd.doors import opened_when_used

    __getattr__ = opened_when_used(
        __name__,
        {
            "KeyStore": "keys",
            "contact_of": "mission.contact",
            "expected_key": "mission.foretold",
            "find_passes": "sky",
            "key_length": "security",
            "link_budget": "mission.planning",
            "make_plan": "plan.planner",
            "optimise_source": "mission.optimise",
            "read_scenario": "plan.network",
            "run_pass": "mission.run_pass",
            "satellite": "mission.presets",
            "station": "mission.presets",
        },
    )

__all__ = [
    "KeyStore",
    "__version__",
    "contact_of",
    "expected_key",
    "find_passes",
    "key_length",
    "link_budget",
    "make_plan",
    "optimise_source",
    "read_scenario",
    "run_pass",
    "satellite",
    "station",
]


def __dir__() -> list[str]:
    return __all__
