"""Removing what is not used: one way for all kinds."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from cli.swarmctl import shown
from cli.swarmctl.client import current_client
from cli.swarmctl.filters import query

F = TypeVar("F", bound=Callable[..., Any])


class _Kind(NamedTuple):
    warning: str
    heading: str
    key: str


KINDS = {
    "containers": _Kind("all stopped containers", "Deleted Containers:", "ContainersDeleted"),
    "volumes": _Kind(
        "anonymous local volumes not used by at least one container",
        "Deleted Volumes:",
        "VolumesDeleted",
    ),
    "images": _Kind("all dangling images", "Deleted Images:", "ImagesDeleted"),
    "networks": _Kind(
        "all networks not used by at least one container", "Deleted Networks:", "NetworksDeleted"
    ),
}
"""What there is to remove, in docker's words."""


def force_option(function: F) -> F:
    """The ``-f/--force`` flag."""
    return click.option("-f", "--force", is_flag=True, help="do not ask")(function)


def prune_filter_option(function: F) -> F:
    """The ``--filter`` flag."""
    return click.option(
        "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="only such, as until=24h"
    )(function)


def ask(warnings: Sequence[str]) -> bool:
    """Whether the user wants that."""
    text = (
        f"This will remove {warnings[0]}."
        if len(warnings) == 1
        else "This will remove:\n" + "".join(f"  - {item}\n" for item in warnings)
    )
    click.echo(f"WARNING! {text}")
    return click.confirm("Are you sure you want to continue?", default=False)


def prune(kind: str, filters: Sequence[str], **more: Sequence[str]) -> int:
    """Removes what is not used of a kind and says what; gives the bytes that were freed."""
    answer = current_client().post(f"/{kind}/prune", **query(filters, **more)) or {}
    gone = answer.get(KINDS[kind].key) or []
    if gone:
        click.echo(KINDS[kind].heading)
        for item in gone:
            click.echo(_line(item))
        click.echo()
    return int(answer.get("SpaceReclaimed") or 0)


def _line(item: Any) -> str:  # noqa: ANN401 - a name, or what became of an image
    if isinstance(item, dict):
        return "\n".join(f"{key.lower()}: {value}" for key, value in item.items())
    return str(item)


def prune_one(
    kind: str,
    filters: Sequence[str],
    *,
    force: bool,
    warning: str | None = None,
    **more: Sequence[str],
) -> None:
    """The ``prune`` command of a kind."""
    if force or ask([warning or KINDS[kind].warning]):
        freed = prune(kind, filters, **more)
        click.echo(f"Total reclaimed space: {shown.size(freed)}")
