"""`docs/delivery.md` holds every route, setting, metric, word of the log and prescribed message."""

import re
from pathlib import Path

import msgspec
import pytest

from documentation import missing, page, undocumented_settings
from satqkd.delivery import read_serve_config, refusals, settings
from satqkd.delivery.app import OPENAPI_PATH, default_routes
from satqkd.delivery.counters import Counters
from satqkd.delivery.demands import KNOWN
from satqkd.delivery.server_log import RequestLine, ServerLine

STRUCTS = ("ServeConfig", "Serve", "Tls", "Kme", "Node", "Sae", "Limits", "Policy")


@pytest.mark.parametrize("name", STRUCTS)
def test_every_setting_is_documented_with_its_range_and_default(name: str) -> None:
    assert undocumented_settings(getattr(settings, name), page("delivery.md")) == []


def test_every_route_and_its_query_are_documented() -> None:
    text = page("delivery.md")
    for route in default_routes(skip=True):
        [row] = [line for line in text.splitlines() if line.startswith(f"| `{route.method} {route.path}`")]
        assert missing([each.name for each in route.query], row) == []
    assert f"`GET {OPENAPI_PATH}`" in text
    told = set(re.findall(r"^\| `(?:GET|POST) (/\S+)`", text, re.M))
    assert told == {route.path for route in default_routes(skip=True)} | {OPENAPI_PATH}


def test_every_metric_and_field_of_the_log_is_documented() -> None:
    metrics = Counters().metrics(connections=0, waiting=0, available_bits={})
    names = [each.name.removeprefix("satqkd_delivery_") for each in metrics]
    fields = [field.name for kind in (RequestLine, ServerLine) for field in msgspec.structs.fields(kind)]
    assert missing([*names, *fields, *KNOWN], page("delivery.md")) == []


def test_prescribed_messages_are_documented() -> None:
    words = (
        refusals.NOT_A_MULTIPLE,
        refusals.MANDATORY_UNKNOWN,
        refusals.MANDATORY_UNMET,
        refusals.NOT_FOUND,
    )
    assert missing(words, page("delivery.md")) == []


def test_the_example_of_a_server_file_loads(tmp_path: Path) -> None:
    [example] = re.findall(r"^```toml\n(.*?)^```$", page("delivery.md"), re.M | re.S)
    (tmp_path / "serve.toml").write_text(example, encoding="utf-8")
    config = read_serve_config(tmp_path / "serve.toml")
    assert config.policy_of("alice", "bob").avoid_nodes == ("micius",)
    assert config.policy_of("bob", "alice").avoid_nodes == ()


def test_tests_that_the_checklist_names_exist() -> None:
    named = set(re.findall(r"`(Test\w+)`", page("delivery.md")))
    text = Path(__file__).with_name("test_delivery_etsi.py").read_text(encoding="utf-8")
    assert named and {name for name in named if f"class {name}:" not in text} == set()
