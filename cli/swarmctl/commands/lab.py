"""swarmctl lab: a cluster of many hosts on this machine, to try and to break."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from typing_extensions import override

from cli.lab import lab as labs
from cli.lab.entering import enter
from cli.lab.following import follow, last_lines
from cli.lab.host import Host, Power
from cli.lab.lab import Lab, need_root
from cli.lab.records import HOSTS_MAX, SWITCH, Plan, Records
from cli.swarmctl import arguments
from cli.swarmctl.command_line import Command, Group
from cli.swarmctl.filters import format_option, quiet_option
from cli.swarmctl.now import Stopwatch
from cli.swarmctl.table import show_list
from common.errors import SwarmdError, UnavailableError

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_NAME = "lab"
_COLUMNS = {
    "Lab": "LAB",
    "Host": "HOST",
    "Address": "ADDRESS",
    "State": "STATE",
    "Node": "NODE",
    "ManagerStatus": "MANAGER STATUS",
    "Namespace": "NAMESPACE",
}


class _Command(Command):
    """A command that says in a sentence why it cannot."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            need_root()
            return super().invoke(ctx)
        except SwarmdError as error:
            raise click.ClickException(str(error)) from error


class _Group(Group):
    command_class = _Command


@click.group(cls=_Group)
def command() -> None:
    """A cluster of many hosts on this machine, to try and to break.

    Each host is a network namespace with a swarmd, directories and a host name of its own.
    """


def _name_option(function: F) -> F:
    return click.option(
        "--name", default=DEFAULT_NAME, show_default=True, metavar="NAME", help="which lab"
    )(function)


def _hosts_argument(function: F) -> F:
    return click.argument("hosts", nargs=-1, required=True, metavar="HOST...")(function)


def _records() -> Records:
    return Records(on_wait=lambda text: click.echo(text, err=True))


# ------------------------------------------------------------------------------------ up and down


