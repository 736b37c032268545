"""What people type for the ports, volumes and devices of one container, into what the Engine API takes. Pure.

Every function raises ``ValueError`` with a sentence when the text is not of its form.
"""

import csv
import re
from collections.abc import Callable
from typing import Any

from cli.swarmctl.arguments import MAX_PORT, MAX_PORTS_IN_RANGE, count, size, whole

_PROTOCOLS = ("tcp", "udp", "sctp")
_CDI_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)=[\w.:-]+")
_RESTART_NAMES = ("no", "always", "unless-stopped", "on-failure")
_MODES = re.compile(r"[rwm]{1,3}")

# ------------------------------------------------------------------------------------------- ports

Published = tuple[str, dict[str, str]]
"""A port of the container ("80/tcp") and where it is published."""


def publish(text: str) -> list[Published]:
    """``[[address:]port[-port]:]port[-port][/protocol]``, or ``published=…,target=…[,protocol=…]``."""
    address, host, target, protocol = _long(text) if "=" in text else _parts(text)
    targets = port_range(target, text)
    if not host:
        return [(f"{port}/{protocol}", {"HostIp": address, "HostPort": ""}) for port in targets]
    hosts = port_range(host, text)
    if len(targets) == 1 and len(hosts) > 1:  # any free one of them
        return [(f"{target}/{protocol}", {"HostIp": address, "HostPort": host})]
    if len(targets) != len(hosts):
        raise ValueError(f"invalid port {text!r}: the two ranges differ in length")
    return [
        (f"{inner}/{protocol}", {"HostIp": address, "HostPort": str(outer)})
        for outer, inner in zip(hosts, targets, strict=True)
    ]


def _long(text: str) -> tuple[str, str, str, str]:
    given: dict[str, str] = {}
    for item in text.split(","):
        key, _, value = item.partition("=")
        if key not in ("published", "target", "protocol", "mode", "name", "app_protocol"):
            raise ValueError(f"invalid port {text!r}: unknown field {key!r}")
        given[key] = value
    if not given.get("target"):
        raise ValueError(f"invalid port {text!r}: target is missing")
    return "", given.get("published", ""), given["target"], _protocol(given.get("protocol"), text)


def _parts(text: str) -> tuple[str, str, str, str]:
    rest, _, protocol = text.partition("/")
    rest, _, target = rest.rpartition(":")
    address, _, host = rest.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise ValueError(f"invalid port {text!r}: an IPv6 address stands in brackets")
    return address, host, target, _protocol(protocol, text)


def _protocol(name: str | None, text: str) -> str:
    protocol = (name or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise ValueError(f"invalid port {text!r}: the protocol is tcp, udp or sctp")
    return protocol


def port_range(numbers: str, text: str) -> list[int]:
    """``80`` or ``80-82``; ``text`` is what the error names."""
    first, dash, last = numbers.partition("-")
    ends = [first, last] if dash else [first]
    if not all(end.isdecimal() and 0 < int(end) <= MAX_PORT for end in ends):
        raise ValueError(f"invalid port {text!r}: use 1 to {MAX_PORT}")
    start, end = int(ends[0]), int(ends[-1])
    if not 0 <= end - start < MAX_PORTS_IN_RANGE:
        raise ValueError(f"invalid port range {text!r}")
    return list(range(start, end + 1))


def expose(text: str) -> list[tuple[str, dict[str, str]]]:
    """``80[-90][/protocol]``: ports that the container has, as a map's items."""
    numbers, _, name = text.partition("/")
    protocol = _protocol(name, text)
    return [(f"{port}/{protocol}", {}) for port in port_range(numbers, text)]


# ---------------------------------------------------------------------------------------- devices


def device(text: str) -> dict[str, str]:
    """``host[:container[:rwm]]``."""
    host, _, rest = text.partition(":")
    inside, _, mode = rest.partition(":")
    if not mode and _MODES.fullmatch(inside):
        inside, mode = "", inside
    if not host or (mode and not _MODES.fullmatch(mode)):
        raise ValueError(f"invalid device {text!r}: use host[:container[:rwm]]")
    return {
        "PathOnHost": host,
        "PathInContainer": inside or host,
        "CgroupPermissions": mode or "rwm",
    }


def is_cdi_name(text: str) -> bool:
    """Whether a device is named by what it is ("vendor.com/class=name"), not by a path."""
    return _CDI_NAME.fullmatch(text) is not None


def gpus(text: str) -> dict[str, Any]:
    """``all``, a number, or ``count=…,device=…,capabilities=…,driver=…,options=…`` with quotes around lists."""
    request: dict[str, Any] = {"Driver": "", "Count": 0, "Options": {}}
    capabilities = ["gpu"]
    for item in next(csv.reader([text]), []):
        key, _, value = item.partition("=") if "=" in item else ("count", "", item)
        if key == "capabilities":
            capabilities += [word for word in value.split(",") if word != "gpu"]
        elif key in _GPU_FIELDS:
            name, reader = _GPU_FIELDS[key]
            request[name] = reader(value)
        else:
            raise ValueError(f"invalid GPU request {text!r}: unknown field {key!r}")
    if "DeviceIDs" in request and request["Count"]:
        raise ValueError(f"invalid GPU request {text!r}: count and device exclude each other")
    if "DeviceIDs" not in request and not request["Count"]:
        request["Count"] = 1
    return {**request, "Capabilities": [capabilities]}


_GPU_FIELDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "count": ("Count", lambda value: -1 if value == "all" else whole(value)),
    "device": ("DeviceIDs", lambda value: value.split(",")),
    "driver": ("Driver", str),
    "options": (
        "Options",
        lambda value: dict(pair.partition("=")[::2] for pair in next(csv.reader([value]), [])),
    ),
}


