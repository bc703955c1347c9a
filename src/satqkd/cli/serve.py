"""`satqkd serve CONFIG`: key for applications over ETSI GS QKD 014, until it is asked to end."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satqkd.cli.common import Demo, say
from satqkd.cli.stores import opened

if TYPE_CHECKING:
    from satqkd.delivery import Address


def serve(
    config: Annotated[Path, typer.Argument(help="Server file (TOML); see docs/delivery.md.")],
    demo: Demo = False,
) -> None:
    """Serve keys of a store to applications with certificates; prints where it listens."""
    from satqkd.delivery import read_serve_config, run_server
    from satqkd.delivery.opened import opened_supply

    settings = read_serve_config(config)
    if demo:
        say("--demo: key of the digital twin and of recordings is handed out; it is not secret")
    with opened_supply(settings, demo=demo, open_store=opened) as supply:
        run_server(supply, settings, _tell)
    say("ended; what was reserved and not handed out is back in the store")


def _tell(address: "Address") -> None:
    import msgspec

    told = {"url": address.url, "metrics_url": address.metrics_url}
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    sys.stdout.flush()
    say(f"listening on {address.url}")
