"""What the scheduler knows and what it does next, without any input or output: ``loop`` does that."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.model.node import Node
from common.model.task import Task, TaskState
from manager.scheduler.cluster import Cluster
from manager.scheduler.decide import decide, decide_preassigned
from manager.scheduler.demand import Demand
from manager.scheduler.explain import explain, explain_preassigned
from manager.scheduler.filters import all_filters
from manager.scheduler.group import Group, GroupKey
from manager.scheduler.node_load import NodeLoad
from manager.scheduler.preassigned import Preassigned
from manager.scheduler.waiting import Waiting
from manager.store.changes import AssignTask, ExplainTask, StoredObject

GROUP_MAX = 1000
"""Tasks of one group decided at once."""
EXPLANATIONS_MAX = 200
"""Tasks explained at once."""
SCANS_MAX = 2
"""Explanations worked out at once: each looks at every node."""
REFRESH_SECONDS = 5.0
"""How old the explanation of a task may be while the cluster changes."""

PENDING, COMPLETE = TaskState.PENDING, TaskState.COMPLETE


@dataclass(frozen=True, slots=True)
class Decision:
    """A task and where it goes."""

    task: Task
    change: AssignTask


class Scheduler:
    """The cluster, the tasks that wait, and those that wait in vain."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self._waiting = Waiting()
        self._preassigned = Preassigned()
        self._seen_gains = 0
        self._full: dict[Demand, int] = {}
        """Demands for which no node has room, with the end of ``gains`` at which that was found."""
        self._unexplained: OrderedDict[GroupKey, None] = OrderedDict()
        self._unconfirmed: dict[str, Task] = {}
        self._texts: dict[tuple[str, Demand], str] = {}
        self._texts_stamp = 0
        self._refreshed_at = 0.0
        self._refreshed_stamp = 0

    # ------------------------------------------------------------------------------ what happens

    def see(self, old: StoredObject | None, new: StoredObject | None) -> None:
        """Takes in an object that was committed; ``old`` is what it was before."""
        present = new or old
        if isinstance(present, Task):
            self._see_task(_task(old), _task(new))
        elif isinstance(present, Node):
            self.cluster.see_node(
                old if isinstance(old, Node) else None, new if isinstance(new, Node) else None
            )

    def refused(self, decision: Decision, stored: Task | None) -> None:
        """Takes back a decision that was not committed, and tries what is stored of the task again."""
        self.cluster.forget(decision.task)
        self._sort_in(decision.task, stored)

    def _see_task(self, old: Task | None, new: Task | None) -> None:
        self.cluster.see_task(old, new)
        self._sort_in(old, new)

    def _sort_in(self, old: Task | None, new: Task | None) -> None:
        if new is not None and new.status.state == PENDING and new.desired_state <= COMPLETE:
            if new.node_id:
                self._preassigned.add(new)
            else:
                self._waiting.add(new, self.cluster.demand_of(new))
        elif old is not None and old.status.state == PENDING:
            self._waiting.discard(old.id)
            self._preassigned.discard(old)

    # ------------------------------------------------------------------------------ what to do next

    @property
    def has_work(self) -> bool:
        """Whether ``next_decisions`` or ``next_explanations`` has something to try."""
        return bool(
            self.is_deciding
            or self._unexplained
            or self._unconfirmed
            or self._seen_gains != self.cluster.gains.end
        )

    @property
    def is_deciding(self) -> bool:
        """Whether ``next_decisions`` has something to try."""
        return self._waiting.has_ready or self._preassigned.has_ready

    def look_again_at(self) -> float | None:
        """When explanations are old, if there are any to keep up."""
        waits_in_vain = len(self._waiting) or len(self._preassigned)
        is_old = self.cluster.stamp != self._refreshed_stamp
        return self._refreshed_at + REFRESH_SECONDS if waits_in_vain and is_old else None

    def next_decisions(self, now: float) -> list[Decision]:
        """Decides on the first group that is ready, or on the tasks of one global service's node.

        The decisions count as made: propose them, and tell ``refused`` of those that were not committed.
        """
        self._wake_what_may_fit()
        if self._preassigned.has_ready:
            return self._decide_preassigned()
        group = self._waiting.next_group(GROUP_MAX)
        if group is None:
            return []
        is_full = self._full.get(group.demand) == self.cluster.gains.end
        changes = [] if is_full else decide(group, self.cluster, now)
        if len(changes) < len(group.tasks):
            self._park(group.key)
        return self._made(group, changes)

    def next_explanations(self, now: float) -> list[ExplainTask]:
        """Explains tasks that wait in vain, as far as their explanation changed."""
        self._refresh(now)
        changes: list[ExplainTask] = []
        while self._unconfirmed and len(changes) < EXPLANATIONS_MAX:
            _, task = self._unconfirmed.popitem()
            _say(changes, task, explain_preassigned(task, self.cluster))
        scans = 0
        while self._unexplained and len(changes) < EXPLANATIONS_MAX and scans < SCANS_MAX:
            key = next(iter(self._unexplained))
            text, is_scanned = self._text(key)
            scans += is_scanned
            for task in self._waiting.tasks_of(key):
                if len(changes) >= EXPLANATIONS_MAX:
                    return changes
                _say(changes, task, text)
            del self._unexplained[key]
        return changes

    # ------------------------------------------------------------------------------------- inside

    def _made(self, group: Group, changes: Sequence[AssignTask]) -> list[Decision]:
        decisions = []
        for task, change in zip(group.tasks, changes, strict=False):
            self.cluster.expect(task, change, group.demand)
            self._waiting.discard(task.id)
            decisions.append(Decision(task, change))
        return decisions

    def _park(self, key: GroupKey) -> None:
        demand = key[2]
        if not demand.max_replicas:
            self._full[demand] = self.cluster.gains.end
        self._waiting.park(key)
        self._unexplained[key] = None

    def _decide_preassigned(self) -> list[Decision]:
        decisions = []
        for task in self._preassigned.next_tasks():
            change = decide_preassigned(task, self.cluster)
            if change is None:
                self._unconfirmed[task.id] = task
                continue
            self.cluster.expect(task, change, self.cluster.demand_of(task))
            self._preassigned.discard(task)
            decisions.append(Decision(task, change))
        return decisions

    def _wake_what_may_fit(self) -> None:
        gains = self.cluster.gains
        if self._seen_gains == gains.end:
            return
        gained = gains.since(self._seen_gains)
        loads = self.cluster.nodes if gained is None else list(dict.fromkeys(gained))
        self._seen_gains = gains.end
        self._full.clear()
        self._preassigned.wake(load.id for load in loads)
        for demand in self._waiting.parked_demands:
            if _fits_somewhere(demand, loads):
                self._waiting.wake(demand)

    def _refresh(self, now: float) -> None:
        due = self.look_again_at()
        if due is None or now < due:
            return
        self._refreshed_at, self._refreshed_stamp = now, self.cluster.stamp
        self._unexplained.update(dict.fromkeys(self._waiting.parked()))
        self._unconfirmed.update((task.id, task) for task in self._preassigned.all())

    def _text(self, key: GroupKey) -> tuple[str, bool]:
        """The explanation of a group, and whether it had to be worked out."""
        if self._texts_stamp != self.cluster.stamp:
            self._texts.clear()
            self._texts_stamp = self.cluster.stamp
        service_id, _, demand = key
        known = (service_id if demand.max_replicas else "", demand)
        if known in self._texts:
            return self._texts[known], False
        text = self._texts[known] = explain(demand, service_id, self.cluster)
        return text, True


def _fits_somewhere(demand: Demand, loads: Iterable[NodeLoad]) -> bool:
    filters = all_filters(demand, {})
    return any(all(one.room(load) for one in filters) for load in loads)


def _say(changes: list[ExplainTask], task: Task, text: str) -> None:
    if task.status.err != text:
        changes.append(ExplainTask(task_id=task.id, basis=task.version, err=text))


def _task(item: object) -> Task | None:
    return item if isinstance(item, Task) else None
