"""Removing a node: its tasks are given up in the same entry, so that they are replaced at once."""

from collections.abc import Callable, Iterable
from typing import Final

from common.disconnect import STOP_AFTER_LABEL, is_leased
from common.errors import InvalidInputError, StaleVersionError
from common.model.cluster import Cluster
from common.model.node import Node, NodeState
from common.model.task import Task, TaskState
from manager.api.errors import out_of_sequence
from manager.ca import removal as ca_removal
from manager.orchestrator.giving_up import given_up
from manager.store.changes import Change
from manager.store.state import State
from manager.store.store import MAX_CHANGES_PER_ENTRY, Store

REMOVE_ATTEMPTS_MAX: Final = 10
"""Times that a removal is decided again because something became of the node meanwhile."""
TASKS_WITH_NODE_MAX: Final = MAX_CHANGES_PER_ENTRY - 8
"""Tasks given up in the entry that removes their node; where there are more, the others just before it."""
NODE_REMOVED: Final = "the node was removed"


async def remove_node(
    store: Store, find: Callable[[State], Node], now: float, *, force: bool
) -> None:
    """Removes the node that ``find`` finds, and may refuse.

    Raises:
        InvalidInputError: it is not down, or may still run what must not run twice; ``force`` does it all the same.
        StaleVersionError: something becomes of it all the time.
    """
    for attempt in range(1, REMOVE_ATTEMPTS_MAX + 1):
        node = find(store.state)
        tasks = store.state.tasks_of_node(node.id)
        if not force:
            check_may_go(node, tasks)
        entries = removal(store.state.cluster(), node, tasks, now)
        try:
            for entry in entries:
                await store.propose(entry)
        except StaleVersionError:
            if attempt == REMOVE_ATTEMPTS_MAX:
                raise out_of_sequence() from None
        else:
            return


def removal(
    cluster: Cluster | None, node: Node, tasks: Iterable[Task], now: float
) -> list[list[Change]]:
    """The entries that remove a node; its certificate is refused from then on. Pure."""
    changes: list[Change] = [given_up(task, now, NODE_REMOVED) for task in tasks if _may_run(task)]
    last = max(0, len(changes) - TASKS_WITH_NODE_MAX)
    before = [
        changes[start : min(start + TASKS_WITH_NODE_MAX, last)]
        for start in range(0, last, TASKS_WITH_NODE_MAX)
    ]
    gone = ca_removal.removal(cluster, node.id, now, basis=node.version)
    return [*before, [*changes[last:], *gone]]


def check_may_go(node: Node, tasks: Iterable[Task]) -> None:
    """Refuses to remove a node that is there, or on which a task may run that must not run twice.

    Raises:
        InvalidInputError: in Docker's words where Docker refuses it.
    """
    if node.status.state is NodeState.READY:
        raise InvalidInputError(f"node {node.id} is not down and can't be removed")
    held = sorted({task.service_name for task in tasks if is_leased(task) and _may_run(task)})
    if held:
        raise InvalidInputError(
            f"node {node.id} may still run tasks of {', '.join(held)}, which have {STOP_AFTER_LABEL}",
            hint="wait until they are orphaned, or make sure that the node is off and use --force",
        )


def _may_run(task: Task) -> bool:
    return TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
