"""swarmctl swarm: make, look at and leave a swarm."""

from typing import Any

import click

from cli.swarmctl import arguments
from cli.swarmctl.client import current_client
from cli.swarmctl.filters import format_option
from cli.swarmctl.table import show_objects


@click.group()
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
@click.option("--force-new-cluster", is_flag=True, help="start anew from this manager's state")
def init(**given: Any) -> None:  # noqa: ANN401 - click passes the options by name
    """Make a swarm with this node as its first manager."""
    try:
        heartbeat = arguments.duration(given["dispatcher_heartbeat"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--dispatcher-heartbeat") from None
    body = {
        "ListenAddr": given["listen_addr"],
        "AdvertiseAddr": given["advertise_addr"],
        "Availability": given["availability"],
        "DataPathPort": given["data_path_port"],
        "DefaultAddrPool": list(given["default_addr_pool"]),
        "SubnetSize": given["default_addr_pool_mask_length"],
        "ForceNewCluster": given["force_new_cluster"],
        "Spec": {
            "Orchestration": {"TaskHistoryRetentionLimit": given["task_history_limit"]},
            "Dispatcher": {"HeartbeatPeriod": heartbeat},
        },
    }
    node_id = current_client().post("/swarm/init", body)
    click.echo(f"Swarm initialized: current node ({node_id}) is now a manager.")


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
