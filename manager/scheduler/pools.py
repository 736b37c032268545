"""Which nodes a kind of task may go to, kept in order of how many tasks they carry.

A ``Pool`` exists for each site that was asked for lately. Nobody tells it of changes: it reads them from journals when
it is used, so that a change costs the same whatever the number of pools, and a decision costs what has changed
since the pool was last used, not the number of nodes.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from common.constraints import attribute
from manager.scheduler.demand import Demand, Site
from manager.scheduler.filters import Filter, site_filters
from manager.scheduler.journal import Journal
from manager.scheduler.node_load import NodeLoad

POOLS_MAX = 64
"""Sites remembered; one more forgets the one that was not used for longest."""

Branch = tuple[str, ...]
"""A node's values of the keys that tasks spread over; empty where they spread over none."""


class Order:
    """Nodes by number of tasks, least first; adding, moving and removing one takes constant time."""

    def __init__(self) -> None:
        self._buckets: dict[int, OrderedDict[NodeLoad, None]] = {}
        self._tasks: dict[NodeLoad, int] = {}

    def put(self, load: NodeLoad) -> None:
        """Adds a node, or moves it to where it belongs now."""
        tasks, before = load.tasks, self._tasks.get(load)
        if before == tasks:
            return
        if before is not None:
            self._leave(load, before)
        self._tasks[load] = tasks
        bucket = self._buckets.get(tasks)
        if bucket is None:
            bucket = self._buckets[tasks] = OrderedDict()
        bucket[load] = None

    def remove(self, load: NodeLoad) -> None:
        """Takes a node out."""
        self._leave(load, self._tasks.pop(load))

    def _leave(self, load: NodeLoad, tasks: int) -> None:
        bucket = self._buckets[tasks]
        del bucket[load]
        if not bucket:
            del self._buckets[tasks]

    def __iter__(self) -> Iterator[NodeLoad]:
        for tasks in sorted(self._buckets):
            yield from self._buckets[tasks]

    def __contains__(self, load: object) -> bool:
        return load in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def least(self) -> int:
        """The number of tasks on the node with the fewest."""
        return min(self._buckets)


class Pool:
    """The nodes of one site, by branch, each branch in order."""

    def __init__(self, filters: Sequence[Filter], spread_over: Sequence[str]) -> None:
        self._filters = filters
        self._spread_over = spread_over
        self._order_of: dict[NodeLoad, Order] = {}
        self.branches: dict[Branch, Order] = {}
        self.seen_moves = 0
        self.seen_changes = 0

    def branch_of(self, load: NodeLoad) -> Branch:
        """Where in the tree of branches a node stands."""
        node = load.node
        if node is None or not self._spread_over:
            return ()
        return tuple(attribute(node, key) or "" for key in self._spread_over)

    def judge(self, load: NodeLoad) -> None:
        """Takes in, or out, a node that is new or has changed."""
        self._take_out(load)
        if all(one.room(load) for one in self._filters):
            order = self.branches.setdefault(self.branch_of(load), Order())
            self._order_of[load] = order
            order.put(load)

    def move(self, load: NodeLoad) -> None:
        """Puts a node where its number of tasks now belongs."""
        order = self._order_of.get(load)
        if order is not None:
            order.put(load)

    def _take_out(self, load: NodeLoad) -> None:
        order = self._order_of.pop(load, None)
        if order is None:
            return
        order.remove(load)
        if not order:
            self.branches = {path: other for path, other in self.branches.items() if other}


class Pools:
    """The pools in use, made when first asked for."""

    def __init__(self, nodes: Mapping[str, NodeLoad]) -> None:
        self._nodes = nodes
        self._pools: OrderedDict[Site, Pool] = OrderedDict()
        self.moves: Journal[NodeLoad] = Journal()
        """Nodes whose number of tasks changed."""
        self.changes: Journal[NodeLoad] = Journal()
        """Nodes that came, changed or went."""

    def of(self, demand: Demand) -> Pool:
        """The pool of a demand's site, as things stand."""
        site = demand.site
        pool = self._pools.get(site)
        if pool is None:
            pool = self._fill(demand)
        else:
            self._pools.move_to_end(site)
            self._catch_up(pool, demand)
        return pool

    def _fill(self, demand: Demand) -> Pool:
        pool = Pool(site_filters(demand), demand.site.spread_over)
        self._pools[demand.site] = pool
        if len(self._pools) > POOLS_MAX:
            self._pools.popitem(last=False)
        for load in self._nodes.values():
            pool.judge(load)
        self._mark_read(pool)
        return pool

    def _catch_up(self, pool: Pool, demand: Demand) -> None:
        changes, moves = self.changes.since(pool.seen_changes), self.moves.since(pool.seen_moves)
        if changes is None or moves is None:
            self._fill(demand)
            return
        for load in changes:
            pool.judge(load)
        for load in moves:
            pool.move(load)
        self._mark_read(pool)

    def _mark_read(self, pool: Pool) -> None:
        pool.seen_changes, pool.seen_moves = self.changes.end, self.moves.end
