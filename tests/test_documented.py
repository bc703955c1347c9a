"""Everything a user meets is written down: commands, settings, messages, errors, events, results.

Each check is tried on a made-up name too, which it must report.
"""

import contextlib
import re
from dataclasses import fields as dataclass_fields
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from documentation import (
    DOCS,
    SOURCES,
    error_classes,
    logged_events,
    missing,
    page,
    section,
    table_rows,
    undocumented_commands,
    undocumented_errors,
    undocumented_events,
    undocumented_fields,
    undocumented_messages,
    undocumented_settings,
)
from satqkd import config, errors
from satqkd.config.loader import UNITS
from satqkd.distill import messages, satellite_block, station_block
from satqkd.distill.clicks import Dropped
from satqkd.distill.outcome import BlockReport, ErrorProfile
from satqkd.lasercom import ChannelCounts, LinkCounts
from satqkd.mission import NodeReport, PassReport, contact_of, planning, presets
from satqkd.mission.contact import Window
from satqkd.mission.counts_file import CountsFile, key_length_of, read_counts
from satqkd.mission.eve_report import EveReport
from satqkd.mission.files import link_budget
from satqkd.mission.monitors import MonitorReading
from satqkd.mission.report import BlockAngle, PaceReport
from satqkd.mission.telemetry import Telemetry
from satqkd.node import DemoResult, Fault, NodeStatus, RunConfig, read_run_config
from satqkd.node.emulator import EmulatorReport
from satqkd.node.metrics import metrics
from satqkd.node.schedule import Schedule, ScheduledContact, planned_contacts, read_schedule
from satqkd.node.unattended import ContactResult, ScheduleSummary
from satqkd.results import ClassCounts, KeyLength
from satqkd.security import BOUNDS, ReceiverModel, SourceModel
from satqkd.security.weights import WeightSet
from satqkd.validation import Row
from satqkd.validation.micius import published_counts, published_pass

STATES: list[type[Enum]] = [satellite_block.State, station_block.State]


def _app() -> Any:
    from satqkd.cli import app

    return typer.main.get_command(app)


def _settings() -> list[type[msgspec.Struct]]:
    found = [each for each in vars(config).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, config.Settings) and each is not config.Settings]


def _messages() -> list[type[msgspec.Struct]]:
    bases = (messages.Message, messages.BlockMessage)
    found = [each for each in vars(messages).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, messages.Message) and each not in bases]


def _sources() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py")]


class TestCommands:
    def test_every_command_option_and_argument_is_documented(self) -> None:
        assert undocumented_commands(_app(), page("commands.md")) == []

    def test_what_is_said_before_the_command_is_documented(self) -> None:
        names = [name for parameter in _app().params for name in parameter.opts]
        assert "--key-file" in names
        assert missing(names, section(page("commands.md"), "## Before the command")) == []

    def test_no_command_is_documented_that_does_not_exist(self) -> None:
        told = re.findall(r"^## `(satqkd [a-z -]+)`$", page("commands.md"), re.M)
        assert undocumented_commands(_app(), "") == sorted(told, key=undocumented_commands(_app(), "").index)

    def test_a_made_up_command_and_option_are_reported(self) -> None:
        app = typer.Typer()

        @app.command()
        def teleport(where: str, fast: bool = False) -> None: ...

        @app.command("validate")
        def checked(made_up: bool = False) -> None: ...

        gaps = undocumented_commands(typer.main.get_command(app), page("commands.md"))
        assert gaps == ["satqkd teleport", "satqkd validate --made-up", "satqkd validate --no-made-up"]


