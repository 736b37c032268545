"""The best node for one task after another, among the nodes of one order.

SwarmKit's ranking: nodes where this version of the service failed often lately come last, the more failures the
later; then fewer tasks of the service; then fewer tasks in all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

from manager.scheduler.filters import UNLIMITED, Filter
from manager.scheduler.node_load import NodeLoad
from manager.scheduler.pools import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What the rank and the room of a node depend on, beside its load."""

    filters: Sequence[Filter]
    service_tasks: Mapping[NodeLoad, int]
    failing: Mapping[NodeLoad, int]

    def room(self, load: NodeLoad) -> int:
        """How many more of these tasks the node takes."""
        room = UNLIMITED
        for one in self.filters:
            room = min(room, one.room(load))
            if not room:
                break
        return room


def ranked(order: Order, ranking: Ranking) -> Iterator[NodeLoad]:
    """Yields the node for each next task, counting those it has yielded before, until no node has room.

    While some node has none of the service's tasks and is not failing, the order itself is the rank: it is read only
    as far as tasks need nodes. Only when those run out are the others compared.
    """
    service_tasks, failing = ranking.service_tasks, ranking.failing
    taken: list[tuple[NodeLoad, int]] = []
    for load in order:
        if load in service_tasks or load in failing:
            continue
        room = ranking.room(load)
        if room:
            yield load
            taken.append((load, room - 1))
    yield from _compared(order, ranking, taken)


def _compared(
    order: Order, ranking: Ranking, taken: list[tuple[NodeLoad, int]]
) -> Iterator[NodeLoad]:
    service_tasks, failing = ranking.service_tasks, ranking.failing
    heap: list[tuple[int, int, int, int, int, NodeLoad]] = [
        (0, 1, load.tasks + 1, number, room, load)
        for number, (load, room) in enumerate(taken)
        if room
    ]
    others = [load for load in {**service_tasks, **failing} if load in order]
    for number, load in enumerate(others, len(taken)):
        if room := ranking.room(load):
            count = service_tasks.get(load, 0)
            heap.append((failing.get(load, 0), count, load.tasks, number, room, load))
    heapify(heap)
    while heap:
        failures, count, tasks, number, room, load = heap[0]
        yield load
        if room > 1:
            heapreplace(heap, (failures, count + 1, tasks + 1, number, room - 1, load))
        else:
            heappop(heap)
