"""swarmctl swarm: make, join, look at, change, lock, save and leave a swarm."""

from typing import Any

import click

from cli.swarmctl import arguments
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Group, not_yet
from cli.swarmctl.filters import format_option
from cli.swarmctl.joining import ROLES, join_command, join_token, tell_new_swarm
from cli.swarmctl.root_authority import command as ca
from cli.swarmctl.snapshots import command as snapshot
from cli.swarmctl.swarm_update import command as swarm_update
from cli.swarmctl.table import show_objects
from cli.swarmctl.unlocking import tell_unlock_key, unlock, unlock_key


@click.group(cls=Group)
def command() -> None:
    """Make, join, look at, save and leave a swarm."""


@command.command()
@click.option(
    "--advertise-addr", metavar="ADDRESS", default="", help="address[:port] that other nodes reach"
)
@click.option(
    "--listen-addr",
    metavar="ADDRESS",
    default="0.0.0.0:2377",
    help="where to listen (0.0.0.0:2377)",
)
@click.option("--availability", type=click.Choice(["active", "pause", "drain"]), default="active")
@click.option("--data-path-port", type=int, default=0, help="port of the overlay's traffic (4789)")
@click.option(
    "--default-addr-pool", multiple=True, metavar="CIDR", help="where subnets of overlays come from"
)
@click.option(
    "--default-addr-pool-mask-length",
    type=int,
    default=24,
    help="prefix length of those subnets (24)",
)
@click.option(
    "--task-history-limit", type=int, default=5, help="ended tasks kept for each slot (5)"
)
@click.option(
    "--dispatcher-heartbeat", default="5s", metavar="DURATION", help="how often agents report (5s)"
)
@click.option("--cert-expiry", metavar="DURATION", help="how long a node's certificate is valid")
@click.option(
    "--data-path-addr", default="", metavar="ADDRESS", help="address of the overlay's traffic"
)
@click.option(
    "--snapshot-interval", type=click.IntRange(min=0), help="log entries between snapshots"
)
@click.option("--max-snapshots", type=click.IntRange(min=0), help="older snapshots to keep")
@click.option("--autolock", is_flag=True, help="lock managers: each needs a key to start")
@click.option("--force-new-cluster", is_flag=True, help="start anew from this manager's state")
def init(**given: Any) -> None:  # noqa: ANN401 - click passes the options by name
    """Make a swarm with this node as its first manager."""
    pools = [pool for text in given["default_addr_pool"] for pool in text.split(",")]
    body = {
        "ListenAddr": given["listen_addr"],
        "AdvertiseAddr": given["advertise_addr"],
        "Availability": given["availability"],
        "DataPathAddr": given["data_path_addr"],
        "DataPathPort": given["data_path_port"],
        "DefaultAddrPool": pools,
        "SubnetSize": given["default_addr_pool_mask_length"],
        "ForceNewCluster": given["force_new_cluster"],
        "Spec": _spec(given),
    }
    client = current_client()
    node_id = client.post("/swarm/init", body)
    tell_new_swarm(client, "initialized", node_id)
    if given["autolock"] and not given["force_new_cluster"]:
        tell_unlock_key(client)


command.commands["init"].params.append(not_yet("--external-ca", "external certificate authorities"))


def _spec(given: dict[str, Any]) -> dict[str, Any]:
    raft = {"SnapshotInterval": "snapshot_interval", "KeepOldSnapshots": "max_snapshots"}
    spec: dict[str, Any] = {
        "Orchestration": {"TaskHistoryRetentionLimit": given["task_history_limit"]},
        "Dispatcher": {"HeartbeatPeriod": _duration(given, "dispatcher_heartbeat")},
        "Raft": {key: given[name] for key, name in raft.items() if given[name] is not None},
    }
    if given["cert_expiry"]:
        spec["CAConfig"] = {"NodeCertExpiry": _duration(given, "cert_expiry")}
    if given["autolock"]:
        spec["EncryptionConfig"] = {"AutoLockManagers": True}
    return spec


def _duration(given: dict[str, Any], name: str) -> int:
    try:
        return arguments.duration(given[name])
    except ValueError as error:
        flag = f"--{name.replace('_', '-')}"
        raise click.BadParameter(str(error), param_hint=flag) from None


@command.command()
@click.argument("remote", metavar="HOST:PORT")
@click.option("--token", default="", help="the token that lets this node in, and says as what")
@click.option(
    "--advertise-addr", metavar="ADDRESS", default="", help="address[:port] that other nodes reach"
)
@click.option(
    "--listen-addr",
    metavar="ADDRESS",
    default="0.0.0.0:2377",
    help="where to listen (0.0.0.0:2377)",
)
@click.option(
    "--data-path-addr", default="", metavar="ADDRESS", help="address of the overlay's traffic"
)
@click.option("--availability", type=click.Choice(["active", "pause", "drain"]), default="active")
def join(remote: str, token: str, **given: str) -> None:
    """Join the swarm of the manager at HOST:PORT, as a worker or a manager."""
    client = current_client()
    client.post(
        "/swarm/join",
        {
            "ListenAddr": given["listen_addr"],
            "AdvertiseAddr": given["advertise_addr"],
            "DataPathAddr": given["data_path_addr"],
            "RemoteAddrs": [remote],
            "JoinToken": token,
            "Availability": given["availability"],
        },
    )
    is_manager = (client.get("/info").get("Swarm") or {}).get("ControlAvailable")
    click.echo(f"This node joined a swarm as a {'manager' if is_manager else 'worker'}.")


@command.command("join-token")
@click.argument("role", type=click.Choice([*ROLES]))
@click.option("-q", "--quiet", is_flag=True, help="show only the token")
@click.option("--rotate", is_flag=True, help="make a new one; the former lets nobody in any more")
def show_join_token(role: str, *, quiet: bool, rotate: bool) -> None:
    """Show how to add workers or managers."""
    client = current_client()
    if rotate:
        swarm = client.get("/swarm")
        flag = {f"rotate{ROLES[role]}Token": "true"}
        version = str(swarm["Version"]["Index"])
        client.post("/swarm/update", swarm["Spec"], version=version, **flag)
        if not quiet:
            click.echo(f"Successfully rotated {role} join token.\n")
    click.echo(join_token(client, role) if quiet else join_command(client, role))


@command.command()
@click.option(
    "-f", "--force", is_flag=True, help="leave though it is the last manager: the swarm is lost"
)
def leave(*, force: bool) -> None:
    """Leave the swarm; this node's tasks stop."""
    current_client().post("/swarm/leave", **({"force": "1"} if force else {}))
    click.echo("Node left the swarm.")


@command.command()
@format_option()
def inspect(format_: str | None) -> None:
    """Show the swarm's settings."""
    show_objects([current_client().get("/swarm")], format_=format_)


command.add_command(ca)
command.add_command(snapshot)
command.add_command(swarm_update)
command.add_command(unlock)
command.add_command(unlock_key)