class TestSettings:
    @pytest.mark.parametrize("struct", _settings(), ids=lambda each: each.__name__)
    def test_every_setting_is_documented_with_its_range_and_default(self, struct: type) -> None:
        assert undocumented_settings(struct, page("settings.md")) == []

    @pytest.mark.parametrize("struct", [RunConfig, Window, Fault, ScheduledContact])
    def test_the_run_file_is_documented(self, struct: type) -> None:
        assert undocumented_settings(struct, page("run-file.md")) == []

    def test_the_schedule_is_documented_and_its_example_loads(self, tmp_path: Path) -> None:
        text = section(page("run-file.md"), "## Schedule")
        assert undocumented_fields(Schedule, text) == []
        path = tmp_path / "schedule.toml"
        example = re.findall(r"^```toml\n(.*?)^```$", text, re.M | re.S)[0]
        path.write_text(example.replace('"campaign"', f'"{tmp_path}"'), encoding="utf-8")
        assert [each.station for each in planned_contacts(read_schedule(path))] == ["beijing", "stellenbosch"]

    def test_the_state_of_a_node_and_its_metrics_are_documented(self) -> None:
        text = page("operators.md")
        assert undocumented_fields(NodeStatus, section(text, "### NodeStatus")) == []
        names = [each.name.removeprefix("satqkd_") for each in metrics(NodeStatus(
            node="a", role="station", state="waiting", utc=""))]  # fmt: skip
        assert missing(names, text) == []

    def test_the_example_of_a_preset_that_is_overridden_loads(self, tmp_path: Path) -> None:
        example = re.findall(r"^```toml\n(.*?)^```$", page("settings.md"), re.M | re.S)[0]
        path = tmp_path / "roof.toml"
        path.write_text(example, encoding="utf-8")
        roof = presets.station(str(path))
        assert (roof.name, roof.telescope_diameter_m) == ("my-roof", 0.2)
        assert roof.receiver.detector.dark_rate_hz == (80.0,) * 4

    def test_the_example_of_a_run_file_loads(self, tmp_path: Path) -> None:
        example = re.findall(r"^```toml\n(.*?)^```$", page("run-file.md"), re.M | re.S)[0]
        path = tmp_path / "run.toml"
        path.write_text(example.replace('"run"', f'"{tmp_path}"'), encoding="utf-8")
        assert read_run_config(path).protocol.blocks == 4

    def test_units_are_documented(self) -> None:
        rows = {row[0]: row[1] for row in table_rows(section(page("settings.md"), "## Units"))}
        for base, factors in UNITS.items():
            others = ", ".join(f"`_{unit}`" for unit in factors if unit != base)
            assert rows[f"_{base}"] == others.strip("`"), f"_{base}: expected {others}"

    def test_a_made_up_setting_and_another_range_are_reported(self) -> None:
        class Clock(config.Settings, frozen=True, kw_only=True):
            offset_s: config.base.Positive
            drift: float
            colour: str = "red"

        gaps = undocumented_settings(Clock, page("settings.md"))
        assert [gap.split(":")[0] for gap in gaps] == ["Clock.offset_s", "Clock.drift", "Clock.colour"]


class TestMessages:
    def test_every_message_and_its_fields_in_order_are_documented(self) -> None:
        assert undocumented_messages(_messages(), page("protocol.md")) == []

    def test_all_messages_are_found(self) -> None:
        assert {each.__name__ for each in _messages()} == {
            each.__name__ for each in messages.AnyMessage.__args__
        }

    def test_states_of_both_halves_are_documented(self) -> None:
        for states in STATES:
            assert missing((state.name for state in states), page("protocol.md")) == []

    def test_a_made_up_message_and_a_made_up_field_are_reported(self) -> None:
        class Whisper(messages.Message, frozen=True, array_like=True):
            word: str

        class Confirm(messages.BlockMessage, frozen=True, array_like=True):
            key_tag: bytes
            colour: str

        gaps = undocumented_messages([Whisper, Confirm], page("protocol.md"))
        assert [gap.split(":")[0] for gap in gaps] == ["Whisper", "Confirm"]


class TestErrors:
    def test_every_error_class_is_documented_with_its_exit_code(self) -> None:
        assert undocumented_errors(error_classes(errors.Error), page("errors.md")) == []

    def test_a_made_up_error_and_another_exit_code_are_reported(self) -> None:
        made_up = type("CoffeeError", (), {"exit_code": 2})
        other_code = type("LinkError", (), {"exit_code": 3})
        gaps = undocumented_errors([made_up, other_code], page("errors.md"))
        assert gaps == ["CoffeeError (exit 2)", "LinkError (exit 3)"]


class TestEvents:
    EXPANSIONS = {"**counts": [field.name for field in dataclass_fields(Dropped)]}

    def test_every_event_and_its_counts_are_documented(self) -> None:
        events = logged_events(_sources(), STATES)
        assert len({event for _, event, _ in events}) > 8
        assert undocumented_events(events, self.EXPANSIONS, page("events.md")) == []

    def test_no_event_is_documented_that_is_never_written(self) -> None:
        written = {(stage, event) for stage, event, _ in logged_events(_sources(), STATES)}
        told = {(row[0], row[1]) for row in table_rows(page("events.md")) if len(row) == 4}
        assert {row for row in told if not row[0].startswith(("stage", "--"))} == written

    def test_a_made_up_event_and_count_are_reported(self) -> None:
        source = 'self.log(now_s, "sync", "locked", beacons=1, colours=2)\nself.log(now_s, "sift", "sneezed")'
        gaps = undocumented_events(logged_events([source], []), {}, page("events.md"))
        assert gaps == ["sift sneezed", "sync locked colours"]

    def test_an_event_whose_name_cannot_be_read_is_reported(self) -> None:
        found = logged_events(['self.log(now_s, "sift", self.name())'], STATES)
        assert undocumented_events(found, {}, page("events.md")) == ["sift ?"]


