"""What the local engine needs of the rest of the worker, and no more."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from common.model.container_spec import Mount
from worker.balancer.table import PortFault, PublishedPort
from worker.images.resolved import ResolvedImage
from worker.network.attachment import Sandbox
from worker.runtime.bundle import (
    Bundle,
    CgroupLimits,
    ExecResult,
    Exit,
    FurtherProcess,
    RunLease,
    Usage,
)
from worker.volumes.place import VolumePlace


class Streams(Protocol):
    """What a process writes and reads, for one who is attached to it."""

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece: 1 (stdout, or a terminal) or 2 (stderr) and its bytes; None once both have ended.

        The process waits while nobody reads; but who is attached to a container and takes nothing for five minutes
        while something waits is cut off.

        Raises:
            UnavailableError: it broke off before the end: cut off, or the supervisor was lost.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Gives it input; waits while it does not read. What it can never read any more is dropped."""
        ...

    async def close_input(self) -> None:
        """It reads the end of its input; a terminal has none, and stays as it is."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """Says how large its terminal is; nothing without one."""
        ...

    def close(self) -> None:
        """Lets go of it; it goes on. May be called again."""
        ...


class Spawned(Protocol):
    """A further process in a container."""

    @property
    def pid(self) -> int:
        """On the host."""
        ...

    @property
    def streams(self) -> Streams:
        """What it writes and reads; ended from the start for a detached one."""
        ...

    async def wait(self) -> int:
        """Its exit code: 0-255, 128 + signal."""
        ...


class AttachingRuntime(Protocol):
    """What a runtime does beyond a task's life."""

    async def attach(
        self,
        container_id: str,
        *,
        before_start: bool = False,
        with_input: bool = True,
        with_output: bool = True,
    ) -> Streams:
        """What a container writes from now on, and its input; several may be attached at a time.

        With ``before_start`` one that does not run is about to be started: attached from its first byte. Who is not
        ``with_output`` reads nothing but the end, and does not hold the container up. ``close_input`` ends the
        container's input whatever its ``stdin_once`` says; who is ``with_input`` and leaves ends it only with
        ``stdin_once``.

        Raises:
            NotFoundError: it does not run.
            UnavailableError: too many are attached.
        """
        ...

    async def spawn(self, container_id: str, process: FurtherProcess) -> Spawned:
        """Runs a further process in a container that runs.

        Raises:
            NotFoundError: the container does not run.
            InvalidInputError: the program does not exist, or cannot run here.
            UnavailableError: too many run already.
        """
        ...

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """Says how large the terminal of its first process is.

        Raises:
            NotFoundError: it does not run, or has no terminal.
        """
        ...

    async def pause(self, container_id: str) -> None:
        """Freezes all its processes; a frozen one stays so.

        A signal waits until it goes on, but for the one of ``kill``. A further process is refused meanwhile.

        Raises:
            NotFoundError: it does not run.
            SystemFailureError: some do not stand still; all go on.
        """
        ...

    async def resume(self, container_id: str) -> None:
        """Lets them go on.

        Raises:
            NotFoundError: it does not run.
        """
        ...

    async def limit(self, container_id: str, limits: CgroupLimits) -> None:
        """Sets the limits of one that runs.

        Raises:
            SystemFailureError: the kernel refuses, such as a memory limit below what is used; nothing was changed.
        """
        ...

    async def usage(self, container_id: str) -> Usage:
        """What it uses now.

        Raises:
            NotFoundError: it does not run.
        """
        ...

    async def first_processes(self) -> Mapping[str, int]:
        """Pids on the host of the first processes of containers that live; 0 for one that nobody can tell."""
        ...

    async def processes(self, container_id: str) -> Sequence[int]:
        """Pids of all its processes, on the host.

        Raises:
            NotFoundError: it does not run.
        """
        ...


