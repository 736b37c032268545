"""swarmd's settings: flags over ``swarmd.yaml`` over defaults. A YAML key is the flag's name without the dashes."""

import argparse
import difflib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from common.errors import InvalidInputError
from common.generic_resources import generic_resources
from common.log import LEVELS
from common.model.resources import GenericResource
from common.version import VERSION

DEFAULT_CONFIG_FILE = Path("/etc/swarmd/swarmd.yaml")
MAX_CONFIG_BYTES = 1024 * 1024
RELOADABLE = frozenset({"log_level", "label", "node_generic_resource"})
"""What SIGHUP applies; anything else needs a restart."""
_STRINGS = (
    *("tlscacert", "tlscert", "tlskey", "log_level"),
    *("cgroup_parent", "userns_remap", "default_runtime", "bridge"),
)
_PLURALS = {"node-generic-resources": "node_generic_resource"}
"""Keys of the file that are called as in Docker's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPool:
    """Subnets for local networks: ``base`` is cut into pieces of prefix length ``size``."""

    base: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything swarmd can be told at its start."""

    data_root: Path = Path("/var/lib/swarmd")
    exec_root: Path = Path("/run/swarmd")
    host: tuple[str, ...] = ()
    """Where the API listens: ``unix://path`` or ``tcp://address:port``; empty is the socket below ``exec_root``."""
    tlsverify: bool = False
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    log_level: str = "info"
    cgroup_parent: str = "/swarmd"
    userns_remap: str = ""
    """Whose ranges of /etc/subuid and /etc/subgid containers are: "default", "user", "user:group"; "" is nobody's."""
    default_runtime: str = "swarmd"
    """What makes containers that name no runtime: our own, or an OCI runtime on PATH."""
    bridge: str = "swarmd0"
    default_address_pool: tuple[AddressPool, ...] = ()
    label: tuple[str, ...] = ()
    """Engine labels, ``key=value``."""
    node_generic_resource: tuple[str, ...] = ()
    """What the node has besides processors and memory: ``GPU=UUID1`` by name, ``SSD=3`` by number."""

    @property
    def listeners(self) -> tuple[str, ...]:
        """The addresses to listen on."""
        return self.host or (f"unix://{self.exec_root}/swarmd.sock",)

    @property
    def labels(self) -> dict[str, str]:
        """Engine labels by key."""
        return {key: value for key, _, value in (item.partition("=") for item in self.label)}

    @property
    def generic_resources(self) -> tuple[GenericResource, ...]:
        """The same as the managers hear of it."""
        return generic_resources(self.node_generic_resource)


def parse_arguments(arguments: Sequence[str]) -> tuple[Options, Path]:
    """Reads flags and the configuration file; gives the settings and the file's path.

    Raises:
        InvalidInputError: an unknown key or an invalid value, with what to do.
        SystemExit: a wrong flag, or ``--help`` or ``--version`` (argparse's own way).
    """
    given = vars(_parser().parse_args(arguments))
    path = given.pop("config_file")
    return load(
        given, path or DEFAULT_CONFIG_FILE, required=path is not None
    ), path or DEFAULT_CONFIG_FILE


