"""Nodes that are down, and tasks with a lease on them: after how long a silence no such task runs any more.

Such a task is wanted where it is until then, and is given up then (ORPHANED): so its slot gets another, never before.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from common.disconnect import silence_seconds_until_stopped
from common.model.node import Node, NodeState
from common.model.task import Task
from manager.orchestrator.giving_up import given_up
from manager.orchestrator.slots import has_ended, was_assigned
from manager.store.changes import Change
from manager.store.verdict import Verdict, soonest

GIVEN_UP = "stopped by its node, which has been without a manager for longer than the task may be"


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentNode:
    """A node that is down, with its tasks."""

    node: Node
    tasks: Collection[Task]
    silent_seconds: float
    """For how long it has surely heard nothing of a manager, as this manager has measured."""


class Silences:
    """Since when nodes are down, on one manager's own clock. A moment that it has not seen itself counts as now."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, float]] = {}
        """The version of each node that is down, as last seen, and since when it is."""

    def begin(self, nodes: Iterable[Node], at: float) -> None:
        """Looks at all nodes anew: a node may have been heard meanwhile."""
        self._since = {node.id: (node.version, at) for node in nodes if is_down(node)}

    def note(self, node: Node | None, node_id: str, at: float) -> None:
        """A node has changed, or is gone."""
        if node is None or not is_down(node):
            self._since.pop(node_id, None)
            return
        _, since = self._since.get(node_id, (0, at))
        self._since[node_id] = (node.version, since)

    def seconds(self, node: Node, at: float) -> float:
        """For how long the node has been down; 0.0 while something has become of it that was not noted yet."""
        version, since = self._since.get(node.id, (0, at))
        return at - since if version == node.version else 0.0


def is_down(node: Node) -> bool:
    """Whether the managers count the node's agent as gone."""
    return node.status.state == NodeState.DOWN


def decide(view: SilentNode, now: float) -> Verdict:
    """Gives up the tasks that their agent has surely stopped by now, and says when the next is due."""
    changes: list[Change] = []
    later: list[float] = []
    for task in view.tasks:
        needed = silence_seconds_until_stopped(task)
        if needed is None or has_ended(task) or not was_assigned(task):
            continue
        if needed <= view.silent_seconds:
            changes.append(given_up(task, now, GIVEN_UP))
        else:
            later.append(now + needed - view.silent_seconds)
    return Verdict(changes=tuple(changes), look_again_at=soonest(*later))
