"""The cluster as the scheduler sees it: nodes with what they carry, kept up from what is committed.

It is never rebuilt per event. Each committed change moves the counts of one node; an assignment that is proposed and
not yet committed is counted as if it were (``expect``), so that one decision after another can be made without
waiting for the log, and ``forget`` takes it back when it was refused.
"""

from collections.abc import Mapping, Sequence

from common.model.node import Node
from common.model.resources import GenericResource
from common.model.task import Task, TaskState
from manager.scheduler.demand import Demand, Demands
from manager.scheduler.failures import Failures
from manager.scheduler.journal import Journal
from manager.scheduler.node_load import NodeLoad
from manager.scheduler.pools import Pool, Pools
from manager.store.changes import AssignTask

ASSIGNED, RUNNING, COMPLETE = TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETE
_FAILED = frozenset({TaskState.FAILED, TaskState.REJECTED})
_NO_TASKS: Mapping[NodeLoad, int] = {}


Place = tuple[str, bool]
"""The node on which a task takes something, and whether it is to run there (and is not just stopping)."""


def _place(task: Task | None) -> Place | None:
    """Where a task takes something: from its assignment until it has ended."""
    if task is None or not task.node_id or not ASSIGNED <= task.status.state <= RUNNING:
        return None
    return task.node_id, task.desired_state <= COMPLETE


class Cluster:
    """Indexed nodes."""

    def __init__(self) -> None:
        self._loads: dict[str, NodeLoad] = {}
        self._service_tasks: dict[str, dict[NodeLoad, int]] = {}
        self._expected: dict[str, AssignTask] = {}
        self._demands = Demands()
        self._pools = Pools(self._loads)
        self.failures = Failures()
        self.gains: Journal[NodeLoad] = Journal()
        """Nodes that came, changed, or lost a task: where something may fit now that did not before."""
        self.stamp = 0
        """Moves whenever anything here does: what was derived from an older one may be wrong."""

    # ------------------------------------------------------------------------------ questions

    @property
    def nodes(self) -> Sequence[NodeLoad]:
        """Every node of the cluster, ready or not."""
        return [load for load in self._loads.values() if load.node is not None]

    def node(self, node_id: str) -> NodeLoad | None:
        """A node of the cluster."""
        load = self._loads.get(node_id)
        return None if load is None or load.node is None else load

    def demand_of(self, task: Task) -> Demand:
        """What a task asks of a node."""
        return self._demands.of(task)

    def pool_of(self, demand: Demand) -> Pool:
        """The nodes that may take it as far as what they are goes, in order."""
        return self._pools.of(demand)

    def service_tasks(self, service_id: str) -> Mapping[NodeLoad, int]:
        """How many tasks of a service are to run on each node that has any."""
        return self._service_tasks.get(service_id, _NO_TASKS)

    # -------------------------------------------------------------------------------- changes

    def see_node(self, old: Node | None, new: Node | None) -> None:
        """Takes a committed change of a node."""
        if old is not None and new is not None and _is_same(old, new):
            return
        node_id = (new or old or Node(id="")).id
        load = self._loads.get(node_id)
        if load is None:
            load = self._loads[node_id] = NodeLoad(node_id)
        load.become(new)
        self._pools.changes.append(load)
        self.gains.append(load)
        self.stamp += 1
        self._drop_if_idle(load)

    def see_task(self, old: Task | None, new: Task | None) -> None:
        """Takes a committed change of a task; ``old`` is what the last one of this task had as ``new``."""
        task = new or old
        if task is None:
            return
        change = self._expected.pop(task.id, None)
        before = _place(old) if change is None else (change.node_id, True)
        after = None if new is None else _place(new)
        if before != after:
            if before is not None:
                had = (old or task) if change is None else change
                self._leave(task, before, had.generic_resources)
            if new is not None and after is not None:
                demand = self._demands.of(new)
                self._arrive(new.service_id, after, demand, new.generic_resources)
        if new is not None and new.status.state in _FAILED:
            self._note_failure(old, new)

    def expect(self, task: Task, change: AssignTask, demand: Demand) -> None:
        """Counts an assignment that is being proposed; ``demand`` is the task's."""
        self._expected[task.id] = change
        place = (change.node_id, True)
        self._arrive(task.service_id, place, demand, change.generic_resources)

    def forget(self, task: Task) -> None:
        """Takes back an expected assignment that was refused."""
        change = self._expected.pop(task.id, None)
        if change is not None:
            self._leave(task, (change.node_id, True), change.generic_resources)

    # -------------------------------------------------------------------------------- counting

    def _arrive(
        self, service_id: str, place: Place, demand: Demand, generic: Sequence[GenericResource]
    ) -> None:
        node_id, wanted = place
        load = self._loads.get(node_id)
        if load is None:
            load = self._loads[node_id] = NodeLoad(node_id)
        load.take(demand, generic)
        self.stamp += 1
        self._pools.moves.append(load)
        if wanted:
            load.tasks += 1
            counts = self._service_tasks.get(service_id)
            if counts is None:
                counts = self._service_tasks[service_id] = {}
            counts[load] = counts.get(load, 0) + 1

    def _leave(self, task: Task, place: Place, generic: Sequence[GenericResource]) -> None:
        node_id, wanted = place
        load = self._loads[node_id]
        load.give_back(self._demands.of(task), generic)
        self.stamp += 1
        self.gains.append(load)
        self._pools.moves.append(load)
        if wanted:
            load.tasks -= 1
            counts = self._service_tasks[task.service_id]
            counts[load] -= 1
            if not counts[load]:
                del counts[load]
            if not counts:
                del self._service_tasks[task.service_id]
        self._drop_if_idle(load)

    def _drop_if_idle(self, load: NodeLoad) -> None:
        """Forgets a removed node once no task names it any more."""
        if load.node is None and not load.occupants:
            self._loads.pop(load.id, None)

    def _note_failure(self, old: Task | None, new: Task) -> None:
        load = self._loads.get(new.node_id)
        if load is None or (old is not None and old.status.state == new.status.state):
            return
        self.failures.add((new.service_id, new.spec_version), load, new.status.applied_at)
        self.stamp += 1


def _is_same(old: Node, new: Node) -> bool:
    """Whether nothing changed that decides what a node can take."""
    return old.status == new.status and old.spec == new.spec and old.description == new.description
