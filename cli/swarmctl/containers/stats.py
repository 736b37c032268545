"""swarmctl stats."""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from cli.swarmctl.client import ApiError, Client, current_client
from cli.swarmctl.command_line import NodeCommand
from cli.swarmctl.containers.usage import Sample, row
from cli.swarmctl.filters import format_option
from cli.swarmctl.now import Stopwatch
from cli.swarmctl.table import show_list
from cli.swarmctl.whereabouts import on_container

EVERY_SECONDS = 1.0
_COLUMNS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_CLEARED = "\x1b[H\x1b[J"


class _Watched(NamedTuple):
    name: str
    client: Client
    id: str


@click.command(cls=NodeCommand)
@click.argument("names", nargs=-1, metavar="[CONTAINER|TASK...]")
@click.option("-a", "--all", "all_", is_flag=True, help="ended ones, too")
@click.option("--no-stream", is_flag=True, help="once")
@click.option("--no-trunc", is_flag=True, help="whole ids")
@format_option()
def stats(names: tuple[str, ...], format_: str | None, **more: bool) -> None:
    """Show what containers use, every second."""
    stopwatch = Stopwatch()
    named = [on_container(name, lambda client, at: _found(name, client, at)) for name in names]  # noqa: B023 - called at once

    def look() -> dict[_Watched, Sample | None]:
        watched = named or _present(current_client(), all_=more["all_"])
        return {item: _sample(item) for item in watched}

    before = look()
    while True:
        stopwatch.sleep(EVERY_SECONDS)
        samples = look()
        if sys.stdout.isatty() and not more["no_stream"]:
            click.echo(_CLEARED, nl=False)
        _show(samples, before, format_, whole=more["no_trunc"])
        if more["no_stream"]:
            return
        before = samples


def _found(name: str, client: Client, at: str) -> _Watched:
    return _Watched(name, client, client.get(f"/containers/{at}/json")["Id"])


def _present(client: Client, *, all_: bool) -> list[_Watched]:
    found = client.get("/containers/json", **({"all": "1"} if all_ else {}))
    return [_Watched(item["Id"], client, item["Id"]) for item in found]


def _sample(watched: _Watched) -> Sample | None:
    asked = {"stream": "0", "one-shot": "1"}
    try:
        sample: Mapping[str, Any] = watched.client.get(f"/containers/{watched.id}/stats", **asked)
    except ApiError:
        return None  # it has gone meanwhile
    return sample


def _show(
    samples: Mapping[_Watched, Sample | None],
    before: Mapping[_Watched, Sample | None],
    format_: str | None,
    *,
    whole: bool,
) -> None:
    rows = [
        row(item.name, sample, before.get(item), whole=whole) for item, sample in samples.items()
    ]
    show_list(rows, _COLUMNS, format_=format_)
    sys.stdout.flush()
