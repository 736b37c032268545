"""What a container may do, decided out of what was asked for: capabilities, filter, masks, devices."""

import base64
import binascii
from dataclasses import dataclass, field

from common.errors import InvalidInputError
from common.model.container_spec import SeccompOptions
from worker.containers.record import ContainerConfig, HostOptions
from worker.runtime.capabilities import CAPABILITIES, UnknownCapabilityError, container_capabilities
from worker.runtime.confinement import MASKED_PATHS, READ_ONLY_PATHS
from worker.runtime.seccomp_programs import UNCONFINED, seccomp_program


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """Fields of a bundle, by their names there."""

    privileged: bool
    capabilities: frozenset[str]
    no_new_privileges: bool
    seccomp: bytes = field(repr=False)
    masked_paths: tuple[str, ...]
    read_only_paths: tuple[str, ...]


def confinement_of(config: ContainerConfig) -> Confinement:
    """Decides it; Docker's defaults where nothing is said.

    A privileged container has every capability, no filter but one that was named, and nothing masked.

    Raises:
        InvalidInputError: a capability or a profile that is none.
        NotImplementedHereError: a profile that wants what is not offered.
        SystemFailureError: the host has no libseccomp.
    """
    host, privileges = config.host, config.spec.privileges
    capabilities = _capabilities(config)
    return Confinement(
        privileged=host.privileged,
        capabilities=capabilities,
        no_new_privileges=bool(privileges and privileges.no_new_privileges),
        seccomp=seccomp_program(
            _profile(host, privileges.seccomp if privileges else None), capabilities
        ),
        masked_paths=_paths(host, host.masked_paths, MASKED_PATHS),
        read_only_paths=_paths(host, host.read_only_paths, READ_ONLY_PATHS),
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
