"""Which secrets and configs a node's agent holds: those that its tasks need, and no others."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from common.model.config import Config
from common.model.copy import changed
from common.model.secret import Secret
from common.model.task import Task, TaskState
from manager.dispatcher.assignments import is_assigned
from manager.dispatcher.handing import Handing, Key
from manager.store.state import State

NOTHING: frozenset[Key] = frozenset()


def needs_of(task: Task | None, node_id: str) -> frozenset[Key]:
    """What that node has to have for a task: everything that it names, until it has ended or is to end."""
    if (
        task is None
        or not is_assigned(task, node_id)
        or task.status.state > TaskState.RUNNING
        or task.desired_state > TaskState.RUNNING
    ):
        return NOTHING
    container = task.spec.container_spec
    if container is None or not (container.secrets or container.configs):
        return NOTHING
    return frozenset(
        [("secret", item.secret_id) for item in container.secrets]
        + [("config", item.config_id) for item in container.configs]
    )


class Holdings:
    """What one agent was given in its session, with a count of the tasks that need each."""

    def __init__(self) -> None:
        self._needs: dict[str, frozenset[Key]] = {}
        self._tasks: Counter[Key] = Counter()
        self._given: set[Key] = set()

    def settle(
        self,
        needs: Mapping[str, frozenset[Key]],
        find: Callable[[Key], Secret | Config | None],
    ) -> Handing:
        """Takes in what some tasks need by now. What does not exist is not given."""
        touched: dict[Key, None] = {}  # a set that keeps the order
        for task_id, needed in needs.items():
            before = self._needs.pop(task_id, NOTHING)
            if needed:
                self._needs[task_id] = needed
            self._tasks.update(needed - before)
            self._tasks.subtract(before - needed)
            touched.update(dict.fromkeys(sorted(before | needed)))
        wanted = [key for key in touched if self._tasks[key] > 0 and key not in self._given]
        found = [(key, find(key)) for key in wanted]
        given = [(key, item) for key, item in found if item is not None]
        taken = [key for key in touched if not self._tasks[key] and key in self._given]
        for key in touched:
            if not self._tasks[key]:
                del self._tasks[key]
        self._given.update(key for key, _ in given)
        self._given.difference_update(taken)
        return Handing(given=tuple(item for _, item in given), taken=tuple(taken))


def needs_among(
    task_ids: Iterable[str], tasks: Mapping[str, Task], node_id: str
) -> dict[str, frozenset[Key]]:
    """What each of these tasks needs on that node; a task that is gone needs nothing."""
    return {task_id: needs_of(tasks.get(task_id), node_id) for task_id in task_ids}


def find_in(state: State) -> Callable[[Key], Secret | Config | None]:
    """Looks up a secret or config as an agent is to have it: without its labels."""

    def find(key: Key) -> Secret | Config | None:
        kind, item_id = key
        if kind == "secret":
            secret = state.secrets.get(item_id)
            return secret and changed(secret, spec=changed(secret.spec, labels={}))
        config = state.configs.get(item_id)
        return config and changed(config, spec=changed(config.spec, labels={}))

    return find
