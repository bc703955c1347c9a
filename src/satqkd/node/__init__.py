"""A pass in processes: satellite, station, emulator, and the launcher that starts them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from satqkd.node.board import NodeStatus
    from satqkd.node.demo import DemoResult, run_demo
    from satqkd.node.faults import Fault
    from satqkd.node.launch import fly_in_processes, free_port
    from satqkd.node.run_config import RunConfig, read_run_config, write_run_config
else:
    from satqkd.doors import opened_when_used

    __getattr__ = opened_when_used(
        __name__,
        {
            "DemoResult": "demo",
            "Fault": "faults",
            "NodeStatus": "board",
            "RunConfig": "run_config",
            "fly_in_processes": "launch",
            "free_port": "launch",
            "read_run_config": "run_config",
            "run_demo": "demo",
            "write_run_config": "run_config",
        },
    )

__all__ = [
    "DemoResult",
    "Fault",
    "NodeStatus",
    "RunConfig",
    "fly_in_processes",
    "free_port",
    "read_run_config",
    "run_demo",
    "write_run_config",
]
