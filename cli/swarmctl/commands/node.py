"""swarmctl node: look at the nodes of the swarm."""

from typing import Any

import click

from cli.swarmctl.client import current_client
from cli.swarmctl.filters import filter_option, format_option, query, quiet_option
from cli.swarmctl.table import show_list, show_objects

_COLUMNS = {
    "ID": "ID",
    "Hostname": "HOSTNAME",
    "Status": "STATUS",
    "Availability": "AVAILABILITY",
    "ManagerStatus": "MANAGER STATUS",
    "EngineVersion": "ENGINE VERSION",
}


@click.group()
def command() -> None:
    """Look at the nodes of the swarm."""


@command.command("ls")
@filter_option()
@format_option()
@quiet_option()
def list_nodes(filters: tuple[str, ...], format_: str | None, *, quiet: bool) -> None:
    """List the nodes."""
    nodes = current_client().get("/nodes", **query(filters))
    me = "" if quiet else current_client().get("/info").get("Swarm", {}).get("NodeID", "")
    rows = [
        _row(node, me)
        for node in sorted(nodes, key=lambda node: str(node["Description"].get("Hostname", "")))
    ]
    columns = {"ShownID": "ID", **{key: text for key, text in _COLUMNS.items() if key != "ID"}}
    show_list(rows, columns, format_=format_, quiet=quiet)


def _row(node: dict[str, Any], me: str) -> dict[str, str]:
    manager = node.get("ManagerStatus") or {}
    standing = "Leader" if manager.get("Leader") else str(manager.get("Reachability", "")).title()
    return {
        "ID": node["ID"],
        "ShownID": f"{node['ID']} *" if node["ID"] == me else node["ID"],
        "Self": str(node["ID"] == me).lower(),
        "Hostname": node["Description"].get("Hostname", ""),
        "Status": node["Status"]["State"].title(),
        "Availability": node["Spec"]["Availability"].title(),
        "ManagerStatus": standing,
        "EngineVersion": node["Description"].get("Engine", {}).get("EngineVersion", ""),
    }


@command.command()
@click.argument("nodes", nargs=-1, required=True, metavar="self|NODE...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
@click.option("--pretty", is_flag=True, help="readable text")
def inspect(nodes: tuple[str, ...], format_: str | None, *, pretty: bool) -> None:
    """Show everything about nodes."""
    found = [current_client().get(f"/nodes/{_resolve(name)}") for name in nodes]
    show_objects(found, format_=format_, pretty=_pretty if pretty else None)


def _resolve(name: str) -> str:
    if name != "self":
        return name
    node_id: str = current_client().get("/info").get("Swarm", {}).get("NodeID", "")
    if not node_id:
        raise click.ClickException("this node is not part of a swarm")
    return node_id


def _pretty(node: dict[str, Any]) -> str:
    description, resources = node["Description"], node["Description"].get("Resources", {})
    labels = "".join(
        f"\n - {key}={value}" for key, value in sorted(node["Spec"].get("Labels", {}).items())
    )
    return "\n".join(
        [
            f"ID:\t\t\t{node['ID']}{labels and chr(10) + 'Labels:' + labels}",
            f"Hostname:\t\t{description.get('Hostname', '')}",
            f"Joined at:\t\t{node['CreatedAt']}",
            "Status:",
            f" State:\t\t\t{node['Status']['State'].title()}",
            f" Availability:\t\t{node['Spec']['Availability'].title()}",
            f" Address:\t\t{node['Status'].get('Addr', '')}",
            "Resources:",
            f" CPUs:\t\t\t{resources.get('NanoCPUs', 0) / 1e9:g}",
            f" Memory:\t\t{resources.get('MemoryBytes', 0) / 2**30:.4g}GiB",
            f"Engine Version:\t\t{description.get('Engine', {}).get('EngineVersion', '')}",
        ]
    )
