"""The Container Device Interface: specifications that say how a container gets a device, read and applied.

A specification is a vendor's file (``cdi_files`` finds them). It says for each device what a container needs beyond
the device's nodes: mounts, variables, groups. Hooks are programs of the vendor's that run beside a container's start;
none is run, so a device that needs one is refused by the hook's name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from common.errors import InvalidInputError, NotImplementedHereError
from worker.runtime.bundle import BundleMount, DeviceNode
from worker.runtime.host_devices import devices_from_path

VERSIONS = ("0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0")
_VENDOR = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?<=[A-Za-z0-9])")
_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?<=[A-Za-z0-9])")
_DEVICE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_MOUNT_OPTIONS = frozenset(
    {"ro", "rw", "bind", "rbind", "nosuid", "nodev", "noexec", "exec", "suid", "dev"}
)
_PROPAGATIONS = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_DEFAULT_MODE = 0o666
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """What a container gets."""

    env: tuple[str, ...] = ()
    devices: tuple[DeviceNode, ...] = ()
    mounts: tuple[BundleMount, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """One file, checked as far as its devices' names; what a device needs is read when it is asked for."""

    kind: str
    """"vendor.com/class"."""
    common: Mapping[str, object]
    """Edits for every container that gets any of its devices."""
    devices: Mapping[str, Mapping[str, object]]
    origin: str
    priority: int
    """Of its directory: a device of a higher one hides one of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """All devices of all files."""

    found: Mapping[str, Specification] = field(default_factory=dict)
    """By "vendor.com/class=name"."""
    problems: tuple[str, ...] = ()
    """Files that could not be read, and devices that two files of one directory describe."""

    def devices_of(self, kinds: Iterable[str]) -> list[str]:
        """Names of all devices of some kinds, in order."""
        wanted = {*kinds}
        return sorted(name for name in self.found if name.partition("=")[0] in wanted)

    def kinds(self) -> list[str]:
        """All kinds, in order."""
        return sorted({name.partition("=")[0] for name in self.found})


def registry_of(specifications: Sequence[Specification], problems: Sequence[str] = ()) -> Registry:
    """Brings specifications together: a directory of higher priority wins, a tie is nobody's."""
    found: dict[str, Specification] = {}
    doubtful: dict[str, int] = {}
    complaints = list(problems)
    for one in sorted(specifications, key=lambda one: (-one.priority, one.origin)):
        for device in one.devices:
            name = f"{one.kind}={device}"
            if doubtful.get(name) == one.priority:
                continue
            other = found.get(name)
            if other is None:
                found[name] = one
            elif other.priority == one.priority:
                doubtful[name] = one.priority
                complaints.append(f"conflicting device {name} in {other.origin} and {one.origin}")
    for name in doubtful:
        found.pop(name, None)
    return Registry(found=found, problems=tuple(complaints))


def is_qualified(name: str) -> bool:
    """Whether it is "vendor.com/class=name"."""
    kind, equals, device = name.partition("=")
    return bool(equals) and _is_kind(kind) and bool(_DEVICE.fullmatch(device))


def _is_kind(kind: str) -> bool:
    vendor, _, of_class = kind.partition("/")
    return bool(_VENDOR.fullmatch(vendor)) and bool(_CLASS.fullmatch(of_class))


def edits_for(names: Sequence[str], registry: Registry) -> Edits:
    """What a container gets for these devices, each once.

    Raises:
        InvalidInputError: there is no such device, or its specification is wrong.
        NotImplementedHereError: it needs a hook, or something else that is not offered.
    """
    missing = [name for name in names if name not in registry.found]
    if missing:
        hint = f" ({'; '.join(registry.problems)})" if registry.problems else ""
        raise InvalidInputError(
            "CDI device injection failed: unresolvable CDI devices " + ", ".join(missing) + hint
        )
    all_edits: list[Edits] = []
    with_common: set[str] = set()
    for name in dict.fromkeys(names):
        one = registry.found[name]
        if one.origin not in with_common:
            with_common.add(one.origin)
            all_edits.append(_edits(one.common, one.origin))
        all_edits.append(_edits(one.devices[name.partition("=")[2]], f"{one.origin}: {name}"))
    return Edits(
        env=tuple(item for edits in all_edits for item in edits.env),
        devices=_once(edits.devices for edits in all_edits),
        mounts=_once(edits.mounts for edits in all_edits),
        groups=tuple(dict.fromkeys(group for edits in all_edits for group in edits.groups)),
    )


def _once(many: Iterable[tuple[_T, ...]]) -> tuple[_T, ...]:
    found: list[_T] = []
    for some in many:
        found += [one for one in some if one not in found]
    return tuple(found)


# -- reading ---------------------------------------------------------------------------------------


class CdiError(InvalidInputError):
    """A file that is no specification."""


