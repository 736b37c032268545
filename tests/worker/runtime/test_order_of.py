from dataclasses import replace

import pytest

from common.errors import InvalidInputError
from worker.runtime.bundle import (
    Bundle,
    BundleMount,
    FileContent,
    FurtherProcess,
    IdMapping,
    Namespaces,
    RootFs,
)
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.order_of import FILES_BYTES_MAX, spawn_order, start_order
from worker.runtime.wire import FrameReader, encode_frame

BUNDLE = Bundle(
    id="abc",
    rootfs=RootFs(lower=("/l",), upper="/u", work="/w", merged="/m"),
    argv=("sh",),
    capabilities=DEFAULT_CAPABILITIES,
)


def test_an_order_is_plain_values() -> None:
    bundle = replace(
        BUNDLE, ulimits={"nofile": (10, 20)}, sysctls={"net.core.somaxconn": "5"},
        mounts=(BundleMount(target="/data", source="/host"),),
    )  # fmt: skip
    order = start_order(bundle)
    assert FrameReader().feed(encode_frame(order)) == [order]
    assert order["process"]["capabilities"] == 0xA80425FB
    assert order["process"]["ulimits"] == [(7, 10, 20)]


def test_a_file_travels_in_its_mount() -> None:
    content = FileContent(data=b"x", uid=1, gid=2, mode=0o400)
    order = start_order(replace(BUNDLE, mounts=(BundleMount(target="/f", content=content),)))
    assert FrameReader().feed(encode_frame(order)) == [order]
    assert order["mounts"][0]["file"] == {"data": b"x", "uid": 1, "gid": 2, "mode": 0o400}


LARGE = BundleMount(target="/f", content=FileContent(data=bytes(FILES_BYTES_MAX)))


def test_the_largest_files_fit_a_frame() -> None:
    encode_frame(start_order(replace(BUNDLE, mounts=(LARGE,))))


