"""Which nodes a kind of task may go to, kept in order of how many tasks they carry.

A ``Pool`` exists for each site that was asked for lately. Nobody tells it of changes: it reads them from journals when
it is used, so that a change costs the same whatever the number of pools, and a decision costs what has changed
since the pool was last used, not the number of nodes.

A demand that is decided on again and again gets a pool of its own, which also leaves out the nodes that are full for
it: nodes filled by few large tasks would otherwise stand first for ever, and be passed over each time.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from common.constraints import attribute
from manager.scheduler.demand import Demand, Site
from manager.scheduler.filters import Filter, load_filters, site_filters
from manager.scheduler.journal import Journal
from manager.scheduler.node_load import NodeLoad

POOLS_MAX = 64
"""Pools remembered; one more forgets the one that was not used for longest."""
OWN_POOL_AFTER = 16
"""Decisions on a demand after which it gets a pool of its own."""
ASKED_MAX = 4096
"""Demands of which is remembered how often they were decided on."""

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
    """The nodes that some filters let through, by branch, each branch in order."""

    def __init__(
        self,
        what_it_is: Sequence[Filter],
        what_it_carries: Sequence[Filter],
        spread_over: Sequence[str],
    ) -> None:
        self._site_filters, self._load_filters = what_it_is, what_it_carries
        self._spread_over = spread_over
        self._full: set[NodeLoad] = set()
        """Nodes that would be in an order but for what they carry."""
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
        self._full.discard(load)
        if _all_have_room(self._site_filters, load):
            self._place(load)

    def move(self, load: NodeLoad) -> None:
        """Puts a node where it belongs after what it carries has changed."""
        order = self._order_of.get(load)
        if order is None:
            if load in self._full:
                self._place(load)
        elif _all_have_room(self._load_filters, load):
            order.put(load)
        else:
            self._take_out(load)
            self._full.add(load)

    def _place(self, load: NodeLoad) -> None:
        if not _all_have_room(self._load_filters, load):
            self._full.add(load)
            return
        self._full.discard(load)
        branch = self.branch_of(load)
        order = self.branches.get(branch)
        if order is None:
            order = self.branches[branch] = Order()
        self._order_of[load] = order
        order.put(load)

    def _take_out(self, load: NodeLoad) -> None:
        order = self._order_of.pop(load, None)
        if order is None:
            return
        order.remove(load)
        if not order:
            self.branches = {path: other for path, other in self.branches.items() if other}


def _all_have_room(filters: Sequence[Filter], load: NodeLoad) -> bool:
    for one in filters:  # noqa: SIM110 - a plain loop: this is asked of every node when a pool is made
        if not one.room(load):
            return False
    return True


class Pools:
    """The pools in use, made when first asked for."""

    def __init__(self, nodes: Mapping[str, NodeLoad]) -> None:
        self._nodes = nodes
        self._pools: OrderedDict[Site | Demand, Pool] = OrderedDict()
        self._asked: OrderedDict[Demand, int] = OrderedDict()
        self.moves: Journal[NodeLoad] = Journal()
        """Nodes that carry something else than before."""
        self.changes: Journal[NodeLoad] = Journal()
        """Nodes that came, changed or went."""

    def of(self, demand: Demand) -> Pool:
        """The nodes for a demand, as things stand; the pool may hold some that are full for it."""
        key = self._key(demand)
        pool = self._pools.get(key)
        if pool is None:
            return self._fill(key, demand)
        self._pools.move_to_end(key)
        changes, moves = self.changes.since(pool.seen_changes), self.moves.since(pool.seen_moves)
        if changes is None or moves is None:
            return self._fill(key, demand)
        for load in changes:
            pool.judge(load)
        for load in moves:
            pool.move(load)
        self._mark_read(pool)
        return pool

    def _key(self, demand: Demand) -> Site | Demand:
        if demand.takes_nothing:
            return demand.site
        asked = self._asked.pop(demand, 0) + 1
        self._asked[demand] = asked
        if len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)
        return demand if asked > OWN_POOL_AFTER else demand.site

    def _fill(self, key: Site | Demand, demand: Demand) -> Pool:
        is_own = isinstance(key, Demand)
        pool = Pool(
            site_filters(demand), load_filters(demand) if is_own else (), demand.site.spread_over
        )
        for load in self._nodes.values():
            pool.judge(load)
        self._mark_read(pool)
        self._pools[key] = pool
        if len(self._pools) > POOLS_MAX:
            forgotten, _ = self._pools.popitem(last=False)
            if isinstance(forgotten, Demand):
                self._asked.pop(forgotten, None)
        return pool

    def _mark_read(self, pool: Pool) -> None:
        pool.seen_changes, pool.seen_moves = self.changes.end, self.moves.end
