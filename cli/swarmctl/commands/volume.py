"""swarmctl volume: volumes of this node, or of another."""

from typing import Any

import click

from cli.swarmctl import arguments, shown
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import NodeGroup, not_yet
from cli.swarmctl.filters import filter_option, format_option, query, quiet_option
from cli.swarmctl.pruning import force_option, prune_filter_option, prune_one
from cli.swarmctl.table import each, end_with, inspect_each, show_list

_COLUMNS = {"Driver": "DRIVER", "Name": "VOLUME NAME"}
_CLUSTER = (
    "availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing", "topology-preferred",
    "topology-required", "type",
)  # fmt: skip


@click.group(cls=NodeGroup)
def command() -> None:
    """Handle volumes of this node, or with --node of another."""


@command.command()
@click.argument("name", required=False, default="", metavar="[VOLUME]")
@click.option("-d", "--driver", default="local", help="its driver (local)")
@click.option("--label", "labels", multiple=True, help="a label, key=value")
@click.option("-o", "--opt", "options", multiple=True, help="of the driver: type=…, o=…, device=…")
def create(name: str, driver: str, labels: tuple[str, ...], options: tuple[str, ...]) -> None:
    """Make a volume."""
    try:
        given = [dict(map(arguments.key_value, texts)) for texts in (labels, options)]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    body = {"Name": name, "Driver": driver, "Labels": given[0], "DriverOpts": given[1]}
    click.echo(current_client().post("/volumes/create", body)["Name"])


create.params += [not_yet(f"--{flag}", "volumes of the cluster") for flag in _CLUSTER]


@command.command("ls")
@filter_option()
@format_option()
@quiet_option("show only names")
def list_volumes(filters: tuple[str, ...], format_: str | None, *, quiet: bool) -> None:
    """List volumes."""
    found = current_client().get("/volumes", **query(filters))
    for warning in found.get("Warnings") or []:
        click.echo(f"WARNING: {warning}", err=True)
    volumes = sorted(found.get("Volumes") or [], key=lambda item: shown.natural(item["Name"]))
    show_list([row(item) for item in volumes], _COLUMNS, format_=format_, quiet=quiet, key="Name")


list_volumes.params.append(not_yet("--cluster", "volumes of the cluster"))


def row(item: dict[str, Any]) -> dict[str, str]:
    """A volume's line."""
    usage = item.get("UsageData") or {}
    size = usage.get("Size", -1)
    links = usage.get("RefCount", -1)
    return {
        "Name": item["Name"],
        "Driver": item["Driver"],
        "Scope": item.get("Scope", ""),
        "Mountpoint": item.get("Mountpoint", ""),
        "Labels": ",".join(f"{k}={v}" for k, v in sorted((item.get("Labels") or {}).items())),
        "Size": "N/A" if size < 0 else shown.size(size, digits=3),
        "Links": "N/A" if links < 0 else str(links),
        **dict.fromkeys(("Availability", "Group", "Status"), "N/A"),  # of the cluster's volumes
    }


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
def inspect(names: tuple[str, ...], format_: str | None) -> None:
    """Show everything about volumes."""
    inspect_each(names, lambda name: current_client().get(f"/volumes/{name}"), format_=format_)


@command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...")
@click.option("-f", "--force", is_flag=True, help="though it is not there")
def remove(names: tuple[str, ...], *, force: bool) -> None:
    """Remove volumes that no container uses."""

    def one(name: str) -> None:
        current_client().delete(f"/volumes/{name}", **({"force": "1"} if force else {}))
        click.echo(name)

    end_with(each(names, one)[1])


@command.command()
@click.option("-a", "--all", "all_", is_flag=True, help="named ones, too")
@force_option
@prune_filter_option
def prune(filters: tuple[str, ...], *, all_: bool, force: bool) -> None:
    """Remove volumes that no container uses."""
    prune_one(
        "volumes",
        filters,
        force=force,
        warning="all local volumes not used by at least one container" if all_ else None,
        **({"all": ["1"]} if all_ else {}),
    )
