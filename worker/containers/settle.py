"""What a container will be, decided when it is created: its image's defaults under what its spec asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from common.errors import InvalidInputError, NotImplementedHereError
from common.health_probes import KINDS, asked_by_labels, check_labels, target_of
from common.model.container_spec import (
    ContainerSpec,
    HealthConfig,
    Mount,
    MountType,
)
from worker.containers.files import ContainerFile
from worker.containers.log_drivers import log_file_name, log_options_of
from worker.containers.record import Container, ContainerConfig
from worker.containers.resources import joined
from worker.containers.restart_policy import check_policy
from worker.containers.signals import DEFAULT_STOP_SIGNAL, signal_number
from worker.containers.tmpfs import tmpfs_plan
from worker.images.resolved import ResolvedImage
from worker.runtime.capabilities import UnknownCapabilityError, container_capabilities
from worker.volumes.names import subpath_fault

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHORT_ID_LENGTH = 12
NETWORKS = ("bridge", "host", "none")


DEFAULT_INTERVAL_SECONDS = 30.0
DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_START_INTERVAL_SECONDS = 5.0
DEFAULT_RETRIES = 3

_KINDS = {MountType.BIND: "bind", MountType.VOLUME: "volume", MountType.TMPFS: "tmpfs"}


def container_of(
    config: ContainerConfig, image: ResolvedImage, *, container_id: str, now: float
) -> Container:
    """The record of a container that does not exist yet; its mounts are still to come.

    Raises:
        InvalidInputError: the spec contradicts itself or the image.
        NotImplementedHereError: it asks for something that is refused rather than faked.
    """
    check_spec(config)
    spec = config.spec
    argv = argv_of(spec, image)
    if not argv:
        raise InvalidInputError("no command specified")
    stop_signal = spec.stop_signal or image.stop_signal or DEFAULT_STOP_SIGNAL
    signal_number(stop_signal)
    labels = {**image.labels, **spec.labels, **config.labels}
    exposed = tuple(sorted({*config.host.exposed_ports, *image.exposed_ports}))
    return Container(
        id=container_id,
        config=replace(config, labels=labels, host=replace(config.host, exposed_ports=exposed)),
        image_id=image.id,
        created_at=now,
        argv=argv,
        env=env_of(spec, image, hostname=hostname_of(spec, container_id)),
        working_dir=spec.dir or image.working_dir or "/",
        user=spec.user or image.user,
        stop_signal=stop_signal,
        healthcheck=healthcheck_of(
            _asked_for(spec.healthcheck, {**spec.labels, **config.labels}), _of_image(image)
        ),
        log_file=log_file_name(config.log_driver, container_id),
    )


def hostname_of(spec: ContainerSpec, container_id: str) -> str:
    """The container's hostname."""
    return spec.hostname or container_id[:SHORT_ID_LENGTH]


def argv_of(spec: ContainerSpec, image: ResolvedImage) -> tuple[str, ...]:
    """What runs. A command replaces the image's entrypoint and, with it, the image's arguments."""
    if spec.command:
        return (*spec.command, *spec.args)
    return (*image.entrypoint, *(spec.args or image.cmd))


def env_of(spec: ContainerSpec, image: ResolvedImage, *, hostname: str) -> tuple[str, ...]:
    """PATH and HOSTNAME, then the image's, then the spec's; a bare name takes a variable away."""
    env: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if spec.tty:
        env["TERM"] = "xterm"
    for line in (*image.env, *spec.env):
        name, sign, value = line.partition("=")
        if sign:
            env[name] = value
        else:
            env.pop(name, None)
    return tuple(f"{name}={value}" for name, value in env.items())


def _asked_for(config: HealthConfig | None, labels: Mapping[str, str]) -> HealthConfig | None:
    """The healthcheck that the user asks for, by a label too.

    Raises:
        InvalidInputError: there are two.
    """
    test = asked_by_labels(labels)
    if test and config is not None and config.test and config.test != test:
        raise InvalidInputError(
            f"a healthcheck of kind {config.test[0]} and one by a label exclude each other"
        )
    return replace(config or HealthConfig(), test=test) if test else config


def _of_image(image: ResolvedImage) -> HealthConfig | None:
    """The healthcheck of an image: one by a label goes before one that needs a program."""
    test = asked_by_labels(image.labels)
    return replace(image.healthcheck or HealthConfig(), test=test) if test else image.healthcheck


