"""`satqkd keys relay`, `command`, `combine`, `accept`, `import`: what makes key between nodes."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import typer

from satqkd.cli.common import Demo, Json, new_file, now_utc, refuse_existing, say, tell_result
from satqkd.cli.stores import NetworkFile, StorePath, key_network
from satqkd.cli.stores import opened as open_store
from satqkd.errors import ConfigError, Error

if TYPE_CHECKING:
    from satqkd.keys import KeyStore, RelayRecord
    from satqkd.keys.network.imported import ImportProgress
    from satqkd.keys.network.key_source import KeySource

Kind = Literal["link", "pair"]
Out = Annotated[Path, typer.Option(help="Where the record is written (no secret); must not exist.")]
RelayId = Annotated[str | None, typer.Option(help="Default: random. The same id repeats the record.")]
KindOption = Annotated[Kind, typer.Option(help="link: distilled with the station; pair: end to end with it.")]


def relay(
    store: StorePath,
    out: Out,
    station_a: Annotated[
        str | None, typer.Option("--a", help="Station whose key with this node becomes the pair's.")
    ] = None,
    station_b: Annotated[str | None, typer.Option("--b", help="Station that recovers it.")] = None,
    bits: Annotated[
        int | None, typer.Option(help="Default: the repeated record's, else all that both sides hold.")
    ] = None,
    kind_a: KindOption = "link",
    kind_b: KindOption = "link",
    relay_id: RelayId = None,
    command: Annotated[
        Path | None, typer.Option(help="Instead of all these: a command that `keys command` wrote.")
    ] = None,
    network: NetworkFile = None,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """At a satellite or a node between: combine key with two stations into a relay record (c = a xor b)."""
    from satqkd.keys.network.command import execute_command

    if (command is None) == (station_a is None or station_b is None):
        raise ConfigError("keys relay: expected either --a and --b or --command; give one of the two")
    name = relay_id or f"relay-{secrets.token_hex(6)}"
    told = f"relay {name}" if command is None else str(command)
    again = f"--relay-id {name}" if command is None else "the same --command"
    try:
        with (
            new_file(out, afterwards=f"repeat the record with {again}") as write,
            open_store(store) as node,
        ):
            if command is not None:
                order = command.read_bytes()
                record = execute_command(
                    node, order, network=key_network(network), now_utc=now_utc(), demo=demo
                )
            else:
                ends = (station_a or "", station_b or "")
                record = _relay(node, ends, bits, name, (kind_a, kind_b), demo=demo)
            write(record.data)
    except Error as error:
        raise type(error)(f"{told}: {error}") from None
    tell_result(
        {
            "relay_id": record.relay_id,
            "bits": record.bits,
            "spent_a": record.spent_a_bits,
            "spent_b": record.spent_b_bits,
            "paths": record.paths,
        },
        f"{record.relay_id}: {record.bits} bits for {record.station_a} and {record.station_b}, written to "
        f"{out}",
        json=json,
    )


def _relay(
    node: "KeyStore",
    stations: tuple[str, str],
    bits: int | None,
    name: str,
    kinds: tuple[Kind, Kind],
    *,
    demo: bool,
) -> "RelayRecord":
    from satqkd.keys import find_relay, largest_relay_bits, make_relay

    if bits is None:
        earlier = find_relay(node, name)
        largest = largest_relay_bits(node, *stations, kinds=kinds, demo=demo)
        bits = earlier.bits if earlier else max(8, largest)  # at none left, 8 are refused in words
    return make_relay(node, *stations, bits, relay_id=name, now_utc=now_utc(), kinds=kinds, demo=demo)


def command(
    store: StorePath,
    node: Annotated[
        str, typer.Option(help="Satellite or node that is to relay; it holds pair key with this one.")
    ],
    station_a: Annotated[str, typer.Option("--a", help="Station whose key becomes the pair's.")],
    station_b: Annotated[str, typer.Option("--b", help="Station that recovers it.")],
    bits: Annotated[int, typer.Option(min=8, help="Bits to relay, a multiple of 8.")],
    not_after: Annotated[str, typer.Option(help="UTC, ISO 8601 to the second with Z: not obeyed later.")],
    out: Out,
    kind_a: KindOption = "link",
    kind_b: KindOption = "link",
    relay_id: RelayId = None,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """On the ground: order a relay, with a one-time tag; the node obeys once, by `keys relay --command`."""
    from satqkd.keys.network.command import make_command

    name = relay_id or f"relay-{secrets.token_hex(6)}"
    with (
        new_file(out, afterwards=f"repeat the command with --relay-id {name}") as write,
        open_store(store) as opened,
    ):
        data = make_command(
            opened,
            node,
            (station_a, station_b),
            bits,
            relay_id=name,
            not_after_utc=not_after,
            now_utc=now_utc(),
            kinds=(kind_a, kind_b),
            demo=demo,
        )
        write(data)
    tell_result(
        {"relay_id": name, "bits": bits},
        f"{name}: {node} is to relay {bits} bits, written to {out}",
        json=json,
    )


def combine(
    store: StorePath,
    peer: Annotated[str, typer.Option(help="The node at the other end.")],
    out: Out,
    paths: Annotated[
        int | None, typer.Option(min=2, max=8, help="So many ways to combine. Default: by --network.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Default: all that the smallest of the ways holds.")
    ] = None,
    combination_id: Annotated[
        str | None, typer.Option(help="Default: random. The same id repeats the record.")
    ] = None,
    network: NetworkFile = None,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Make key that no single satellite knows: the exclusive or of key that came over several (m of m)."""
    from satqkd.keys.network.combination import (
        choose_sources,
        combine_pairs,
        find_combination,
        largest_combination_bits,
    )

    name = combination_id or f"xor-{secrets.token_hex(6)}"
    with (
        new_file(out, afterwards=f"repeat the record with --combination-id {name}") as write,
        open_store(store) as opened,
    ):
        record = find_combination(opened, name)
        if record is None:
            through = choose_sources(opened, peer, paths or key_network(network).paths_with(peer), demo=demo)
            size = bits or max(8, largest_combination_bits(opened, peer, through, demo=demo))
            record = combine_pairs(
                opened, peer, size, through=through, combination_id=name, now_utc=now_utc(), demo=demo
            )
        write(record.data)
    tell_result(
        {
            "combination_id": record.combination_id,
            "block_id": record.block_id,
            "bits": record.bits,
            "spent": record.spent_bits,
            "paths": record.paths,
        },
        f"{record.combination_id}: {record.bits} bits with {record.peer}, written to {out}",
        json=json,
    )


