"""swarmctl swarm snapshot: the whole cluster as a file."""

import json
from pathlib import Path
from typing import Any

import click

from cli.swarmctl import shown
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Group
from cli.swarmctl.filters import format_option
from cli.swarmctl.joining import tell_new_swarm
from cli.swarmctl.table import show_objects

_BINARY = "application/octet-stream"


@click.group("snapshot", cls=Group)
def command() -> None:
    """Save the whole cluster as a file, and restore it.

    The file holds every secret of the cluster and the key of its certificate authority.
    """


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def save(file: Path) -> None:
    """Save the cluster; a manager's swarmd writes it, FILE is readable by you only."""
    from cli.swarmctl import saved_file  # noqa: PLC0415 - slow to load

    head, size = saved_file.save(file, current_client().stream("/swarm/snapshot"))
    click.echo(f"Saved the cluster up to index {head.index}: {shown.size(size)} in {file}")


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--advertise-addr", metavar="ADDRESS", default="", help="address[:port] that other nodes reach"
)
@click.option("--listen-addr", metavar="ADDRESS", default="", help="where to listen (0.0.0.0:2377)")
@click.option(
    "--data-path-addr", default="", metavar="ADDRESS", help="address of the overlay's traffic"
)
@click.option("--availability", type=click.Choice(["active", "pause", "drain"]), default="active")
def restore(file: Path, **given: str) -> None:
    """Make a new swarm of a saved one, with this node as its only manager."""
    from cli.swarmctl import saved_file  # noqa: PLC0415 - slow to load

    client = current_client()
    query = {_camel(name): value for name, value in given.items() if value}
    with file.open("rb") as opened:
        saved_file.check(opened)
        opened.seek(0)
        answer = client.upload("/swarm/snapshot", opened, content=_BINARY, **query)
        node_id = json.loads(b"".join(answer))
    tell_new_swarm(client, "restored", node_id)


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@format_option()
def inspect(file: Path, format_: str | None) -> None:
    """Show what a file holds, without any swarmd."""
    from cli.swarmctl import saved_file  # noqa: PLC0415 - slow to load

    with file.open("rb") as opened:
        head, size = saved_file.check(opened)
    found = {
        "ClusterID": head.cluster_id,
        "Index": head.index,
        "SavedAt": shown.moment(head.saved_at),
        "WrittenBy": head.written_by,
        "Size": size,
        "Objects": dict(head.objects),
        "Digest": "ok",  # or it would have been refused
    }
    show_objects([found], format_=format_, pretty=_pretty)


def _pretty(found: dict[str, Any]) -> str:
    lines = [
        f"Cluster ID:\t{found['ClusterID']}",
        f"Index:\t\t{found['Index']}",
        f"Saved at:\t{found['SavedAt']}",
        f"Written by:\tswarmd {found['WrittenBy']}",
        f"Size:\t\t{shown.size(found['Size'])}",
        f"Digest:\t\t{found['Digest']}",
        "Objects:",
    ]
    return "\n".join(lines + [f" {table}:\t{count}" for table, count in found["Objects"].items()])


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
