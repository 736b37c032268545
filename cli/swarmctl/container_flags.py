"""The flags of ``run``, ``create`` and ``container update`` into the bodies that the Engine API takes. Pure.

What was not given is not sent: its default is swarmd's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.swarmctl import arguments
from cli.swarmctl import container_arguments as forms
from cli.swarmctl.flag_tables import Collection, Setting, Spec, add, apply_settings, read

_Reader = Callable[[str], Any]
_HOST = ("HostConfig",)
_HEALTH = ("Healthcheck",)


def _limit(flag: str, key: str, reader: _Reader, text: str, short: str = "") -> Setting:
    return Setting(flag=flag, path=(*_HOST, key), read=reader, help=text, short=short)


LIMITS: tuple[Setting, ...] = (
    _limit("memory", "Memory", arguments.size, "most memory, as 64m", "m"),
    _limit("memory-reservation", "MemoryReservation", arguments.size, "memory when it is scarce"),
    _limit("memory-swap", "MemorySwap", arguments.swap, "memory and swap together; -1 unlimited"),
    _limit("cpus", "NanoCpus", arguments.cpus, "most CPUs, as 0.5"),
    _limit("cpu-shares", "CpuShares", arguments.count, "relative weight (1024)", "c"),
    _limit("cpu-period", "CpuPeriod", arguments.count, "microseconds of the quota's period"),
    _limit("cpu-quota", "CpuQuota", arguments.whole, "microseconds of CPU in each period"),
    _limit("cpu-rt-period", "CpuRealtimePeriod", arguments.count, "of real-time processes"),
    _limit("cpu-rt-runtime", "CpuRealtimeRuntime", arguments.count, "of real-time processes"),
    _limit("cpuset-cpus", "CpusetCpus", str, "the CPUs it may use, as 0-2,5"),
    _limit("cpuset-mems", "CpusetMems", str, "the memory nodes it may use"),
    _limit("blkio-weight", "BlkioWeight", arguments.count, "relative weight, 10 to 1000"),
    _limit("pids-limit", "PidsLimit", arguments.whole, "most processes; -1 unlimited"),
    _limit("restart", "RestartPolicy", forms.restart_policy, "no, on-failure[:times], always, unless-stopped"),
)  # fmt: skip
"""Which may also be changed afterwards."""


def _text(flag: str, path: tuple[str, ...], text: str, short: str = "") -> Setting:
    return Setting(flag=flag, path=path, help=text, short=short)


def _switch(flag: str, path: tuple[str, ...], text: str, short: str = "") -> Setting:
    return Setting(flag=flag, path=path, help=text, short=short, is_switch=True)


def _duration(flag: str, key: str, text: str) -> Setting:
    return Setting(flag=flag, path=(*_HEALTH, key), read=arguments.duration, help=text)


SETTINGS: tuple[Setting, ...] = (
    *LIMITS,
    _text("hostname", ("Hostname",), "the container's host name", "h"),
    _text("domainname", ("Domainname",), "its NIS domain"),
    _text("user", ("User",), "user or uid, with :group", "u"),
    _text("workdir", ("WorkingDir",), "working directory in the container", "w"),
    _text("stop-signal", ("StopSignal",), "signal that asks it to stop"),
    Setting(flag="stop-timeout", path=("StopTimeout",), read=arguments.whole, help="seconds until it is killed (10)"),
    _switch("tty", ("Tty",), "give it a terminal", "t"),
    _switch("interactive", ("OpenStdin",), "keep its standard input open", "i"),
    _switch("rm", (*_HOST, "AutoRemove"), "remove it and its anonymous volumes when it ends"),
    _switch("privileged", (*_HOST, "Privileged"), "all rights of the host's root"),
    _switch("read-only", (*_HOST, "ReadonlyRootfs"), "read-only root file system"),
    _switch("init", (*_HOST, "Init"), "run an init that forwards signals and reaps processes"),
    _switch("publish-all", (*_HOST, "PublishAllPorts"), "publish what it exposes at free ports", "P"),
    _switch("oom-kill-disable", (*_HOST, "OomKillDisable"), "let it wait instead when out of memory"),
    Setting(flag="oom-score-adj", path=(*_HOST, "OomScoreAdj"), read=arguments.whole, help="-1000 to 1000"),
    Setting(flag="memory-swappiness", path=(*_HOST, "MemorySwappiness"), read=forms.swappiness, help="0 to 100"),
    Setting(flag="kernel-memory", path=(*_HOST, "KernelMemory"), read=arguments.size, help="most kernel memory"),
    Setting(flag="shm-size", path=(*_HOST, "ShmSize"), read=arguments.size, help="of /dev/shm (64m)"),
    _text("runtime", (*_HOST, "Runtime"), "what runs it: swarmd's own, crun, runc, …"),
    _text("isolation", (*_HOST, "Isolation"), "isolation technology"),
    _text("cgroup-parent", (*_HOST, "CgroupParent"), "the control group above its own"),
    _text("cgroupns", (*_HOST, "CgroupnsMode"), "host or private"),
    _text("ipc", (*_HOST, "IpcMode"), "none, private, shareable, host or container:NAME"),
    _text("pid", (*_HOST, "PidMode"), "host or container:NAME"),
    _text("uts", (*_HOST, "UTSMode"), "host"),
    _text("userns", (*_HOST, "UsernsMode"), "host"),
    _text("volume-driver", (*_HOST, "VolumeDriver"), "of volumes that are made for it"),
    _text("log-driver", (*_HOST, "LogConfig", "Type"), "where its output goes"),
    _text("cidfile", (*_HOST, "ContainerIDFile"), "write its id to this file, which must not exist"),
    Setting(flag="health-cmd", path=(*_HEALTH, "Test"), read=lambda text: ["CMD-SHELL", text],
            help="shell line that tells whether it is healthy"),
    _duration("health-interval", "Interval", "between checks (30s)"),
    _duration("health-timeout", "Timeout", "of one check (30s)"),
    _duration("health-start-period", "StartPeriod", "time at the start in which failures do not count"),
    _duration("health-start-interval", "StartInterval", "between checks in that time (5s)"),
    Setting(flag="health-retries", path=(*_HEALTH, "Retries"), read=arguments.count, help="failures it takes (3)"),
    Setting(flag="no-healthcheck", path=(*_HEALTH, "Test"), read=lambda _text: ["NONE"], is_switch=True,
            help="switch off the image's healthcheck"),
)  # fmt: skip


def _list(
    flag: str, path: tuple[str, ...], text: str, reader: _Reader = str, short: str = ""
) -> Collection:
    return Collection(flag=flag, path=path, help=text, read=reader, short=short)


def _map(
    flag: str,
    path: tuple[str, ...],
    text: str,
    reader: _Reader = arguments.key_value,
    short: str = "",
) -> Collection:
    return Collection(flag=flag, path=path, help=text, read=reader, is_map=True, short=short)


COLLECTIONS: tuple[Collection, ...] = (
    Collection(flag="env", short="e", path=("Env",), key=lambda item: item.partition("=")[0],
               help="an environment variable, NAME=value; NAME alone takes yours"),
    _map("label", ("Labels",), "a label", short="l"),
    _map("annotation", (*_HOST, "Annotations"), "an annotation for the runtime"),
    _map("sysctl", (*_HOST, "Sysctls"), "a kernel setting of its own"),
    _map("tmpfs", (*_HOST, "Tmpfs"), "a directory in memory, path[:options]", forms.tmpfs),
    _map("log-opt", (*_HOST, "LogConfig", "Config"), "an option of the log driver", forms.log_option),
    _map("storage-opt", (*_HOST, "StorageOpt"), "an option of its file system"),
    Collection(flag="expose", path=("ExposedPorts",), read=forms.expose, is_map=True, many=True,
               help="a port or range that it listens on"),
    _list("mount", (*_HOST, "Mounts"), "type=bind|volume|tmpfs,source=…,target=…[,readonly]", arguments.mount),
    _list("add-host", (*_HOST, "ExtraHosts"), "a line of /etc/hosts, name:address", forms.extra_host),
    _list("dns", (*_HOST, "Dns"), "a name server"),
    _list("dns-search", (*_HOST, "DnsSearch"), "a search domain"),
    _list("dns-option", (*_HOST, "DnsOptions"), "an option of resolv.conf"),
    _list("cap-add", (*_HOST, "CapAdd"), "a Linux capability to add"),
    _list("cap-drop", (*_HOST, "CapDrop"), "a Linux capability to drop"),
    _list("group-add", (*_HOST, "GroupAdd"), "a further group of its user"),
    Collection(flag="ulimit", path=(*_HOST, "Ulimits"), read=arguments.ulimit, key=lambda item: item["Name"],
               help="name=soft[:hard]"),
    _list("volumes-from", (*_HOST, "VolumesFrom"), "the volumes of another container"),
    _list("link", (*_HOST, "Links"), "a link to another container"),
    _list("device-cgroup-rule", (*_HOST, "DeviceCgroupRules"), "a rule for devices, as 'c 1:3 rwm'"),
    _list("blkio-weight-device", (*_HOST, "BlkioWeightDevice"), "/dev/path:weight", forms.weight_device),
    _list("device-read-bps", (*_HOST, "BlkioDeviceReadBps"), "/dev/path:bytes a second", forms.rate_bytes),
    _list("device-write-bps", (*_HOST, "BlkioDeviceWriteBps"), "/dev/path:bytes a second", forms.rate_bytes),
    _list("device-read-iops", (*_HOST, "BlkioDeviceReadIOps"), "/dev/path:number a second", forms.rate_operations),
    _list("device-write-iops", (*_HOST, "BlkioDeviceWriteIOps"), "/dev/path:number a second", forms.rate_operations),
)  # fmt: skip

SPECIAL: Mapping[str, tuple[str, str]] = {
    "publish": ("p", "a port on this node: [address:]published:target[/protocol]"),
    "volume": ("v", "a directory or volume: [source:]target[:options]"),
    "device": ("", "a device of the host, path[:path[:rwm]], or vendor.com/class=name (CDI)"),
    "security-opt": ("", "no-new-privileges, seccomp=FILE|unconfined, systempaths=unconfined, …"),
    "network": ("", "the network: bridge, host, none, container:NAME"),
    "network-alias": ("", "a further name on its network"),
    "link-local-ip": ("", "a link-local address"),
    "attach": ("a", "stdin, stdout or stderr, and nothing else"),
}
"""Collections that stand in several places of the body: flag, short name, help."""

SPECIAL_SETTINGS: Mapping[str, str] = {
    "entrypoint": "replaces the image's entrypoint; empty removes it",
    "gpus": "all, a number, or device=…: GPUs found by CDI",
    "ip": "its IPv4 address",
    "ip6": "its IPv6 address",
    "mac-address": "its Ethernet address",
}


def created(
    image: str, command: Sequence[str], given: Mapping[str, Any], directory: str = "/"
) -> Spec:
    """The body of ``POST /containers/create``.

    Args:
        image: The image.
        command: What replaces the image's command.
        given: The flags that were given, by name. The texts of files stand in place of their names.
        directory: What relative paths of volumes start from.

    Raises:
        ValueError: a flag is not of its form, or two exclude each other.
    """
    _refuse_conflicts(given)
    body: Spec = {"Image": image, "HostConfig": {}}
    if command:
        body["Cmd"] = list(command)
    apply_settings(body, SETTINGS, given)
    for collection in COLLECTIONS:
        add(body, collection, given.get(collection.flag, ()))
    if "Env" in body:  # the last one counts, as with docker
        body["Env"] = list({item.partition("=")[0]: item for item in body["Env"]}.values())
    _attach(body, given)
    if "entrypoint" in given:
        body["Entrypoint"] = [given["entrypoint"]]
    _publish(body, given.get("publish", ()))
    _volumes(body, given.get("volume", ()), directory)
    _devices(body["HostConfig"], given)
    _security(body["HostConfig"], given.get("security-opt", ()))
    _networks(body, given)
    return body


def updated(given: Mapping[str, Any]) -> Spec:
    """The body of ``POST /containers/{id}/update``."""
    body: Spec = {"HostConfig": {}}
    apply_settings(body, LIMITS, given)
    changes: Spec = body["HostConfig"]
    return changes


def _refuse_conflicts(given: Mapping[str, Any]) -> None:
    restart = str(given.get("restart", "no")).partition(":")[0]
    if given.get("rm") and restart not in ("no", ""):
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    if given.get("detach") and given.get("attach"):
        raise ValueError("conflicting options: cannot specify both --attach and --detach")
    if given.get("no-healthcheck") and any(name.startswith("health-") for name in given):
        raise ValueError("--no-healthcheck conflicts with --health-* options")


def _attach(body: Spec, given: Mapping[str, Any]) -> None:
    streams = {text.lower() for text in given.get("attach", ())}
    for name in streams - {"stdin", "stdout", "stderr"}:
        raise ValueError(f"invalid argument {name!r} for --attach: use stdin, stdout or stderr")
    if given.get("detach"):
        return
    if not streams:
        streams = {"stdout", "stderr"}
    if given.get("interactive"):
        streams.add("stdin")
    for name in sorted(streams):
        body[f"Attach{name.capitalize()}"] = True
    if given.get("interactive"):
        body["StdinOnce"] = True


def _publish(body: Spec, texts: Sequence[str]) -> None:
    for text in texts:
        for port, binding in read("publish", forms.publish, text):
            body.setdefault("ExposedPorts", {})[port] = {}
            body["HostConfig"].setdefault("PortBindings", {}).setdefault(port, []).append(binding)


def _volumes(body: Spec, texts: Sequence[str], directory: str) -> None:
    for text in texts:
        source, colon, rest = text.partition(":")
        if not colon:
            body.setdefault("Volumes", {})[text] = {}
            continue
        if not source or not rest.startswith("/"):
            raise ValueError(f"--volume: invalid volume {text!r}: use [source:]/target[:options]")
        if source in (".", "..") or source.startswith(("./", "../")):
            source = _absolute(directory, source)
        body["HostConfig"].setdefault("Binds", []).append(f"{source}:{rest}")


def _absolute(directory: str, path: str) -> str:
    parts = [part for part in directory.split("/") if part]
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _devices(host: Spec, given: Mapping[str, Any]) -> None:
    names = [text for text in given.get("device", ()) if forms.is_cdi_name(text)]
    paths = [text for text in given.get("device", ()) if text not in names]
    if paths:
        host["Devices"] = [read("device", forms.device, text) for text in paths]
    requests = [{"Driver": "cdi", "DeviceIDs": names}] if names else []
    if given.get("gpus"):
        requests.append(read("gpus", forms.gpus, given["gpus"]))
    if requests:
        host["DeviceRequests"] = requests


def _security(host: Spec, texts: Sequence[str]) -> None:
    if "systempaths=unconfined" in texts:
        host["MaskedPaths"], host["ReadonlyPaths"] = [], []
    options = [text for text in texts if text != "systempaths=unconfined"]
    if options:
        host["SecurityOpt"] = options


def _networks(body: Spec, given: Mapping[str, Any]) -> None:
    networks = dict(read("network", forms.network, text) for text in given.get("network", ()))
    first = next(iter(networks), "default")
    end = dict(networks.get(first, {}))
    for flag, path in (("ip", "IPv4Address"), ("ip6", "IPv6Address")):
        if given.get(flag):
            end["IPAMConfig"] = {**end.get("IPAMConfig", {}), path: given[flag]}
    if given.get("link-local-ip"):
        local = list(given["link-local-ip"])
        end["IPAMConfig"] = {**end.get("IPAMConfig", {}), "LinkLocalIPs": local}
    if given.get("network-alias"):
        end["Aliases"] = [*end.get("Aliases", []), *given["network-alias"]]
    if given.get("mac-address"):
        end["MacAddress"] = given["mac-address"]
    if networks:
        body["HostConfig"]["NetworkMode"] = first
    ends = {**networks, first: end}
    if len(networks) > 1 or end:
        body["NetworkingConfig"] = {"EndpointsConfig": ends}