def accept(
    record: Annotated[Path, typer.Argument(help="Record of a relay or a combination, however it came here.")],
    store: StorePath,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Check a record's tag and hold the key that it gives."""
    from satqkd.keys.network.accept import accept_record

    with open_store(store) as opened:
        accepted = accept_record(opened, record.read_bytes(), now_utc=now_utc(), demo=demo)
    again = " (accepted before, nothing done)" if accepted.repeated else ""
    tell_result(
        accepted,
        f"{accepted.bits} bits shared with {accepted.peer}, block {accepted.block_id}{again}",
        json=json,
    )


def import_key(
    store: StorePath,
    file: Annotated[
        Path | None, typer.Argument(help="Raw key of another system, under the same name at both ends.")
    ] = None,
    kme: Annotated[
        Path | None,
        typer.Option(help="In place of FILE: TOML of a KME (ETSI GS QKD 014) that gives the key."),
    ] = None,
    peer: Annotated[str | None, typer.Option(help="Begin: the node at the other end.")] = None,
    message: Annotated[
        Path | None, typer.Option(help="Go on: what the other end's `keys import` wrote.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the message for the other end is written (no secret).")
    ] = None,
    import_id: Annotated[
        str | None,
        typer.Option(help="Default: the file's name, random for a KME. The same id repeats the offer."),
    ] = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up the import that --message is of.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring key of another system (a fibre link) into two stores, the same bits or none, by four messages."""
    if (peer is None) == (message is None) or (peer is not None and abandon):
        raise ConfigError("keys import: expected --peer to begin, or --message to go on")
    if (file is not None and kme is not None) or (peer is not None and file is None and kme is None):
        raise ConfigError("keys import: expected FILE or --kme, where the key comes from; one of the two")
    if out is not None:
        refuse_existing(out)
    with open_store(store) as opened:
        if abandon and message is not None:
            _abandon(opened, message.read_bytes())
            return
        origin = _origin_of_key(file, kme)
        if peer is not None and origin is not None:
            progress = _offer(opened, peer, origin, import_id)
        else:
            progress = _go_on(opened, message or Path(), origin)
    if progress.message is not None:
        if out is None:
            raise ConfigError(
                "keys import: expected --out for the message to the other end; say the same again"
            )
        with new_file(out, afterwards="say the same again") as write:
            write(progress.message)
    told = "may be used" if progress.usable else "is not confirmed yet"
    tell_result(
        {
            "import_id": progress.import_id,
            "peer": progress.peer,
            "bits": progress.bits,
            "usable": progress.usable,
        },
        f"{progress.import_id}: {progress.bits} bits with {progress.peer}; this end's half {told}",
        json=json,
    )


class _KeyOrigin(NamedTuple):
    """Where imported key comes from, and how much of it is drawn."""

    source: "KeySource"
    name: str
    keys: int
    size_bits: int


def _origin_of_key(file: Path | None, kme: Path | None) -> _KeyOrigin | None:
    from satqkd.delivery.kme_source import KmeKeySource, read_access
    from satqkd.keys.network.key_source import FileKeySource

    if file is not None:
        source = FileKeySource(file)
        return _KeyOrigin(source, file.stem, 1, source.size_bits)
    if kme is None:
        return None
    access = read_access(kme)
    return _KeyOrigin(KmeKeySource(access), f"kme-{secrets.token_hex(6)}", access.keys, access.key_bits)


def _offer(store: "KeyStore", peer: str, origin: _KeyOrigin, import_id: str | None) -> "ImportProgress":
    from satqkd.keys.network.imported import offer_import

    return offer_import(
        store,
        peer,
        origin.source,
        count=origin.keys,
        size_bits=origin.size_bits,
        import_id=import_id or origin.name,
        origin="hardware",
        now_utc=now_utc(),
    )


def _go_on(store: "KeyStore", message: Path, origin: _KeyOrigin | None) -> "ImportProgress":
    from satqkd.keys.network.imported import take_message

    source = None if origin is None else origin.source
    return take_message(store, message.read_bytes(), now_utc=now_utc(), source=source)


def _abandon(store: "KeyStore", message: bytes) -> None:
    from satqkd.keys.network.import_record import read_step
    from satqkd.keys.network.imported import abandon_import

    step = read_step(message)
    abandon_import(store, step.node, step.import_id, now_utc=now_utc())
    say(f"{step.import_id}: given up; what was not confirmed of it is wiped")


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "relay": relay,
    "command": command,
    "combine": combine,
    "accept": accept,
    "import": import_key,
}
