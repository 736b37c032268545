"""swarmctl: the command line. Commands are loaded when they are called, so that it starts fast."""

import importlib
import sys

import click
from typing_extensions import override

from cli.swarmctl.client import ApiError, CannotConnectError, Client, chosen_host
from cli.swarmctl.command_line import Group

COMMANDS = {
    "config": "Handle configs",
    "container": "Look at containers of this node",
    "events": "Show what happens, as it happens",
    "image": "Handle images of this node",
    "info": "Show what this node is and has",
    "lab": "Make a cluster of many hosts on this machine, to try and to break",
    "node": "Look at the nodes of the swarm and change them",
    "secret": "Handle secrets",
    "service": "Handle services",
    "swarm": "Make, join, look at, save and leave a swarm",
    "version": "Show the versions of swarmctl and swarmd",
}
"""Name and one line of help; the module of the same name in ``cli.swarmctl.commands`` holds ``command``."""


class LazyGroup(Group):
    """A group whose commands' modules are imported only when they are named."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, text in COMMANDS.items() if text]

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if not COMMANDS.get(cmd_name):
            return None
        command: click.Command = importlib.import_module(
            f"cli.swarmctl.commands.{cmd_name}"
        ).command
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, text in COMMANDS.items() if text])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-H", "--host", metavar="ADDRESS", help="swarmd to talk to: unix:///path or tcp://address:port"
)
@click.option(
    "--stale",
    is_flag=True,
    help="take what the manager has, though others may know more; works without a leader",
)
@click.pass_context
def root(context: click.Context, host: str | None, *, stale: bool) -> None:
    """Run containers on a cluster.

    Without -H the address is taken from SWARM_HOST, else from DOCKER_HOST, else it is
    unix:///run/swarmd/swarmd.sock.
    """
    import os  # noqa: PLC0415 - kept beside its one use

    context.obj = Client(chosen_host(host, os.environ), stale=stale)


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; exits 1 when swarmd refuses, 2 for a wrong command line, 130 when interrupted."""
    try:
        code = root.main(args=arguments, prog_name="swarmctl", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ApiError as error:
        click.echo(f"Error response from daemon: {error}", err=True)
        sys.exit(1)
    except CannotConnectError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:  # of a file that was named
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