class TestResults:
    @pytest.mark.parametrize(
        "struct",
        [
            PassReport,
            NodeReport,
            Telemetry,
            BlockReport,
            ErrorProfile,
            BlockAngle,
            MonitorReading,
            EveReport,
            LinkCounts,
            ChannelCounts,
            EmulatorReport,
            PaceReport,
            ScheduleSummary,
            ContactResult,
            DemoResult,
            Row,
        ],
        ids=lambda each: each.__name__,
    )
    def test_every_field_of_a_result_is_documented(self, struct: type) -> None:
        text = page("results.md")
        own = section(text, f"## {struct.__name__}")
        assert undocumented_fields(struct, own or text) == []

    def test_columns_of_the_budget_and_rows_of_passes_are_documented(self) -> None:
        contact = contact_of(presets.satellite("jinan-1"), presets.station("stellenbosch"))
        row = planning._row(contact.satellite, contact.station, contact.pass_, by_night=False)
        names = [*link_budget(contact, step_s=60.0), *row]
        assert missing(names, page("results.md")) == []

    def test_a_made_up_field_is_reported(self) -> None:
        made_up = msgspec.defstruct("PassReport", [("pass_id", str), ("colour", str)])
        text = section(page("results.md"), "## PassReport")
        assert undocumented_fields(made_up, text) == ["PassReport.colour"]


class TestCounts:
    def _blocks(self, kind: str) -> list[str]:
        return re.findall(rf"^```{kind}\n(.*?)^```$", page("counts.md"), re.M | re.S)

    def test_the_examples_are_files_that_say_the_same(self) -> None:
        for kind in ("json", "csv"):
            text = (DOCS.parent / "examples" / f"micius-2016.{kind}").read_text(encoding="utf-8")
            assert self._blocks(kind)[0] == text
        first, second = (
            msgspec.structs.replace(read_counts(DOCS.parent / "examples" / f"micius-2016.{kind}"), note="")
            for kind in ("json", "csv")
        )
        assert first == second

    def test_the_example_holds_the_counts_that_validation_reasons_with(self) -> None:
        counts = read_counts(DOCS.parent / "examples" / "micius-2016.json")
        assert list(counts.counts) == published_counts(published_pass())

    def test_the_example_gives_the_printed_lengths(self) -> None:
        counts = read_counts(DOCS.parent / "examples" / "micius-2016.json")
        lengths = self._lengths(counts)
        printed = "".join(f"{bound} {length.secret_bits}\n" for bound, length in lengths.items())
        assert printed == self._blocks("output")[0]
        assert set(BOUNDS) - set(lengths) == {"rusca2018", "variable-kato"}
        decoys = self._lengths(msgspec.structs.replace(counts, keyed_classes=("signal", "decoy")))
        for bound in ("variable-sharp", "variable-martingale"):
            assert f"{decoys[bound].secret_bits:,} ".replace(",", " ") in page("counts.md")
            for found in (lengths, decoys):
                assert f"{found[bound].secret_bits / 300_939:.2f} times" in page("counts.md")

    def test_every_field_and_term_is_documented(self) -> None:
        counts, text = read_counts(DOCS.parent / "examples" / "micius-2016.json"), page("counts.md")
        for struct in (CountsFile, ClassCounts, ReceiverModel, SourceModel, WeightSet):
            assert undocumented_fields(struct, text) == []
        planned = msgspec.structs.replace(counts, planned=counts.counts, pulses=27_300_000_000)
        one_decoy = msgspec.structs.replace(
            counts,
            counts=tuple(
                msgspec.structs.replace(row, probability=0.5)
                for row in counts.counts
                if row.class_name != "vacuum"
            ),
        )
        found = self._lengths(planned) | self._lengths(one_decoy)
        assert set(found) == set(BOUNDS)
        for length in [*found.values(), *self._lengths(one_decoy).values()]:
            assert missing([*length.terms, *length.terms["bases"]["Z"]], text) == []

    def _lengths(self, counts: CountsFile) -> dict[str, KeyLength]:
        """By every bound that covers the counts."""
        lengths = {}
        for bound in BOUNDS:
            with contextlib.suppress(errors.ConfigError):
                lengths[bound] = key_length_of(counts, bound)
        return lengths


class TestPages:
    def test_the_index_links_every_page(self) -> None:
        text = page("index.md")
        pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"index.md"}
        assert {name for name in pages if f"({name})" not in text} == set()

    def test_links_between_pages_lead_somewhere(self) -> None:
        for path in DOCS.rglob("*.md"):
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
                assert (path.parent / link).exists(), f"{path.name}: {link}"

    def test_pages_that_messages_and_docstrings_name_exist(self) -> None:
        named = {name for source in _sources() for name in re.findall(r"docs/([\w/-]+\.md)", source)}
        assert {name for name in named if not (DOCS / name).exists()} == set()
