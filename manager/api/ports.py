"""What this half of the API needs of the node that serves it, and no more."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from common.engine_api.facts import EngineFacts
from common.model.cluster import ClusterSpec, RootCa
from common.model.node import Availability, ManagerStatus
from common.protocol.byte_stream import ByteStream
from common.protocol.messages import LogLine
from manager.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRequest:
    """``POST /swarm/init``: checked, but addresses are as the user wrote them ("" where nothing was said)."""

    spec: ClusterSpec
    listen_addr: str
    """``address:port`` or ``interface:port``."""
    advertise_addr: str
    data_path_addr: str
    data_path_port: int
    default_addr_pool: tuple[str, ...]
    subnet_size: int
    availability: Availability
    force_new_cluster: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """``POST /swarm/join``: checked, but addresses are as the user wrote them ("" where nothing was said)."""

    listen_addr: str
    """``address:port`` or ``interface:port``."""
    advertise_addr: str
    data_path_addr: str
    remote_addrs: tuple[str, ...]
    """``address:port`` of managers, at least one; the port is always there."""
    join_token: str
    """As the user wrote it; not empty."""
    availability: Availability


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """A saved cluster that came whole and undamaged, to be restored."""

    cluster_id: str
    index: int
    """Raft index up to which entries are in it; the new log goes on behind it."""
    root: RootCa
    """Its certificate authority; the key is empty when it was saved without one."""
    parts: Callable[[], Iterator[bytes]]
    """What ``Replica.snapshot`` gave. To be called and iterated in a thread: it reads a file."""


class LocalState(StrEnum):
    """How this node stands to a swarm (Engine API ``LocalNodeState``)."""

    INACTIVE = "inactive"
    PENDING = "pending"
    ACTIVE = "active"
    ERROR = "error"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSelection:
    """Which lines of some tasks. ``tail`` -1 is all; ``since`` and ``until`` 0.0 are unbounded."""

    follow: bool = False
    stdout: bool = True
    stderr: bool = True
    since: float = 0.0
    until: float = 0.0
    tail: int = -1


class LogReader(Protocol):
    """Brings log lines from the nodes of tasks (``manager.logs.cluster`` is it)."""

    def read(
        self, task_ids: Sequence[str], selection: LogSelection
    ) -> AsyncGenerator[LogLine, None]:
        """Yields lines as they come; closing the iterator ends the reading everywhere.

        Raises:
            NotLeaderError: the manager that leads has changed meanwhile: nothing more will come.
            UnavailableError: lines are missing, because a node is gone or does not answer; says which.
        """
        ...


class Reaching(Protocol):
    """Reaches the engines of other nodes (``manager.reach.reaching`` is it)."""

    async def open(self, node_id: str) -> ByteStream:
        """A stream to the API of another node.

        Raises:
            UnavailableError: it cannot be reached now, and why.
        """
        ...


class RunningManager(Protocol):
    """The manager of this node (``manager.node`` is it)."""

    @property
    def store(self) -> Store:
        """What the cluster is and should be."""
        ...

    @property
    def logs(self) -> LogReader:
        """Logs of tasks on any node."""
        ...

    @property
    def reaching(self) -> Reaching:
        """The engines of other nodes."""
        ...

    def managers(self) -> Mapping[str, ManagerStatus]:
        """How each member of the raft stands, by node id, as this manager sees it now.

        Where no leader is known, none of them is the leader. A member is reachable when this manager has a link to it
        (and itself always is); UNKNOWN where it cannot tell.
        """
        ...


class SwarmNode(Protocol):
    """This node's life in a swarm (``cli.swarmd`` is it)."""

    @property
    def node_id(self) -> str:
        """Its id in the swarm; "" outside of one."""
        ...

    @property
    def node_addr(self) -> str:
        """The address by which the others reach it; "" outside of a swarm."""
        ...

    @property
    def manager(self) -> RunningManager | None:
        """The manager that runs here; None on a worker and outside of a swarm."""
        ...

    def local_state(self) -> LocalState:
        """How it stands to a swarm."""
        ...

    def local_error(self) -> str:
        """What is wrong, in the states ERROR and LOCKED; "" otherwise."""
        ...

    async def init(self, request: InitRequest) -> str:
        """Makes a new swarm of this one node, as its manager; gives the node's id.

        With ``request.force_new_cluster`` the node is a manager, and the swarm goes on from what its log holds, with
        this node as its only manager; ``request.spec`` is not looked at.

        Raises:
            InvalidInputError: an address that this machine does not have, or several to choose from.
            UnavailableError: it is part of a swarm already.
        """
        ...

    async def join(self, request: JoinRequest) -> None:
        """Becomes a part of a swarm that is there; its role is the join token's.

        Raises:
            InvalidInputError: the token or an address cannot be right; nothing was changed.
            ForbiddenError: the managers do not take the token.
            UnavailableError: it is part of a swarm already, or no manager can be reached, or none leads. Should it take
                longer than the request may, it goes on in the background and ``local_state`` is PENDING.
        """
        ...

    async def restore(self, request: InitRequest, saved: SavedState) -> str:
        """Makes a new swarm of this one node out of a saved one; gives the node's id.

        The cluster keeps its id, its certificate authority and its objects; ``request.spec`` is not looked at. Nodes
        that were managers of the saved cluster are none of the new one.

        Raises:
            InvalidInputError: an address that this machine does not have, or several to choose from, or the saved state
                cannot be read.
            UnavailableError: it is part of a swarm already.
        """
        ...

    async def unlock(self, key: str) -> None:
        """Goes on as the manager whose keys are locked (state LOCKED).

        Raises:
            ConflictError: they are not.
            InvalidInputError: it is another key, or none; nothing was changed.
        """
        ...

    async def leave(self, *, force: bool) -> None:
        """Leaves the swarm: stops its tasks and forgets it. Whether a manager may go has been asked before.

        Raises:
            UnavailableError: it is part of no swarm.
        """
        ...


class LocalEngine(Protocol):
    """This node's containers, as far as the cluster's half of the API asks (``worker.api`` is it)."""

    async def facts(self) -> EngineFacts:
        """What the engine is and has now."""
        ...

    def has_image(self, reference: str) -> bool:
        """Whether the image is on this node."""
        ...
