"""A container's record, image and network into everything that its first process needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.model.container_spec import Mount, MountType
from worker.containers.confining import confinement_of
from worker.containers.files import ContainerFile
from worker.containers.log_drivers import facts_of, log_options_of
from worker.containers.record import Container, MountPoint
from worker.containers.resources import limits_of, namespaces_of, network_of, sysctls_of
from worker.containers.settle import hostname_of
from worker.containers.tmpfs import TmpfsPlan, tmpfs_plan
from worker.images.resolved import ResolvedImage
from worker.network.attachment import Sandbox
from worker.runtime.bundle import Bundle, BundleMount, FileContent, RootFs
from worker.runtime.remap import Remap

SHM_BYTES = 64 * 1024 * 1024
"""Of /dev/shm, where nothing else is asked for."""
ETC_FILES = ("hosts", "hostname", "resolv.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The directories of one container on the host."""

    directory: str
    """Survives a reboot: record, files, log."""
    merged: str
    """Where its root is mounted."""
    etc: str
    """Its own hosts, hostname and resolv.conf, written at each start; gone after a reboot."""

    def file(self, name: str) -> str:
        """A part of the directory."""
        return f"{self.directory}/{name}"


def bundle_of(
    container: Container,
    image: ResolvedImage,
    sandbox: Sandbox | None,
    places: Places,
    files: Sequence[ContainerFile] = (),
    remap: Remap | None = None,
) -> Bundle:
    """Decides the bundle.

    Args:
        container: its record.
        image: what it was made of.
        sandbox: its network; None for a container on the host's, on another's or on none.
        places: its directories.
        files: its secrets and configs.
        remap: which ids of the host those of containers are; None for the same.
    """
    spec, host = container.config.spec, container.config.host
    confinement = confinement_of(container.config)
    return Bundle(
        id=container.id,
        rootfs=RootFs(
            lower=image.layers,
            upper=places.file("upper"),
            work=places.file("work"),
            merged=places.merged,
            read_only=spec.read_only,
        ),
        argv=container.argv,
        env=(*container.env, *confinement.more.env),
        cwd=container.working_dir,
        user=container.user,
        groups=(*spec.groups, *confinement.more.groups),
        hostname=hostname_of(spec, container.id),
        domainname=host.domainname,
        mounts=(*confinement.more.mounts, *_mounts(container, places, files)),
        network_namespace=network_of(container.config, sandbox),
        namespaces=namespaces_of(container.config, remap),
        capabilities=confinement.capabilities,
        no_new_privileges=confinement.no_new_privileges,
        seccomp=confinement.seccomp,
        seccomp_rules=confinement.seccomp_rules,
        masked_paths=confinement.masked_paths,
        read_only_paths=confinement.read_only_paths,
        privileged=confinement.privileged,
        devices=confinement.devices,
        device_rules=confinement.device_rules,
        sysctls=sysctls_of(container.config),
        ulimits={limit.name: (limit.soft, limit.hard) for limit in spec.ulimits},
        oom_score_adj=spec.oom_score_adj,
        tty=spec.tty,
        console_size=host.console_size,
        open_stdin=spec.open_stdin,
        stdin_once=spec.open_stdin and host.stdin_once,
        shm_bytes=host.shm_bytes or SHM_BYTES,
        init=bool(spec.init),
        limits=limits_of(container.config),
        log=log_options_of(
            container.config.log_driver,
            path=places.file(container.log_file),
            facts=facts_of(container),
        ),
    )


def _mounts(
    container: Container, places: Places, files: Sequence[ContainerFile]
) -> tuple[BundleMount, ...]:
    """Files of /etc first, then the others, those nearer to the root before those below them.

    At one depth a secret or config comes last: nothing else may cover it.
    """
    asked = {mount.target: mount for mount in container.config.spec.mounts}
    taken = {point.destination.rstrip("/") for point in container.mounts}
    taken |= {file.path for file in files}
    own = [
        BundleMount(target=f"/etc/{name}", source=f"{places.etc}/{name}", maps_owners=True)
        for name in ETC_FILES
        if f"/etc/{name}" not in taken
    ]
    mounts = [
        *(_mount(point, asked.get(point.destination)) for point in container.mounts),
        *map(_file, files),
    ]
    mounts.sort(key=lambda mount: mount.target.rstrip("/").count("/"))
    return (*own, *mounts)


def _file(file: ContainerFile) -> BundleMount:
    content = FileContent(data=file.data, uid=file.uid, gid=file.gid, mode=file.mode)
    return BundleMount(target=file.path, read_only=True, content=content)


def _mount(point: MountPoint, asked: Mount | None) -> BundleMount:
    bind = asked.bind_options if asked and asked.type is MountType.BIND else None
    tmpfs = asked.tmpfs_options if asked else None
    plan = tmpfs_plan("=".join(option) for option in tmpfs.options) if tmpfs else TmpfsPlan()
    volume = asked.volume_options if asked and asked.type is MountType.VOLUME else None
    return BundleMount(
        target=point.destination,
        source=point.source,
        read_only=point.read_only,
        tmpfs_size_bytes=tmpfs.size_bytes if tmpfs else 0,
        tmpfs_mode=(tmpfs.mode if tmpfs else 0) or 0o1777,
        tmpfs_flags=plan.flags,
        tmpfs_data=plan.data,
        propagation=(bind.propagation if bind else "") or "rprivate",
        recursive=not (bind and bind.non_recursive),
        subpath=volume.subpath if volume else "",
        read_only_below=not (bind and bind.read_only_non_recursive),
        maps_owners=point.type == MountType.VOLUME.value,
    )
