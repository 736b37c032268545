"""Makes and unmakes what a container consists of. Every step may be done again after a crash."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from common.errors import ConflictError, InvalidInputError
from common.model.container_spec import Mount, MountType
from worker.containers.bundle_of import ETC_FILES, Places, bundle_of
from worker.containers.etc_files import hosts_text, resolv_conf_text
from worker.containers.files import ContainerFile
from worker.containers.health_monitor import NetworkProbe
from worker.containers.network_probe import probe_network
from worker.containers.ports import (
    HostPorts,
    Images,
    Networks,
    Volumes,
    WholeRuntime,
)
from worker.containers.publishing import NoHostPorts, Publishing
from worker.containers.record import Container, MountPoint
from worker.containers.records import Records, disk_errors
from worker.containers.resources import joined
from worker.containers.settle import hostname_of, mounts_of
from worker.images.resolved import ResolvedImage
from worker.kernel.tree_size import tree_size
from worker.kernel.trees import remove_tree
from worker.network.attachment import Sandbox
from worker.runtime.oci_runtimes import Runtimes
from worker.runtime.remap import Remap

HOST_RESOLV_CONF = Path("/etc/resolv.conf")
ETC_BYTES_MAX = 1024 * 1024
"""Of each file in /etc of a container whose network another one shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machinery:
    """What the engine composes."""

    runtime: WholeRuntime
    images: Images
    networks: Networks
    volumes: Volumes
    ports: HostPorts = field(default_factory=NoHostPorts)
    network_probe: NetworkProbe = probe_network
    remap: Remap | None = None
    """Which ids of the host those of containers are; None for the same."""
    runtimes: Runtimes = field(default_factory=Runtimes)
    """Which runtimes can make a container's process."""


class Workshop:
    """Directories, mounts, network and process of containers."""

    def __init__(self, data_root: str, exec_root: str, machinery: Machinery) -> None:
        self.records = Records(f"{data_root}/containers")
        self._exec_root = Path(exec_root)
        self._machinery = machinery
        self.publishing = Publishing(machinery.ports)

    def places(self, container_id: str) -> Places:
        """A container's directories."""
        return Places(
            directory=str(self.records.directory(container_id)),
            merged=str(self._exec_root / "merged"),
            etc=str(self._exec_root / "etc" / container_id),
        )

    async def make(self, container: Container, image: ResolvedImage) -> Container:
        """Makes what outlives a run: directory, volumes, record. All of it or nothing.

        Raises:
            InvalidInputError: a mount that cannot be.
            SystemFailureError: the machine refused.
        """
        self._machinery.images.hold(image.id, container.id)
        try:
            with disk_errors():
                self.records.make(container.id)
            wanted = mounts_of(container.config.spec, image)
            points = [await self._mount_point(container.id, mount, image) for mount in wanted]
            made = replace(container, mounts=tuple(points))
            self.records.write(made)
        except BaseException:
            await self.unmake(container.id)
            raise
        return made

    async def _mount_point(
        self, container_id: str, mount: Mount, image: ResolvedImage
    ) -> MountPoint:
        name, source = "", mount.source
        if mount.type is MountType.VOLUME:
            place = await self._machinery.volumes.acquire(mount, container_id, layers=image.layers)
            name, source = place.name, place.path
        elif mount.type is MountType.BIND:
            await asyncio.to_thread(_check_bind_source, mount)
        return MountPoint(
            type=mount.type.value,
            name=name,
            source=source,
            destination=mount.target,
            read_only=mount.read_only,
            driver="local" if name else "",
            propagation=_propagation(mount),
        )

    async def attach(self, container: Container) -> Sandbox | None:
        """The container's network, if it has one of its own."""
        if container.config.network != "bridge":
            return None
        return await self._machinery.networks.attach(container.id)

    async def run(
        self,
        container: Container,
        image: ResolvedImage,
        sandbox: Sandbox | None,
        files: Sequence[ContainerFile] = (),
    ) -> int:
        """Starts the container's process, having recorded that it does; gives its pid. No file touches the disk.

        Raises:
            InvalidInputError: its program cannot run.
            SystemFailureError: the machine refused.
        """
        places = self.places(container.id)
        sharer = joined(container.config.network)
        with disk_errors():
            texts = _etc_of(self.places(sharer)) if sharer else _etc_texts(container, sandbox)
            _write_etc(texts, places)
        self.records.write(container)
        for point in container.mounts:
            if point.name:
                await self._machinery.volumes.begin(
                    point.name,
                    container.id,
                    destination=point.destination,
                    read_only=point.read_only,
                )
        bundle = bundle_of(container, image, sandbox, places, files, self._machinery.remap)
        bundle = self._machinery.runtimes.applied(container.config.host.runtime, bundle)
        return await self._machinery.runtime.start(bundle)

    async def put_down(self, container_id: str) -> None:
        """Gives back what only a running container needs."""
        await self.publishing.close(container_id)
        await self._machinery.networks.detach(container_id)
        await self._machinery.runtime.cleanup(container_id)
        await self._machinery.volumes.end(container_id)
        _remove_run_files(self.places(container_id))

    def is_put_down(self, container_id: str) -> bool:
        """Whether nothing is left of its last run on the host: the last step has been done."""
        return not Path(self.places(container_id).etc).exists()

    async def unmake(
        self, container_id: str, *, keep_anonymous: bool = False, is_lasting: bool = False
    ) -> None:
        """Takes away what outlives a run, but named volumes; those without a name on request only."""
        with disk_errors():
            remove = partial(self.records.remove, container_id, is_lasting=is_lasting)
            await asyncio.to_thread(remove)
        await self._machinery.volumes.release(container_id, keep_anonymous=keep_anonymous)
        self._machinery.images.release(container_id)

    async def size(self, container_id: str) -> int:
        """Bytes that a container has written below its root."""
        with disk_errors():
            return await asyncio.to_thread(
                tree_size, f"{self.places(container_id).directory}/upper"
            )

    def hold(self, container: Container) -> None:
        """Says again, after a restart, what a container holds."""
        self._machinery.images.hold(container.image_id, container.id)
        for point in container.mounts:
            if point.name:
                self._machinery.volumes.hold(point.name, container.id)

    async def tidy(self, running: list[str]) -> None:
        """Takes away what no container has any more: what a crash has left behind."""
        await self._machinery.networks.reconcile(running)
        await self._machinery.volumes.sweep(running)


