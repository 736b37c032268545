"""What a container may do, decided out of what was asked for: capabilities, filter, masks, devices."""

import base64
import binascii
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from common.errors import InvalidInputError
from common.model.container_spec import SeccompOptions
from worker.containers.record import ContainerConfig, HostOptions
from worker.runtime.bundle import DeviceNode
from worker.runtime.capabilities import CAPABILITIES, UnknownCapabilityError, container_capabilities
from worker.runtime.cdi import Edits, Registry, edits_for
from worker.runtime.cdi_choice import Wanted, chosen
from worker.runtime.cdi_files import read_registry
from worker.runtime.confinement import MASKED_PATHS, READ_ONLY_PATHS
from worker.runtime.host_devices import all_devices, devices_from_path
from worker.runtime.oci_runtimes import OWN
from worker.runtime.oci_seccomp import seccomp_rules
from worker.runtime.seccomp_programs import UNCONFINED, seccomp_program


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """Fields of a bundle, by their names there."""

    privileged: bool
    capabilities: frozenset[str]
    no_new_privileges: bool
    seccomp: bytes = field(repr=False)
    seccomp_rules: bytes = field(repr=False)
    masked_paths: tuple[str, ...]
    read_only_paths: tuple[str, ...]
    devices: tuple[DeviceNode, ...]
    device_rules: tuple[str, ...]
    more: Edits = field(default_factory=Edits)
    """Variables, mounts and groups that devices come with."""


class Hardware:
    """The host's devices, looked up when they are wanted."""

    def from_path(self, on_host: str, in_container: str, access: str) -> tuple[DeviceNode, ...]:
        """A device, or all in a directory."""
        return devices_from_path(on_host, in_container, access)

    def everything(self) -> tuple[DeviceNode, ...]:
        """What a privileged container gets."""
        return all_devices()

    def throttle_counters(self) -> tuple[str, ...]:
        """Which processors were slowed down when: tells of the host's load, and is masked."""
        return throttle_counters()

    def registry(self) -> Registry:
        """What vendors describe."""
        return read_registry()


THIS_HOST = Hardware()


@cache
def throttle_counters(directory: str = "/sys/devices/system/cpu") -> tuple[str, ...]:
    """Of all processors that have some; a machine keeps those that it began with."""
    return tuple(sorted(map(str, Path(directory).glob("cpu[0-9]*/thermal_throttle"))))


_EVERYTHING_ALLOWED = ("a",)


def confinement_of(config: ContainerConfig, hardware: Hardware = THIS_HOST) -> Confinement:
    """Decides it; Docker's defaults where nothing is said.

    A privileged container has every capability, no filter but one that was named, and nothing masked.

    Raises:
        InvalidInputError: a capability, a profile or a device that is none.
        NotImplementedHereError: a profile or a device that wants what is not offered.
        SystemFailureError: the host has no libseccomp.
    """
    host, privileges = config.host, config.spec.privileges
    capabilities = _capabilities(config)
    edits = _edits(host, hardware)
    profile = _profile(host, privileges.seccomp if privileges else None)
    is_ours = host.runtime in ("", OWN)
    return Confinement(
        privileged=host.privileged,
        capabilities=capabilities,
        no_new_privileges=bool(privileges and privileges.no_new_privileges),
        seccomp=seccomp_program(profile, capabilities),
        seccomp_rules=b"" if is_ours else seccomp_rules(profile, capabilities),
        masked_paths=_paths(
            host, host.masked_paths, (*MASKED_PATHS, *hardware.throttle_counters())
        ),
        read_only_paths=_paths(host, host.read_only_paths, READ_ONLY_PATHS),
        devices=(*_devices(host, hardware), *edits.devices),
        device_rules=_EVERYTHING_ALLOWED if host.privileged else host.device_cgroup_rules,
        more=edits,
    )


def _capabilities(config: ContainerConfig) -> frozenset[str]:
    if config.host.privileged:
        return frozenset(CAPABILITIES)
    try:
        return container_capabilities(config.spec.capability_add, config.spec.capability_drop)
    except UnknownCapabilityError as error:
        raise InvalidInputError(str(error)) from error


def _profile(host: HostOptions, of_service: SeccompOptions | None) -> str:
    """The profile's text, "" for the default one."""
    profile = host.seccomp_profile or _profile_of_service(of_service)
    return profile or (UNCONFINED if host.privileged else "")


def _profile_of_service(options: SeccompOptions | None) -> str:
    mode = options.mode.lower() if options else ""
    if options is None or mode in ("", "default"):
        return ""
    if mode == UNCONFINED:
        return UNCONFINED
    if mode != "custom":
        raise InvalidInputError(f"unknown seccomp mode {options.mode!r}")
    try:
        text = base64.b64decode(options.profile, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidInputError("the seccomp profile is not text in base64") from error
    if not text.strip():
        raise InvalidInputError("seccomp mode custom needs a profile")
    return text


def _paths(
    host: HostOptions, asked: tuple[str, ...] | None, default: tuple[str, ...]
) -> tuple[str, ...]:
    if host.privileged:
        return ()
    return default if asked is None else asked


def _devices(host: HostOptions, hardware: Hardware) -> tuple[DeviceNode, ...]:
    """Those that are named; a privileged container has all of them, and the named ones under other names."""
    found: list[DeviceNode] = []
    if host.privileged:
        found += hardware.everything()
    for device in host.devices:
        if host.privileged and device.path_on_host == device.path_in_container:
            continue
        found += hardware.from_path(
            device.path_on_host,
            device.path_in_container,
            device.cgroup_permissions or "rwm",
        )
    return tuple(found)


def _edits(host: HostOptions, hardware: Hardware) -> Edits:
    if not host.device_requests:
        return Edits()
    registry = hardware.registry()
    names: list[str] = []
    for request in host.device_requests:
        wanted = Wanted(
            driver=request.driver,
            count=request.count,
            device_ids=request.device_ids,
            capabilities=request.capabilities,
        )
        names += chosen(wanted, registry)
    return edits_for(names, registry)