def healthcheck_of(spec: HealthConfig | None, image: HealthConfig | None) -> HealthConfig | None:
    """The check that applies, every field filled; None when there is none."""
    wanted, inherited = spec or HealthConfig(), image or HealthConfig()
    test = wanted.test or inherited.test
    if not test or test[0] == "NONE":
        return None
    if test[0] in KINDS:
        target_of(test)
    elif test[0] not in ("CMD", "CMD-SHELL") or len(test) == 1:
        raise InvalidInputError(f"Unknown healthcheck type '{test[0]}' (expected 'CMD')")
    return HealthConfig(
        test=test,
        interval_seconds=wanted.interval_seconds
        or inherited.interval_seconds
        or DEFAULT_INTERVAL_SECONDS,
        timeout_seconds=wanted.timeout_seconds
        or inherited.timeout_seconds
        or DEFAULT_TIMEOUT_SECONDS,
        retries=wanted.retries or inherited.retries or DEFAULT_RETRIES,
        start_period_seconds=wanted.start_period_seconds or inherited.start_period_seconds,
        start_interval_seconds=wanted.start_interval_seconds
        or inherited.start_interval_seconds
        or DEFAULT_START_INTERVAL_SECONDS,
    )


def mounts_of(spec: ContainerSpec, image: ResolvedImage) -> tuple[Mount, ...]:
    """The spec's mounts, and an anonymous volume for each of the image's volumes that none of them covers."""
    covered = {mount.target.rstrip("/") for mount in spec.mounts}
    implied = (path for path in image.volumes if path.rstrip("/") not in covered)
    return (*spec.mounts, *(Mount(type=MountType.VOLUME, target=path) for path in implied))


# ------------------------------------------------------------------------------------ refusals


def check_spec(config: ContainerConfig) -> None:
    """Refuses what cannot be.

    Raises:
        InvalidInputError: the spec is wrong.
        NotImplementedHereError: it is right, but not available here.
    """
    spec = config.spec
    check_policy(config.host.restart, auto_remove=config.host.auto_remove)
    if config.network not in NETWORKS and not joined(config.network):
        raise InvalidInputError(f"network {config.network} not found")
    if spec.isolation not in ("", "default"):
        raise InvalidInputError(f"invalid isolation ({spec.isolation}) on linux")
    if spec.dir and not spec.dir.startswith("/"):
        raise InvalidInputError(
            f"the working directory '{spec.dir}' is invalid, it needs to be an absolute path"
        )
    check_labels(spec.labels)
    for line in spec.env:
        if not line.partition("=")[0]:
            raise InvalidInputError(f"invalid environment variable: {line}")
    try:
        container_capabilities(spec.capability_add, spec.capability_drop)
    except UnknownCapabilityError as error:
        raise InvalidInputError(str(error)) from error
    log_options_of(config.log_driver, path="")
    _check_mounts(spec)


def check_files(spec: ContainerSpec, files: Sequence[ContainerFile]) -> None:
    """Refuses to start a container without all of its secrets and configs.

    Raises:
        InvalidInputError: there are others than it names.
    """
    if len(files) != len(spec.secrets) + len(spec.configs):
        raise InvalidInputError(
            "a container with secrets or configs is started by its node's agent only"
        )


def _check_mounts(spec: ContainerSpec) -> None:
    seen = set()
    for mount in spec.mounts:
        _check_mount(mount)
        if mount.target in seen:
            raise InvalidInputError(f"Duplicate mount point: {mount.target}")
        seen.add(mount.target)


def _check_mount(mount: Mount) -> None:
    kind = _KINDS.get(mount.type)
    if kind is None:
        raise NotImplementedHereError(f"mounts of type {mount.type.value} are not available")
    fault = _target_fault(mount.target) or _source_fault(mount) or _subpath_fault(mount)
    if fault:
        raise InvalidInputError(f'invalid mount config for type "{kind}": {fault}')
    if mount.tmpfs_options is not None:
        tmpfs_plan("=".join(option) for option in mount.tmpfs_options.options)


def _target_fault(target: str) -> str:
    if not target:
        return "field Target must not be empty"
    if not target.startswith("/"):
        return f"invalid mount path: '{target}' mount path must be absolute"
    if not target.strip("/"):
        return "invalid specification: destination can't be '/'"
    return ""


def _subpath_fault(mount: Mount) -> str:
    options = mount.volume_options
    return subpath_fault(options.subpath) if options and options.subpath else ""


def _source_fault(mount: Mount) -> str:
    if mount.type is MountType.TMPFS:
        return "field Source must not be specified" if mount.source else ""
    if mount.type is MountType.VOLUME:
        return ""
    if not mount.source:
        return "field Source must not be empty"
    if not mount.source.startswith("/"):
        return f"invalid mount path: '{mount.source}' mount path must be absolute"
    return ""