def read_specification(content: object, origin: str, priority: int) -> Specification:
    """A file's content as a specification.

    Raises:
        CdiError: it is none.
    """
    top = _mapping(content, origin)
    version, kind = top.get("cdiVersion"), top.get("kind")
    if version not in VERSIONS:
        raise CdiError(f"{origin}: unknown CDI version {version!r}")
    if not isinstance(kind, str) or not _is_kind(kind):
        raise CdiError(f"{origin}: invalid kind {kind!r}")
    devices: dict[str, Mapping[str, object]] = {}
    for item in _sequence(top.get("devices"), origin):
        device = _mapping(item, origin)
        name = device.get("name")
        if not isinstance(name, str) or not _DEVICE.fullmatch(name) or name in devices:
            raise CdiError(f"{origin}: invalid or repeated device name {name!r}")
        devices[name] = _mapping(device.get("containerEdits") or {}, f"{origin}: {name}")
    if not devices:
        raise CdiError(f"{origin}: no devices")
    return Specification(
        kind=kind,
        common=_mapping(top.get("containerEdits") or {}, origin),
        devices=devices,
        origin=origin,
        priority=priority,
    )


def _edits(content: Mapping[str, object], origin: str) -> Edits:
    for item in _sequence(content.get("hooks"), origin):
        hook = _mapping(item, origin)
        raise NotImplementedHereError(
            f"{origin}: hook {hook.get('hookName')} ({hook.get('path')}) is not run: CDI hooks are"
            " not supported"
        )
    refused = {name for name, value in content.items() if value and name not in _READERS}
    if refused:
        raise NotImplementedHereError(f"{origin}: {min(refused)} is not supported")
    return Edits(
        env=tuple(_variable(item, origin) for item in _sequence(content.get("env"), origin)),
        devices=tuple(
            node
            for item in _sequence(content.get("deviceNodes"), origin)
            for node in _nodes(_mapping(item, origin), origin)
        ),
        mounts=tuple(
            _mount(_mapping(item, origin), origin)
            for item in _sequence(content.get("mounts"), origin)
        ),
        groups=tuple(
            str(_number(item, "additionalGids", origin))
            for item in _sequence(content.get("additionalGids"), origin)
        ),
    )


_READERS = frozenset({"env", "deviceNodes", "mounts", "additionalGids", "hooks"})


def _variable(item: object, origin: str) -> str:
    text = _text(item, "env", origin)
    if not text.partition("=")[0] or "=" not in text:
        raise CdiError(f"{origin}: invalid env {text!r}")
    return text


def _nodes(content: Mapping[str, object], origin: str) -> tuple[DeviceNode, ...]:
    """Numbers that a specification leaves out are those of the host's device."""
    path = _text(content.get("path"), "path", origin)
    on_host = _text(content.get("hostPath") or path, "hostPath", origin)
    access = _text(content.get("permissions") or "rwm", "permissions", origin)
    kind = content.get("type")
    if kind is None or content.get("major") is None:
        nodes = devices_from_path(on_host, path, access)
    else:
        if kind not in ("b", "c", "u"):
            raise CdiError(f"{origin}: device type {kind!r} is not supported")
        nodes = (
            DeviceNode(
                path=path,
                kind="b" if kind == "b" else "c",
                major=_number(content.get("major"), "major", origin),
                minor=_number(content.get("minor", 0), "minor", origin),
                mode=_DEFAULT_MODE,
                access=access,
            ),
        )
    return tuple(_with_owner(node, content, origin) for node in nodes)


def _with_owner(node: DeviceNode, content: Mapping[str, object], origin: str) -> DeviceNode:
    def given(name: str, otherwise: int) -> int:
        value = content.get(name)
        return otherwise if value is None else _number(value, name, origin)

    return DeviceNode(
        path=node.path,
        kind=node.kind,
        major=node.major,
        minor=node.minor,
        mode=given("fileMode", node.mode) & 0o777,
        uid=given("uid", node.uid),
        gid=given("gid", node.gid),
        access=node.access,
    )


def _mount(content: Mapping[str, object], origin: str) -> BundleMount:
    target = _text(content.get("containerPath"), "containerPath", origin)
    options = [_text(item, "options", origin) for item in _sequence(content.get("options"), origin)]
    kind = content.get("type")
    unknown = {*options} - _MOUNT_OPTIONS - _PROPAGATIONS
    if kind not in (None, "", "bind", "none") or unknown:
        what = f"mount option {min(unknown)!r}" if unknown else f"mount type {kind!r}"
        raise NotImplementedHereError(f"{origin}: {what} is not supported")
    propagation = [option for option in options if option in _PROPAGATIONS]
    return BundleMount(
        target=target,
        source=_text(content.get("hostPath"), "hostPath", origin),
        read_only="ro" in options,
        propagation=propagation[-1] if propagation else "rprivate",
        recursive="bind" not in options,
    )


def _mapping(value: object, origin: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise CdiError(f"{origin}: a {type(value).__name__} is not an object")
    return value


def _sequence(value: object, origin: str) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise CdiError(f"{origin}: a {type(value).__name__} is not a list")
    return value


def _text(value: object, what: str, origin: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise CdiError(f"{origin}: {what} is not a text")
    return value


def _number(value: object, what: str, origin: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise CdiError(f"{origin}: {what} is not a number from 0 to 2147483647")
    return value
