"""Tasks that have no node yet: in groups, some to be tried now, the others parked until something fits."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

from common.model.task import Task
from manager.scheduler.demand import Demand
from manager.scheduler.group import Group, GroupKey


class Waiting:
    """What is still to be placed. A task is in exactly one group, a group is ready or parked."""

    def __init__(self) -> None:
        self._tasks: dict[GroupKey, dict[str, Task]] = {}
        self._group_of: dict[str, GroupKey] = {}
        self._ready: OrderedDict[GroupKey, None] = (
            OrderedDict()
        )  # the first is found in constant time
        self._parked: dict[Demand, dict[GroupKey, None]] = {}

    def add(self, task: Task, demand: Demand) -> None:
        """Takes in a task, or a newer version of it; only one that is new makes its group ready."""
        key = (task.service_id, task.spec_version, demand)
        is_new = self._group_of.get(task.id) != key
        if is_new:
            self.discard(task.id)
            self._group_of[task.id] = key
            self._wake(key)
        self._tasks.setdefault(key, {})[task.id] = task

    def discard(self, task_id: str) -> None:
        """Lets go of a task that has a node, or needs none any more."""
        key = self._group_of.pop(task_id, None)
        if key is None:
            return
        tasks = self._tasks[key]
        del tasks[task_id]
        if not tasks:
            del self._tasks[key]
            self._ready.pop(key, None)
            self._unpark(key)

    def next_group(self, limit: int) -> Group | None:
        """The first ready group, or as much of it as the limit says."""
        if not self._ready:
            return None
        key = next(iter(self._ready))
        return Group(key=key, tasks=list(islice(self._tasks[key].values(), limit)))

    def park(self, key: GroupKey) -> None:
        """Sets a group aside: what is left of it fits nowhere at present."""
        if key in self._tasks:
            self._ready.pop(key, None)
            self._parked.setdefault(key[2], {})[key] = None

    def wake(self, demand: Demand) -> None:
        """Makes the groups ready that are parked with this demand."""
        for key in self._parked.pop(demand, {}):
            self._ready[key] = None

    def tasks_of(self, key: GroupKey) -> Iterable[Task]:
        """What waits of a group."""
        return self._tasks.get(key, {}).values()

    @property
    def parked_demands(self) -> list[Demand]:
        """What the parked groups ask."""
        return list(self._parked)

    def parked(self) -> Iterator[GroupKey]:
        """The groups that are parked."""
        for keys in self._parked.values():
            yield from keys

    @property
    def has_ready(self) -> bool:
        """Whether something is to be tried now."""
        return bool(self._ready)

    def __len__(self) -> int:
        return len(self._group_of)

    def _wake(self, key: GroupKey) -> None:
        self._unpark(key)
        self._ready[key] = None

    def _unpark(self, key: GroupKey) -> None:
        keys = self._parked.get(key[2])
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del self._parked[key[2]]
