"""One pass put together, in memory: presets, contact, terminals, run, report."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from satqkd.mission.contact import Contact, choose_pass, contact_of, make_contact
    from satqkd.mission.course import course_of, site_of
    from satqkd.mission.fading import Fading
    from satqkd.mission.files import (
        evidence_rows,
        open_store,
        read_protocol,
        read_traffic,
        write_pass_folder,
        write_whole,
    )
    from satqkd.mission.foretold import expected_key
    from satqkd.mission.gain import PassCounts, PoolingGain, expected_pooling_gain, pooling_gain
    from satqkd.mission.planning import link_budget
    from satqkd.mission.recording import (
        RecordedPass,
        distill_recording,
        equals_live,
        open_recording,
        record_pass,
    )
    from satqkd.mission.report import NodeReport, PassReport
    from satqkd.mission.run_pass import ensure_authentication, fly
else:
    from satqkd.doors import opened_when_used

    __getattr__ = opened_when_used(
        __name__,
        {
            "Contact": "contact",
            "Fading": "fading",
            "NodeReport": "report",
            "PassCounts": "gain",
            "PassReport": "report",
            "PoolingGain": "gain",
            "RecordedPass": "recording",
            "choose_pass": "contact",
            "contact_of": "contact",
            "course_of": "course",
            "distill_recording": "recording",
            "ensure_authentication": "run_pass",
            "equals_live": "recording",
            "evidence_rows": "files",
            "expected_key": "foretold",
            "expected_pooling_gain": "gain",
            "fly": "run_pass",
            "link_budget": "planning",
            "make_contact": "contact",
            "open_recording": "recording",
            "open_store": "files",
            "pooling_gain": "gain",
            "read_protocol": "files",
            "read_traffic": "files",
            "record_pass": "recording",
            "site_of": "course",
            "write_pass_folder": "files",
            "write_whole": "files",
        },
    )

__all__ = [
    "Contact",
    "Fading",
    "NodeReport",
    "PassCounts",
    "PassReport",
    "PoolingGain",
    "RecordedPass",
    "choose_pass",
    "contact_of",
    "course_of",
    "distill_recording",
    "ensure_authentication",
    "equals_live",
    "evidence_rows",
    "expected_key",
    "expected_pooling_gain",
    "fly",
    "link_budget",
    "make_contact",
    "open_recording",
    "open_store",
    "pooling_gain",
    "read_protocol",
    "read_traffic",
    "record_pass",
    "site_of",
    "write_pass_folder",
    "write_whole",
]
