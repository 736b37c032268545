"""The allocator's loop; its key is a service's id."""

import logging
from collections.abc import Iterable, Mapping

from common.model.endpoint import Protocol, PublishMode
from common.model.service import Service
from common.model.task import Task, TaskState
from manager.allocator.decide import AllocationView, decide
from manager.store.changes import Update
from manager.store.state import State
from manager.store.verdict import NewId, Verdict
from manager.store.watch import Changed

log = logging.getLogger(__name__)


class AllocatorLoop:
    """Allocates for services and new tasks.

    It remembers which tasks are NEW, so that a look costs what is to be done and not what a service has; and which
    services could not be served, so that they are looked at again when something is given back.
    """

    name = "allocator"
    settle_seconds = 0.0

    def __init__(self) -> None:
        self._new: dict[str, dict[str, None]] = {}
        """New tasks by service."""
        self._blocked: dict[str, str] = {}
        """Services that wait for a port, and why."""
        self._given: dict[tuple[Protocol, int], str] = {}
        """Ports given to a service in proposals that may not be committed yet."""

    def keys(self, state: State) -> Iterable[str]:
        """All services; every task is looked at once, to find the new ones."""
        self._new.clear()
        self._blocked.clear()
        self._given.clear()
        for task in state.tasks.values():
            self._note(task)
        return list(state.services)

    def touched(self, state: State, changed: Changed) -> Iterable[str]:  # noqa: ARG002 - a Loop's
        """A service that came or changed, the service of a new task, and all that wait when a service lets go."""
        match changed.old, changed.new:
            case _, Task(service_id=service_id) as task:
                return (service_id,) if self._note(task) else ()
            case None, Service(id=service_id):
                return (service_id,)
            case Service() as old, Service() as new:
                return {new.id, *self._blocked} if _publishes_otherwise(old, new) else ()
            case Service(), None:
                return list(self._blocked)
            case _:
                return ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:  # noqa: ARG002 - a Loop's
        """Looks at the service with its new tasks."""
        service = state.services.get(key)
        self._given = {place: owner for place, owner in self._given.items() if owner != key}
        if service is None:
            self._new.pop(key, None)
            self._blocked.pop(key, None)
            return Verdict()

        tasks = self._new_tasks(state, key)
        others = _Others(state, key, self._given)
        allocation = decide(AllocationView(service=service, tasks=tasks, others=others))
        self._say(service, allocation.error)
        for change in allocation.verdict.changes:
            if isinstance(change, Update) and isinstance(change.object, Service):
                self._given.update(
                    {
                        (port.protocol, port.published_port): key
                        for port in change.object.endpoint.ports
                        if port.publish_mode == PublishMode.INGRESS
                    }
                )
        return allocation.verdict

    def _new_tasks(self, state: State, service_id: str) -> list[Task]:
        known = self._new.pop(service_id, {})
        tasks = [state.tasks[task_id] for task_id in known if task_id in state.tasks]
        tasks = [task for task in tasks if task.status.state == TaskState.NEW]
        if tasks:
            self._new[service_id] = {task.id: None for task in tasks}
        return tasks

    def _note(self, task: Task) -> bool:
        if task.status.state != TaskState.NEW:
            return False
        self._new.setdefault(task.service_id, {})[task.id] = None
        return True

    def _say(self, service: Service, error: str) -> None:
        if not error:
            self._blocked.pop(service.id, None)
        elif self._blocked.get(service.id) != error:
            self._blocked[service.id] = error
            log.warning("service %s waits: %s", service.spec.name, error)


class _Others:
    """What other services publish, as the state and the proposals under way say."""

    def __init__(
        self, state: State, own_id: str, given: Mapping[tuple[Protocol, int], str]
    ) -> None:
        self._state, self._own_id, self._given = state, own_id, given

    def holder(self, protocol: Protocol, port: int) -> Service | None:
        for service in self._publishing(protocol, port):
            for own in service.endpoint.ports:
                if (own.protocol, own.published_port) == (protocol, port):
                    return service
        return self._state.services.get(self._given.get((protocol, port), ""))

    def want(self, protocol: Protocol, port: int) -> bool:
        return (protocol, port) in self._given or any(self._publishing(protocol, port))

    def _publishing(self, protocol: Protocol, port: int) -> Iterable[Service]:
        publishing = self._state.services_publishing(protocol, port)
        return (service for service in publishing if service.id != self._own_id)


def _publishes_otherwise(old: Service, new: Service) -> bool:
    return old.spec.endpoint_spec != new.spec.endpoint_spec or old.endpoint != new.endpoint
