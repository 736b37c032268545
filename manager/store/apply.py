"""What an entry does to a state: a pure function, the same on every manager.

``effects`` answers with the objects before and after, or raises why the whole entry is refused; it changes nothing
itself. A change in an entry sees what the changes before it did.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from common.errors import ConflictError, InvalidInputError, NotFoundError, StaleVersionError
from common.model.cluster import Cluster
from common.model.config import Config
from common.model.copy import changed
from common.model.meta import Stored
from common.model.node import Node
from common.model.secret import Secret
from common.model.service import Service
from common.model.task import Task, TaskState, TaskStatus
from manager.store.changes import (
    AllocateTask,
    AssignTask,
    Create,
    Delete,
    Entry,
    ExplainTask,
    ObserveTask,
    SetDesiredState,
    StoredObject,
    Update,
)
from manager.store.indexes import configs_of, secrets_of
from manager.store.state import State
from manager.store.watch import Changed

PENDING_MESSAGE = "pending task scheduling"
ASSIGNED_MESSAGE = "scheduler assigned task to node"
PREASSIGNED_MESSAGE = "scheduler confirmed task can run on preassigned node"

S = TypeVar("S", bound=Stored)
Named = Service | Secret | Config

_KINDS: Mapping[str, type[StoredObject]] = {
    "cluster": Cluster,
    "node": Node,
    "service": Service,
    "task": Task,
    "secret": Secret,
    "config": Config,
}


def effects(state: State, entry: Entry, index: int) -> tuple[Changed, ...]:
    """Everything that applying ``entry`` as number ``index`` changes, each object once.

    Raises:
        StaleVersionError: an object is not at the version that a change was decided on.
        ConflictError: an id or a name is taken, or a field would go back.
        NotFoundError: an object is gone.
        InvalidInputError: a secret or config would be missing to a service, or change.
    """
    draft = _Draft(state, entry.at, index)
    for change in entry.changes:
        _EFFECTS[type(change)](draft, change)
    return draft.changed()


class _Table(Generic[S]):
    """A table with what an entry has written so far laid over it."""

    __slots__ = ("stored", "written")

    def __init__(self, stored: Mapping[str, S]) -> None:
        self.stored = stored
        self.written: dict[str, S | None] = {}

    def get(self, object_id: str) -> S | None:
        if object_id in self.written:
            return self.written[object_id]
        return self.stored.get(object_id)


class _Draft:
    """The state with what an entry has written so far laid over it."""

    def __init__(self, state: State, at: float, index: int) -> None:
        self.state, self.at, self.index = state, at, index
        self.tasks = _Table(state.tasks)
        self.nodes = _Table(state.nodes)
        self.services = _Table(state.services)
        self._tables: dict[type, _Table[Any]] = {
            Task: self.tasks,
            Node: self.nodes,
            Service: self.services,
            Cluster: _Table(state.clusters),
            Secret: _Table(state.secrets),
            Config: _Table(state.configs),
        }
        self._names: dict[tuple[type, str], str | None] = {}
        self._statuses: dict[tuple[TaskState, str], TaskStatus] = {}

    def get(self, kind: type[StoredObject], object_id: str) -> StoredObject | None:
        found: StoredObject | None = self._tables[kind].get(object_id)
        return found

    def put(self, new: StoredObject) -> None:
        self._tables[type(new)].written[new.id] = new

    def remove(self, old: StoredObject) -> None:
        self._tables[type(old)].written[old.id] = None

    def name_holder(self, kind: type[Named], name: str) -> str | None:
        key = (kind, name.casefold())
        if key in self._names:
            return self._names[key]
        holding: Mapping[type[Named], Callable[[str], Named | None]] = {
            Service: self.state.service_holding_name,
            Secret: self.state.secret_holding_name,
            Config: self.state.config_holding_name,
        }
        holder = holding[kind](name)
        return holder.id if holder else None

    def rename(self, item: Named, old: str | None, new: str | None) -> None:
        if old is not None:
            self._names[type(item), old.casefold()] = None
        if new is not None:
            self._names[type(item), new.casefold()] = item.id

    def users(self, item: Secret | Config) -> list[Service]:
        """The services that name it, after what this entry has written."""
        is_secret = isinstance(item, Secret)
        keys_of = secrets_of if is_secret else configs_of
        stored = self.state.services_using_secret if is_secret else self.state.services_using_config
        found = {service.id: service for service in stored(item.id)}
        for service_id, written in self.services.written.items():
            found.pop(service_id, None)
            if written is not None and item.id in keys_of(written):
                found[service_id] = written
        return list(found.values())

    def status(self, state: TaskState, message: str) -> TaskStatus:
        """A status that managers write: one object for all the tasks in this entry that get it."""
        shared = self._statuses.get((state, message))
        if shared is None:
            shared = TaskStatus(timestamp=self.at, state=state, message=message, applied_at=self.at)
            self._statuses[state, message] = shared
        return shared

    def changed(self) -> tuple[Changed, ...]:
        found = []
        for table in self._tables.values():
            old_of = table.stored.get
            for object_id, new in table.written.items():
                old = old_of(object_id)
                if old is not new:
                    found.append(Changed(old, new))
        return tuple(found)


# ------------------------------------------------------------------------------------ whole objects


def _create(draft: _Draft, change: Create) -> None:
    new = change.object
    kind = type(new)
    if draft.get(kind, new.id) is not None:
        raise ConflictError(f"{_word(kind)} {new.id} already exists")
    stamp = {"version": draft.index, "created_at": draft.at, "updated_at": draft.at}
    if isinstance(new, Service):
        _take_name(draft, new)
        _check_references(draft, new, None)
        draft.put(changed(new, **stamp, spec_version=draft.index))
    elif isinstance(new, (Secret, Config)):
        _take_name(draft, new)
        draft.put(changed(new, **stamp))
    elif isinstance(new, Task):
        service = draft.services.get(new.service_id)
        shared = service.id if service else new.service_id  # one string for all of its tasks
        draft.put(changed(new, **stamp, service_id=shared))
    else:
        draft.put(changed(new, **stamp))


def _update(draft: _Draft, change: Update) -> None:
    new = change.object
    old = _stored(draft, type(new), new.id, new.version)
    stamp = {
        "version": draft.index,
        "created_at": old.created_at,
        "updated_at": draft.at,
    }
    if isinstance(new, Service) and isinstance(old, Service):
        if new.spec.name != old.spec.name:
            _take_name(draft, new)
            draft.rename(new, old.spec.name, new.spec.name)
        _check_references(draft, new, old)
        written = old.spec_version if new.spec == old.spec else draft.index
        draft.put(changed(new, **stamp, spec_version=written))
        return
    if isinstance(new, Task) and isinstance(old, Task):
        _only_forward(old, new)
    elif isinstance(new, (Secret, Config)):
        _only_labels(old, new)
    draft.put(changed(new, **stamp))


def _delete(draft: _Draft, change: Delete) -> None:
    kind = _KINDS.get(change.table)
    if kind is None:
        raise NotFoundError(f"there is no table {change.table}")
    old = _stored(draft, kind, change.id, change.basis)
    if isinstance(old, (Secret, Config)):
        _refuse_in_use(draft, old)
    if isinstance(old, (Service, Secret, Config)):
        draft.rename(old, old.spec.name, None)
    draft.remove(old)


def _stored(draft: _Draft, kind: type[StoredObject], object_id: str, basis: int) -> StoredObject:
    old = draft.get(kind, object_id)
    if old is None:
        raise NotFoundError(f"{_word(kind)} {object_id} not found")
    if basis not in (0, old.version):
        raise _stale(old)
    return old


def _take_name(draft: _Draft, item: Named) -> None:
    kind, name = type(item), item.spec.name
    if draft.name_holder(kind, name) not in (None, item.id):
        raise ConflictError(
            f"name conflicts with an existing object: {_word(kind)} {name} already exists"
        )
    draft.rename(item, None, name)


def _check_references(draft: _Draft, new: Service, old: Service | None) -> None:
    """What a service names anew must be there. A rollback names what it once had: tasks say when that is gone."""
    if old is not None and (new.spec is old.spec or new.spec == old.previous_spec):
        return
    for kind, keys_of in ((Secret, secrets_of), (Config, configs_of)):
        had = set(keys_of(old)) if old is not None else set()
        for key in keys_of(new):
            if key not in had and draft.get(kind, key) is None:
                raise InvalidInputError(f"{_word(kind)} not found: {key}")


def _only_labels(old: StoredObject, new: Secret | Config) -> None:
    same = changed(new, spec=changed(new.spec, labels={}))
    if not isinstance(old, type(new)) or same.spec != changed(old.spec, labels={}):
        raise InvalidInputError("only updates to Labels are allowed")


def _refuse_in_use(draft: _Draft, item: Secret | Config) -> None:
    names = sorted(service.spec.name for service in draft.users(item))
    if names:
        services = "service" if len(names) == 1 else "services"
        raise InvalidInputError(
            f"{_word(type(item))} '{item.spec.name}' is in use by the following {services}: "
            + ", ".join(names)
        )


def _only_forward(old: Task, new: Task) -> None:
    if new.status.state < old.status.state or new.desired_state < old.desired_state:
        raise ConflictError(f"task {old.id} cannot go back to an earlier state")
    if old.node_id not in ("", new.node_id):
        raise ConflictError(f"task {old.id} cannot move to another node")


def _word(kind: type[StoredObject]) -> str:
    return kind.__name__.lower()


def _stale(old: StoredObject) -> StaleVersionError:
    return StaleVersionError(
        "update out of sequence",
        hint=f"{_word(type(old))} {old.id} is at version {old.version} now",
    )


# -------------------------------------------------------------------------------- fields of a task


def _allocate(draft: _Draft, change: AllocateTask) -> None:
    old = _task_at(draft, change.task_id, change.basis, TaskState.NEW)
    status = draft.status(TaskState.PENDING, PENDING_MESSAGE)
    _write(draft, old, ports=change.ports, status=status)


def _assign(draft: _Draft, change: AssignTask) -> None:
    old = _task_at(draft, change.task_id, change.basis, TaskState.PENDING)
    node = draft.nodes.get(change.node_id)
    if node is None:
        raise StaleVersionError(f"node {change.node_id} is gone")
    if old.node_id not in ("", node.id):
        raise ConflictError(f"task {old.id} cannot move to another node")
    status = draft.status(
        TaskState.ASSIGNED, PREASSIGNED_MESSAGE if old.node_id else ASSIGNED_MESSAGE
    )
    _write(
        draft,
        old,
        node_id=node.id,  # the node's own string, shared by its tasks
        status=status,
        generic_resources=change.generic_resources,
    )


def _explain(draft: _Draft, change: ExplainTask) -> None:
    old = _task_at(draft, change.task_id, change.basis, None)
    if old.status.err != change.err:
        status = changed(old.status, err=change.err, timestamp=draft.at, applied_at=draft.at)
        _write(draft, old, status=status)


def _desire(draft: _Draft, change: SetDesiredState) -> None:
    old = draft.tasks.get(change.task_id)
    if old is not None and change.state > old.desired_state:
        _write(draft, old, desired_state=change.state)


def _observe(draft: _Draft, change: ObserveTask) -> None:
    old, seen = draft.tasks.get(change.task_id), change.status
    if old is None or old.node_id != change.node_id or seen.state < old.status.state:
        return
    status = changed(seen, applied_at=old.status.applied_at)
    if status == old.status:
        return
    runs_first = seen.state is TaskState.RUNNING and not old.running_at
    _write(
        draft,
        old,
        status=changed(seen, applied_at=draft.at),
        running_at=draft.at if runs_first else old.running_at,
    )


def _task_at(draft: _Draft, task_id: str, basis: int, state: TaskState | None) -> Task:
    task = draft.tasks.get(task_id)
    if task is None:
        raise NotFoundError(f"task {task_id} not found")
    if task.version != basis:
        raise _stale(task)
    if state is not None and task.status.state is not state:
        raise ConflictError(
            f"task {task_id} is {task.status.state.name.lower()}, not {state.name.lower()}"
        )
    return task


def _write(draft: _Draft, old: Task, **fields: Any) -> None:  # noqa: ANN401 - as dataclasses.replace
    fields["version"], fields["updated_at"] = draft.index, draft.at
    draft.tasks.written[old.id] = changed(old, **fields)


_EFFECTS: Mapping[type, Callable[[_Draft, Any], None]] = {
    Create: _create,
    Update: _update,
    Delete: _delete,
    AllocateTask: _allocate,
    AssignTask: _assign,
    ExplainTask: _explain,
    SetDesiredState: _desire,
    ObserveTask: _observe,
}
