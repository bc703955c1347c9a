"""One pass put together, in memory: presets, contact, terminals, run, report."""

from satqkd.mission.contact import Contact, choose_pass, contact_of, make_contact
from satqkd.mission.course import course_of, site_of
from satqkd.mission.fading import Fading
from satqkd.mission.files import evidence_rows, read_protocol, read_traffic, write_pass_folder, write_whole
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
from satqkd.mission.run_pass import ensure_authentication, fly, open_store, run_pass

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
    "run_pass",
    "site_of",
    "write_pass_folder",
    "write_whole",
]
