"""The account of a pass at one end: what became of its blocks, and when.

Counts, lengths, angles and times; never key. It grows by notes, which the journal keeps, so that the report
of a pass whose process died is that of an unbroken one.
"""

import msgspec

from satqkd.distill.outcome import BlockReport, ErrorProfile
from satqkd.mission.monitors import MonitorReading
from satqkd.mission.report import BlockAngle
from satqkd.mission.watched import Watched


class Note(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that a report will tell; all but one of the fields after `block` are left out."""

    t_s: float
    """Pass time."""
    block: int = -1
    stage: str = ""
    """It was entered."""
    confirmed: bool = False
    """Its key may be used at this end."""
    report: BlockReport | None = None
    """Nothing more is said about it."""
    profile: ErrorProfile | None = None
    angle: BlockAngle | None = None
    watched: Watched | None = None
    """The next stretch of what the monitors saw of it."""
    readings: tuple[MonitorReading, ...] = ()
    """By which it was judged."""
    plate_rad: float | None = None
    """The plate turns the light back by so much from this block on."""
    left_out: tuple[str, ...] = ()
    """Raw blocks that not both ends held."""
    spent_bits: int = 0
    """Authentication key that the pass took, noted when it ends."""
    epsilon: float = 0.0
    """Of its one-time tags."""


class Account:
    """What the notes of a pass add up to."""

    def __init__(self) -> None:
        self.reports: list[BlockReport] = []
        self.profiles: list[ErrorProfile] = []
        self.angles: list[BlockAngle] = []
        self.plate: list[tuple[int, float]] = [(0, 0.0)]
        """Settings beyond prediction: first block, angle in rad."""
        self.watched: dict[int, Watched] = {}
        """By block that is not judged yet."""
        self.readings: list[MonitorReading] = []
        self.confirmed_s: dict[int, float] = {}
        self.stage_s: dict[str, float] = {}
        self.left_out: tuple[str, ...] = ()
        self.spent_bits, self.epsilon = 0, 0.0

    def add(self, note: Note) -> None:
        """Take one note, once."""
        self.left_out += note.left_out
        self.readings += note.readings
        self.spent_bits += note.spent_bits
        self.epsilon += note.epsilon
        if note.stage:
            self.stage_s[f"{note.block}.{note.stage}"] = note.t_s
        if note.confirmed:
            self.confirmed_s[note.block] = note.t_s
        if note.plate_rad is not None:
            self.plate.append((note.block, note.plate_rad))
        if note.watched is not None:
            self.watched[note.block] = self.watched.get(note.block, Watched()).plus(note.watched)
        if note.readings:
            self.watched.pop(note.block, None)
        if note.report is not None:
            self.reports.append(note.report)
        if note.profile is not None:
            self.profiles.append(note.profile)
        if note.angle is not None:
            self.angles.append(note.angle)

    def plate_rad(self, block: int) -> float:
        """Setting of the plate in a block."""
        return next(angle_rad for first, angle_rad in reversed(self.plate) if first <= block)
