"""Key for applications: ETSI GS QKD 014 and SKIP servers, a client, a development PKI."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from satqkd.delivery.client import DeliveredKey, KmeClient, KmeStatus
    from satqkd.delivery.server import Address, KeyServer, run_server, serving
    from satqkd.delivery.settings import ServeConfig, read_serve_config
else:
    from satqkd.doors import opened_when_used

    __getattr__ = opened_when_used(
        __name__,
        {
            "Address": "server",
            "DeliveredKey": "client",
            "KeyServer": "server",
            "KmeClient": "client",
            "KmeStatus": "client",
            "ServeConfig": "settings",
            "read_serve_config": "settings",
            "run_server": "server",
            "serving": "server",
        },
    )

__all__ = [
    "Address",
    "DeliveredKey",
    "KeyServer",
    "KmeClient",
    "KmeStatus",
    "ServeConfig",
    "read_serve_config",
    "run_server",
    "serving",
]
