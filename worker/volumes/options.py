"""The local driver's options ``type``, ``device`` and ``o``: what is mounted as a volume's content. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import Driver

OPTIONS = ("type", "o", "device")
OPTION_BYTES_MAX = 4095
"""Of each option; the kernel takes a page."""
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_LOCAL = ("", "local")

_SET, _CLEAR = True, False
_FLAGS: Mapping[str, tuple[bool, int]] = {
    "defaults": (_SET, 0),
    "ro": (_SET, 1),
    "rw": (_CLEAR, 1),
    "nosuid": (_SET, 2),
    "suid": (_CLEAR, 2),
    "nodev": (_SET, 4),
    "dev": (_CLEAR, 4),
    "noexec": (_SET, 8),
    "exec": (_CLEAR, 8),
    "sync": (_SET, 16),
    "async": (_CLEAR, 16),
    "mand": (_SET, 64),
    "nomand": (_CLEAR, 64),
    "dirsync": (_SET, 128),
    "noatime": (_SET, 1 << 10),
    "atime": (_CLEAR, 1 << 10),
    "nodiratime": (_SET, 1 << 11),
    "diratime": (_CLEAR, 1 << 11),
    "bind": (_SET, 1 << 12),
    "rbind": (_SET, 1 << 12 | 1 << 14),
    "relatime": (_SET, 1 << 21),
    "norelatime": (_CLEAR, 1 << 21),
    "strictatime": (_SET, 1 << 24),
    "nostrictatime": (_CLEAR, 1 << 24),
}
_RECURSIVE = 1 << 14
_PROPAGATIONS: Mapping[str, int] = {
    "unbindable": 1 << 17,
    "private": 1 << 18,
    "slave": 1 << 19,
    "shared": 1 << 20,
}
BIND = 1 << 12
_NETWORKED = ("nfs", "nfs4", "cifs")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPlan:
    """A mount of the host, as mount(2) takes it."""

    kind: str
    device: str
    flags: int = 0
    data: str = ""
    propagation: int = 0

    @property
    def address(self) -> str:
        """The server's name or address among the options of a network file system, "" when there is none."""
        if self.kind not in _NETWORKED:
            return ""
        words = (word.partition("=") for word in self.data.split(","))
        return next((value for key, _, value in words if key == "addr"), "")


def check_driver(driver: Driver | None) -> Mapping[str, str]:
    """The options of a volume's driver, which must be the local one.

    Raises:
        NotImplementedHereError: another driver.
        InvalidInputError: options that cannot be, in the words of Docker.
    """
    if driver is None:
        return {}
    if driver.name not in _LOCAL:
        raise NotImplementedHereError(
            f'error looking up volume plugin {driver.name}: plugin "{driver.name}" not found'
        )
    check_options(driver.options)
    return dict(driver.options)


def check_options(options: Mapping[str, str]) -> None:
    """Refuses options that cannot be.

    Raises:
        InvalidInputError: in the words of Docker.
    """
    if "size" in options:
        raise InvalidInputError("quota size requested but no quota support")
    for name, value in options.items():
        if name not in OPTIONS:
            raise InvalidInputError(f'invalid option: "{name}"')
        if len(value.encode()) > OPTION_BYTES_MAX or "\0" in value:
            raise InvalidInputError(f'invalid option: "{name}" is too long or holds a null byte')
        for needed in _NEEDS[name]:
            if not options.get(needed):
                raise InvalidInputError(f'missing required option: "{needed}"')
    plan_of(options)


def plan_of(options: Mapping[str, str]) -> MountPlan | None:
    """What to mount; None for a volume that is a directory of its own.

    Raises:
        InvalidInputError: an option of ``o`` that a volume cannot have.
    """
    if not options:
        return None
    flags, propagation, data = 0, 0, []
    for word in filter(None, options.get("o", "").split(",")):
        if word == "remount":
            raise InvalidInputError('invalid option: "remount" in "o"')
        if word in _FLAGS:
            sets, bits = _FLAGS[word]
            flags = flags | bits if sets is _SET else flags & ~bits
        elif (kind := _PROPAGATIONS.get(word.removeprefix("r"))) is not None:
            propagation = kind | (_RECURSIVE if word.startswith("r") else 0)
        else:
            data.append(word)
    kind_name, device = options["type"], options["device"]
    if flags & BIND and not device.startswith("/"):
        raise InvalidInputError(f"invalid device for a bind: {device!r} is not an absolute path")
    return MountPlan(
        kind=kind_name, device=device, flags=flags, data=",".join(data), propagation=propagation
    )