def load(flags: Mapping[str, Any], path: Path, *, required: bool) -> Options:
    """Settings out of given flags (None: not given) over the file's keys over defaults."""
    settings = dict(_read_file(path, required=required))
    settings |= {key: value for key, value in flags.items() if value is not None}
    return _checked(Options(**settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swarmd",
        description="The swarmd daemon: one on each host of a cluster.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"swarmd {VERSION}")
    add(
        "--config-file",
        type=Path,
        metavar="FILE",
        help=f"settings in YAML (default {DEFAULT_CONFIG_FILE})",
    )
    add(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="what must survive a reboot (default /var/lib/swarmd)",
    )
    add(
        "--exec-root",
        type=Path,
        metavar="DIR",
        help="what need not survive a reboot (default /run/swarmd)",
    )
    add(
        "-H", "--host", action="append", metavar="ADDRESS",
        help="where the API listens, unix://PATH or tcp://ADDRESS:PORT; may be given several times",
    )  # fmt: skip
    add(
        "--tlsverify",
        action="store_const",
        const=True,
        help="tcp: take only clients with a certificate of the CA",
    )
    add("--tlscacert", metavar="FILE", help="tcp: the CA that clients' certificates come from")
    add("--tlscert", metavar="FILE", help="tcp: this server's certificate")
    add("--tlskey", metavar="FILE", help="tcp: the key of this server's certificate")
    add("-l", "--log-level", choices=LEVELS, help="least severity that is logged (default info)")
    add(
        "--cgroup-parent",
        metavar="PATH",
        help="the cgroup below which containers live (default /swarmd)",
    )
    add(
        "--userns-remap",
        metavar="USER[:GROUP]",
        help="run containers as the subordinate ids of a user, or of default",
    )
    add(
        "--default-runtime",
        metavar="NAME",
        help="what makes containers: swarmd, or an OCI runtime on PATH as crun (default swarmd)",
    )
    add(
        "-b",
        "--bridge",
        metavar="NAME",
        help="name of the default network's bridge (default swarmd0)",
    )
    add(
        "--default-address-pool", action="append", metavar="base=CIDR,size=N",
        help="where subnets of local networks come from; may be given several times",
    )  # fmt: skip
    add(
        "--label",
        action="append",
        metavar="KEY=VALUE",
        help="a label of this engine; may be given several times",
    )
    add(
        "--node-generic-resource",
        action="append",
        metavar="NAME=VALUE",
        help="a resource of this node, as GPU=UUID1 or SSD=3; may be given several times",
    )
    return parser


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        if required:
            raise InvalidInputError(f"configuration file {path} does not exist") from None
        return {}
    except OSError as error:
        raise InvalidInputError(
            f"cannot read configuration file {path}: {error.strerror}"
        ) from None
    if len(text) > MAX_CONFIG_BYTES:
        raise InvalidInputError(
            f"configuration file {path} is larger than {MAX_CONFIG_BYTES} bytes"
        )
    try:
        raw = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InvalidInputError(f"configuration file {path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise InvalidInputError(f"configuration file {path} must be a map of settings")
    return {_field_of(key, path): value for key, value in raw.items()}


def _field_of(key: object, path: Path) -> str:
    known = {field.name.replace("_", "-"): field.name for field in fields(Options)} | _PLURALS
    if key in known:
        return known[str(key)]
    near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
    raise InvalidInputError(f"unknown key {str(key)!r} in {path}", hint=hint)


def _checked(raw: Options) -> Options:
    """Gives every setting its type and refuses what cannot be."""
    for name in _STRINGS:
        if not isinstance(getattr(raw, name), str):
            raise InvalidInputError(f"{name.replace('_', '-')} must be a string")
    if raw.log_level not in LEVELS:
        raise InvalidInputError(
            f"invalid log-level {raw.log_level!r}", hint=f"one of {', '.join(LEVELS)}"
        )
    if not isinstance(raw.tlsverify, bool):
        raise InvalidInputError("tlsverify must be true or false")
    if (
        not raw.cgroup_parent.startswith("/")
        or raw.cgroup_parent == "/"
        or ".." in raw.cgroup_parent.split("/")
    ):
        raise InvalidInputError(
            f"invalid cgroup-parent {raw.cgroup_parent!r}", hint="an absolute path, as /swarmd"
        )
    if not raw.bridge or len(raw.bridge) > 15 or "/" in raw.bridge:  # noqa: PLR2004 - IFNAMSIZ of the kernel
        raise InvalidInputError(
            f"invalid bridge {raw.bridge!r}", hint="an interface name, at most 15 characters"
        )
    options = Options(
        data_root=_directory("data-root", raw.data_root),
        exec_root=_directory("exec-root", raw.exec_root),
        host=tuple(map(_listener, _strings("host", raw.host))),
        tlsverify=raw.tlsverify,
        tlscacert=raw.tlscacert,
        tlscert=raw.tlscert,
        tlskey=raw.tlskey,
        log_level=raw.log_level,
        cgroup_parent=raw.cgroup_parent.rstrip("/"),
        userns_remap=raw.userns_remap,
        default_runtime=raw.default_runtime,
        bridge=raw.bridge,
        default_address_pool=tuple(
            map(_pool, _strings("default-address-pool", raw.default_address_pool))
        ),
        label=tuple(map(_label, _strings("label", raw.label))),
        node_generic_resource=_resources(raw.node_generic_resource),
    )
    _check_tls(options)
    return options


def _check_tls(options: Options) -> None:
    tcp = [host for host in options.host if host.startswith("tcp://")]
    if tcp and not options.tlsverify:
        raise InvalidInputError(
            f"{tcp[0]} would give root on this host to whoever reaches it",
            hint="add --tlsverify with --tlscacert, --tlscert and --tlskey",
        )
    if options.tlsverify:
        for name in ("tlscacert", "tlscert", "tlskey"):
            path = getattr(options, name)
            if not path or not Path(path).is_file():
                raise InvalidInputError(
                    f"--{name} must name a file when --tlsverify is given, not {path!r}"
                )


def _directory(name: str, value: object) -> Path:
    path = Path(str(value))
    if not path.is_absolute():
        raise InvalidInputError(f"{name} must be an absolute path, not {str(value)!r}")
    return path


def _strings(name: str, value: object) -> tuple[str, ...]:
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise InvalidInputError(f"{name} must be a string or a list of strings")
    return tuple(items)


def _listener(address: str) -> str:
    scheme, sign, rest = address.partition("://")
    if scheme == "unix" and sign and rest.startswith("/"):
        return address
    host, colon, port = rest.rpartition(":")
    if scheme == "tcp" and colon and host and port.isdigit() and 0 < int(port) < 65536:  # noqa: PLR2004 - a TCP port
        return address
    raise InvalidInputError(f"invalid host {address!r}", hint="unix:///path or tcp://address:port")


def _pool(text: str) -> AddressPool:
    given = dict(item.split("=", 1) for item in text.split(",") if "=" in item)
    try:
        base, size = ipaddress.ip_network(given["base"]), int(given["size"])
    except (KeyError, ValueError):
        raise InvalidInputError(
            f"invalid default-address-pool {text!r}", hint="base=172.30.0.0/16,size=24"
        ) from None
    if not base.prefixlen <= size <= base.max_prefixlen - 2:
        raise InvalidInputError(
            f"invalid default-address-pool {text!r}", hint="size must lie within base"
        )
    return AddressPool(base=str(base), size=size)


def _label(text: str) -> str:
    if not text.partition("=")[0]:
        raise InvalidInputError(f"invalid label {text!r}", hint="key=value")
    return text


def _resources(raw: object) -> tuple[str, ...]:
    texts = _strings("node-generic-resources", raw)
    try:
        generic_resources(texts)
    except ValueError as error:
        raise InvalidInputError(f"invalid node-generic-resource {error}") from None
    return texts
