"""``service inspect --pretty``: a service in readable text, in docker's order. Pure."""

from collections.abc import Iterator
from typing import Any

from cli.swarmctl.shown import ago, go_duration

_NANO = 1e9


def pretty_service(service: dict[str, Any], now: float) -> str:
    """A service in readable text; ``now`` is what ages are counted to."""
    return "\n".join(_lines(service, now))


def _lines(service: dict[str, Any], now: float) -> Iterator[str]:
    spec = service["Spec"]
    container = spec["TaskTemplate"].get("ContainerSpec", {})
    mode, settings = next(iter(spec["Mode"].items()))
    yield f"\nID:\t\t{service['ID']}"
    yield f"Name:\t\t{spec.get('Name', '')}"
    yield from _pairs("Labels:", spec.get("Labels"))
    yield f"Service Mode:\t{mode}"
    if mode == "Replicated":
        yield f" Replicas:\t{settings.get('Replicas', 1)}"
    yield from _update_status(service.get("UpdateStatus") or {}, now)
    yield from _placement(spec["TaskTemplate"].get("Placement") or {})
    yield from _rollout("UpdateConfig:", spec.get("UpdateConfig"))
    yield from _rollout("RollbackConfig:", spec.get("RollbackConfig"))
    yield "ContainerSpec:"
    yield f" Image:\t\t{container.get('Image', '')}"
    for key, name in (
        ("Args", "Args"),
        ("Command", "Command"),
        ("Env", "Env"),
        ("User", "User"),
        ("Dir", "Dir"),
    ):
        if container.get(key):
            value = container[key]
            yield f" {name}:\t\t{' '.join(value) if isinstance(value, list) else value}"
    yield from _mounts(container.get("Mounts") or [])
    yield from _resources(spec["TaskTemplate"].get("Resources") or {})
    yield f"Endpoint Mode:\t{(service.get('Endpoint', {}).get('Spec') or {}).get('Mode', 'vip')}"
    ports = service.get("Endpoint", {}).get("Ports") or []
    if ports:
        yield "Ports:"
    for port in ports:
        yield f" PublishedPort = {port.get('PublishedPort', 0)}"
        yield f"  Protocol = {port.get('Protocol', 'tcp')}"
        yield f"  TargetPort = {port.get('TargetPort', 0)}"
        yield f"  PublishMode = {port.get('PublishMode', 'ingress')}"


def _pairs(title: str, items: dict[str, str] | None) -> Iterator[str]:
    if items:
        yield title
        yield from (f" {key}={value}" for key, value in sorted(items.items()))


def _update_status(status: dict[str, Any], now: float) -> Iterator[str]:
    if status:
        yield "UpdateStatus:"
        yield f" State:\t\t{status.get('State', '')}"
        for key, title in (("StartedAt", "Started:"), ("CompletedAt", "Completed:")):
            if status.get(key):
                yield f" {title}\t{ago(status[key], now)}"
        yield f" Message:\t{status.get('Message', '')}"


def _placement(placement: dict[str, Any]) -> Iterator[str]:
    if placement.get("Constraints") or placement.get("MaxReplicas"):
        yield "Placement:"
    if placement.get("Constraints"):
        yield f" Constraints:\t[{', '.join(placement['Constraints'])}]"
    if placement.get("MaxReplicas"):
        yield f" Max Replicas Per Node:\t{placement['MaxReplicas']}"


def _rollout(title: str, config: dict[str, Any] | None) -> Iterator[str]:
    if config:
        yield title
        yield f" Parallelism:\t{config.get('Parallelism', 1)}"
        if config.get("Delay"):
            yield f" Delay:\t\t{go_duration(config['Delay'])}"
        yield f" On failure:\t{config.get('FailureAction', 'pause')}"
        if config.get("Monitor"):
            yield f" Monitoring Period: {go_duration(config['Monitor'])}"
        yield f" Max failure ratio: {config.get('MaxFailureRatio', 0):g}"
        order = "Update order:" if title == "UpdateConfig:" else "Rollback order:"
        yield f" {order:<18} {config.get('Order', 'stop-first')}"


def _mounts(mounts: list[dict[str, Any]]) -> Iterator[str]:
    if mounts:
        yield "Mounts:"
    for mount in mounts:
        yield f" Target:\t{mount['Target']}"
        yield f"  Source:\t{mount.get('Source', '')}"
        yield f"  ReadOnly:\t{str(mount.get('ReadOnly', False)).lower()}"
        yield f"  Type:\t\t{mount.get('Type', 'volume')}"


def _resources(resources: dict[str, Any]) -> Iterator[str]:
    yield "Resources:"
    for key in ("Reservations", "Limits"):
        amount = resources.get(key) or {}
        if any(amount.get(name) for name in ("NanoCPUs", "MemoryBytes", "Pids")):
            yield f" {key}:"
        if amount.get("NanoCPUs"):
            yield f"  CPU:\t\t{amount['NanoCPUs'] / _NANO:g}"
        if amount.get("MemoryBytes"):
            yield f"  Memory:\t{amount['MemoryBytes'] / 2**20:g}MiB"
        if amount.get("Pids"):
            yield f"  Pids:\t\t{amount['Pids']}"
