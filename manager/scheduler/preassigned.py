"""Tasks of global services that wait for the node they were made for."""

from collections import OrderedDict
from collections.abc import Iterable

from common.model.task import Task


class Preassigned:
    """By node; a node's tasks are tried when one is new and when the node gains room."""

    def __init__(self) -> None:
        self._tasks: dict[str, dict[str, Task]] = {}
        self._ready: OrderedDict[str, None] = OrderedDict()

    def add(self, task: Task) -> None:
        """Takes in a task, or a newer version of it."""
        tasks = self._tasks.setdefault(task.node_id, {})
        if task.id not in tasks:
            self._ready[task.node_id] = None
        tasks[task.id] = task

    def discard(self, task: Task) -> None:
        """Lets go of a task that is confirmed, or needs no place any more."""
        tasks = self._tasks.get(task.node_id)
        if tasks is None or tasks.pop(task.id, None) is None:
            return
        if not tasks:
            del self._tasks[task.node_id]
            self._ready.pop(task.node_id, None)

    def wake(self, node_ids: Iterable[str]) -> None:
        """Has the tasks of these nodes tried again."""
        for node_id in node_ids:
            if node_id in self._tasks:
                self._ready[node_id] = None

    def next_tasks(self) -> list[Task]:
        """The tasks of the first node that is ready, which then is no longer."""
        if not self._ready:
            return []
        node_id = next(iter(self._ready))
        del self._ready[node_id]
        return list(self._tasks[node_id].values())

    def all(self) -> list[Task]:
        """Every task that waits."""
        return [task for tasks in self._tasks.values() for task in tasks.values()]

    @property
    def has_ready(self) -> bool:
        """Whether something is to be tried now."""
        return bool(self._ready)

    def __len__(self) -> int:
        return sum(map(len, self._tasks.values()))