@command.command()
@_name_option
@click.option(
    "--managers",
    type=click.IntRange(1, HOSTS_MAX),
    default=3,
    show_default=True,
    help="hosts m1, m2, … that are managers",
)
@click.option(
    "--workers",
    type=click.IntRange(0, HOSTS_MAX),
    default=3,
    show_default=True,
    help="hosts w1, w2, … that are workers",
)
@click.option(
    "--dispatcher-heartbeat", default="5s", metavar="DURATION", help="how often agents report (5s)"
)
@click.option(
    "-l",
    "--log-level",
    type=click.Choice(["debug", "info", "warn", "error"]),
    default="info",
    help="of each swarmd (info)",
)
@click.option("-q", "--quiet", is_flag=True, help="say nothing but what goes wrong")
def up(name: str, managers: int, workers: int, *, quiet: bool, **given: str) -> None:
    """Make a lab; returns when all its nodes are Ready."""
    watch = Stopwatch()
    began = watch.read()
    try:
        period = arguments.duration(given["dispatcher_heartbeat"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--dispatcher-heartbeat") from None

    def tell(text: str) -> None:
        if not quiet:
            click.echo(f"[{watch.read() - began:5.1f} s] {text}")

    wanted = Plan(
        name=name, managers=managers, workers=workers, network="", log_level=given["log_level"]
    )
    labs.up(_records(), wanted, tell, {"Dispatcher": {"HeartbeatPeriod": period}})
    count = managers + workers
    tell(f"lab {name} is up: {count} {'node is' if count == 1 else 'nodes are'} Ready")
    if not quiet:
        click.echo(_what_next(name))


def _what_next(name: str) -> str:
    flag = "" if name == DEFAULT_NAME else f" --name {name}"
    return f"""
    swarmctl lab ls{flag}
    swarmctl lab exec{flag} m1 -- swarmctl node ls
    swarmctl lab exec{flag} m1 -- swarmctl service create --name hello --replicas 3 --publish 8080:80 hello:1
    swarmctl lab kill{flag} m1
    swarmctl lab down{flag}"""


@command.command()
@_name_option
def down(name: str) -> None:
    """Remove a lab and every trace of it, whatever state it is in."""
    labs.down(_records(), name)


# ---------------------------------------------------------------------------------------- looking


@command.command("ls")
@click.option("--name", metavar="NAME", help="only this lab")
@format_option()
@quiet_option("show only names of hosts")
def list_labs(name: str | None, format_: str | None, *, quiet: bool) -> None:
    """List labs, their hosts, and what becomes of them."""
    records = _records()
    rows: list[dict[str, str]] = []
    for each in [name] if name else records.names():
        plan = records.read(each)
        rows += _rows(Lab(plan, records))
        if not plan.is_complete:
            click.echo(
                f"lab {each} is not complete: it is being made, or that was broken off "
                f"(then swarmctl lab down --name {each} removes it)",
                err=True,
            )
    show_list(rows, _COLUMNS, format_=format_, quiet=quiet, key="Host")


def _rows(lab: Lab) -> Iterator[dict[str, str]]:
    powers, cuts = lab.powers(), lab.cuts()
    nodes = lab.nodes(powers)
    for name, host in lab.hosts.items():
        node = nodes.get(name, {})
        yield {
            "Lab": lab.plan.name,
            "Host": name,
            "Address": host.address,
            "State": ", ".join([powers[name], *cuts.of(name)]),
            "Node": str(node.get("Status", {}).get("State", "")).capitalize(),
            "ManagerStatus": _standing(node.get("ManagerStatus") or {}),
            "Namespace": host.name,
            "Socket": host.socket,
            "Network": lab.plan.network,
        }


def _standing(status: Mapping[str, Any]) -> str:
    if status.get("Leader"):
        return "Leader"
    return str(status.get("Reachability", "")).capitalize()


@command.command()
@_name_option
@click.option("-f", "--follow", "follows", is_flag=True, help="go on as it is written")
@click.option(
    "-n", "--tail", "lines", type=click.IntRange(0), metavar="LINES", help="only the last lines"
)
@click.argument("host")
def logs(name: str, host: str, lines: int | None, *, follows: bool) -> None:
    """Show the log of a host's swarmd."""
    path = _lab(name).host(host).log
    try:
        for piece in (follow if follows else last_lines)(path, lines):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    except FileNotFoundError:
        raise UnavailableError(f"{host} has written no log yet") from None


def _lab(name: str) -> Lab:
    records = _records()
    return Lab(records.read(name), records)


# ------------------------------------------------------------------------------------------ using


@command.command("exec", context_settings={"allow_interspersed_args": False})
@_name_option
@click.argument("host")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def execute(name: str, host: str, words: tuple[str, ...]) -> int:
    """Run a command on a host: in its network, docker and swarmctl talking to its swarmd.

    Input, output, terminal and exit code are the command's own.
    """
    words = words[1:] if words[:1] == ("--",) else words
    if not words:
        raise click.UsageError("no command: swarmctl lab exec HOST -- COMMAND...")
    return enter(_lab(name).host(host), words)


@command.command()
@_name_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("hosts", nargs=-1, metavar="[HOST...]")
def load(name: str, file: Path, hosts: tuple[str, ...]) -> None:
    """Load images from an archive (docker save, or an OCI layout) on hosts; on all that run, if none is named."""
    _lab(name).load(file, hosts)


# ----------------------------------------------------------------------------------- what befalls


def _to_each(name: str, hosts: tuple[str, ...], act: Callable[[Host], object]) -> None:
    records = _records()
    Lab(records.read(name), records).choose(hosts)
    with records.with_others(name, hosts) as plan:
        Lab(plan, records).to_each(hosts, act)


@command.command()
@_name_option
@click.option("--daemon", is_flag=True, help="only swarmd; containers go on")
@_hosts_argument
def kill(name: str, hosts: tuple[str, ...], *, daemon: bool) -> None:
    """Cut the power of hosts: swarmd, supervisor and containers end at once, and what was in memory is lost."""
    _to_each(name, hosts, Host.kill_daemon if daemon else Host.power_cut)


@command.command()
@_name_option
@_hosts_argument
def start(name: str, hosts: tuple[str, ...]) -> None:
    """Start swarmd on hosts, booting those that are off; returns when their APIs answer."""
    _boot(name, hosts)


def _boot(
    name: str, hosts: tuple[str, ...], before: Callable[[Host], object] | None = None
) -> None:
    records = _records()
    Lab(records.read(name), records).choose(hosts)
    with records.with_others(name, [SWITCH]) as plan:
        Lab(plan, records).power_up()
    with records.with_others(name, hosts) as plan:
        lab = Lab(plan, records)
        if before is not None:
            lab.to_each(hosts, before)
        lab.boot(hosts)


@command.command()
@_name_option
@_hosts_argument
def stop(name: str, hosts: tuple[str, ...]) -> None:
    """Stop swarmd on hosts in order; containers go on."""
    _to_each(name, hosts, Host.stop)


@command.command()
@_name_option
@_hosts_argument
def restart(name: str, hosts: tuple[str, ...]) -> None:
    """Stop swarmd on hosts in order and start it again; containers go on."""
    _boot(name, hosts, Host.stop)


@command.command()
@_name_option
@_hosts_argument
def pause(name: str, hosts: tuple[str, ...]) -> None:
    """Stop swarmd on hosts as if they held their breath; connections stay open, containers go on."""
    _to_each(name, hosts, _must_run(Host.pause))


@command.command()
@_name_option
@_hosts_argument
def resume(name: str, hosts: tuple[str, ...]) -> None:
    """Let the swarmd of paused hosts go on."""
    _to_each(name, hosts, _must_run(Host.resume))


def _must_run(act: Callable[[Host], object]) -> Callable[[Host], object]:
    def checked(host: Host) -> None:
        if (power := host.power()) in (Power.OFF, Power.STOPPED):
            raise UnavailableError(
                f"{host.hostname} is {power}", hint=f"swarmctl lab start {host.hostname}"
            )
        act(host)

    return checked


@command.command()
@_name_option
@click.option("--from", "from_", metavar="HOST", help="only from this one")
@click.option("--one-way", is_flag=True, help="it hears the others, but they do not hear it")
@click.argument("host")
def cut(name: str, host: str, from_: str | None, *, one_way: bool) -> None:
    """Cut a host off from all others, or from one; connections stay open and hear nothing."""
    records = _records()
    lab = Lab(records.read(name), records)
    lab.host(host)
    with records.with_others(name, []):
        labs.cut(lab, host, from_=from_, one_way=one_way)


@command.command()
@_name_option
@_hosts_argument
def heal(name: str, hosts: tuple[str, ...]) -> None:
    """Undo every cut that concerns these hosts."""
    records = _records()
    Lab(records.read(name), records).choose(hosts)
    with records.with_others(name, hosts) as plan:
        lab = Lab(plan, records)
        lab.need_switch()
        for host in hosts:
            lab.heal(host)
