"""swarmctl attach and start."""

from collections.abc import Mapping
from typing import Any

import click

from cli.swarmctl.client import Client, current_client
from cli.swarmctl.command_line import NodeCommand, not_yet
from cli.swarmctl.containers.joining import (
    LeftAloneError,
    attach_query,
    console_size,
    manner,
    stay_with,
)
from cli.swarmctl.conversation import FarProcess
from cli.swarmctl.table import each
from cli.swarmctl.whereabouts import on_container

_KEYS = "what leaves it alone (ctrl-p,ctrl-q)"


@click.command(cls=NodeCommand)
@click.argument("name", metavar="CONTAINER|TASK")
@click.option("--detach-keys", metavar="KEYS", help=_KEYS)
@click.option("--no-stdin", is_flag=True, help="only its output")
@click.option(
    "--sig-proxy",
    is_flag=True,
    default=True,
    help="send signals on to it (true); not with a terminal",
)
def attach(name: str, *, detach_keys: str | None, no_stdin: bool, sig_proxy: bool) -> None:
    """Join a container that runs: its output, and its input. Exits with its exit code."""
    client, found = on_container(name, _looked_up)
    _must_run(found["State"])
    config = found["Config"]
    stdin = bool(config.get("OpenStdin")) and not no_stdin
    how = manner(
        tty=bool(config.get("Tty")), stdin=stdin, detach_keys=detach_keys, sig_proxy=sig_proxy
    )
    size = console_size() if how.tty else None

    def redraw() -> None:
        if size:  # a size that differs has programs draw all anew when the right one is told
            FarProcess(client, f"/containers/{found['Id']}").resize(size[0] + 1, size[1] + 1)

    query = attach_query(stdin=stdin, stdout=True, stderr=True, keys=detach_keys)
    raise click.exceptions.Exit(stay_with(client, found["Id"], how, query, begin=redraw))


def _looked_up(client: Client, name: str) -> tuple[Client, dict[str, Any]]:
    return client, client.get(f"/containers/{name}/json")


def _must_run(state: Mapping[str, Any]) -> None:
    if not state.get("Running"):
        raise click.ClickException("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise click.ClickException("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise click.ClickException(
            "You cannot attach to a restarting container, wait until it is running"
        )


@click.command(cls=NodeCommand)
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...")
@click.option(
    "-a", "--attach", "attached", is_flag=True, help="stay with it; exit with its exit code"
)
@click.option("-i", "--interactive", is_flag=True, help="give it our input, too")
@click.option("--detach-keys", metavar="KEYS", help=_KEYS)
def start(
    names: tuple[str, ...], *, attached: bool, interactive: bool, detach_keys: str | None
) -> None:
    """Start containers that have ended."""
    if not attached and not interactive:
        failed = each(names, _start)[1]
        for _, error in failed:
            click.echo(f"Error response from daemon: {error}", err=True)
        if failed:
            missed = ", ".join(name for name, _ in failed)
            raise click.ClickException(f"failed to start containers: {missed}")
        return
    if len(names) > 1:
        raise click.ClickException("you cannot start and attach multiple containers at once")
    client = current_client()
    found = client.get(f"/containers/{names[0]}/json")
    config, path = found["Config"], f"/containers/{found['Id']}/start"
    stdin = interactive and bool(config.get("OpenStdin"))
    how = manner(tty=bool(config.get("Tty")), stdin=stdin, detach_keys=detach_keys, sig_proxy=True)
    removed = bool((found.get("HostConfig") or {}).get("AutoRemove"))
    query = attach_query(stdin=stdin, stdout=True, stderr=True, keys=detach_keys)
    condition = "removed" if removed else "next-exit"
    try:
        code = stay_with(
            client, found["Id"], how, query, condition=condition, begin=lambda: client.post(path)
        )
    except LeftAloneError:
        return
    raise click.exceptions.Exit(code)


start.params += [not_yet(f"--{flag}", "checkpoints") for flag in ("checkpoint", "checkpoint-dir")]


def _start(name: str) -> None:
    current_client().post(f"/containers/{name}/start")
    click.echo(name)
