"""`satqkd keys`: look into a key store, provision, export (`keys_network`: what goes between nodes)."""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satqkd.cli.common import Demo, Json, new_file, now_utc, print_json, print_table, say
from satqkd.cli.stores import NetworkFile, StorePath, key_network, lock_of_words, opened_or_made, shown
from satqkd.cli.stores import opened as open_store
from satqkd.errors import ConfigError, DataFormatError

if TYPE_CHECKING:
    from satqkd.config import KeyNetwork
    from satqkd.keys import BlockRow, KeyRange, KeyStore, Spent
    from satqkd.keys.model import Paths
    from satqkd.keys.store.policy import LinkStatus

app = typer.Typer(
    help="Look into a key store, provision authentication key, relay, combine, import, export.",
    no_args_is_help=True,
)


@app.command("list")
def list_blocks(store: StorePath, json: Json = False) -> None:
    """Blocks of key: where from, in which state, how much is used; raw blocks of pools behind them."""
    with open_store(store, read_only=True) as opened:
        rows = opened.list_blocks() + opened.list_raw_blocks()
    if json:
        print_json(rows)
        return
    print_table(
        shown(store),
        ("block", "peer", "kind", "paths", "origin", "state", "bits", "spent", "live", "wiped"),
        [(r.block_id, r.peer, r.kind, _told(r.paths), r.origin, r.state, *_bits(r)) for r in rows],
    )


def _told(paths: "Paths") -> str:
    """Shares apart by a plus, nodes that each know one of them by a bar."""
    return " + ".join("|".join(path) for path in paths) or "-"


def _bits(row: "BlockRow") -> tuple[int, int, int, int]:
    return row.bits, row.spent_bits, row.live_bits, row.wiped_bits


@app.command()
def status(
    store: StorePath,
    low: Annotated[int | None, typer.Option(min=0, help="Rows with fewer live bits are an alarm.")] = None,
    network: NetworkFile = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Print Prometheus metrics instead of a table.")
    ] = False,
    json: Json = False,
) -> None:
    """Bits live, reserved, spent, unconfirmed, and raw bits of pools, by peer and kind; 1 at an alarm."""
    from satqkd.keys.store.policy import link_rows

    policy = key_network(network)
    with open_store(store, read_only=True) as opened:
        rows = link_rows(opened, policy, low_bits=low, now_utc=now_utc())
        if metrics:
            _print_metrics(opened, rows)
            return
    if json:
        print_json(rows)
    else:
        head = ("link", "live bits", "reserved", "spent", "unconfirmed", "raw", "oldest", "age", "colluders")
        print_table(shown(store), (*head, "alarms"), [_status_cells(row) for row in rows])
    if any(row.alarms for row in rows):
        raise typer.Exit(1)


def _status_cells(row: "LinkStatus") -> tuple[str | int | None, ...]:
    bits = (row.live_bits, row.reserved_bits, row.spent_bits, row.unconfirmed_bits, row.raw_bits)
    age = None if row.age_s is None else f"{row.age_s / 86_400:.1f} d"
    return row.link, *bits, row.oldest_utc, age, row.colluders, " ".join(row.alarms) or None


def _print_metrics(opened: "KeyStore", rows: "list[LinkStatus]") -> None:
    from satqkd.exposition import text
    from satqkd.keys.care.metrics import numbers_of, store_metrics

    sys.stdout.write(text(store_metrics(numbers_of(opened, rows))))


@app.command()
def provision(
    store: StorePath,
    other: Annotated[str, typer.Option(help="The peer's store, in the same room.")],
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

    with opened_or_made(store, node) as one, opened_or_made(other, other_node, named=False) as two:
        block_id = provide(one, two, bits, randbytes=secrets.token_bytes, now_utc=now_utc())
    if json:
        print_json({"block_id": block_id, "bits": bits})
    else:
        say(f"{bits} bits of authentication key in both stores, block {block_id}")


@app.command()
def export(
    store: StorePath,
    peer: Annotated[str, typer.Option(help="The station at the other end of the pair.")],
    out: Annotated[Path, typer.Option(help="Where the key is written; must not exist.")],
    bits: Annotated[int | None, typer.Option(help="Take so many bits of this end's own part.")] = None,
    ranges: Annotated[
        Path | None,
        typer.Option(help="Take the ranges in a file that the peer's `export --json` printed."),
    ] = None,
    to_passphrase_file: Annotated[
        Path | None, typer.Option(help="Seal it: the first line is the passphrase; - asks for it.")
    ] = None,
    to_key: Annotated[Path | None, typer.Option(help="Seal it by a key file, made where missing.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Write raw bytes that nothing protects.")] = False,
    network: NetworkFile = None,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Give end-to-end key out to another application, sealed, used up here; the peer names --ranges."""
    from satqkd.keys.care.sealed_export import Sealer

    if (bits is None) == (ranges is None):
        raise ConfigError("keys export: expected either --bits or --ranges; give one of the two")
    lock = lock_of_words(
        to_key, to_passphrase_file, None, names=("--to-key", "--to-passphrase-file", ""), new=True
    )
    if (lock is None) != clear:
        raise ConfigError(
            "keys export: expected --to-key or --to-passphrase-file, or --clear for bytes that nothing "
            "protects; give one of them (no key was used)"
        )
    policy = key_network(network)
    named = None if ranges is None else _read_ranges(ranges)
    with (
        new_file(out, afterwards="take other bits at both ends") as write,
        open_store(store) as opened,
    ):
        sealer = None if lock is None else Sealer(lock, secrets.token_bytes)
        spent = _spent(opened, peer, bits or 0, named, policy, reference=out.name, demo=demo)
        with spent.key as key:
            if sealer is None:
                write(bytes(key.expose()))
            else:
                write(sealer.seal(key, spent.ranges, node=opened.node_id, peer=peer))
    if json:
        print_json({"ranges": spent.ranges, "bits": sum(piece.length_bits for piece in spent.ranges)})
    else:
        say(f"{sum(piece.length_bits for piece in spent.ranges)} bits of key with {peer}, written to {out}")


def _spent(
    opened: "KeyStore",
    peer: str,
    bits: int,
    named: "tuple[KeyRange, ...] | None",
    policy: "KeyNetwork",
    *,
    reference: str,
    demo: bool,
) -> "Spent":
    """This end's next bits, within the day's quota, or ranges that the peer named."""
    from satqkd.keys.store.policy import require_quota

    now = now_utc()
    if named is not None:
        return opened.spend_at(
            peer, "pair", named, purpose="export of the peer", reference=reference, demo=demo, now_utc=now
        )
    with opened.work():
        with opened.part() as connection:
            require_quota(connection, policy, peer, bits, now)
        return opened.spend(peer, "pair", bits, purpose="export", reference=reference, demo=demo, now_utc=now)


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
    """Check the audit log's chain and the books: distilled = spent + reserved + live + wiped."""
    with open_store(store, read_only=True) as opened:
        log, books = opened.verify_audit(), opened.check()
    if json:
        print_json({"audit": log, "books": books, "balanced": books.balanced})
    else:
        rows = [("log intact", log.intact), ("entries", log.entries), ("head", log.head)]
        names = ["distilled_bits", "spent_bits", "reserved_bits", "live_bits", "wiped_bits"]
        names += ["raw_bits", "raw_used_bits", "raw_held_bits", "raw_wiped_bits"]
        rows += [(name.replace("_", " "), getattr(books, name)) for name in names]
        print_table(shown(store), ("what", "value"), [*rows, ("balanced", books.balanced)])
        for fault in books.faults:
            say(fault)
    if not (log.intact and books.balanced):
        raise typer.Exit(1)
