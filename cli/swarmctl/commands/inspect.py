"""swarmctl inspect: anything, by name or id."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import click

from cli.swarmctl.client import ApiError, Client, current_client
from cli.swarmctl.command_line import NodeCommand
from cli.swarmctl.table import show_objects

_PATHS: Mapping[str, str] = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
    "service": "/services/{}",
    "task": "/tasks/{}",
    "node": "/nodes/{}",
    "secret": "/secrets/{}",
    "config": "/configs/{}",
}
"""Where each kind is, in the order in which docker looks."""
_NOT_THERE = (HTTPStatus.NOT_FOUND, HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.SERVICE_UNAVAILABLE)
"""Not found, or there is no swarm where there could be some."""


@click.command(cls=NodeCommand)
@click.argument("names", nargs=-1, required=True, metavar="NAME|ID...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
@click.option("-s", "--size", is_flag=True, help="how much containers have written")
@click.option("--type", "kind", type=click.Choice(list(_PATHS)), help="only such")
def command(names: tuple[str, ...], format_: str | None, kind: str | None, *, size: bool) -> None:
    """Show everything about containers, images, volumes, services, tasks and nodes."""
    client = current_client()
    kinds = [kind] if kind else list(_PATHS)
    found = {name: _look_up(client, name, kinds, size=size) for name in names}
    show_objects([item for item in found.values() if item is not None], format_=format_)
    missing = [name for name, item in found.items() if item is None]
    for name in missing:
        click.echo(f"Error: No such {kind or 'object'}: {name}", err=True)
    if missing:
        raise click.exceptions.Exit(1)


def _look_up(client: Client, name: str, kinds: list[str], *, size: bool) -> Any:  # noqa: ANN401 - any object
    for kind in kinds:
        asked = {"size": "1"} if size and kind == "container" else {}
        try:
            return client.get(_PATHS[kind].format(name), **asked)
        except ApiError as error:
            if error.status not in _NOT_THERE:
                raise
    return None
