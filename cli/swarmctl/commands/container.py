"""swarmctl container: containers of this node."""

from typing import Any

import click

from cli.swarmctl import shown
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Group
from cli.swarmctl.commands.events import moment
from cli.swarmctl.filters import filter_option, format_option, query, quiet_option
from cli.swarmctl.log_output import write_log
from cli.swarmctl.now import now
from cli.swarmctl.table import inspect_each, show_list

_COLUMNS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}
_COMMAND_WIDTH = 20


@click.group(cls=Group)
def command() -> None:
    """Look at containers of this node."""


@command.command("ls")
@click.option("-a", "--all", "all_", is_flag=True, help="ended ones, too")
@click.option("--no-trunc", is_flag=True, help="whole ids and commands")
@filter_option()
@format_option()
@quiet_option()
def list_containers(filters: tuple[str, ...], format_: str | None, **more: bool) -> None:
    """List containers."""
    found = current_client().get(
        "/containers/json", **({"all": "1"} if more["all_"] else {}), **query(filters)
    )
    rows = [_row(item, now(), whole=more["no_trunc"]) for item in found]
    show_list(rows, _COLUMNS, format_=format_, quiet=more["quiet"])


def _row(item: dict[str, Any], now: float, *, whole: bool) -> dict[str, str]:
    mounts = item.get("Mounts") or []
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    labels = sorted((item.get("Labels") or {}).items())
    return {
        "ID": shown.short(item["Id"], whole=whole),
        "Image": item["Image"],
        "Command": f'"{shown.cut(item["Command"], _COMMAND_WIDTH, whole=whole)}"',
        "CreatedAt": shown.moment(item["Created"]),
        "RunningFor": shown.ago(item["Created"], now),
        "State": item["State"],
        "Status": item["Status"],
        "Ports": shown.container_ports(item.get("Ports") or []),
        "Names": ",".join(name.lstrip("/") for name in item["Names"]),
        "Labels": ",".join(f"{key}={value}" for key, value in labels),
        "Mounts": ",".join(mount.get("Name") or mount.get("Source", "") for mount in mounts),
        "LocalVolumes": str(sum(mount.get("Driver") == "local" for mount in mounts)),
        "Networks": ",".join(sorted(networks)),
        "Size": shown.size(item.get("SizeRw", 0)),
    }


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
def inspect(names: tuple[str, ...], format_: str | None) -> None:
    """Show everything about containers."""
    inspect_each(
        names, lambda name: current_client().get(f"/containers/{name}/json"), format_=format_
    )


@command.command()
@click.argument("name", metavar="CONTAINER")
@click.option("-f", "--follow", is_flag=True, help="go on with new lines")
@click.option("-n", "--tail", default="all", metavar="N", help="only the last lines (all)")
@click.option("--since", help="from then on: a time, or a duration back, as 10m")
@click.option("--until", help="up to then")
@click.option("-t", "--timestamps", is_flag=True, help="with the time of each line")
def logs(name: str, tail: str, since: str | None, until: str | None, **more: bool) -> None:
    """Show what a container wrote."""
    tty = current_client().get(f"/containers/{name}/json")["Config"].get("Tty", False)
    asked = {"stdout": "1", "stderr": "1", "tail": tail}
    asked |= {key: moment(text) for key, text in (("since", since), ("until", until)) if text}
    asked |= {key: "1" for key, wanted in more.items() if wanted}
    write_log(current_client().stream(f"/containers/{name}/logs", **asked), tty=tty)
