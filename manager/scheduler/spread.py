"""Even branches: where a service prefers to spread over the values of labels, before nodes are compared.

The values of the first key divide the nodes into branches, those of the second key divide each branch, and so on.
A task goes to the branch with the fewest tasks of its service that has room, level by level, and there to the best
node. A branch that is full drops out and the others go on.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heapreplace
from typing import Protocol

from manager.scheduler.node_load import NodeLoad
from manager.scheduler.pools import Branch, Order, Pool
from manager.scheduler.rank import Ranking, ranked


class _Part(Protocol):
    """A branch or its end."""

    tasks: int
    """Tasks of the service in it."""
    least: int
    """Tasks in all on its emptiest node: of even branches the one with the emptier node goes first."""

    def take(self) -> NodeLoad | None:
        """The node for the next task, which from now on counts; None when there is no room."""
        ...


class _End:
    """The nodes that share all values."""

    def __init__(self, order: Order, ranking: Ranking, tasks: int) -> None:
        self.tasks, self.least = tasks, order.least
        self._nodes = ranked(order, ranking)

    def take(self) -> NodeLoad | None:
        load = next(self._nodes, None)
        if load is not None:
            self.tasks += 1
        return load


class _Fork:
    """The branches of one key."""

    def __init__(self, parts: list[_Part]) -> None:
        self.tasks = sum(part.tasks for part in parts)
        self.least = min(part.least for part in parts)
        self._heap = [(part.tasks, part.least, number, part) for number, part in enumerate(parts)]
        heapify(self._heap)

    def take(self) -> NodeLoad | None:
        while self._heap:
            _, least, number, part = self._heap[0]
            load = part.take()
            if load is not None:
                heapreplace(self._heap, (part.tasks, least, number, part))
                self.tasks += 1
                return load
            heappop(self._heap)
        return None


def spread(pool: Pool, ranking: Ranking) -> Iterator[NodeLoad]:
    """Yields the node for each next task so that branches grow even, until none has room."""
    if not pool.branches:
        return
    tasks: dict[Branch, int] = {}
    for load, count in ranking.service_tasks.items():
        branch = pool.branch_of(load)
        tasks[branch] = tasks.get(branch, 0) + count
    root = _tree(dict(sorted(pool.branches.items())), 0, ranking, tasks)
    while (chosen := root.take()) is not None:
        yield chosen


def _tree(
    orders: dict[Branch, Order], depth: int, ranking: Ranking, tasks: dict[Branch, int]
) -> _Part:
    path, order = next(iter(orders.items()))
    if depth == len(path):
        return _End(order, ranking, tasks.get(path, 0))
    below: dict[str, dict[Branch, Order]] = {}
    for path, order in orders.items():
        below.setdefault(path[depth], {})[path] = order
    return _Fork([_tree(part, depth + 1, ranking, tasks) for part in below.values()])
