"""Tables for other programs: passes with their key, totals of links, and any rows as Parquet or CSV.

A file is there whole or not at all. The same rows give the same bytes: no time of writing is in them.
"""

import csv
import importlib.util
import io
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError, ResourceError
from satqkd.mission.files import write_whole
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.yields_groups import months, night_classes
from satqkd.plan.yields_pools import Pools
from satqkd.plan.yields_spread import KeySpread
from satqkd.sky import format_utc

Floats = NDArray[np.float64]
Format = Literal["parquet", "csv"]
FORMATS: Final[tuple[Format, ...]] = ("parquet", "csv")
Columns = dict[str, list[Any]]
"""Of one length; text, numbers, truth, or None."""


def pass_columns(
    network: Network,
    passes: Opportunities,
    spread: KeySpread,
    clear: Floats,
    pools: Pools | None = None,
) -> Columns:
    """One row a pass, in the order of `passes`; clear: probability of a clear sky of each, shape (n,)."""
    satellites = [each.name for each in network.satellites]
    stations = [each.name for each in network.stations]

    def utc(seconds: Floats) -> list[str]:
        return [format_utc(network.start + timedelta(seconds=t_s)) for t_s in seconds.tolist()]

    columns = {
        "satellite": [satellites[each] for each in passes.satellite.tolist()],
        "station": [stations[each] for each in passes.station.tolist()],
        "start_utc": utc(passes.start_s),
        "end_utc": utc(passes.end_s),
        "max_elevation_deg": np.degrees(passes.max_elevation_rad).tolist(),
        "min_range_km": (passes.min_range_m / 1e3).tolist(),
        "sun_elevation_deg": np.degrees(passes.sun_elevation_rad).tolist(),
        "sunlit": passes.sunlit.tolist(),
        "night_class": night_classes(passes),
        "month": months(network, passes),
        "key_bits": spread.key_bits.tolist(),
        "key_probability": spread.key_probability.tolist(),
        "low_bits": spread.low_bits.tolist(),
        "high_bits": spread.high_bits.tolist(),
        "clear_probability": clear.tolist(),
        "expected_bits": (spread.key_bits * clear).tolist(),
    }
    if pools is None:
        return columns
    return columns | {"pool": pools.pool_of.tolist(), "pool_part_bits": pools.part_bits.tolist()}


def link_rows(
    network: Network, passes: Opportunities, key_bits: Floats, clear: Floats
) -> list[dict[str, Any]]:
    """One row for each satellite and station, those without a pass too. Arrays as in `pass_columns`."""
    count = len(network.stations)
    link = passes.satellite.astype(np.intp) * count + passes.station

    def summed(weights: NDArray[Any]) -> list[float]:
        sums: list[float] = np.bincount(link, weights, len(network.satellites) * count).tolist()
        return sums

    best = np.zeros(len(network.satellites) * count)
    np.maximum.at(best, link, key_bits)
    sums = zip(
        summed(np.ones(len(passes))),
        summed(key_bits > 0),
        summed(key_bits),
        summed(key_bits * clear),
        strict=True,
    )
    return [
        {
            "satellite": network.satellites[index // count].name,
            "station": network.stations[index % count].name,
            "passes": int(passes_),
            "passes_with_key": int(with_key),
            "key_bits": bits,
            "expected_bits": expected_bits,
            "best_pass_bits": float(best[index]),
        }
        for index, (passes_, with_key, bits, expected_bits) in enumerate(sums)
    ]


def columns_of(rows: Sequence[dict[str, Any]], first: Sequence[str] = ()) -> Columns:
    """Rows as columns, in the order in which names come up after `first`; None where a row is silent."""
    names = dict.fromkeys(first) | {name: None for row in rows for name in row}
    return {name: [row.get(name) for row in rows] for name in names}


def format_of(path: Path) -> Format:
    """The format that a file's name asks for. Raises ConfigError."""
    found: dict[str, Format] = {f".{name}": name for name in FORMATS}
    if path.suffix not in found:
        raise ConfigError(f"{path}: expected a name that ends in .csv or .parquet; choose one of the two")
    return found[path.suffix]


def usual_format() -> Format:
    """Parquet where this machine can write it, else CSV."""
    return "csv" if importlib.util.find_spec("pyarrow") is None else "parquet"


def require_format(form: Format) -> None:
    """Raises ResourceError where this machine cannot write it."""
    if form == "parquet" and usual_format() != "parquet":
        raise ResourceError(
            "format parquet: expected pyarrow, got none; install it (pip install 'satqkd[cluster]'), or take "
            "--format csv"
        )


def write_table(path: Path, columns: Columns) -> None:
    """A table, by the end of its file's name. Raises ConfigError for another end, ResourceError."""
    form = format_of(path)
    require_format(form)
    typed = {name: _one_type(values) for name, values in columns.items()}
    data = _csv(typed) if form == "csv" else _parquet(typed)
    try:
        write_whole(path, data)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


def _one_type(values: list[Any]) -> list[Any]:
    """Truth, whole numbers, numbers or text, as far as one holds for all; what is none of these as JSON."""
    kinds = {type(each) for each in values if each is not None}
    if kinds == {int, float}:
        return [None if each is None else float(each) for each in values]
    if len(kinds) <= 1 and kinds <= {bool, int, float, str}:
        return values
    return [each if each is None or isinstance(each, str) else _json(each) for each in values]


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _csv(columns: Columns) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([str(each).lower() if isinstance(each, bool) else each for each in row])
    return text.getvalue().encode()


def _parquet(columns: Columns) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink)
    return bytes(sink.getvalue())
