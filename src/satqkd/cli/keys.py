"""`satqkd keys`: look into a key store, provision, export (`keys_network`: what goes between nodes)."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satqkd.cli.common import Demo, Json, StorePath, new_file, now_utc, print_json, print_table, say
from satqkd.errors import ConfigError, DataFormatError

if TYPE_CHECKING:
    from satqkd.keys import BlockRow, KeyRange, KeyStore
    from satqkd.keys.model import Paths

app = typer.Typer(
    help="Look into a key store, provision authentication key, relay, combine, import, export.",
    no_args_is_help=True,
)


@app.command("list")
def list_blocks(store: StorePath, json: Json = False) -> None:
    """Blocks of key: where from, in which state, how much is used; raw blocks of pools behind them."""
    from satqkd.keys import KeyStore

    with KeyStore.open(store, read_only=True) as opened:
        rows = opened.list_blocks() + opened.list_raw_blocks()
    if json:
        print_json(rows)
        return
    print_table(
        str(store),
        ("block", "peer", "kind", "paths", "origin", "state", "bits", "spent", "live", "wiped"),
        [(r.block_id, r.peer, r.kind, _told(r.paths), r.origin, r.state, *_bits(r)) for r in rows],
    )


def _told(paths: "Paths") -> str:
    """Shares apart by a plus, nodes that each know one of them by a bar."""
    return " + ".join("|".join(path) for path in paths) or "-"


def _bits(row: "BlockRow") -> tuple[int, int, int, int]:
    return row.bits, row.spent_bits, row.live_bits, row.wiped_bits


@app.command()
def status(store: StorePath, json: Json = False) -> None:
    """Bits live, reserved, spent, unconfirmed, and raw bits of pools, by peer and kind."""
    from satqkd.keys import KeyStore

    with KeyStore.open(store, read_only=True) as opened:
        rows = opened.status()
    if json:
        print_json(rows)
        return
    print_table(
        str(store),
        ("link", "live bits", "reserved", "spent", "unconfirmed", "raw", "oldest"),
        [
            (r.link, r.live_bits, r.reserved_bits, r.spent_bits, r.unconfirmed_bits, r.raw_bits, r.oldest_utc)
            for r in rows
        ],
    )


@app.command()
def provision(
    store: StorePath,
    other: Annotated[Path, typer.Option(help="The peer's store, in the same room.")],
    bits: Annotated[int, typer.Option(min=8, help="Bits of fresh authentication key, a multiple of 8.")],
    node: Annotated[
        str | None, typer.Option(help="Make --store, for this node, where it is missing.")
    ] = None,
    other_node: Annotated[
        str | None, typer.Option(help="Make --other, for that node, where missing.")
    ] = None,
    json: Json = False,
) -> None:
    """Give two stores the same fresh authentication key, as before launch."""
    from satqkd.keys import provision as provide

    with _opened_or_made(store, node) as one, _opened_or_made(other, other_node) as two:
        block_id = provide(one, two, bits, randbytes=secrets.token_bytes, now_utc=now_utc())
    if json:
        print_json({"block_id": block_id, "bits": bits})
    else:
        say(f"{bits} bits of authentication key in both stores, block {block_id}")


def _opened_or_made(path: Path, node: str | None) -> "KeyStore":
    """The store at a path; a new one of this node where there is none."""
    from satqkd.keys import KeyStore

    if node is not None and not path.exists():
        return KeyStore.create(path, node)
    return KeyStore.open(path, node_id=node)


@app.command()
def export(
    store: StorePath,
    peer: Annotated[str, typer.Option(help="The station at the other end of the pair.")],
    out: Annotated[Path, typer.Option(help="Where the key's bytes are written; must not exist.")],
    bits: Annotated[int | None, typer.Option(help="Take so many bits of this end's own part.")] = None,
    ranges: Annotated[
        Path | None,
        typer.Option(help="Take the ranges in a file that the peer's `export --json` printed."),
    ] = None,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Give end-to-end key out to another application: raw bytes, used up here; the peer names --ranges."""
    from satqkd.keys import KeyStore

    if (bits is None) == (ranges is None):
        raise ConfigError("keys export: expected either --bits or --ranges; give one of the two")
    named = None if ranges is None else _read_ranges(ranges)
    with (
        new_file(out, afterwards="take other bits at both ends") as write,
        KeyStore.open(store) as opened,
    ):
        use = {"purpose": "export", "reference": out.name, "now_utc": now_utc()}
        if named is None:
            spent = opened.spend(peer, "pair", bits or 0, demo=demo, **use)
        else:
            spent = opened.spend_at(peer, "pair", named, demo=demo, **use)
        with spent.key as key:
            write(bytes(key.expose()))
    if json:
        print_json({"ranges": spent.ranges, "bits": sum(piece.length_bits for piece in spent.ranges)})
    else:
        say(f"{sum(piece.length_bits for piece in spent.ranges)} bits of key with {peer}, written to {out}")


def _read_ranges(path: Path) -> "tuple[KeyRange, ...]":
    import msgspec

    from satqkd.keys import KeyRange

    class Exported(msgspec.Struct):
        ranges: tuple[KeyRange, ...]

    try:
        return msgspec.json.decode(path.read_bytes(), type=Exported).ranges
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{path}: expected what `keys export --json` prints, got {error}") from None


@app.command()
def audit(store: StorePath, json: Json = False) -> None:
    """Check the audit log's chain and the books: distilled = spent + live + wiped."""
    from satqkd.keys import KeyStore

    with KeyStore.open(store, read_only=True) as opened:
        log, books = opened.verify_audit(), opened.check()
    if json:
        print_json({"audit": log, "books": books, "balanced": books.balanced})
    else:
        rows = [("log intact", log.intact), ("entries", log.entries), ("head", log.head)]
        names = ["distilled_bits", "spent_bits", "live_bits", "wiped_bits"]
        names += ["raw_bits", "raw_used_bits", "raw_held_bits", "raw_wiped_bits"]
        rows += [(name.replace("_", " "), getattr(books, name)) for name in names]
        print_table(str(store), ("what", "value"), [*rows, ("balanced", books.balanced)])
        for fault in books.faults:
            say(fault)
    if not (log.intact and books.balanced):
        raise typer.Exit(1)