def _remove_run_files(places: Places) -> None:
    with disk_errors():
        remove_tree(places.etc)


def _propagation(mount: Mount) -> str:
    if mount.type is not MountType.BIND:
        return ""
    return (mount.bind_options.propagation if mount.bind_options else "") or "rprivate"


def _check_bind_source(mount: Mount) -> None:
    source = Path(mount.source)
    if source.exists():
        return
    if mount.bind_options and mount.bind_options.create_mountpoint:
        with disk_errors():
            source.mkdir(parents=True, exist_ok=True)
        return
    raise InvalidInputError(
        f'invalid mount config for type "bind": bind source path does not exist: {mount.source}'
    )


def _etc_texts(container: Container, sandbox: Sandbox | None) -> dict[str, str]:
    spec = container.config.spec
    hostname = hostname_of(spec, container.id)
    try:
        host_text = HOST_RESOLV_CONF.read_text()
    except FileNotFoundError:
        host_text = ""
    domain = container.config.host.domainname
    name = f"{hostname}.{domain}" if domain and "." not in hostname else hostname
    address = sandbox.attachment.address if sandbox else ""
    return {
        "hosts": hosts_text(spec, hostname=name, address=address),
        "hostname": f"{hostname}\n",
        "resolv.conf": resolv_conf_text(spec.dns_config, sandbox, host_text),
    }


def _etc_of(other: Places) -> dict[str, str]:
    """What one that shares another's network has: what the other one has, which may have written anything there.

    Raises:
        ConflictError: it has written too much.
    """
    return {name: _text_of_another(Path(other.etc, name)) for name in ETC_FILES}


def _text_of_another(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(ETC_BYTES_MAX + 1)
    if len(data) > ETC_BYTES_MAX:
        raise ConflictError(
            f"/etc/{path.name} of the container whose network is shared is longer than {ETC_BYTES_MAX} bytes"
        )
    return data.decode(errors="surrogateescape")


def _write_etc(texts: Mapping[str, str], places: Places) -> None:
    for directory in (places.etc, places.merged):
        Path(directory).mkdir(parents=True, exist_ok=True, mode=0o710)
    for name, text in texts.items():
        path = Path(places.etc, name)
        path.write_bytes(text.encode(errors="surrogateescape"))
        path.chmod(0o644)
