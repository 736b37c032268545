import base64

import pytest

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import ContainerSpec, Privileges, SeccompOptions
from worker.containers.confining import confinement_of
from worker.containers.record import ContainerConfig, HostOptions
from worker.runtime.capabilities import CAPABILITIES, DEFAULT_CAPABILITIES
from worker.runtime.confinement import MASKED_PATHS, READ_ONLY_PATHS
from worker.runtime.seccomp_programs import seccomp_program

OWN = '{"defaultAction": "SCMP_ACT_ALLOW"}'


def config(host: HostOptions | None = None, spec: ContainerSpec | None = None) -> ContainerConfig:
    return ContainerConfig(
        name="c", spec=spec or ContainerSpec(image="x"), host=host or HostOptions()
    )


def of_service(mode: str, profile: str = "") -> ContainerConfig:
    privileges = Privileges(seccomp=SeccompOptions(mode=mode, profile=profile))
    return config(spec=ContainerSpec(image="x", privileges=privileges))


def test_nothing_said_is_dockers_default() -> None:
    confinement = confinement_of(config())
    assert confinement.capabilities == DEFAULT_CAPABILITIES
    assert confinement.seccomp == seccomp_program("", DEFAULT_CAPABILITIES) != b""
    assert confinement.masked_paths == MASKED_PATHS
    assert confinement.read_only_paths == READ_ONLY_PATHS
    assert not confinement.privileged
    assert not confinement.no_new_privileges


def test_privileged_is_confined_by_nothing() -> None:
    spec = ContainerSpec(image="x", capability_drop=("ALL",))
    confinement = confinement_of(config(HostOptions(privileged=True), spec))
    assert confinement.privileged
    assert confinement.capabilities == frozenset(CAPABILITIES)
    assert confinement.seccomp == b""
    assert confinement.masked_paths == ()
    assert confinement.read_only_paths == ()


EVERYTHING = frozenset(CAPABILITIES)
FILTERS = {
    "unconfined": (config(HostOptions(seccomp_profile="unconfined")), b""),
    "a profile": (
        config(HostOptions(seccomp_profile=OWN)), seccomp_program(OWN, DEFAULT_CAPABILITIES),
    ),
    "builtin": (
        config(HostOptions(seccomp_profile="builtin")), seccomp_program("", DEFAULT_CAPABILITIES),
    ),
    "one that is named for a privileged one": (
        config(HostOptions(privileged=True, seccomp_profile="builtin")),
        seccomp_program("", EVERYTHING),
    ),
    "default for a service": (of_service("default"), seccomp_program("", DEFAULT_CAPABILITIES)),
    "unconfined for a service": (of_service("unconfined"), b""),
    "a profile for a service": (
        of_service("custom", base64.b64encode(OWN.encode()).decode()),
        seccomp_program(OWN, DEFAULT_CAPABILITIES),
    ),
    "by its capabilities": (
        config(spec=ContainerSpec(image="x", capability_drop=("ALL",))),
        seccomp_program("", frozenset()),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "expected"), FILTERS.values(), ids=FILTERS)
def test_the_filter_is(asked: ContainerConfig, expected: bytes) -> None:
    assert confinement_of(asked).seccomp == expected


def test_masks_can_be_chosen() -> None:
    confinement = confinement_of(
        config(HostOptions(masked_paths=(), read_only_paths=("/proc/sys",)))
    )
    assert confinement.masked_paths == ()
    assert confinement.read_only_paths == ("/proc/sys",)


REFUSED = {
    "an unknown mode": (of_service("strict"), InvalidInputError, "unknown seccomp mode 'strict'"),
    "no base64": (of_service("custom", "{}"), InvalidInputError, "not text in base64"),
    "no profile": (of_service("custom"), InvalidInputError, "needs a profile"),
    "no JSON": (
        config(HostOptions(seccomp_profile="{")), InvalidInputError, "decoding seccomp profile",
    ),
    "a listener": (
        config(HostOptions(seccomp_profile='{"listenerPath": "/x"}')),
        NotImplementedHereError,
        "listener",
    ),
    "an unknown capability": (
        config(spec=ContainerSpec(image="x", capability_add=("X",))), InvalidInputError, 'invalid capability: "X"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "error", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused_is(asked: ContainerConfig, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        confinement_of(asked)
