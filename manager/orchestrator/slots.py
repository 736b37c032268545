"""Slots: the places of a service's replicas. Tasks come and go in a slot; a service counts slots, never tasks."""

from collections.abc import Iterable
from dataclasses import dataclass

from common.model.task import Task, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The tasks of one slot, oldest first. Tasks that are to be removed are no part of it any more."""

    number: int = 0
    """1, 2, … of a replicated service; 0 of a global one."""
    node_id: str = ""
    """The node, of a global service."""
    wanted: tuple[Task, ...] = ()
    """Those that should run."""
    past: tuple[Task, ...] = ()
    """Those that were told to stop, whether they have or not."""
    leaving: tuple[Task, ...] = ()
    """Those with a lease that are to be removed and have not stopped: no part of the slot, but it waits for them."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks, oldest first."""
        return tuple(sorted((*self.past, *self.wanted), key=age)) if self.past else self.wanted

    @property
    def last_tried(self) -> Task | None:
        """The newest of the past that some node was given: by its end it is decided whether the slot goes on."""
        return max(filter(was_assigned, self.past), key=age, default=None)

    @property
    def newest(self) -> Task | None:
        """The task that says how the slot stands."""
        return max(self.wanted or self.past, key=age, default=None)

    @property
    def place(self) -> tuple[int, str]:
        """What identifies the slot within its service."""
        return self.number, self.node_id


def age(task: Task) -> tuple[float, float, str]:
    """Sorts tasks of one slot by the moment of their making."""
    return task.created_at, task.status.applied_at, task.id


def is_wanted(task: Task) -> bool:
    """Whether the task should (still, or once it is its turn) run."""
    return task.desired_state <= TaskState.COMPLETE


def has_ended(task: Task) -> bool:
    """Whether the task ran its course, in whatever way."""
    return task.status.state > TaskState.RUNNING


def ended_by_itself(task: Task) -> bool:
    """Whether the task came to an end that nobody asked for."""
    return task.status.state in _OWN_ENDS


_OWN_ENDS = frozenset({TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED})


def was_assigned(task: Task) -> bool:
    """Whether some node may have started the task."""
    return task.status.state >= TaskState.ASSIGNED


def is_running(task: Task) -> bool:
    """Whether the task's agent says that it runs."""
    return task.status.state == TaskState.RUNNING


def by_number(tasks: Iterable[Task]) -> dict[int, Slot]:
    """The slots of a replicated service."""
    lists: dict[int, list[Task]] = {}
    for task in tasks:
        if task.desired_state < TaskState.REMOVE:
            lists.setdefault(task.slot, []).append(task)
    return {number: slot_with(own, number=number) for number, own in lists.items()}


def by_node(tasks: Iterable[Task]) -> dict[str, Slot]:
    """The slots of a global service."""
    lists: dict[str, list[Task]] = {}
    for task in tasks:
        if task.desired_state < TaskState.REMOVE:
            lists.setdefault(task.node_id, []).append(task)
    return {node_id: slot_with(own, node_id=node_id) for node_id, own in lists.items()}


def slot_with(tasks: list[Task], *, number: int = 0, node_id: str = "") -> Slot:
    """A slot that holds these tasks."""
    if len(tasks) > 1:
        tasks.sort(key=age)
    wanted = tuple(filter(is_wanted, tasks))
    past = () if len(wanted) == len(tasks) else tuple(t for t in tasks if not is_wanted(t))
    return Slot(number=number, node_id=node_id, wanted=wanted, past=past)


Standing = tuple[bool, int, str]
"""How a slot stands when some have to go: whether nothing runs in it, its number, and its node if that is one."""


def standing(slot: Slot) -> Standing:
    """How the slot stands beside others."""
    newest = slot.newest
    node_id = newest.node_id if newest and len(slot.wanted) <= 1 else ""
    return not _runs(slot), slot.number, node_id


def surplus(standings: Iterable[Standing], replicas: int) -> list[int]:
    """The numbers of the slots to give up so that ``replicas`` remain; the last of them is the first to go.

    The nodes with the most copies lose first, a slot that does not run before one that does, a higher number
    before a lower one. A slot goes before all of those while it is undecided where it is.
    """
    copies: dict[str, int] = {}
    ranked: list[tuple[float, bool, int]] = []
    for is_idle, number, node_id in sorted(standings):
        nth_copy = float("inf")
        if node_id:
            nth_copy = copies[node_id] = copies.get(node_id, 0) + 1
        ranked.append((nth_copy, is_idle, number))
    ranked.sort()
    return [number for _, _, number in ranked[replicas:]]


def _runs(slot: Slot) -> bool:
    return any(map(is_running, slot.wanted))
