"""`satqkd optimise`: the settings of the source with the most expected key, and what depends on what."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satqkd.cli.common import (
    At,
    Json,
    ProtocolFile,
    SatelliteName,
    StationName,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from satqkd.mission.optimum import SourceOptimum
    from satqkd.security.channel import SourceSettings

Row = tuple[str, ...]

_CLASSES = ("signal", "decoy", "vacuum")


def optimise(
    satellite: SatelliteName,
    station: StationName,
    at: At = None,
    bound: Annotated[
        str | None, typer.Option(help="A bound's name, as `satqkd keylength` takes it; else the protocol's.")
    ] = None,
    passes: Annotated[int, typer.Option(min=1, max=1000, help="Night passes in a row to plan for.")] = 1,
    season: Annotated[
        float | None,
        typer.Option(min=0.01, max=366, help="Plan for all night passes of so many days instead."),
    ] = None,
    loss_spread: Annotated[
        float, typer.Option(min=0, max=20, help="Standard deviation of a pass's loss, dB.")
    ] = 0.0,
    clear_sky: Annotated[
        float, typer.Option(min=0.001, max=1, help="Probability that a pass has a clear sky.")
    ] = 1.0,
    fix: Annotated[
        list[str] | None,
        typer.Option(help="Keep what the presets say: intensities, probabilities, basis. May be repeated."),
    ] = None,
    decoys: Annotated[int, typer.Option(min=1, max=2, help="1 plans for a source without vacuum class.")] = 2,
    protocol: ProtocolFile = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw what depends on what as one picture, a PNG file.")
    ] = None,
    json: Json = False,
) -> None:
    """Find intensities, class probabilities and basis bias with the most expected key."""
    from satqkd.mission.files import read_protocol
    from satqkd.mission.optimise import optimise_source
    from satqkd.security import BOUNDS
    from satqkd.show import check_place, plot_optimum

    if passes > 1 and season is not None:
        raise typer.BadParameter("--passes and --season: expected one of the two, got both")
    if plot is not None:
        check_place(plot)
    found = optimise_source(
        satellite,
        station,
        at_utc=at,
        protocol=read_protocol(protocol),
        bound=bound,
        passes=passes,
        season_s=None if season is None else 86_400.0 * season,
        loss_spread_db=loss_spread,
        clear_sky=clear_sky,
        fix=fix or (),
        decoys=decoys,
    )
    if plot is not None and found.after_bits:
        say(f"picture: {plot_optimum(plot, found)}")
    if json:
        print_json(found)
    else:
        _tell(found)
    if not BOUNDS[found.bound].proved:
        say(f"bound {found.bound} is for comparison: no key is to be made by it")
    if not found.after_bits:
        say(found.reason)
        raise typer.Exit(1)


def _tell(found: "SourceOptimum") -> None:
    print_table(
        f"settings of {found.satellite} over {found.station}, bound {found.bound}",
        ("setting", "preset", "best"),
        [*_settings(found.before, found.after), *_worth(found)],
    )
    print_table(
        "passes",
        ("first pulse UTC", "max elevation (deg)", "clear sky", "expected bits, preset", "best"),
        [
            (
                each.start_utc,
                f"{each.max_elevation_deg:.1f}",
                f"{each.clear_sky:.2f}",
                _bits(each.before_bits),
                _bits(each.after_bits),
            )
            for each in found.passes
        ],
    )
    if not found.after_bits:
        return
    if len(found.losses) > 1:
        _tell_losses(found)
    _tell_rules(found)
    _tell_times(found)


def _tell_losses(found: "SourceOptimum") -> None:
    print_table(
        "secret bits by loss",
        ("loss on top (dB)", "preset", "best"),
        [
            (f"{row.loss_db:+.1f}", _bits(row.before_bits), _bits(row.after_bits))
            for row in found.losses[:: max(1, len(found.losses) // 8)]
        ],
    )


def _tell_rules(found: "SourceOptimum") -> None:
    print_table(
        "best under other rules, each at its own settings",
        (
            "keyed bases",
            "keyed classes",
            "decoys",
            "intensities",
            "probabilities",
            "basis Z",
            "expected bits",
        ),
        [
            (
                " ".join(each.keyed_bases),
                " ".join(each.keyed_classes),
                str(each.decoys),
                " ".join(f"{mu:.4g}" for mu in each.settings.intensities),
                " ".join(f"{p:.4g}" for p in each.settings.probabilities),
                f"{each.settings.basis_z_probability:.4g}",
                _bits(each.expected_bits),
            )
            for each in found.alternatives
        ],
    )


def _tell_times(found: "SourceOptimum") -> None:
    print_table(
        f"key by the elevation light is sent from, best {found.best_elevation_deg:g} deg",
        ("elevation (deg)", "sifted bits", "QBER (%)", "expected bits"),
        [
            (
                f"{cut.elevation_deg:g}",
                _bits(cut.sifted_bits),
                "-" if cut.qber is None else f"{100 * cut.qber:.2f}",
                _bits(cut.expected_bits),
            )
            for cut in found.elevation_cuts
        ],
    )
    print_table(
        "key early against key in all: one pass in equal blocks",
        ("blocks", "first key at (s)", "first block's bits", "secret bits"),
        [
            (
                str(each.blocks),
                "-" if each.first_key_s is None else f"{each.first_key_s:.0f}",
                _bits(each.first_bits),
                _bits(each.secret_bits),
            )
            for each in found.splittings
        ],
    )


def _settings(before: "SourceSettings", after: "SourceSettings") -> Iterator[Row]:
    for what in ("intensities", "probabilities"):
        old, new = getattr(before, what), getattr(after, what)
        for k, name in enumerate(_CLASSES):
            values = (f"{row[k]:.4g}" if k < len(row) else "-" for row in (old, new))
            yield f"{what}, {name}", *values
    for name, end in (("basis_z_probability", "sender"), ("station_basis_z_probability", "receiver")):
        yield f"probability of Z, {end}", f"{getattr(before, name):.4g}", f"{getattr(after, name):.4g}"


def _worth(found: "SourceOptimum") -> Iterator[Row]:
    yield "expected secret bits", _bits(found.before_bits), _bits(found.after_bits)
    if found.fixed_length_bits is not None and found.variable_over_fixed is not None:
        yield "with the best lengths fixed beforehand", "-", _bits(found.fixed_length_bits)
        yield "lengths by the counts, times as much", "-", f"{found.variable_over_fixed:.2f}"


def _bits(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f}"
