"""`satqkd keylength`: finite-key calculator for the counts of any experiment."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satqkd.cli.common import Json, print_json, print_table, say
from satqkd.errors import ConfigError

if TYPE_CHECKING:
    from satqkd.mission.counts_file import CountsFile
    from satqkd.results import KeyLength


def keylength(
    counts: Annotated[
        list[Path], typer.Argument(help="COUNTS.json or .csv; several are besides pooled into one block.")
    ],
    bound: Annotated[str, typer.Option(help="Name of a bound, or all.")] = "variable-sharp",
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell every count, statement, epsilon and term of the sum.")
    ] = False,
    json: Json = False,
) -> None:
    """Secret bits of measured counts. Bounds that are no proof are marked: for comparison, not for use."""
    from satqkd.mission.counts_file import pooled, read_counts

    blocks = {str(path): read_counts(path) for path in counts}
    if len(blocks) > 1:
        blocks["pooled"] = pooled(list(blocks.values()))
    found = {name: _lengths(block, bound) for name, block in blocks.items()}
    if json:
        print_json(_document(found, whole=bound != "all"))
    else:
        for name, results in found.items():
            _tell(name, results, explain=explain)
    if not any(result.secret_bits for results in found.values() for result in results):
        raise typer.Exit(1)


def _lengths(block: "CountsFile", bound: str) -> "list[KeyLength]":
    """Under one bound; under all, those that cover what the file describes."""
    from satqkd.mission.counts_file import key_length_of
    from satqkd.security import BOUNDS

    if bound != "all":
        return [key_length_of(block, bound)]
    results = []
    for name in BOUNDS:
        try:
            results.append(key_length_of(block, name))
        except ConfigError as error:
            say(f"left out: {error}")
    return results


def _document(found: "dict[str, list[KeyLength]]", *, whole: bool) -> object:
    """One length, or one for each bound; by file when there are several."""
    by_file = {name: results[0] if whole else results for name, results in found.items()}
    return by_file if len(by_file) > 1 else next(iter(by_file.values()))


def _tell(name: str, results: "list[KeyLength]", *, explain: bool) -> None:
    from satqkd.security import BOUNDS
    from satqkd.security.explain import explain as explained

    rows = [
        (each.bound, f"{each.secret_bits:,}", "yes" if BOUNDS[each.bound].proved else "no: for comparison")
        for each in results
    ]
    print_table(name, ("bound", "secret bits", "proved"), rows)
    for each in results if explain else []:
        typer.echo("\n".join(explained(each)) + "\n")