REFUSED = {
    "files of too many bytes": (
        replace(BUNDLE, mounts=(LARGE, replace(LARGE, target="/g"))), "are more than a container's",
    ),
    "no command": (replace(BUNDLE, argv=()), "no command specified"),
    "a null byte": (replace(BUNDLE, env=("A=\0",)), "null byte"),
    "a relative directory": (replace(BUNDLE, cwd="tmp"), "not an absolute path"),
    "an id that leads elsewhere": (replace(BUNDLE, id="../x"), "is not a container's id"),
    "a hidden id": (replace(BUNDLE, id=".x"), "is not a container's id"),
    "an unknown capability": (
        replace(BUNDLE, capabilities=frozenset({"CAP_X"})), 'invalid capability: "CAP_X"',
    ),
    "an unknown ulimit": (replace(BUNDLE, ulimits={"x": (1, 1)}), "invalid ulimit type: x"),
    "a soft limit over the hard one": (
        replace(BUNDLE, ulimits={"nofile": (2, 1)}), "soft limit must be less",
    ),
    "a mount on the root": (replace(BUNDLE, mounts=(BundleMount(target="/"),)), "mount target"),
    "a relative mount target": (replace(BUNDLE, mounts=(BundleMount(target="x"),)), "mount target"),
    "an unknown propagation": (
        replace(BUNDLE, mounts=(BundleMount(target="/x", propagation="odd"),)), "propagation: odd",
    ),
    "too many layers": (
        replace(BUNDLE, rootfs=replace(BUNDLE.rootfs, lower=("/l",) * 129)), "129 layers",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("bundle", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(bundle: Bundle, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        start_order(bundle)


HOSTS_OWN = {
    "of the whole machine": ("vm.overcommit_memory", ""),
    "by a path through net": ("net.//.kernel.panic", ""),
    "by dots through net": ("net...kernel.panic", ""),
    "with a slash": ("net/core/somaxconn", ""),
    "of the host's network": ("net.ipv4.ip_forward", "host"),
}


@pytest.mark.parametrize(("name", "network"), HOSTS_OWN.values(), ids=HOSTS_OWN)
def test_no_sysctl_reaches_the_host(name: str, network: str) -> None:
    with pytest.raises(InvalidInputError, match="not allowed"):
        start_order(replace(BUNDLE, sysctls={name: "1"}, network_namespace=network))


def test_a_terminal_and_input_are_said() -> None:
    bundle = replace(BUNDLE, tty=True, console_size=(24, 80), open_stdin=True, stdin_once=True)
    order = start_order(bundle)
    assert (order["tty"], order["open_stdin"], order["stdin_once"]) == (True, True, True)
    assert (order["process"]["rows"], order["process"]["columns"]) == (24, 80)


NO_FURTHER_PROCESS = {
    "nothing to run": ("a", FurtherProcess(argv=()), "No exec command"),
    "a program without a name": ("a", FurtherProcess(argv=("", "x")), "No exec command"),
    "a directory that is not absolute": ("a", FurtherProcess(argv=("ls",), cwd="x"), "absolute"),
    "a null byte": ("a", FurtherProcess(argv=("ls", "\0")), "null byte"),
    "a name that is no container's": ("../a", FurtherProcess(argv=("ls",)), "container's id"),
}


@pytest.mark.parametrize(
    ("name", "process", "message"), NO_FURTHER_PROCESS.values(), ids=NO_FURTHER_PROCESS
)
def test_what_no_further_process_can_be(name: str, process: FurtherProcess, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        spawn_order(name, process)


MAPPED = (
    IdMapping(container_id=0, host_id=100_000, size=1000),
    IdMapping(container_id=1000, host_id=500_000, size=10),
)
REMAPPED = Namespaces(uid_mappings=MAPPED, gid_mappings=MAPPED)


@pytest.mark.parametrize(("inside", "outside"), [(0, 100_000), (999, 100_999), (1000, 500_000)])
def test_ids_of_a_container_are_told_as_the_hosts(inside: int, outside: int) -> None:
    content = FileContent(data=b"x", uid=inside, gid=inside)
    mounts = (BundleMount(target="/f", content=content),)
    order = start_order(replace(BUNDLE, namespaces=REMAPPED, mounts=mounts))
    file = order["mounts"][0]["file"]
    assert file is not None
    assert (file["uid"], file["gid"]) == (outside, outside)
    assert order["uid_mappings"] == [(0, 100_000, 1000), (1000, 500_000, 10)]
    assert (order["process"]["root_uid"], order["terminal_gid"]) == (100_000, 100_005)


def test_without_a_user_namespace_ids_are_the_same() -> None:
    order = start_order(BUNDLE)
    assert (order["process"]["root_uid"], order["terminal_gid"]) == (0, 5)
    assert order["uid_mappings"] == []


NAMESPACES_REFUSED = {
    "a mode that there is not": (Namespaces(pid="mine"), "invalid pid mode: mine"),
    "no memory of processes": (Namespaces(pid="none"), "invalid pid mode: none"),
    "an id that leads elsewhere": (Namespaces(ipc="container:../x"), "is not a container's id"),
    "another's control groups": (Namespaces(cgroup="container:x"), "cgroup namespace mode"),
    "users without groups": (Namespaces(uid_mappings=MAPPED), "groups are not"),
    "a terminal's group that is not mapped": (
        Namespaces(uid_mappings=MAPPED[:1], gid_mappings=(replace(MAPPED[0], size=5),)),
        "id 5 is not mapped",
    ),
}


@pytest.mark.parametrize(("asked", "message"), NAMESPACES_REFUSED.values(), ids=NAMESPACES_REFUSED)
def test_refuses_namespaces(asked: Namespaces, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        start_order(replace(BUNDLE, namespaces=asked))


def test_who_shares_processes_is_told_so() -> None:
    shared = [Namespaces(pid="host"), Namespaces(pid="container:abc"), Namespaces(ipc="host")]
    orders = [start_order(replace(BUNDLE, namespaces=one)) for one in shared]
    assert [order["process"]["shares_processes"] for order in orders] == [True, True, False]


def test_sysctls_of_a_shared_ipc_namespace_of_the_host_are_refused() -> None:
    bundle = replace(BUNDLE, namespaces=Namespaces(ipc="host"), sysctls={"kernel.msgmax": "1"})
    with pytest.raises(InvalidInputError, match="host's ipc namespace"):
        start_order(bundle)
