"""Counts of any experiment: JSON and CSV say the same, pools add up, what is wrong is named."""

import json

import msgspec
import pytest

from satqkd.errors import ConfigError, DataFormatError
from satqkd.mission.counts_file import key_length_of, pooled, read_counts

ROWS = [
    ("Z", "signal", 0.8, 0.5, 835536, 9191),
    ("Z", "decoy", 0.1, 0.25, 52610, 765),
    ("Z", "vacuum", 0.0, 0.25, 435, 218),
    ("X", "signal", 0.8, 0.5, 835000, 9091),
    ("X", "decoy", 0.1, 0.25, 52600, 760),
    ("X", "vacuum", 0.0, 0.25, 430, 210),
]
COLUMNS = ("basis", "class", "intensity", "probability", "detections", "errors")
SECURITY = {"epsilon_secrecy": 1e-9, "epsilon_correctness": 1e-15}


def document(**more):
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    return {"counts": rows, "security": SECURITY, "efficiency": 1.16} | more


@pytest.fixture
def written(tmp_path):
    def write(name="counts.json", **more):
        path = tmp_path / name
        path.write_text(json.dumps(document(**more)))
        return path

    return write


def csv_text(rows=ROWS, settings=(("security", SECURITY), ("efficiency", 1.16))):
    lines = [f"# {name} = {json.dumps(value)}" for name, value in settings]
    return "\n".join([*lines, ",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)])


def test_csv_says_what_json_says(tmp_path, written):
    table = tmp_path / "counts.csv"
    table.write_text(csv_text())
    assert read_counts(table) == read_counts(written())
    table.write_text(
        csv_text(settings=(("security", SECURITY), ("efficiency", 1.16), ("keyed_bases", ["X"])))
    )
    assert read_counts(table).keyed_bases == ("X",)


def test_efficiency_is_the_leak_over_the_shannon_limit_of_each_basis(written):
    by_efficiency = read_counts(written())
    leak = by_efficiency.leak
    assert leak["Z"] == 84665
    by_bits = read_counts(written(efficiency=None, leaked_bits=leak))
    assert key_length_of(by_bits, "variable-sharp") == key_length_of(by_efficiency, "variable-sharp")


def test_a_pool_is_its_sums_in_any_order(written):
    first = read_counts(written())
    weak = [dict(zip(COLUMNS, (*row[:4], row[4] // 9, row[5] // 9), strict=True)) for row in ROWS]
    other = read_counts(written("weak.json", counts=weak))
    one, two = pooled([first, other]), pooled([other, first])
    assert (
        key_length_of(one, "variable-sharp").secret_bits == key_length_of(two, "variable-sharp").secret_bits
    )
    assert one.leak == {basis: first.leak[basis] + other.leak[basis] for basis in "ZX"}
    alone = sum(key_length_of(each, "variable-sharp").secret_bits for each in (first, other))
    assert key_length_of(one, "variable-sharp").secret_bits > alone
    assert sum(row.detections for row in one.counts) == sum(
        row.detections for each in (first, other) for row in each.counts
    )


def test_what_differs_is_not_pooled(written):
    first = read_counts(written())
    for change in (
        {"keyed_classes": ("signal", "decoy")},
        {"receiver": {"efficiency_spread": 0.01}},
        {"security": SECURITY | {"epsilon_secrecy": 1e-10}},
    ):
        with pytest.raises(DataFormatError, match="pooled counts: expected one source"):
            pooled([first, read_counts(written("other.json", **change))])
    brighter = [dict(zip(COLUMNS, (*row[:2], row[2] * 1.1, *row[3:]), strict=True)) for row in ROWS]
    with pytest.raises(DataFormatError, match="cannot be added"):
        pooled([first, read_counts(written("brighter.json", counts=brighter))])
    lump = read_counts(written("lump.json", efficiency=None, leaked_bits=169_330))
    with pytest.raises(DataFormatError, match="by basis in each file"):
        pooled([lump, lump])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"efficiency": None}, "leaked_bits or efficiency"),
        ({"leaked_bits": 5}, "one of the two"),
        ({"efficiency": 0.9}, "1 to 10 times"),
        ({"keyed": ["Z"]}, "unknown field"),
        ({"receiver": {"x_share": [0.6, 0.4]}}, "lowest <= highest"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(written, change, expected):
    path = written("wrong.json", **change)
    with pytest.raises(DataFormatError, match=expected) as caught:
        read_counts(path)
    assert "wrong.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no rows"),
        ("a,b\n1,2\n", "got a, b"),
        ("# security: none\n" + csv_text(), "line 1: expected"),
        ("# source = {intensities}\n" + csv_text(), "line 1: source is no JSON value"),
        (csv_text([*ROWS[:-1], ("X", "vacuum", "dark", 0.25, 430, 210)]), "counts"),
        (csv_text([*ROWS[:-1], ("X", "vacuum", 0.0, 0.25, 430)]), "counts"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, text, expected):
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(DataFormatError, match=expected):
        read_counts(path)


def test_one_decoy_needs_no_vacuum_rows(written):
    """Half of the pulses signal, half decoy: the decoys of this table were a quarter."""
    two = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS if row[1] != "vacuum"]
    for row in two:
        factor = 2 if row["class"] == "decoy" else 1
        row |= {"probability": 0.5} | {name: factor * row[name] for name in ("detections", "errors")}
    counts = read_counts(written("two.json", counts=two))
    assert 250_000 < key_length_of(counts, "variable-sharp").secret_bits < 470_000
    assert msgspec.structs.replace(counts, keyed_bases=("Z",)).leak.keys() == {"Z"}
    keyed_too = msgspec.structs.replace(counts, keyed_classes=("signal", "decoy"))
    with pytest.raises(ConfigError, match="a keyed decoy where it is the only one"):
        key_length_of(keyed_too, "variable-sharp")
    assert key_length_of(keyed_too, "rusca2018").bound == "rusca2018"
