"""swarmctl swarm update: what can be changed of a swarm while it runs."""

from typing import Any

import click

from cli.swarmctl import arguments
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import not_yet
from cli.swarmctl.unlocking import is_locking, tell_unlock_key

_PLACES = {
    "autolock": ("EncryptionConfig", "AutoLockManagers"),
    "cert_expiry": ("CAConfig", "NodeCertExpiry"),
    "dispatcher_heartbeat": ("Dispatcher", "HeartbeatPeriod"),
    "max_snapshots": ("Raft", "KeepOldSnapshots"),
    "snapshot_interval": ("Raft", "SnapshotInterval"),
    "task_history_limit": ("Orchestration", "TaskHistoryRetentionLimit"),
}
"""Where in the spec each flag goes."""
_DURATIONS = frozenset({"cert_expiry", "dispatcher_heartbeat"})


@click.command("update")
@click.option(
    "--autolock", type=bool, is_flag=False, flag_value="true", help="lock managers (true|false)"
)
@click.option("--cert-expiry", metavar="DURATION", help="how long a node's certificate is valid")
@click.option("--dispatcher-heartbeat", metavar="DURATION", help="how often agents report")
@click.option("--max-snapshots", type=click.IntRange(min=0), help="older snapshots to keep")
@click.option(
    "--snapshot-interval", type=click.IntRange(min=0), help="log entries between snapshots"
)
@click.option("--task-history-limit", type=int, help="ended tasks kept for each slot")
def command(**given: Any) -> None:  # noqa: ANN401 - click passes the options by name
    """Change the swarm's settings."""
    client = current_client()
    before = client.get("/swarm")
    spec = {
        key: dict(value) if isinstance(value, dict) else value
        for key, value in before["Spec"].items()
    }
    for name, (part, key) in _PLACES.items():
        if given[name] is not None:
            spec.setdefault(part, {})[key] = _value(name, given[name])
    client.post("/swarm/update", spec, version=str(before["Version"]["Index"]))
    click.echo("Swarm updated.")
    if given["autolock"] and not is_locking(before):
        tell_unlock_key(client)


command.params.append(not_yet("--external-ca", "external certificate authorities"))


def _value(name: str, given: Any) -> Any:  # noqa: ANN401 - each flag has its own
    if name not in _DURATIONS:
        return given
    try:
        return arguments.duration(given)
    except ValueError as error:
        flag = f"--{name.replace('_', '-')}"
        raise click.BadParameter(str(error), param_hint=flag) from None
