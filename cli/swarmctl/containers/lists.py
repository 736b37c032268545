"""swarmctl container ls, inspect, logs, port and top."""

from typing import Any

import click

from cli.swarmctl import shown
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import NodeCommand
from cli.swarmctl.commands.events import moment
from cli.swarmctl.filters import filter_option, format_option, query, quiet_option
from cli.swarmctl.log_output import write_log
from cli.swarmctl.now import now
from cli.swarmctl.table import inspect_each, show_list, show_table
from cli.swarmctl.whereabouts import on_container

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
_INTERSPERSED = {"allow_interspersed_args": False}


@click.command(cls=NodeCommand)
@click.option("-a", "--all", "all_", is_flag=True, help="ended ones, too")
@click.option("-n", "--last", type=int, default=-1, metavar="N", help="the newest ones, also ended")
@click.option("-l", "--latest", is_flag=True, help="the newest one, also ended")
@click.option("-s", "--size", is_flag=True, help="how much they have written")
@click.option("--no-trunc", is_flag=True, help="whole ids and commands")
@filter_option()
@format_option()
@quiet_option()
def ls(
    filters: tuple[str, ...], format_: str | None, *, last: int, quiet: bool, **more: bool
) -> None:
    """List containers."""
    asked = {key: "1" for key, flag in (("all", "all_"), ("size", "size")) if more[flag]}
    if more["latest"] or last > 0:
        asked["limit"] = "1" if more["latest"] else str(last)
    found = current_client().get("/containers/json", **asked, **query(filters))
    rows = [_row(item, now(), whole=more["no_trunc"]) for item in found]
    columns = _COLUMNS | ({"Size": "SIZE"} if more["size"] else {})
    show_list(rows, columns, format_=format_, quiet=quiet)


def _row(item: dict[str, Any], now: float, *, whole: bool) -> dict[str, str]:
    mounts = item.get("Mounts") or []
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    labels = sorted((item.get("Labels") or {}).items())
    size, total = (shown.size(item.get(key) or 0, digits=3) for key in ("SizeRw", "SizeRootFs"))
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
        "Size": f"{size} (virtual {total})" if item.get("SizeRootFs") else size,
    }


@click.command(cls=NodeCommand)
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER|TASK...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
@click.option("-s", "--size", is_flag=True, help="how much they have written")
def inspect(names: tuple[str, ...], format_: str | None, *, size: bool) -> None:
    """Show everything about containers."""
    asked = {"size": "1"} if size else {}

    def look_up(name: str) -> Any:  # noqa: ANN401
        return on_container(name, lambda client, at: client.get(f"/containers/{at}/json", **asked))

    inspect_each(names, look_up, format_=format_)


@click.command(cls=NodeCommand)
@click.argument("name", metavar="CONTAINER|TASK")
@click.option("--details", is_flag=True, help="with what the log driver was told to add")
@click.option("-f", "--follow", is_flag=True, help="go on with new lines")
@click.option("-n", "--tail", default="all", metavar="N", help="only the last lines (all)")
@click.option("--since", help="from then on: a time, or a duration back, as 10m")
@click.option("--until", help="up to then")
@click.option("-t", "--timestamps", is_flag=True, help="with the time of each line")
def logs(name: str, tail: str, since: str | None, until: str | None, **more: bool) -> None:
    """Show what a container wrote."""
    client, path, found = on_container(
        name, lambda client, at: (client, f"/containers/{at}", client.get(f"/containers/{at}/json"))
    )
    tty = found["Config"].get("Tty", False)
    asked = {"stdout": "1", "stderr": "1", "tail": tail}
    asked |= {key: moment(text) for key, text in (("since", since), ("until", until)) if text}
    asked |= {key: "1" for key, wanted in more.items() if wanted}
    write_log(client.stream(f"{path}/logs", **asked), tty=tty)


@click.command(cls=NodeCommand)
@click.argument("name", metavar="CONTAINER|TASK")
@click.argument("wanted", required=False, metavar="[PORT[/PROTOCOL]]")
def port(name: str, wanted: str | None) -> None:
    """Show where a container's ports are published."""
    found = on_container(name, lambda client, at: client.get(f"/containers/{at}/json"))
    ports = (found.get("NetworkSettings") or {}).get("Ports") or {}
    if wanted is not None:
        asked = wanted if "/" in wanted else f"{wanted}/tcp"
        if not ports.get(asked):
            raise click.ClickException(f"No public port '{wanted}' published for {name}")
        for line in map(_address, ports[asked]):
            click.echo(line)
        return
    for inner in sorted(ports, key=shown.natural):
        for binding in ports[inner] or []:
            click.echo(f"{inner} -> {_address(binding)}")


def _address(binding: dict[str, str]) -> str:
    address = binding.get("HostIp", "")
    return f"{f'[{address}]' if ':' in address else address}:{binding.get('HostPort', '')}"


@click.command(cls=NodeCommand, context_settings={**_INTERSPERSED, "ignore_unknown_options": True})
@click.argument("name", metavar="CONTAINER|TASK")
@click.argument("options", nargs=-1, metavar="[PS OPTIONS]", type=click.UNPROCESSED)
def top(name: str, options: tuple[str, ...]) -> None:
    """Show the processes of a container."""
    asked = {"ps_args": " ".join(options)} if options else {}
    found = on_container(name, lambda client, at: client.get(f"/containers/{at}/top", **asked))
    show_table([found["Titles"], *found["Processes"]])