def weight_device(text: str) -> dict[str, Any]:
    """``path:weight``."""
    path, value = _of_device(text)
    return {"Path": path, "Weight": count(value)}


def rate_bytes(text: str) -> dict[str, Any]:
    """``path:bytes``, as /dev/sda:1mb."""
    path, value = _of_device(text)
    return {"Path": path, "Rate": size(value)}


def rate_operations(text: str) -> dict[str, Any]:
    """``path:number``."""
    path, value = _of_device(text)
    return {"Path": path, "Rate": count(value)}


def _of_device(text: str) -> tuple[str, str]:
    path, colon, value = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise ValueError(f"invalid value {text!r}: use /dev/path:value")
    return path, value


# ----------------------------------------------------------------------------------------- others


def restart_policy(text: str) -> dict[str, Any]:
    """``no``, ``always``, ``unless-stopped`` or ``on-failure[:times]``."""
    name, colon, times = text.partition(":")
    if name not in _RESTART_NAMES or (colon and not times):
        raise ValueError(
            f"invalid restart policy {text!r}: use no, always, unless-stopped or on-failure[:times]"
        )
    if times and name != "on-failure":
        raise ValueError("invalid restart policy: only on-failure has a maximum of retries")
    return {"Name": name, "MaximumRetryCount": count(times) if times else 0}


def tmpfs(text: str) -> tuple[str, str]:
    """``path[:options]``."""
    path, _, options = text.partition(":")
    if not path.startswith("/"):
        raise ValueError(f"invalid tmpfs {text!r}: the path begins with /")
    return path, options


def extra_host(text: str) -> str:
    """``name:address`` or ``name=address``; an IPv6 address may stand in brackets."""
    name, sign, address = text.partition("=" if "=" in text else ":")
    if not name or not sign or not address:
        raise ValueError(f"bad format for add-host: {text!r}: use name:address")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return f"{name}:{address}"


def network(text: str) -> tuple[str, dict[str, Any]]:
    """``NAME``, or ``name=…,alias=…,ip=…,ip6=…,mac-address=…,driver-opt=…,link-local-ip=…,gw-priority=…``."""
    if "=" not in text:
        return text, {}
    name, end = "", dict[str, Any]()
    for item in text.split(","):
        key, _, value = item.partition("=")
        if key == "name":
            name = value
        else:
            _endpoint_field(end, key, value, text)
    if not name:
        raise ValueError(f"invalid network {text!r}: name is missing")
    return name, end


def _endpoint_field(end: dict[str, Any], key: str, value: str, text: str) -> None:
    if key == "alias":
        end.setdefault("Aliases", []).append(value)
    elif key in ("ip", "ip6"):
        field = "IPv4Address" if key == "ip" else "IPv6Address"
        end.setdefault("IPAMConfig", {})[field] = value
    elif key == "link-local-ip":
        end.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
    elif key == "mac-address":
        end["MacAddress"] = value
    elif key == "gw-priority":
        end["GwPriority"] = whole(value)
    elif key == "driver-opt":
        name, _, setting = value.partition("=")
        end.setdefault("DriverOpts", {})[name] = setting
    else:
        raise ValueError(f"invalid network {text!r}: unknown field {key!r}")


def log_option(text: str) -> tuple[str, str]:
    """``key=value``."""
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise ValueError(f"invalid logging opt {text!r}: use key=value")
    return key, value


def swappiness(text: str) -> int:
    """-1 (the host's) to 100."""
    number = whole(text)
    if not -1 <= number <= 100:  # noqa: PLR2004 - per cent
        raise ValueError(f"invalid value: {number}. Valid memory swappiness range is 0-100")
    return number
