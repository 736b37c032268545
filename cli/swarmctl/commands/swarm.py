"""swarmctl swarm: make, look at and leave a swarm."""

from typing import Any

import click

from cli.swarmctl import arguments
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Group, not_yet
from cli.swarmctl.filters import format_option
from cli.swarmctl.table import show_objects


@click.group(cls=Group)
def command() -> None:
    """Make, look at and leave a swarm."""


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
@click.option("--autolock", is_flag=True, help="encrypt the managers' logs with a key of yours")
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
    node_id = current_client().post("/swarm/init", body)
    click.echo(f"Swarm initialized: current node ({node_id}) is now a manager.")


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
