"""swarmctl system: what takes disk space, and removing what is not used."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from cli.swarmctl import shown
from cli.swarmctl.client import ApiError, current_client
from cli.swarmctl.command_line import Lazy, LazyGroup, NodeCommand
from cli.swarmctl.commands.volume import row as volume_row
from cli.swarmctl.filters import format_option
from cli.swarmctl.now import now
from cli.swarmctl.pruning import KINDS, ask, force_option, prune, prune_filter_option
from cli.swarmctl.table import show_list, show_table

_COLUMNS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_NOT_BUILT = (404, 405, 501)
"""What swarmd answers for kinds that it cannot prune yet."""


@click.command("df", cls=NodeCommand)
@click.option("-v", "--verbose", is_flag=True, help="each image, container and volume")
@format_option()
def usage(format_: str | None, *, verbose: bool) -> None:
    """Show what takes disk space on a node."""
    answer = current_client().get("/system/df")
    if verbose and format_:
        raise click.UsageError("--verbose and --format exclude each other")
    if verbose:
        _show_verbose(answer)
        return
    show_list(summary(answer), _COLUMNS, format_=format_)


def summary(answer: Mapping[str, Any]) -> list[dict[str, str]]:
    """The four lines of ``system df``."""
    images = answer.get("Images") or []
    containers = answer.get("Containers") or []
    volumes = answer.get("Volumes") or []
    caches = answer.get("BuildCache") or []
    layers = int(answer.get("LayersSize") or 0)
    used = sum(_own_size(item) for item in images if int(item.get("Containers") or 0) != 0)
    return [
        _line("Images", images, layers, sum(map(_in_use, images)), max(0, layers - used)),
        _line(
            "Containers",
            containers,
            sum(int(item.get("SizeRw") or 0) for item in containers),
            sum(map(_runs, containers)),
            sum(int(item.get("SizeRw") or 0) for item in containers if not _runs(item)),
        ),
        _line(
            "Local Volumes",
            volumes,
            sum(map(_volume_size, volumes)),
            sum(_links(item) > 0 for item in volumes),
            sum(_volume_size(item) for item in volumes if _links(item) == 0),
        ),
        _line(
            "Build Cache",
            caches,
            sum(int(item.get("Size") or 0) for item in caches),
            sum(bool(item.get("InUse")) for item in caches),
            sum(int(item.get("Size") or 0) for item in caches if not item.get("InUse")),
        ),
    ]


def _line(kind: str, items: Sequence[Any], size: int, active: int, idle: int) -> dict[str, str]:
    share = f" ({100 * idle // size}%)" if size and kind != "Build Cache" else ""
    return {
        "Type": kind,
        "TotalCount": str(len(items)),
        "Active": str(active),
        "Size": shown.size(size),
        "Reclaimable": f"{shown.size(idle)}{share}",
    }


def _own_size(image: Mapping[str, Any]) -> int:
    """What of an image no other has; nothing where that is not known."""
    size, shared = int(image.get("Size") or 0), int(image.get("SharedSize") or 0)
    return 0 if -1 in (size, shared) else size - shared


def _in_use(image: Mapping[str, Any]) -> bool:
    return int(image.get("Containers") or 0) > 0


def _runs(container: Mapping[str, Any]) -> bool:
    return container.get("State") in ("running", "paused", "restarting")


def _volume_size(volume: Mapping[str, Any]) -> int:
    return max(0, int((volume.get("UsageData") or {}).get("Size", 0)))


def _links(volume: Mapping[str, Any]) -> int:
    return int((volume.get("UsageData") or {}).get("RefCount", 0))


def _show_verbose(answer: Mapping[str, Any]) -> None:
    moment = now()
    click.echo("Images space usage:\n")
    show_table(
        [
            ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"],
            *(line for image in answer.get("Images") or [] for line in _image_lines(image, moment)),
        ]
    )  # fmt: skip
    click.echo("\nContainers space usage:\n")
    show_table(
        [
            ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"],
            *(_container_line(item, moment) for item in answer.get("Containers") or []),
        ]
    )  # fmt: skip
    click.echo("\nLocal Volumes space usage:\n")
    rows = [volume_row(item) for item in answer.get("Volumes") or []]
    show_table(
        [
            ["VOLUME NAME", "LINKS", "SIZE"],
            *([row["Name"], row["Links"], row["Size"]] for row in rows),
        ]
    )
    caches = answer.get("BuildCache") or []
    click.echo(f"\nBuild cache usage: {shown.size(sum(int(c.get('Size') or 0) for c in caches))}")


def _image_lines(image: Mapping[str, Any], moment: float) -> Iterable[list[str]]:
    size, shared = int(image["Size"]), max(0, int(image.get("SharedSize") or 0))
    for tag in image.get("RepoTags") or ["<none>:<none>"]:
        repository, _, name = tag.rpartition(":")
        yield [
            repository,
            name,
            shown.short(image["Id"]),
            shown.ago(image["Created"], moment),
            *(shown.size(count, digits=4) for count in (size, shared, size - shared)),
            str(max(0, int(image.get("Containers") or 0))),
        ]


def _container_line(item: Mapping[str, Any], moment: float) -> list[str]:
    mounts = item.get("Mounts") or []
    return [
        shown.short(item["Id"]),
        item["Image"],
        f'"{shown.cut(item["Command"], 20)}"',
        str(sum(mount.get("Driver") == "local" for mount in mounts)),
        shown.size(item.get("SizeRw") or 0, digits=3),
        shown.ago(item["Created"], moment),
        item["Status"],
        ",".join(name.lstrip("/") for name in item["Names"]),
    ]


@click.command("prune", cls=NodeCommand)
@click.option(
    "-a", "--all", "all_", is_flag=True, help="all images not in use, not only nameless ones"
)
@click.option("--volumes", is_flag=True, help="anonymous volumes, too")
@force_option
@prune_filter_option
def remove(filters: tuple[str, ...], *, all_: bool, volumes: bool, force: bool) -> None:
    """Remove containers that have ended, images and networks that nothing uses."""
    kinds = ["containers", "networks", *(["volumes"] if volumes else []), "images"]
    images = (
        "all images without at least one container associated to them"
        if all_
        else KINDS["images"].warning
    )
    warnings = [images if kind == "images" else KINDS[kind].warning for kind in kinds]
    if not force and not ask(warnings):
        return
    freed = 0
    for kind in kinds:
        more = {"dangling": ["false" if all_ else "true"]} if kind == "images" else {}
        try:
            freed += prune(kind, filters, **more)
        except ApiError as error:
            if error.status not in _NOT_BUILT or kind not in ("networks", "images"):
                raise
            click.echo(f"WARNING: {kind} are not pruned: {error}", err=True)
    click.echo(f"Total reclaimed space: {shown.size(freed)}")


_HERE = "cli.swarmctl.commands"
command = LazyGroup(
    name="system",
    help="See what takes disk space, and remove what is not used.",
    lazy={
        "df": Lazy("Show what takes disk space", f"{_HERE}.system", "usage"),
        "events": Lazy("Show what happens, as it happens", f"{_HERE}.events"),
        "info": Lazy("Show what this node is and has", f"{_HERE}.info"),
        "prune": Lazy("Remove what is not used", f"{_HERE}.system", "remove"),
    },
)
