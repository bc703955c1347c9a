"""A plan's report: alone, with every number, safe from names, written whole or not at all."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plan_cases import PLACES, contact, crowd, empty_view, pair, plan_dict, view
from test_show_report import HOSTILE, read

from satqkd.errors import DataFormatError
from satqkd.show import plan_report, write_plan_report
from satqkd.show.plan_parts import Coverage, GroundTrack, Place, StationSky, StoreLevels
from satqkd.show.plan_tables import MOST_CONTACTS
from satqkd.show.plan_view import PlanView, view_of_plan


def whole_view(**changes: Any) -> PlanView:
    """With everything that a view can hold."""
    parts: dict[str, Any] = {
        "tracks": [
            GroundTrack(
                satellite="s-1", latitude_rad=np.zeros(3), longitude_rad=np.arange(3.0), reach_rad=0.2
            )
        ],
        "coverage": Coverage(
            latitude_rad=np.array([-0.7, 0.7]),
            longitude_rad=np.array([-1.5, 1.5]),
            day_bits=np.array([[1e6, 2e6], [3e6, np.nan]]),
        ),
        "skies": [StationSky(station="graz", clear=0.4321, source="a table of skies")],
        "levels": [
            StoreLevels(
                title="stores of pairs",
                names=("beijing-graz",),
                t_s=np.arange(3) * 86_400.0,
                level_bits=np.array([[0.0, 2e6, 1e6]]),
            )
        ],
        "assumed": ["Clouds last 12 hours."],
    }
    return view(**(parts | changes))


def text_of(path: Path) -> str:
    return " ".join(read(path).text).replace("\u00a0", " ")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_report_stands_alone(tmp_path: Path) -> None:
    files = write_plan_report(tmp_path / "new" / "folder", whole_view())
    assert names_in(tmp_path / "new" / "folder") == sorted(path.name for path in files)
    reader = read(files[-1])
    assert len(reader.links) == len(files) - 1
    assert all(link.startswith("data:image/png;base64,") for link in reader.links)
    assert not reader.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"(url\(|@import|https?://)", files[-1].read_text(encoding="utf-8"))
    assert [path.name for path in files] == [
        "plan-map.png",
        "plan-pairs.png",
        "plan-contacts-01.png",
        "plan-levels.png",
        "report.html",
    ]


def test_stations_near_each_other_have_a_map_of_their_own(tmp_path: Path) -> None:
    near = view(places=(PLACES[1],), contacts=[], pairs=[])
    assert "plan-map-close.png" in [path.name for path in write_plan_report(tmp_path, near)]


def test_every_number_reaches_the_reader(tmp_path: Path) -> None:
    text = text_of(write_plan_report(tmp_path, whole_view())[-1])
    for fact in (
        "worth 1 234 567 bits", "1 300 000 bits", "5.30 %", "4 of 77 passes", "max-min", "optimal", "exact",
        "5 Mbit in all", "4 000 000", "2 000 000", "beijing and graz", "43.21 %", "a table of skies", "57.3",
        "2025-01-15T14:00:00Z", "Clouds last 12 hours.", "It is trusted",
    ):  # fmt: skip
        assert fact in text, fact


def test_what_was_not_given_is_told(tmp_path: Path) -> None:
    text = text_of(write_plan_report(tmp_path, view())[-1])
    assert "every sky is taken as clear" in text and "always clear" in text
    assert "No levels came with this plan" in text
    assert "plan-levels.png" not in names_in(tmp_path)
    assert "every sky is taken as clear" not in text_of(write_plan_report(tmp_path, whole_view())[-1])


def test_a_share_of_demand_is_no_number_of_bits(tmp_path: Path) -> None:
    told = view(
        objective_name="demand",
        objective=0.5,
        bound=0.75,
        pairs=[pair("graz", "cape", 5e5, demand_bits=1e6)],
    )
    text = text_of(write_plan_report(tmp_path, told)[-1])
    assert "worth 50.00 %" in text and "more than 75.00 %" in text and "1 000 000" in text


def test_only_the_first_contacts_are_listed(tmp_path: Path) -> None:
    many = [contact("graz", "s-1", 700.0 * k) for k in range(MOST_CONTACTS + 50)]
    told = view(contacts=many[::-1])
    text = text_of(write_plan_report(tmp_path, told)[-1])
    assert "The first 200 of 250 contacts" in text
    assert many[0]["start_utc"] in text and many[MOST_CONTACTS - 1]["start_utc"] in text
    assert many[MOST_CONTACTS]["start_utc"] not in text


@pytest.mark.parametrize("told", [empty_view(), view(places=PLACES[:1], contacts=[], pairs=[])])
def test_a_plan_of_nothing_has_a_report_too(told: PlanView, tmp_path: Path) -> None:
    text = text_of(write_plan_report(tmp_path, told)[-1])
    assert "0 pairs" in text and "Pairs: none." in text


def test_sixty_stations_and_too_many_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_report, "MOST_SHEETS", 2)
    places = crowd(60)
    contacts = [contact(each.name, "s-1", 3600.0 * k) for k, each in enumerate(places)]
    pairs = [pair(a.name, b.name, 1e5) for a, b in itertools.pairwise(places)]
    told = view(places=places, contacts=contacts, pairs=pairs)
    files = write_plan_report(tmp_path, told)
    assert [path.name for path in files if "contacts" in path.name] == [
        "plan-contacts-01.png",
        "plan-contacts-02.png",
    ]
    assert "The first 2 pictures are shown" in text_of(files[-1])


def test_names_from_files_stay_text(tmp_path: Path) -> None:
    places = (Place(name=HOSTILE, latitude_rad=0.1, longitude_rad=0.2), PLACES[0])
    told = view(
        name=HOSTILE,
        status=HOSTILE,
        places=places,
        satellites=(HOSTILE,),
        contacts=[contact(HOSTILE, HOSTILE, 0.0)],
        pairs=[pair(HOSTILE, "beijing", 1.0, relayed_bits={HOSTILE: 1.0})],
        skies=[StationSky(station=HOSTILE, clear=0.5, source=HOSTILE)],
        assumed=[HOSTILE],
    )
    path = write_plan_report(tmp_path, told)[-1]
    reader = read(path)
    assert "script" not in reader.tags
    assert HOSTILE in reader.text


@pytest.mark.parametrize("broken", ["map_picture", "matrix_picture", "night_picture"])
def test_a_report_that_fails_leaves_the_folder_as_it_was(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plan_report(tmp_path, view())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_: Any, **__: Any) -> None:
        raise DataFormatError("broken on purpose")

    monkeypatch.setattr(plan_report, broken, fail)
    with pytest.raises(DataFormatError, match="on purpose"):
        write_plan_report(tmp_path, whole_view())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_view_is_refused_that_names_who_is_not_there() -> None:
    with pytest.raises(DataFormatError, match="known station, got 'gratz'; did you mean graz"):
        view(contacts=[contact("gratz", "s-1", 0.0)])
    with pytest.raises(DataFormatError, match="known station, got 'pole'"):
        view(pairs=[pair("graz", "pole", 1.0)])
    with pytest.raises(DataFormatError, match="known satellite, got 's-9'"):
        view(contacts=[contact("graz", "s-9", 0.0)])
    with pytest.raises(DataFormatError, match="known station, got 'x'"):
        view(skies=[StationSky(station="x", clear=1.0)])
    with pytest.raises(DataFormatError, match="end after its start"):
        view(contacts=[contact("graz", "s-1", 0.0, long_s=0.0)])


def test_what_is_no_plan_is_refused() -> None:
    plan = plan_dict()
    del plan["bound"]
    with pytest.raises(DataFormatError, match=r"satqkd plan --json.*bound"):
        view_of_plan(plan, duration_s=1.0, stations=PLACES, satellites=["s-1"])


def test_a_plan_of_the_planner_is_a_view() -> None:
    """The fields that are shown are the planner's own."""
    from satqkd.plan.result import PairKey, Plan, PlannedContact
    from satqkd.show.plan_view import ContactView, PairView, PlanFacts

    for shown, told in ((PlanFacts, Plan), (ContactView, PlannedContact), (PairView, PairKey)):
        assert set(shown.__struct_fields__) <= set(told.__struct_fields__)
