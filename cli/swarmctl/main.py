"""swarmctl: the command line. Commands are loaded when they are called, so that it starts fast."""

import sys
from collections.abc import Mapping

import click

from cli.swarmctl.client import ApiError, CannotConnectError, Client, chosen_host
from cli.swarmctl.command_line import Lazy, LazyGroup
from cli.swarmctl.container_commands import CONTAINER_COMMANDS

_OFTEN, _HANDLED, _SWARM = "Commands that people type most", "What is handled", "Other commands"


def _of(noun: str, text: str, section: str = _HANDLED) -> Lazy:
    return Lazy(text, f"cli.swarmctl.commands.{noun}", section=section)


COMMANDS: Mapping[str, Lazy] = {
    **{
        name: CONTAINER_COMMANDS[name]._replace(section=_OFTEN)
        for name in (
            "run", "exec", "ps", "logs", "stop", "start", "restart", "rm", "attach", "cp", "top", "stats",
        )
    },
    "container": _of("container", "Handle containers of this node or another"),
    "image": _of("image", "Handle images of this node"),
    "volume": _of("volume", "Handle volumes of this node or another"),
    "service": _of("service", "Handle services"),
    "node": _of("node", "Look at the nodes of the swarm and change them"),
    "secret": _of("secret", "Handle secrets"),
    "config": _of("config", "Handle configs"),
    "swarm": _of("swarm", "Make, join, look at, save and leave a swarm"),
    "system": _of("system", "See what takes disk space, and remove what is not used"),
    "lab": _of("lab", "Make a cluster of many hosts on this machine, to try and to break"),
    "events": _of("events", "Show what happens, as it happens", _SWARM),
    "inspect": _of("inspect", "Show everything about anything, by name or id", _SWARM),
    "info": _of("info", "Show what this node is and has", _SWARM),
    "version": _of("version", "Show the versions of swarmctl and swarmd", _SWARM),
    **{
        name: CONTAINER_COMMANDS[name]._replace(section="")
        for name in (
            "commit", "create", "diff", "export", "kill", "pause", "port", "rename", "unpause", "update", "wait",
        )
    },
}  # fmt: skip
"""What stands at the top level. The last ones do as with docker, but are shown only by ``container --help``."""


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
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

    Also at the top level, as with docker: commit, create, diff, export, kill, pause, port, rename,
    unpause, update, wait.

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