class Runtime(Protocol):
    """Processes in namespaces and cgroups (``worker.runtime.client`` is it)."""

    async def start(self, bundle: Bundle) -> int:
        """Runs the container's first process; returns its pid on the host once it has exec'd.

        Raises:
            InvalidInputError: the program does not exist or cannot run in this image (exec: no such file).
            SystemFailureError: the kernel refused; everything made for it is taken away again.
        """
        ...

    async def signal(self, container_id: str, number: int) -> None:
        """Sends a signal to the first process; one that has ended is fine."""
        ...

    async def kill(self, container_id: str) -> None:
        """SIGKILL to every process of the container, in whatever sessions or namespaces they are."""
        ...

    async def lease(self, leases: Sequence[RunLease]) -> None:
        """Has containers stopped and killed at these moments, whatever becomes of this process; may be put off."""
        ...

    async def wait(self, container_id: str) -> Exit:
        """How it ended, once it has; at once when it had ended before, also under an earlier swarmd."""
        ...

    async def exec(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        timeout_seconds: float,
        output_max_bytes: int,
    ) -> ExecResult:
        """Runs a further process with the container's own user, environment, limits and confinement, to its end."""
        ...

    async def cleanup(self, container_id: str) -> None:
        """Takes away its cgroup and exit record; may be called again. The container must have ended."""
        ...

    async def running(self) -> frozenset[str]:
        """Ids of containers whose first process lives."""
        ...


class WholeRuntime(Runtime, AttachingRuntime, Protocol):
    """All that a runtime does."""


class Images(Protocol):
    """The node's images (``worker.images.store`` is it)."""

    def resolve(self, reference: str) -> ResolvedImage:
        """Finds an image by name:tag, name@digest or id.

        Raises:
            NotFoundError: "No such image: x:1".
        """
        ...

    def hold(self, image_id: str, container_id: str) -> None:
        """Keeps an image from being removed while a container is made from it."""
        ...

    def release(self, container_id: str) -> None:
        """Ends what ``hold`` began."""
        ...


class Networks(Protocol):
    """The node's networks (``worker.network.node_network`` is it)."""

    async def attach(self, container_id: str) -> Sandbox:
        """Gives the container a namespace on the default bridge; the same again gives the same."""
        ...

    async def detach(self, container_id: str) -> None:
        """Takes its namespace, links and address away; may be called again."""
        ...

    async def reconcile(self, keep: Collection[str]) -> None:
        """Takes away what all containers but these have: what a crash has left behind."""
        ...


class Volumes(Protocol):
    """The node's volumes (``worker.volumes.local`` is it)."""

    async def acquire(
        self, mount: Mount, container_id: str, *, layers: Sequence[str]
    ) -> VolumePlace:
        """The volume of a mount for a container: found, or made and filled with what the image has at its target.

        Without a source it is an anonymous one. ``layers`` are the image's, topmost first.

        Raises:
            InvalidInputError: a name, driver or option that cannot be.
            SystemFailureError: the machine refused; nothing was made.
        """
        ...

    def options(self, name: str) -> Mapping[str, str]:
        """What is mounted as a volume's content; empty for a directory of its own."""
        ...

    def hold(self, name: str, container_id: str) -> None:
        """Says again, after a restart, what ``acquire`` began."""
        ...

    async def begin(
        self, name: str, container_id: str, *, destination: str, read_only: bool
    ) -> None:
        """A container is about to run with it: what the volume's options mount is there from now on.

        Raises:
            NotFoundError: somebody has removed it.
            SystemFailureError: it cannot be mounted.
        """
        ...

    async def end(self, container_id: str) -> None:
        """It runs no more; may be said again."""
        ...

    async def release(self, container_id: str, *, keep_anonymous: bool = False) -> None:
        """The container is gone: its anonymous volumes are removed, or kept on request; named ones stay."""
        ...

    async def sweep(self, running: Collection[str] = ()) -> None:
        """Takes away what a crash has left: anonymous volumes that no container holds, mounts that none runs with."""
        ...


class HostPorts(Protocol):
    """The ports that containers run by hand publish (a ``worker.balancer.shares.PortShare`` is it)."""

    async def sync(self, wanted: Sequence[PublishedPort]) -> Sequence[PortFault]:
        """Makes the node publish exactly these of containers. Returns what could not be published, and why.

        Raises:
            SystemFailureError: the kernel refused; the next call makes everything anew.
        """
        ...
