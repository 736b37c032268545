"""The flags of ``service create`` and ``service update`` as tables: each says where it stands in the service's spec.

A setting has one value; ``create`` and ``update`` share it. A collection is given whole at creation (``--env``) and
changed item by item afterwards (``--env-add``, ``--env-rm``). ``created`` and ``updated`` are pure.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.swarmctl import arguments
from cli.swarmctl.flag_tables import Collection, Setting, Spec, add, apply_settings, remove
from common.disconnect import STOP_AFTER_LABEL

_TASK = ("TaskTemplate",)
_CONTAINER = (*_TASK, "ContainerSpec")
_LIMITS = (*_TASK, "Resources", "Limits")
_RESERVATIONS = (*_TASK, "Resources", "Reservations")
_RESTART = (*_TASK, "RestartPolicy")
_PLACEMENT = (*_TASK, "Placement")
_HEALTH = (*_CONTAINER, "Healthcheck")


def _rollout(prefix: str, section: str, noun: str) -> tuple[Setting, ...]:
    def setting(
        name: str, key: str, read: Callable[[str], Any], text: str, *choices: str
    ) -> Setting:
        return Setting(
            flag=f"{prefix}-{name}",
            path=(section, key),
            read=read,
            help=f"{noun}: {text}",
            choices=choices,
        )

    actions = ("pause", "continue", "rollback") if prefix == "update" else ("pause", "continue")
    return (
        setting("parallelism", "Parallelism", arguments.count, "tasks at a time; 0 is all at once"),
        setting("delay", "Delay", arguments.duration, "pause between tasks"),
        setting(
            "monitor",
            "Monitor",
            arguments.duration,
            "how long a task that ends counts as a failure",
        ),
        setting("failure-action", "FailureAction", str, "what to do when it fails", *actions),
        setting(
            "max-failure-ratio", "MaxFailureRatio", arguments.ratio, "failed part that is tolerated"
        ),
        setting(
            "order",
            "Order",
            str,
            "which of the two copies comes first",
            "start-first",
            "stop-first",
        ),
    )


SETTINGS: tuple[Setting, ...] = (
    Setting(flag="user", short="u", path=(*_CONTAINER, "User"), help="user or uid, with :group"),
    Setting(
        flag="workdir",
        short="w",
        path=(*_CONTAINER, "Dir"),
        help="working directory in the container",
    ),
    Setting(flag="hostname", path=(*_CONTAINER, "Hostname"), help="the container's host name"),
    Setting(
        flag="entrypoint",
        path=(*_CONTAINER, "Command"),
        read=arguments.command,
        help="replaces the image's entrypoint",
    ),
    Setting(
        flag="stop-signal",
        path=(*_CONTAINER, "StopSignal"),
        help="signal that asks the container to stop",
    ),
    Setting(
        flag="stop-grace-period",
        path=(*_CONTAINER, "StopGracePeriod"),
        read=arguments.duration,
        help="how long it may take to stop before it is killed (10s)",
    ),
    Setting(
        flag="disconnect-stop-after",
        path=("Labels", STOP_AFTER_LABEL),
        read=arguments.duration_as_written,
        help="stop tasks whose node has had no manager for so long, and only then replace them",
    ),
    Setting(
        flag="read-only",
        path=(*_CONTAINER, "ReadOnly"),
        is_switch=True,
        help="read-only root file system",
    ),
    Setting(
        flag="tty", short="t", path=(*_CONTAINER, "TTY"), is_switch=True, help="give it a terminal"
    ),
    Setting(
        flag="init",
        path=(*_CONTAINER, "Init"),
        is_switch=True,
        help="run an init that reaps processes",
    ),
    Setting(flag="isolation", path=(*_CONTAINER, "Isolation"), help="isolation technology"),
    Setting(
        flag="oom-score-adj",
        path=(*_CONTAINER, "OomScoreAdj"),
        read=arguments.count,
        help="preference of the OOM killer",
    ),
    Setting(
        flag="limit-cpu", path=(*_LIMITS, "NanoCPUs"), read=arguments.cpus, help="most CPUs, as 0.5"
    ),
    Setting(
        flag="limit-memory",
        path=(*_LIMITS, "MemoryBytes"),
        read=arguments.size,
        help="most memory, as 64m",
    ),
    Setting(
        flag="limit-pids",
        path=(*_LIMITS, "Pids"),
        read=arguments.count,
        help="most processes; 0 is unlimited",
    ),
    Setting(
        flag="reserve-cpu",
        path=(*_RESERVATIONS, "NanoCPUs"),
        read=arguments.cpus,
        help="CPUs to reserve",
    ),
    Setting(
        flag="reserve-memory",
        path=(*_RESERVATIONS, "MemoryBytes"),
        read=arguments.size,
        help="memory to reserve",
    ),
    Setting(
        flag="memory-swap",
        path=(*_TASK, "Resources", "SwapBytes"),
        read=arguments.size,
        help="swap, as 64m",
    ),
    Setting(
        flag="memory-swappiness",
        path=(*_TASK, "Resources", "MemorySwappiness"),
        read=arguments.count,
        help="0 to 100",
    ),
    Setting(
        flag="restart-condition",
        path=(*_RESTART, "Condition"),
        choices=("none", "on-failure", "any"),
        help="after which ends to start again (any)",
    ),
    Setting(
        flag="restart-delay",
        path=(*_RESTART, "Delay"),
        read=arguments.duration,
        help="pause before (5s)",
    ),
    Setting(
        flag="restart-max-attempts",
        path=(*_RESTART, "MaxAttempts"),
        read=arguments.count,
        help="how often before giving up",
    ),
    Setting(
        flag="restart-window",
        path=(*_RESTART, "Window"),
        read=arguments.duration,
        help="time in which attempts count",
    ),
    Setting(
        flag="replicas-max-per-node",
        path=(*_PLACEMENT, "MaxReplicas"),
        read=arguments.count,
        help="0 is unlimited",
    ),
    Setting(
        flag="endpoint-mode",
        path=("EndpointSpec", "Mode"),
        choices=("vip", "dnsrr"),
        help="how its name resolves",
    ),
    Setting(flag="log-driver", path=(*_TASK, "LogDriver", "Name"), help="where its output goes"),
    Setting(
        flag="health-cmd",
        path=(*_HEALTH, "Test"),
        read=lambda text: ["CMD-SHELL", text],
        help="shell line that tells whether it is healthy",
    ),
    Setting(
        flag="health-interval",
        path=(*_HEALTH, "Interval"),
        read=arguments.duration,
        help="between checks (30s)",
    ),
    Setting(
        flag="health-timeout",
        path=(*_HEALTH, "Timeout"),
        read=arguments.duration,
        help="of one check (30s)",
    ),
    Setting(
        flag="health-retries",
        path=(*_HEALTH, "Retries"),
        read=arguments.count,
        help="failures until unhealthy (3)",
    ),
    Setting(
        flag="health-start-period",
        path=(*_HEALTH, "StartPeriod"),
        read=arguments.duration,
        help="time at the start in which failures do not count",
    ),
    Setting(
        flag="health-start-interval",
        path=(*_HEALTH, "StartInterval"),
        read=arguments.duration,
        help="between checks during the start period (5s)",
    ),
    Setting(
        flag="no-healthcheck",
        path=(*_HEALTH, "Test"),
        read=lambda _text: ["NONE"],
        is_switch=True,
        help="switch off the image's healthcheck",
    ),
    *_rollout("update", "UpdateConfig", "updates"),
    *_rollout("rollback", "RollbackConfig", "rollbacks"),
)


def _map(flag: str, path: tuple[str, ...], text: str, short: str = "") -> Collection:
    return Collection(
        flag=flag, path=path, read=arguments.key_value, is_map=True, help=text, short=short
    )


def _port_target(text: str) -> int:
    number, _, _protocol = text.partition("/")
    return int(arguments.ports(number)[0]["TargetPort"])


def _files(noun: str, section: str, read: Callable[[str], Any]) -> Collection:
    """Secrets or configs. ``service_files`` adds the ids of what is named."""
    name = f"{noun.title()}Name"
    return Collection(
        flag=noun,
        path=(*_CONTAINER, section),
        read=read,
        key=lambda item: (item[name], item["File"]["Name"]),
        removed_by=lambda item: item[name],
        help=f"a {noun}: NAME, or source=NAME[,target=…,uid=…,gid=…,mode=0400]",
    )


COLLECTIONS: tuple[Collection, ...] = (
    Collection(
        flag="env",
        short="e",
        path=(*_CONTAINER, "Env"),
        key=lambda item: item.partition("=")[0],
        help="an environment variable, NAME=value; NAME alone takes yours",
    ),
    _map("label", ("Labels",), "a label of the service", short="l"),
    _map("container-label", (*_CONTAINER, "Labels"), "a label of its containers"),
    Collection(
        flag="constraint",
        path=(*_PLACEMENT, "Constraints"),
        help="where it may run, as node.role==worker",
    ),
    Collection(
        flag="placement-pref",
        path=(*_PLACEMENT, "Preferences"),
        read=arguments.preference,
        remove_key=arguments.preference,
        help="where it should run, as spread=node.labels.rack",
    ),
    Collection(
        flag="mount",
        path=(*_CONTAINER, "Mounts"),
        read=arguments.mount,
        key=lambda item: item["Target"],
        help="type=bind|volume|tmpfs,source=…,target=…[,readonly]",
    ),
    _files("secret", "Secrets", arguments.secret),
    _files("config", "Configs", arguments.config),
    Collection(
        flag="publish",
        short="p",
        path=("EndpointSpec", "Ports"),
        read=arguments.ports,
        many=True,
        key=lambda item: item["TargetPort"],
        remove_key=_port_target,
        help="a port on every node: published:target[/protocol]",
    ),
    Collection(
        flag="host",
        path=(*_CONTAINER, "Hosts"),
        read=arguments.host,
        remove_key=arguments.host,
        help="a line of /etc/hosts, name:address",
    ),
    Collection(flag="dns", path=(*_CONTAINER, "DNSConfig", "Nameservers"), help="a name server"),
    Collection(
        flag="dns-search", path=(*_CONTAINER, "DNSConfig", "Search"), help="a search domain"
    ),
    Collection(
        flag="dns-option",
        path=(*_CONTAINER, "DNSConfig", "Options"),
        help="an option of resolv.conf",
    ),
    Collection(
        flag="group", path=(*_CONTAINER, "Groups"), help="a further group of the container's user"
    ),
    _map("sysctl", (*_CONTAINER, "Sysctls"), "a kernel setting of the container"),
    Collection(
        flag="ulimit",
        path=(*_CONTAINER, "Ulimits"),
        read=arguments.ulimit,
        key=lambda item: item["Name"],
        help="name=soft[:hard]",
    ),
    Collection(
        flag="generic-resource",
        path=(*_RESERVATIONS, "GenericResources"),
        read=arguments.generic_resource,
        key=lambda item: next(iter(item.values()))["Kind"],
        help="a resource of your own, kind=value",
    ),
)

APPENDED: tuple[Collection, ...] = (
    Collection(
        flag="cap-add", path=(*_CONTAINER, "CapabilityAdd"), help="a Linux capability to add"
    ),
    Collection(
        flag="cap-drop", path=(*_CONTAINER, "CapabilityDrop"), help="a Linux capability to drop"
    ),
    _map("log-opt", (*_TASK, "LogDriver", "Options"), "an option of the log driver"),
)
"""Named the same at creation and in updates."""


def created(name: str, image: str, args: Sequence[str], given: Mapping[str, Any]) -> Spec:
    """The spec of a new service out of the flags given (by their names)."""
    spec: Spec = {
        "Labels": {},
        "TaskTemplate": {"ContainerSpec": {"Image": image}},
        "Mode": _mode(given),
    }
    if name:
        spec["Name"] = name
    if args:
        spec["TaskTemplate"]["ContainerSpec"]["Args"] = list(args)
    _apply_settings(spec, given)
    for collection in (*COLLECTIONS, *APPENDED):
        add(spec, collection, given.get(collection.flag, ()))
    return spec


def updated(spec: Spec, given: Mapping[str, Any]) -> Spec:
    """The spec with the flags given applied; the former spec stays as it is."""
    spec = copy.deepcopy(spec)
    container = spec.setdefault("TaskTemplate", {}).setdefault("ContainerSpec", {})
    if "image" in given:
        container["Image"] = given["image"]
    if "args" in given:
        container["Args"] = arguments.command(given["args"])
    if given.get("force"):
        spec["TaskTemplate"]["ForceUpdate"] = spec["TaskTemplate"].get("ForceUpdate", 0) + 1
    if "replicas" in given:
        spec["Mode"] = with_replicas(spec, given["replicas"])
    _apply_settings(spec, given)
    for collection in COLLECTIONS:
        remove(spec, collection, given.get(f"{collection.flag}-rm", ()))
        add(spec, collection, given.get(f"{collection.flag}-add", ()))
    for collection in APPENDED:
        add(spec, collection, given.get(collection.flag, ()))
    return spec


def with_replicas(spec: Spec, replicas: int) -> dict[str, Any]:
    """The service's mode with another number of replicas.

    Raises:
        ValueError: the service is not replicated.
    """
    if "Replicated" not in spec.get("Mode", {}):
        raise ValueError("replicas can only be used with replicated mode")
    return {"Replicated": {"Replicas": replicas}}


def _mode(given: Mapping[str, Any]) -> dict[str, Any]:
    mode = given.get("mode", "replicated")
    if mode == "replicated":
        return {"Replicated": {"Replicas": given.get("replicas", 1)}}
    if "replicas" in given and mode == "global":
        raise ValueError("replicas can only be used with replicated or replicated-job mode")
    if mode == "global":
        return {"Global": {}}
    if mode == "replicated-job":
        total = given.get("replicas", 1)
        return {
            "ReplicatedJob": {
                "MaxConcurrent": given.get("max-concurrent", total),
                "TotalCompletions": total,
            }
        }
    return {"GlobalJob": {}}


def _apply_settings(spec: Spec, given: Mapping[str, Any]) -> None:
    apply_settings(spec, SETTINGS, given)
    for section in ("UpdateConfig", "RollbackConfig"):
        if section in spec:  # as docker: what is left unsaid would be 0, all at once
            spec[section].setdefault("Parallelism", 1)
    if given.get("no-healthcheck") and any(name.startswith("health-") for name in given):
        raise ValueError("--no-healthcheck conflicts with --health-* options")
