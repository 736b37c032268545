"""swarmctl info."""

from typing import Any

import click

from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Command
from cli.swarmctl.filters import format_option
from cli.swarmctl.table import show_objects


@click.command(cls=Command)
@format_option()
def command(format_: str | None) -> None:
    """Show what this node is and has."""
    show_objects([current_client().get("/info")], format_=format_, pretty=_pretty)


def _pretty(info: dict[str, Any]) -> str:
    swarm = info.get("Swarm", {})
    lines = [
        f"Containers: {info.get('Containers', 0)}",
        f" Running: {info.get('ContainersRunning', 0)}",
        f" Stopped: {info.get('ContainersStopped', 0)}",
        f"Images: {info.get('Images', 0)}",
        f"Server Version: {info.get('ServerVersion', '')}",
        f"Cgroup Version: {info.get('CgroupVersion', '')}",
        f"Swarm: {swarm.get('LocalNodeState', '')}",
    ]
    if swarm.get("NodeID"):
        lines += [f" Error: {swarm['Error']}"] if swarm.get("Error") else []
        lines += [
            f" NodeID: {swarm['NodeID']}",
            f" Is Manager: {str(swarm.get('ControlAvailable', False)).lower()}",
            f" Node Address: {swarm.get('NodeAddr', '')}",
        ]
    if swarm.get("ControlAvailable"):
        lines += [f" Managers: {swarm.get('Managers', 0)}", f" Nodes: {swarm.get('Nodes', 0)}"]
    addresses = [manager["Addr"] for manager in swarm.get("RemoteManagers") or []]
    lines += (
        [" Manager Addresses:", *(f"  {address}" for address in addresses)] if addresses else []
    )
    lines += [
        f"Kernel Version: {info.get('KernelVersion', '')}",
        f"Operating System: {info.get('OperatingSystem', '')}",
        f"Architecture: {info.get('Architecture', '')}",
        f"CPUs: {info.get('NCPU', 0)}",
        f"Total Memory: {info.get('MemTotal', 0) / 2**30:.4g}GiB",
        f"Name: {info.get('Name', '')}",
        f"Root Dir: {info.get('DockerRootDir', '')}",
    ]
    lines += [f"WARNING: {warning}" for warning in info.get("Warnings") or []]
    return "\n".join([*lines, *(swarm.get("Warnings") or [])])
