"""swarmctl container kill, pause, prune, rename, restart, rm, stop, unpause, update and wait."""

from typing import Any

import click

from cli.swarmctl import container_flags
from cli.swarmctl.client import ApiError, current_client
from cli.swarmctl.command_line import NodeCommand
from cli.swarmctl.containers.joining import exit_code
from cli.swarmctl.flag_options import flag, given_flags
from cli.swarmctl.pruning import force_option, prune_filter_option, prune_one
from cli.swarmctl.table import each, end_with
from cli.swarmctl.whereabouts import on_container

_names = click.argument("names", nargs=-1, required=True, metavar="CONTAINER|TASK...")
_signal = click.option("-s", "--signal", help="the signal, by name or number")
_timeout = click.option(
    "-t", "--timeout", "--time", type=int, help="seconds until it is killed; -1 never"
)


def _act(names: tuple[str, ...], what: str, **query: str) -> None:
    """POSTs to each, says which it did."""

    def one(name: str) -> None:
        on_container(name, lambda client, at: client.post(f"/containers/{at}/{what}", **query))
        click.echo(name)

    end_with(each(names, one)[1])


def _stopping(signal: str | None, timeout: int | None) -> dict[str, str]:
    given = {"signal": signal or "", "t": "" if timeout is None else str(timeout)}
    return {key: value for key, value in given.items() if value}


@click.command(cls=NodeCommand)
@_names
@_signal
@_timeout
def stop(names: tuple[str, ...], signal: str | None, timeout: int | None) -> None:
    """Stop containers: ask them to end, and kill those that do not in time."""
    _act(names, "stop", **_stopping(signal, timeout))


@click.command(cls=NodeCommand)
@_names
@_signal
@_timeout
def restart(names: tuple[str, ...], signal: str | None, timeout: int | None) -> None:
    """Stop containers and start them again."""
    _act(names, "restart", **_stopping(signal, timeout))


@click.command(cls=NodeCommand)
@_names
@click.option("-s", "--signal", default="KILL", help="the signal, by name or number (KILL)")
def kill(names: tuple[str, ...], signal: str) -> None:
    """Send containers a signal."""
    _act(names, "kill", signal=signal)


@click.command(cls=NodeCommand)
@_names
def pause(names: tuple[str, ...]) -> None:
    """Hold all processes of containers."""
    _act(names, "pause")


@click.command(cls=NodeCommand)
@_names
def unpause(names: tuple[str, ...]) -> None:
    """Let the processes of containers go on."""
    _act(names, "unpause")


@click.command(cls=NodeCommand)
@click.argument("name", metavar="CONTAINER")
@click.argument("new_name", metavar="NEW_NAME")
def rename(name: str, new_name: str) -> None:
    """Give a container another name."""
    try:
        current_client().post(f"/containers/{name}/rename", name=new_name)
    except ApiError as error:
        click.echo(f"Error response from daemon: {error}", err=True)
        raise click.ClickException(f"failed to rename container named {name}") from None


@click.command("rm", cls=NodeCommand)
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...")
@click.option("-f", "--force", is_flag=True, help="also those that run: they are killed")
@click.option("-l", "--link", is_flag=True, help="a link, not a container")
@click.option("-v", "--volumes", is_flag=True, help="with their anonymous volumes")
def remove(names: tuple[str, ...], *, force: bool, link: bool, volumes: bool) -> None:
    """Remove containers."""
    asked = {
        key: "1" for key, wanted in (("force", force), ("link", link), ("v", volumes)) if wanted
    }

    def one(name: str) -> None:
        current_client().delete(f"/containers/{name}", **asked)
        click.echo(name)

    end_with(each(names, one)[1])


@click.command(cls=NodeCommand)
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...")
def update(names: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - flags of the table
    """Change the limits of containers, also while they run."""
    try:
        body = container_flags.updated(given_flags(options))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not body:
        raise click.UsageError("no flag says what to change")

    def one(name: str) -> None:
        answer = current_client().post(f"/containers/{name}/update", body) or {}
        for warning in answer.get("Warnings") or []:
            click.echo(f"WARNING: {warning}", err=True)
        click.echo(name)

    end_with(each(names, one)[1])


update.params += [flag(setting) for setting in container_flags.LIMITS]


@click.command(cls=NodeCommand)
@_names
def wait(names: tuple[str, ...]) -> None:
    """Wait until containers end; show their exit codes."""

    def one(name: str) -> None:
        click.echo(on_container(name, _ended))

    end_with(each(names, one)[1])


def _ended(client: Any, name: str) -> int:  # noqa: ANN401 - a Client
    with client.promised(f"/containers/{name}/wait") as ended:
        return exit_code(ended)


@click.command(cls=NodeCommand)
@force_option
@prune_filter_option
def prune(filters: tuple[str, ...], *, force: bool) -> None:
    """Remove all containers that have ended."""
    prune_one("containers", filters, force=force)
