"""swarmctl container commit, diff and export."""

import sys
from pathlib import Path

import click

from cli.swarmctl.client import Client, current_client
from cli.swarmctl.command_line import NodeCommand
from cli.swarmctl.filters import change_option
from cli.swarmctl.whereabouts import on_container

_KINDS = {0: "C", 1: "A", 2: "D"}


@click.command(cls=NodeCommand)
@click.argument("name", metavar="CONTAINER|TASK")
def diff(name: str) -> None:
    """Show what a container has changed of its image: added (A), changed (C), deleted (D)."""
    found = on_container(name, lambda client, at: client.get(f"/containers/{at}/changes"))
    for change in found or []:
        click.echo(f"{_KINDS.get(change['Kind'], '?')} {change['Path']}")


@click.command(cls=NodeCommand)
@click.argument("name", metavar="CONTAINER|TASK")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="a file (else standard output)"
)
def export(name: str, output: Path | None) -> None:
    """Write a container's file system as a tar archive."""
    if output is None and sys.stdout.isatty():
        raise click.ClickException(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect"
        )

    def write(client: Client, at: str) -> None:
        with client.download(f"/containers/{at}/export") as (_, chunks):
            if output is None:
                sys.stdout.buffer.writelines(chunks)
                sys.stdout.flush()
                return
            with output.open("wb") as file:
                file.writelines(chunks)

    on_container(name, write)


@click.command(cls=NodeCommand)
@click.argument("name", metavar="CONTAINER")
@click.argument("reference", required=False, default="", metavar="[REPOSITORY[:TAG]]")
@click.option("-a", "--author", default="", help="who made it")
@change_option()
@click.option("-m", "--message", default="", help="a remark kept in the image")
@click.option("-p", "--pause", is_flag=True, default=True, help="hold it meanwhile (true)")
def commit(
    name: str, reference: str, *, author: str, changes: tuple[str, ...], message: str, pause: bool
) -> None:
    """Make an image of what a container has changed."""
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = reference, ""
    query = {
        "container": name,
        "repo": repository,
        "tag": tag,
        "author": author,
        "comment": message,
        "changes": "\n".join(changes),
        "pause": "" if pause else "0",
    }
    asked = {key: value for key, value in query.items() if value}
    click.echo(current_client().post("/commit", {}, **asked)["Id"])
