"""`satqkd send` and `satqkd messages`: user traffic of a node, whether it is running or not."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from satqkd.cli.common import Demo, Json, new_file, print_json, print_table, say
from satqkd.cli.stores import StorePath, file_of, shown
from satqkd.cli.stores import opened as open_store

if TYPE_CHECKING:
    from satqkd.keys import KeyStore
    from satqkd.keys.traffic import Draft

Policy = Annotated[
    Literal["wait", "refuse"], typer.Option(help="Without enough key: wait for it, or refuse the message.")
]


def send(
    store: StorePath,
    to: Annotated[str, typer.Option(help="Station or satellite that the message is for.")],
    file: Annotated[Path | None, typer.Argument(help="What to send; or give --text.")] = None,
    text: Annotated[str | None, typer.Option(help="A short message instead of a file.")] = None,
    urgent: Annotated[
        bool, typer.Option("--urgent", help="Before everything else on the link; at most 1 KiB.")
    ] = False,
    policy: Policy = "wait",
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Send a file or a text, encrypted end to end, by the next contacts; a running node takes it over."""
    from satqkd.errors import KeyExhausted
    from satqkd.keys.traffic import Draft

    name, content = _content(file, text)
    draft = Draft(
        receiver=to, name=name, is_text=file is None, urgent=urgent, policy=policy, demo=demo, content=content
    )
    told = _hand_over(store, draft)
    if told["state"] == "refused":
        raise KeyExhausted(f"{told['id']}: refused, nothing was sent: {told['reason']}")
    if json:
        print_json(told)
    else:
        reason = f": {told['reason']}" if told["reason"] else ""
        say(f"{told['id'] or 'message'} for {to}: {told['state']}{reason}")


def _content(file: Path | None, text: str | None) -> tuple[str, bytes]:
    from satqkd.config import Traffic
    from satqkd.errors import ConfigError

    if (file is None) == (text is None):
        raise ConfigError("send: expected either FILE or --text; give one of the two")
    name, content = ("", (text or "").encode()) if file is None else (file.name, file.read_bytes())
    limit = Traffic().maximum_message_bytes
    if len(content) > limit:
        raise ConfigError(f"send: expected at most {limit} bytes, got {len(content)}; send it in pieces")
    return name, content


def _hand_over(store: str, draft: "Draft") -> dict[str, Any]:
    """Into the store where nobody has it open, else beside it; `id`, `state`, `reason`, `key_bits`."""
    from satqkd.errors import ResourceError

    with open_store(store, read_only=True) as reader:
        node_id = reader.node_id
    try:
        opened = open_store(store)
    except ResourceError:
        path = file_of(store)
        if path is None:
            raise
        return _spool(path, node_id, draft)
    with opened:
        return _queue(opened, draft)


def _spool(path: Path, node_id: str, draft: "Draft") -> dict[str, Any]:
    from satqkd.keys.traffic import spool

    spool.put(path, node_id, draft, randbytes=secrets.token_bytes)
    return {"id": None, "state": "spooled", "reason": "the running node takes it over", "key_bits": 0}


def _queue(opened: "KeyStore", draft: "Draft") -> dict[str, Any]:
    from satqkd.keys.traffic import outgoing, queue, seal_waiting

    now_utc = _now_utc()
    message_id = queue(opened, draft, now_utc=now_utc)
    seal_waiting(opened, now_utc=now_utc)
    row = next(row for row in outgoing(opened) if row.id == message_id)
    return {"id": row.id, "state": row.state, "reason": row.reason, "key_bits": row.key_bits}


def messages(
    store: StorePath,
    save: Annotated[
        tuple[str, Path] | None,
        typer.Option(metavar="ID FILE", help="Write a message that came to a file, which must not exist."),
    ] = None,
    json: Json = False,
) -> None:
    """Messages sent, with their state, and messages that came."""
    from satqkd.keys.traffic import incoming, outgoing, spool

    with open_store(store, read_only=True) as opened:
        if save is not None:
            _save(opened, *save)
            return
        sent, came = outgoing(opened), incoming(opened)
    path = file_of(store)
    spooled = 0 if path is None else len(spool.waiting(path))
    if json:
        print_json({"outgoing": sent, "incoming": came, "spooled": spooled})
        return
    print_table(
        f"{shown(store)}: sent",
        ("id", "to", "state", "name", "bytes", "key bits", "queued", "ended", "why"),
        [
            (
                r.id,
                r.to,
                r.state,
                r.name or None,
                r.size_bytes,
                r.key_bits,
                r.queued_utc,
                r.ended_utc,
                r.reason,
            )
            for r in sent
        ],
    )
    print_table(
        f"{shown(store)}: received",
        ("id", "from", "name", "bytes", "origin", "received"),
        [(r.id, r.sender, r.name or None, r.size_bytes, r.origin, r.received_utc) for r in came],
    )
    if spooled:
        say(f"{spooled} more wait for the running node to take them over")


def _save(opened: "KeyStore", message_id: str, target: Path) -> None:
    from satqkd.errors import ResourceError
    from satqkd.keys.traffic import content_of, split_id

    content = content_of(opened, *split_id(message_id))
    if target.exists():
        raise ResourceError(f"{target} exists; save to another file")
    with new_file(target, afterwards="save it again") as write:
        write(content)
    say(f"{target}: {len(content)} bytes")


def _now_utc() -> str:
    from datetime import UTC, datetime

    from satqkd.sky import format_utc

    return format_utc(datetime.now(UTC))
