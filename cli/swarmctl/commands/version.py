"""swarmctl version."""

import click

from cli.swarmctl.client import CannotConnectError, current_client
from cli.swarmctl.command_line import Command
from cli.swarmctl.filters import format_option
from common.version import VERSION


@click.command(cls=Command)
@format_option()
def command(format_: str | None) -> None:
    """Show the versions of swarmctl and swarmd."""
    failure: CannotConnectError | None = None
    server = None
    try:
        server = current_client().get("/version")
    except CannotConnectError as error:
        failure = error
    if format_:
        from cli.swarmctl.table import show_objects  # noqa: PLC0415 - keeps the plain form fast

        show_objects([{"Client": {"Version": VERSION}, "Server": server}], format_=format_)
    else:
        click.echo(
            f"Client: swarmctl\n Version:           {VERSION}\n Host:              {current_client().host}"
        )
        if server:
            click.echo(
                f"\nServer: swarmd\n Version:           {server['Version']}\n"
                f" API version:       {server['ApiVersion']} (minimum version {server['MinAPIVersion']})\n"
                f" OS/Arch:           {server['Os']}/{server['Arch']}\n Kernel:            {server['KernelVersion']}"
            )
    if failure:
        raise failure
