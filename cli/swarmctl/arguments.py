"""What people type for durations, sizes, ports and mounts, into what the Engine API takes. Pure.

Every function raises ``ValueError`` with a sentence when the text is not of its form.
"""

import re
import shlex
from collections.abc import Callable
from typing import Any

from common.durations import nanoseconds

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
NANO = 10**9
MAX_PORT = 65535
MAX_PORTS_IN_RANGE = 1000


def duration(text: str) -> int:
    """Go's durations ("1h30m", "1.5s", "10ms"; "0") in nanoseconds."""
    return nanoseconds(text)


def duration_as_written(text: str) -> str:
    """A duration that is kept in the words of the user."""
    duration(text)
    return text


def size(text: str) -> int:
    """Docker's sizes ("64m", "1.5g", "512") in bytes, in powers of 1024."""
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"invalid size {text!r}: use a number with b, k, m, g or t")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))


def swap(text: str) -> int:
    """Swap in bytes; -1 is unlimited."""
    return -1 if text == "-1" else size(text)


def whole(text: str) -> int:
    """A whole number, negative ones too."""
    if not re.fullmatch(r"[+-]?\d{1,19}", text):
        raise ValueError(f"invalid number {text!r}: use a whole number")
    return int(text)


def count(text: str) -> int:
    """A whole number that is not negative."""
    if whole(text) < 0:
        raise ValueError(f"invalid number {text!r}: cannot be negative")
    return whole(text)


def ratio(text: str) -> float:
    """A number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"invalid ratio {text!r}: use a number from 0 to 1") from None
    if not 0 <= number <= 1:
        raise ValueError(f"invalid ratio {text!r}: use a number from 0 to 1")
    return number


def cpus(text: str) -> int:
    """A decimal number of CPUs in billionths."""
    try:
        nano = round(float(text) * NANO)
    except (ValueError, OverflowError):
        raise ValueError(f"invalid number of CPUs {text!r}: use a decimal number, as 0.5") from None
    if nano < 0:
        raise ValueError(f"invalid number of CPUs {text!r}: cannot be negative")
    return nano


def key_value(text: str) -> tuple[str, str]:
    """``key=value``, or ``key`` alone for an empty value."""
    key, _, value = text.partition("=")
    if not key:
        raise ValueError(f"invalid value {text!r}: use key=value")
    return key, value


def command(text: str) -> list[str]:
    """A command line, split as a shell splits words."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"invalid command {text!r}: {error}") from None


def host(text: str) -> str:
    """``name:address`` as a line of /etc/hosts."""
    name, _, address = text.partition(":")
    if not name or not address:
        raise ValueError(f"invalid host {text!r}: use name:address")
    return f"{address} {name}"


def preference(text: str) -> dict[str, Any]:
    """``spread=node.labels.x``."""
    strategy, _, descriptor = text.partition("=")
    if strategy != "spread" or not descriptor:
        raise ValueError(f"invalid placement preference {text!r}: use spread=node.labels.NAME")
    return {"Spread": {"SpreadDescriptor": descriptor}}


def ulimit(text: str) -> dict[str, Any]:
    """``name=soft[:hard]``."""
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise ValueError(f"invalid ulimit {text!r}: use name=soft[:hard]") from None


def generic_resource(text: str) -> dict[str, Any]:
    """``kind=number`` or ``kind=name``."""
    kind, _, value = text.partition("=")
    if not kind or not value:
        raise ValueError(f"invalid generic resource {text!r}: use kind=value")
    if value.isdigit():
        return {"DiscreteResourceSpec": {"Kind": kind, "Value": int(value)}}
    return {"NamedResourceSpec": {"Kind": kind, "Value": value}}


# ------------------------------------------------------------------------------------------- ports


def ports(text: str) -> list[dict[str, Any]]:
    """Published ports: ``8080:80/udp``, ``80``, ``8000-8002:80-82`` or ``published=8080,target=80,…``."""
    return [_long_port(text)] if "=" in text else _short_ports(text)


def _long_port(text: str) -> dict[str, Any]:
    port: dict[str, Any] = {"Protocol": "tcp", "PublishMode": "ingress"}
    readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "target": ("TargetPort", _port_number),
        "published": ("PublishedPort", _port_number),
        "protocol": ("Protocol", str),
        "mode": ("PublishMode", str),
        "name": ("Name", str),
    }
    for item in text.split(","):
        key, _, value = item.partition("=")
        if key not in readers:
            raise ValueError(
                f"invalid port {text!r}: unknown field {key!r}; use {', '.join(readers)}"
            )
        name, read = readers[key]
        port[name] = read(value)
    if "TargetPort" not in port:
        raise ValueError(f"invalid port {text!r}: target is missing")
    return port


def _short_ports(text: str) -> list[dict[str, Any]]:
    numbers, _, protocol = text.partition("/")
    if protocol not in ("", "tcp", "udp", "sctp"):
        raise ValueError(f"invalid port {text!r}: the protocol is tcp, udp or sctp")
    if numbers.count(":") > 1:
        raise ValueError(
            f"invalid port {text!r}: a service's port has no host address; use published:target"
        )
    published, colon, target = numbers.rpartition(":")
    targets = _port_range(target)
    given = _port_range(published) if colon else [0] * len(targets)
    if len(given) != len(targets):
        raise ValueError(f"invalid port {text!r}: the two ranges differ in length")
    return [
        {
            "Protocol": protocol or "tcp",
            "TargetPort": to,
            "PublishedPort": at,
            "PublishMode": "ingress",
        }
        for at, to in zip(given, targets, strict=True)
    ]


