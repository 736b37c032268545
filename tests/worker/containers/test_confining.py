import base64
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import ContainerSpec, Privileges, SeccompOptions
from worker.containers.confining import Hardware, confinement_of, throttle_counters
from worker.containers.record import ContainerConfig, DeviceMapping, DeviceRequest, HostOptions
from worker.runtime.bundle import DeviceNode
from worker.runtime.capabilities import CAPABILITIES, DEFAULT_CAPABILITIES
from worker.runtime.cdi import Edits, Registry, read_specification, registry_of
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


class FakeHardware(Hardware):
    """Two devices, and a vendor's description of a third."""

    @override
    def from_path(self, on_host: str, in_container: str, access: str) -> tuple[DeviceNode, ...]:
        return (replace(FUSE, path=in_container, access=access),)

    @override
    def everything(self) -> tuple[DeviceNode, ...]:
        return (FUSE, DISK)

    @override
    def registry(self) -> Registry:
        edits = {
            "env": ["GPU=1"],
            "deviceNodes": [{"path": "/dev/gpu0", "type": "c", "major": 195, "minor": 0}],
            "additionalGids": [44],
        }
        content = {
            "cdiVersion": "0.6.0",
            "kind": "vendor.com/gpu",
            "devices": [{"name": "0", "containerEdits": edits}],
        }
        return registry_of([read_specification(content, "file", 0)])


FUSE = DeviceNode(path="/dev/fuse", kind="c", major=10, minor=229)
DISK = DeviceNode(path="/dev/sda", kind="b", major=8, minor=0)
GPU = DeviceNode(path="/dev/gpu0", kind="c", major=195, minor=0)
TO_FUSE = DeviceMapping(path_on_host="/dev/fuse", path_in_container="/dev/fuse")
AS_FUSE_2 = DeviceMapping(
    path_on_host="/dev/fuse", path_in_container="/dev/fuse2", cgroup_permissions="r"
)
BY_CDI = DeviceRequest(driver="cdi", device_ids=("vendor.com/gpu=0",))
GPUS = DeviceRequest(count=-1, capabilities=(("gpu",),))

DEVICES = {
    "none": (HostOptions(), (), ()),
    "one by its path": (HostOptions(devices=(TO_FUSE,)), (FUSE,), ()),
    "one under another name": (
        HostOptions(devices=(AS_FUSE_2,)), (replace(FUSE, path="/dev/fuse2", access="r"),), (),
    ),
    "what a rule allows": (HostOptions(device_cgroup_rules=("c 1:* r",)), (), ("c 1:* r",)),
    "all for a privileged one": (
        HostOptions(privileged=True, devices=(TO_FUSE, AS_FUSE_2), device_cgroup_rules=("c 1:* r",)),
        (FUSE, DISK, replace(FUSE, path="/dev/fuse2", access="r")),
        ("a",),
    ),
    "one by its vendor's name": (HostOptions(device_requests=(BY_CDI,)), (GPU,), ()),
    "graphics processors": (HostOptions(device_requests=(GPUS,)), (GPU,), ()),
}  # fmt: skip


@pytest.mark.parametrize(("host", "devices", "rules"), DEVICES.values(), ids=DEVICES)
def test_devices_are(
    host: HostOptions, devices: tuple[DeviceNode, ...], rules: tuple[str, ...]
) -> None:
    confinement = confinement_of(config(host), FakeHardware())
    assert confinement.devices == devices
    assert confinement.device_rules == rules


def test_a_vendors_device_brings_more_than_its_node() -> None:
    more = confinement_of(config(HostOptions(device_requests=(BY_CDI,))), FakeHardware()).more
    assert more == Edits(env=("GPU=1",), devices=(GPU,), groups=("44",))


def test_nothing_said_is_dockers_default() -> None:
    confinement = confinement_of(config())
    assert confinement.devices == ()
    assert confinement.capabilities == DEFAULT_CAPABILITIES
    assert confinement.seccomp == seccomp_program("", DEFAULT_CAPABILITIES) != b""
    assert confinement.masked_paths == (*MASKED_PATHS, *throttle_counters())
    assert confinement.read_only_paths == READ_ONLY_PATHS
    assert not confinement.privileged
    assert not confinement.no_new_privileges


def test_throttle_counters_are_masked_where_there_are_some(tmp_path: Path) -> None:
    for name in (
        "cpu0/thermal_throttle",
        "cpu1",
        "cpu11/thermal_throttle",
        "cpufreq/thermal_throttle",
    ):
        (tmp_path / name).mkdir(parents=True)
    found = throttle_counters(str(tmp_path))
    assert found == (
        f"{tmp_path}/cpu0/thermal_throttle", f"{tmp_path}/cpu11/thermal_throttle",
    )  # fmt: skip
    assert confinement_of(config(), Throttled()).masked_paths == (*MASKED_PATHS, "/sys/throttle")
    unmasked = config(HostOptions(masked_paths=()))
    assert confinement_of(unmasked, Throttled()).masked_paths == ()


class Throttled(Hardware):
    """A machine with one such place."""

    @override
    def throttle_counters(self) -> tuple[str, ...]:
        return ("/sys/throttle",)


def test_privileged_is_confined_by_nothing() -> None:
    spec = ContainerSpec(image="x", capability_drop=("ALL",))
    confinement = confinement_of(config(HostOptions(privileged=True), spec), FakeHardware())
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
    assert confinement_of(asked, FakeHardware()).seccomp == expected


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
