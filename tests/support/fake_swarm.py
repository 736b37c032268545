"""A node as the API sees it: a store in memory, an engine that says what it is told, logs out of a list."""

import random
from collections.abc import AsyncGenerator, Mapping, Sequence

from typing_extensions import override

from common.clock import Clock
from common.engine_api.facts import EngineFacts
from common.errors import InvalidInputError, NoLeaderError, UnavailableError
from common.model.cluster import Cluster
from common.model.node import (
    ManagerStatus,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    NodeStatus,
    Reachability,
    Role,
)
from common.protocol.byte_stream import ByteStream
from common.protocol.messages import LogLine
from manager.api.ports import InitRequest, JoinRequest, LocalState, LogSelection, SavedState
from manager.raft.log import Applied
from manager.store.changes import Create
from manager.store.memory_log import MemoryLog
from manager.store.replica import Replica
from manager.store.store import Store

NODE_ID = "n" * 25
CLUSTER_ID = "c" * 25
UNLOCK_KEY = "SWMKEY-1-" + "A" * 43
FACTS = EngineFacts(
    id="engine",
    name="host",
    server_version="0.1.0",
    architecture="x86_64",
    ncpu=2,
    mem_total=2**32,
    operating_system="Debian GNU/Linux 12 (bookworm)",
    kernel_version="6.1.0",
)


class FakeEngine:
    """Has the images that it is given."""

    def __init__(self, *images: str) -> None:
        self.images = set(images)

    async def facts(self) -> EngineFacts:
        return FACTS

    def has_image(self, reference: str) -> bool:
        return reference in self.images


class FakeLogs:
    """Gives the lines of the tasks asked for, then the error if there is one; remembers what was asked."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.fault: UnavailableError | None = None
        self.asked: list[tuple[list[str], LogSelection]] = []

    async def read(
        self, task_ids: Sequence[str], selection: LogSelection
    ) -> AsyncGenerator[LogLine, None]:
        self.asked.append((list(task_ids), selection))
        for line in self.lines:
            if line.task_id in task_ids:
                yield line
        if self.fault is not None:
            raise self.fault


class FakeLog(MemoryLog):
    """A log that may be without a leader; counts how often it was brought up to date."""

    def __init__(self, replica: Replica) -> None:
        super().__init__(replica.apply)
        self.has_leader = True
        self.looks = 0

    @override
    async def propose(self, entry: bytes, request_id: bytes) -> Applied:
        if not self.has_leader:
            raise NoLeaderError
        return await super().propose(entry, request_id)

    @override
    async def up_to_date(self) -> None:
        self.looks += 1
        if not self.has_leader:
            raise NoLeaderError


class FakeReaching:
    """Opens the stream that it was given for a node."""

    def __init__(self) -> None:
        self.streams: dict[str, ByteStream] = {}

    async def open(self, node_id: str) -> ByteStream:
        if node_id not in self.streams:
            raise UnavailableError(f"node {node_id} is not available")
        return self.streams.pop(node_id)


class FakeManager:
    """A store and logs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.logs = FakeLogs()
        self.reaching = FakeReaching()
        self.standing = {NODE_ID: standing("192.0.2.1", leader=True)}

    def managers(self) -> Mapping[str, ManagerStatus]:
        return self.standing


class FakeNode:
    """A node that is no part of a swarm until ``init``."""

    def __init__(self, clock: Clock) -> None:
        replica = Replica()
        self.log = FakeLog(replica)
        self._store = Store(replica, self.log, clock, random.Random(1))
        self.node_id = ""
        self.node_addr = ""
        self.manager: FakeManager | None = None
        self.state = LocalState.INACTIVE
        self.requests: list[InitRequest] = []
        self.joined: list[JoinRequest] = []
        self.restored: list[tuple[InitRequest, SavedState, list[bytes]]] = []
        self.left: list[bool] = []
        self.unlocked: list[str] = []

    def local_state(self) -> LocalState:
        return self.state

    def local_error(self) -> str:
        return "the disk is full" if self.state is LocalState.ERROR else ""

    async def init(self, request: InitRequest) -> str:
        self.requests.append(request)
        self.node_id, self.node_addr = NODE_ID, "192.0.2.1"
        self.state, self.manager = LocalState.ACTIVE, FakeManager(self._store)
        cluster = Cluster(
            id=CLUSTER_ID,
            spec=request.spec,
            data_path_port=request.data_path_port,
            default_addr_pool=request.default_addr_pool,
            subnet_size=request.subnet_size,
        )
        if not request.force_new_cluster:
            await self._store.propose([Create(object=cluster), Create(object=ready_node(NODE_ID))])
        return self.node_id

    async def join(self, request: JoinRequest) -> None:
        self.joined.append(request)
        self.node_id, self.node_addr = NODE_ID, "192.0.2.1"
        self.state = LocalState.ACTIVE

    async def restore(self, request: InitRequest, saved: SavedState) -> str:
        self.restored.append((request, saved, [*saved.parts()]))
        return await self.init(request)

    async def unlock(self, key: str) -> None:
        self.unlocked.append(key)
        if key != UNLOCK_KEY:
            raise InvalidInputError("swarm could not be unlocked: invalid key provided")
        self.state, self.manager = LocalState.ACTIVE, FakeManager(self._store)

    async def leave(self, *, force: bool) -> None:
        self.left.append(force)
        self.node_id = self.node_addr = ""
        self.state, self.manager = LocalState.INACTIVE, None


def standing(address: str, *, leader: bool = False, reachable: bool = True) -> ManagerStatus:
    """How a manager stands."""
    reachability = Reachability.REACHABLE if reachable else Reachability.UNREACHABLE
    return ManagerStatus(leader=leader, reachability=reachability, addr=f"{address}:2377")


def ready_node(node_id: str, *, hostname: str = "host", role: Role = Role.MANAGER) -> Node:
    """A node that is there."""
    return Node(
        id=node_id,
        spec=NodeSpec(role=role),
        description=NodeDescription(hostname=hostname),
        status=NodeStatus(state=NodeState.READY, addr="192.0.2.1"),
    )
