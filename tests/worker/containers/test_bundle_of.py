"""A record, an image and a network as one bundle."""

from dataclasses import replace

import pytest

from common.model.container_spec import (
    BindOptions,
    ContainerSpec,
    Mount,
    MountType,
    Privileges,
    TmpfsOptions,
    Ulimit,
)
from worker.containers.bundle_of import Places, bundle_of
from worker.containers.confining import throttle_counters
from worker.containers.files import ContainerFile
from worker.containers.record import Container, ContainerConfig, MountPoint
from worker.containers.resources import OWN_NETWORK_SYSCTLS
from worker.images.resolved import ResolvedImage
from worker.network.attachment import Attachment, Sandbox
from worker.runtime.bundle import Bundle, BundleMount, FileContent, LogOptions, RootFs
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.confinement import MASKED_PATHS
from worker.runtime.seccomp_programs import seccomp_program

ID = "c" * 64
IMAGE = ResolvedImage(id="sha256:1", layers=("/l2", "/l1"))
PLACES = Places(directory=f"/c/{ID}", merged=f"/run/merged/{ID}", etc=f"/run/etc/{ID}")
SANDBOX = Sandbox(namespace=f"/run/netns/{ID}", attachment=Attachment(address="10.0.0.2"))
ETC = tuple(
    BundleMount(target=f"/etc/{name}", source=f"/run/etc/{ID}/{name}", maps_owners=True)
    for name in ("hosts", "hostname", "resolv.conf")
)


def container(spec: ContainerSpec, *points: MountPoint, network: str = "bridge") -> Container:
    config = ContainerConfig(name="web", spec=spec, network=network)
    return Container(
        id=ID,
        config=config,
        image_id="sha256:1",
        created_at=1.0,
        argv=("serve",),
        env=("A=1",),
        working_dir="/srv",
        user="web",
        mounts=points,
    )


PLAIN = Bundle(
    id=ID,
    rootfs=RootFs(
        lower=("/l2", "/l1"), upper=f"/c/{ID}/upper", work=f"/c/{ID}/work", merged=PLACES.merged
    ),
    argv=("serve",),
    env=("A=1",),
    cwd="/srv",
    user="web",
    hostname="c" * 12,
    mounts=ETC,
    network_namespace=SANDBOX.namespace,
    capabilities=DEFAULT_CAPABILITIES,
    seccomp=seccomp_program("", DEFAULT_CAPABILITIES),
    masked_paths=(*MASKED_PATHS, *throttle_counters()),
    sysctls=OWN_NETWORK_SYSCTLS,
    log=LogOptions(path=f"/c/{ID}/log", max_bytes=10_000_000, max_files=3),
)


def test_a_plain_container() -> None:
    assert bundle_of(container(ContainerSpec()), IMAGE, SANDBOX, PLACES) == PLAIN


def test_what_the_spec_asks_for_is_in_the_bundle() -> None:
    spec = ContainerSpec(
        hostname="web.example",
        groups=("wheel",),
        read_only=True,
        init=True,
        privileges=Privileges(no_new_privileges=True),
        sysctls={"net.core.somaxconn": "9"},
        capability_add=("NET_ADMIN",),
        capability_drop=("CAP_CHOWN",),
        ulimits=(Ulimit(name="nofile", soft=10, hard=20),),
        oom_score_adj=5,
    )

    fewer_and_more = (DEFAULT_CAPABILITIES - {"CAP_CHOWN"}) | {"CAP_NET_ADMIN"}
    assert bundle_of(container(spec), IMAGE, SANDBOX, PLACES) == replace(
        PLAIN,
        rootfs=replace(PLAIN.rootfs, read_only=True),
        hostname="web.example",
        groups=("wheel",),
        init=True,
        no_new_privileges=True,
        sysctls={**OWN_NETWORK_SYSCTLS, "net.core.somaxconn": "9"},
        capabilities=fewer_and_more,
        seccomp=seccomp_program("", fewer_and_more),
        ulimits={"nofile": (10, 20)},
        oom_score_adj=5,
    )


@pytest.mark.parametrize(("network", "namespace"), [("host", "host"), ("none", "")])
def test_networks_without_a_sandbox(network: str, namespace: str) -> None:
    found = bundle_of(container(ContainerSpec(), network=network), IMAGE, None, PLACES)

    assert found.network_namespace == namespace


def test_mounts_come_from_the_root_down_and_may_replace_the_files_of_etc() -> None:
    asked = (
        Mount(
            type=MountType.BIND,
            source="/h",
            target="/a/b",
            bind_options=BindOptions(propagation="rslave", non_recursive=True),
        ),
        Mount(
            type=MountType.TMPFS,
            target="/a",
            tmpfs_options=TmpfsOptions(size_bytes=9, mode=0o700),
        ),
        Mount(type=MountType.BIND, source="/own", target="/etc/hosts", read_only=True),
    )
    points = (
        MountPoint(type="bind", source="/h", destination="/a/b"),
        MountPoint(type="tmpfs", destination="/a"),
        MountPoint(type="bind", source="/own", destination="/etc/hosts", read_only=True),
        MountPoint(type="volume", name="v", source="/v/_data", destination="/data"),
    )

    found = bundle_of(container(ContainerSpec(mounts=asked), *points), IMAGE, SANDBOX, PLACES)

    assert found.mounts == (
        *ETC[1:],
        BundleMount(target="/a", tmpfs_size_bytes=9, tmpfs_mode=0o700),
        BundleMount(target="/data", source="/v/_data", maps_owners=True),
        BundleMount(target="/a/b", source="/h", propagation="rslave", recursive=False),
        BundleMount(target="/etc/hosts", source="/own", read_only=True),
    )


def test_files_come_after_what_lies_above_them_and_cover_what_lies_at_their_place() -> None:
    files = (
        ContainerFile(path="/run/secrets/key", data=b"s", uid=1, gid=2, mode=0o400),
        ContainerFile(path="/etc/hosts", data=b"h"),
    )
    volume = MountPoint(type="volume", source="/v", destination="/run")
    deep = MountPoint(type="volume", source="/d", destination="/run/secrets/key/deep")
    made = bundle_of(container(ContainerSpec(), deep, volume), IMAGE, SANDBOX, PLACES, files)
    assert made.mounts == (
        *ETC[1:],
        BundleMount(target="/run", source="/v", maps_owners=True),
        BundleMount(target="/etc/hosts", read_only=True, content=FileContent(data=b"h")),
        BundleMount(
            target="/run/secrets/key",
            read_only=True,
            content=FileContent(data=b"s", uid=1, gid=2, mode=0o400),
        ),
        BundleMount(target="/run/secrets/key/deep", source="/d", maps_owners=True),
    )