def _port_range(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    start, end = _port_number(first), _port_number(last) if dash else _port_number(first)
    if not 0 <= end - start < MAX_PORTS_IN_RANGE:
        raise ValueError(f"invalid port range {text!r}")
    return list(range(start, end + 1))


def _port_number(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= MAX_PORT:
        raise ValueError(f"invalid port number {text!r}: use 1 to {MAX_PORT}")
    return int(text)


# ------------------------------------------------------------------------------------------ mounts


def mount(text: str) -> dict[str, Any]:
    """``type=bind,source=/a,target=/b,readonly``: Docker's ``--mount``."""
    result: dict[str, Any] = {"Type": "volume"}
    for item in text.split(","):
        key, sign, value = item.partition("=")
        _mount_field(result, key.lower(), value if sign else "true", text)
    if not result.get("Target"):
        raise ValueError(f"invalid mount {text!r}: target is required")
    return result


def _octal(text: str) -> int:
    if not re.fullmatch(r"[0-7]{1,5}", text):
        raise ValueError(f"invalid mode {text!r}: use an octal number, as 1777")
    return int(text, 8)


_MOUNT_PATHS: dict[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "type": (("Type",), str),
    "source": (("Source",), str),
    "src": (("Source",), str),
    "target": (("Target",), str),
    "dst": (("Target",), str),
    "destination": (("Target",), str),
    "consistency": (("Consistency",), str),
    "bind-propagation": (("BindOptions", "Propagation"), str),
    "volume-driver": (("VolumeOptions", "DriverConfig", "Name"), str),
    "volume-subpath": (("VolumeOptions", "Subpath"), str),
    "tmpfs-size": (("TmpfsOptions", "SizeBytes"), size),
    "tmpfs-mode": (("TmpfsOptions", "Mode"), _octal),
}
_MOUNT_FLAGS = {
    "readonly": ("ReadOnly",),
    "ro": ("ReadOnly",),
    "volume-nocopy": ("VolumeOptions", "NoCopy"),
    "bind-nonrecursive": ("BindOptions", "NonRecursive"),
}
_MOUNT_MAPS = {
    "volume-opt": ("VolumeOptions", "DriverConfig", "Options"),
    "volume-label": ("VolumeOptions", "Labels"),
}


def _mount_field(result: dict[str, Any], key: str, value: str, text: str) -> None:
    if key in _MOUNT_PATHS:
        path, read = _MOUNT_PATHS[key]
        _put(result, path, read(value))
    elif key in _MOUNT_FLAGS:
        _put(result, _MOUNT_FLAGS[key], boolean(value))
    elif key in _MOUNT_MAPS:
        name, setting = key_value(value)
        _put(result, (*_MOUNT_MAPS[key], name), setting)
    else:
        raise ValueError(f"invalid mount {text!r}: unknown field {key!r}")


def boolean(text: str) -> bool:
    """True or false, as Go reads them."""
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise ValueError(f"invalid value {text!r}: use true or false")


def _put(result: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for key in path[:-1]:
        result = result.setdefault(key, {})
    result[path[-1]] = value


# -------------------------------------------------------------------------------- secrets, configs

_MODE = re.compile(r"0o?([0-7]{1,5})")
_DEFAULT_MODE = 0o444
_FILE_FIELDS = {
    "source": "source",
    "src": "source",
    "target": "Name",
    "uid": "UID",
    "gid": "GID",
    "mode": "Mode",
}


def secret(text: str) -> dict[str, Any]:
    """``NAME`` or ``source=NAME,target=…,uid=…,gid=…,mode=0400``: Docker's ``--secret``, without the secret's id."""
    source, file = _file_reference("secret", text)
    return {"SecretName": source, "File": file}


def config(text: str) -> dict[str, Any]:
    """``NAME`` or ``source=NAME,target=/path,uid=…,gid=…,mode=0400``: ``--config``, without the config's id."""
    source, file = _file_reference("config", text)
    return {"ConfigName": source, "File": file}


def _file_reference(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    if "," not in text and "=" not in text:
        text = f"source={text}"
    given: dict[str, Any] = {}
    for item in text.split(","):
        key, sign, value = item.partition("=")
        name = _FILE_FIELDS.get(key.lower())
        if name is None or not sign:
            raise ValueError(
                f"invalid {kind} {text!r}: unknown field {key!r}; use source, target, uid, gid, mode"
            )
        given[name] = _file_mode(value) if name == "Mode" else value
    source = given.pop("source", "")
    if not source:
        raise ValueError(f"invalid {kind} {text!r}: source is required")
    file = {"Name": source, "UID": "0", "GID": "0", "Mode": _DEFAULT_MODE}
    return source, file | {key: value for key, value in given.items() if value != ""}


def _file_mode(text: str) -> int:
    """Octal, with its 0: docker reads ``440`` as a decimal number, which nobody means."""
    match = _MODE.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid mode {text!r}: use an octal number with a leading 0, as 0400")
    return int(match[1], 8)
