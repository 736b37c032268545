"""Checks of what a service's containers are to be."""

import posixpath
import re
import signal
from collections.abc import Iterable

from common import health_probes
from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import ContainerSpec, HealthConfig, Mount, MountType
from manager.api.parse.image_reference import is_image_reference
from manager.api.parse.references import check_references

HEALTH_DURATION_MIN_SECONDS = 0.001
HEALTH_TESTS = frozenset({"", "NONE", "CMD", "CMD-SHELL", *health_probes.KINDS})
SIGNAL_MAX = 64

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_TEMPLATE = "{{"
"""Begins a placeholder such as ``{{.Task.Slot}}``, which the node fills in: what holds one is checked there."""


def check_container_spec(spec: ContainerSpec) -> None:
    """Refuses what no node could run.

    Raises:
        InvalidInputError: in Docker's words, where Docker checks it.
        NotImplementedHereError: something of Docker's that we do not have.
    """
    _check_image(spec.image)
    _check_mounts(spec.mounts)
    if not any(_TEMPLATE in value for value in spec.labels.values()):
        health_probes.check_labels(spec.labels)
    if spec.healthcheck is not None:
        _check_healthcheck(spec.healthcheck)
    _check_signal(spec.stop_signal)
    if (spec.stop_grace_period_seconds or 0) < 0:
        raise InvalidInputError("ContainerSpec: stop-grace-period cannot be negative")
    _check_environment(spec.env)
    if any("\0" in text for text in (*spec.command, *spec.args, spec.dir, spec.user)):
        raise InvalidInputError("ContainerSpec: a NUL byte has no place in a command")
    check_references(spec)


def _check_image(image: str) -> None:
    if not image:
        raise InvalidInputError("ContainerSpec: image reference must be provided")
    if not is_image_reference(image):
        raise InvalidInputError(
            f'ContainerSpec: "{image}" is not a valid repository/tag',
            hint="invalid reference format",
        )


def _check_mounts(mounts: Iterable[Mount]) -> None:
    targets = set()
    for mount in mounts:
        _check_target(mount.target)
        _check_source(mount)
        target = posixpath.normpath(mount.target)
        if target in targets:
            raise InvalidInputError(f"ContainerSpec: duplicate mount point: {mount.target}")
        targets.add(target)


def _check_target(target: str) -> None:
    if not target:
        raise InvalidInputError("invalid mount config: field Target must not be empty")
    if _TEMPLATE in target:
        return
    if not target.startswith("/"):
        raise InvalidInputError(f"invalid mount target, must be an absolute path: {target}")
    if posixpath.normpath(target).strip("/") == "":
        raise InvalidInputError("invalid specification: destination can't be '/'")


def _check_source(mount: Mount) -> None:
    source = mount.source
    match mount.type:
        case MountType.BIND if not source:
            raise InvalidInputError(
                'invalid mount config for type "bind": field Source must not be empty'
            )
        case MountType.BIND if not source.startswith(("/", _TEMPLATE)):
            raise InvalidInputError(
                f"invalid bind mount source, must be an absolute path: {source}"
            )
        case MountType.VOLUME if source.startswith("/"):
            raise InvalidInputError(
                f"invalid volume mount source, must not be an absolute path: {source}"
            )
        case MountType.VOLUME if source and _TEMPLATE not in source:
            _check_volume_name(source)
        case MountType.TMPFS if source:
            raise InvalidInputError("invalid tmpfs source, source must be empty")
        case MountType.NPIPE | MountType.CLUSTER | MountType.IMAGE:
            raise NotImplementedHereError(f"mounts of type {mount.type} are not implemented")
        case _:
            pass


def _check_volume_name(name: str) -> None:
    if not _VOLUME_NAME.fullmatch(name):
        raise InvalidInputError(
            f'"{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            hint="for a directory of the host use an absolute path and type bind",
        )


def _check_healthcheck(config: HealthConfig) -> None:
    durations = {
        "Interval": config.interval_seconds,
        "Timeout": config.timeout_seconds,
        "StartPeriod": config.start_period_seconds,
        "StartInterval": config.start_interval_seconds,
    }
    for name, seconds in durations.items():
        if seconds != 0 and seconds < HEALTH_DURATION_MIN_SECONDS:
            raise InvalidInputError(f"{name} in Healthcheck cannot be less than 1ms")
    if config.retries < 0:
        raise InvalidInputError("Retries in Healthcheck cannot be negative")
    if config.test and config.test[0] not in HEALTH_TESTS:
        raise InvalidInputError(
            f"unknown type {config.test[0]!r} in Healthcheck",
            hint="use CMD, CMD-SHELL, HTTP, TCP or NONE",
        )
    if config.test and config.test[0] in health_probes.KINDS:
        health_probes.target_of(config.test)


def _check_signal(name: str) -> None:
    if not name:
        return
    if name.isascii() and name.isdecimal():
        is_known = len(name) < 4 and 0 < int(name) <= SIGNAL_MAX  # noqa: PLR2004 - digits of a signal
    else:
        text = name.upper().removeprefix("SIG")
        is_known = f"SIG{text}" in signal.Signals.__members__ or text.startswith(("RTMIN", "RTMAX"))
    if not is_known:
        raise InvalidInputError(f"invalid signal: {name}")


def _check_environment(env: Iterable[str]) -> None:
    for line in env:
        if "\0" in line or not line.partition("=")[0]:
            raise InvalidInputError(f"invalid environment variable: {line!r}")
