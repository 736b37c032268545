"""swarmctl image: images of this node."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import click

from cli.swarmctl import shown
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Group
from cli.swarmctl.filters import change_option, filter_option, format_option, query, quiet_option
from cli.swarmctl.now import now
from cli.swarmctl.table import each, end_with, inspect_each, show_list
from common.engine_client import messages

_COLUMNS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
}


@click.group(cls=Group)
def command() -> None:
    """Handle images of this node."""


@command.command("ls")
@click.argument("reference", required=False)
@click.option("-a", "--all", "all_", is_flag=True, help="images without a name, too")
@click.option("--no-trunc", is_flag=True, help="whole ids")
@filter_option()
@format_option()
@quiet_option()
def list_images(
    reference: str | None,
    filters: tuple[str, ...],
    format_: str | None,
    **more: bool,
) -> None:
    """List images."""
    wanted = query(filters, reference=[reference] if reference else [])
    images = current_client().get(
        "/images/json", **({"all": "1"} if more["all_"] else {}), **wanted
    )
    rows = [row for image in images for row in _rows(image, now(), whole=more["no_trunc"])]
    show_list(rows, _COLUMNS, format_=format_, quiet=more["quiet"])


def _rows(image: dict[str, Any], now: float, *, whole: bool) -> list[dict[str, str]]:
    common = {
        "ID": shown.short(image["Id"], whole=whole),
        "CreatedSince": shown.ago(image["Created"], now),
        "CreatedAt": shown.moment(image["Created"]),
        "Digest": "<none>",
        "Size": shown.size(image["Size"], digits=3),
        "VirtualSize": shown.size(image["Size"]),
    }
    tags = image.get("RepoTags") or ["<none>:<none>"]
    names = [tag.rpartition(":")[::2] for tag in tags]
    return [{"Repository": repository, "Tag": tag} | common for repository, tag in names]


@command.command()
@click.option(
    "-i",
    "--input",
    "path",
    type=click.Path(path_type=Path),
    help="a tar archive (else standard input)",
)
@click.option("-q", "--quiet", is_flag=True, help="say nothing")
def load(path: Path | None, *, quiet: bool) -> None:
    """Load images from an archive (docker save, or an OCI layout)."""
    with _source(path) as file:
        for message in _messages(current_client().upload("/images/load", file, quiet="1")):
            if not quiet:
                click.echo(message.rstrip("\n"))


@command.command("import")
@click.argument("source", metavar="FILE|-")
@click.argument("reference", required=False, metavar="[REPOSITORY[:TAG]]")
@change_option()
@click.option("-m", "--message", default="", help="a remark kept in the image")
def import_image(
    source: str, reference: str | None, changes: tuple[str, ...], message: str
) -> None:
    """Make an image of one layer from a tar archive of a file system."""
    given = {"fromSrc": "-", "repo": reference or ""} | ({"message": message} if message else {})
    if changes:
        given["changes"] = "\n".join(changes)
    with _source(None if source == "-" else Path(source)) as file:
        for text in _messages(current_client().upload("/images/create", file, **given)):
            click.echo(text.rstrip("\n"))


@command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-f", "--force", is_flag=True, help="though it has several names")
def remove(names: tuple[str, ...], *, force: bool) -> None:
    """Remove images."""
    more = {"force": "1"} if force else {}
    end_with(each(names, lambda name: _remove(name, more))[1])


def _remove(name: str, more: dict[str, str]) -> None:
    for item in current_client().delete(f"/images/{name}", **more) or []:
        for key, value in item.items():
            click.echo(f"{key}: {value}")


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
def inspect(names: tuple[str, ...], format_: str | None) -> None:
    """Show everything about images."""
    inspect_each(names, lambda name: current_client().get(f"/images/{name}/json"), format_=format_)


def _source(path: Path | None) -> IO[bytes]:
    if path is None:
        if sys.stdin.isatty():
            raise click.UsageError("no archive: name a file or pipe one in")
        return sys.stdin.buffer
    try:
        return path.open("rb")
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from None


def _messages(chunks: Iterable[bytes]) -> Iterable[str]:
    """Texts of a stream of JSON messages; an error among them ends the command."""
    for item in messages(chunks):
        if "error" in item:
            raise click.ClickException(str(item["error"]))
        yield str(item.get("stream") or item.get("status") or "")
