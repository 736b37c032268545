"""The orchestrator's loops: which keys a change touches, and what is looked at for a key."""

from collections.abc import Collection, Iterable

from common.clock import Clock
from common.disconnect import is_leased
from common.model.cluster import DEFAULT_TASK_HISTORY, Cluster
from common.model.node import Node
from common.model.service import Global, Replicated, Service
from common.model.task import Task, TaskState
from manager.orchestrator import (
    constraint_enforcer,
    global_services,
    history,
    removed_services,
    replicated,
    silence,
)
from manager.orchestrator.constraint_enforcer import NodeView
from manager.orchestrator.global_services import GlobalView
from manager.orchestrator.history import HistoryView
from manager.orchestrator.places import Places
from manager.orchestrator.silence import Silences, SilentNode, is_down
from manager.orchestrator.slots import has_ended, is_wanted
from manager.orchestrator.update import is_under_way, wants_to_know
from manager.orchestrator.view import ServiceView
from manager.store.state import State
from manager.store.verdict import NewId, Verdict
from manager.store.watch import Changed

HISTORY_SETTLE_SECONDS = 0.25
"""Forgetting is not urgent: changes gather, so that it takes nothing from starting and stopping."""

_NOTHING = Verdict()


class ReplicatedLoop:
    """Keeps replicated services; its key is a service's id.

    It remembers in which slots something happened, and looks only at those while no update is under way.
    """

    name = "replicated orchestrator"
    settle_seconds = 0.0

    def __init__(self) -> None:
        self._places: Places[int] = Places()

    def keys(self, state: State) -> Iterable[str]:
        """All replicated services, each as a whole."""
        self._places.clear()
        return [service.id for service in state.services.values() if _is_replicated(service)]

    def touched(self, state: State, changed: Changed) -> Iterable[str]:
        """A service, the service of a task that came, ran or ended, and those with tasks on a node that changed."""
        match changed.new or changed.old:
            case Service(id=service_id) if changed.new is None:
                self._places.forget(service_id)
                return ()
            case Service(id=service_id):
                self._places.note_whole(service_id)
                return (service_id,)
            case Task(slot=slot) as task if slot and _matters(state, changed):
                return self._note_task(task, changed)
            case Node(id=node_id) if _fares_otherwise(changed):
                return self._note_tasks(state.tasks_of_node(node_id))
            case _:
                return ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:
        """Looks at the service with its tasks, or with those of some slots."""
        service = state.services.get(key)
        if service is None or not _is_replicated(service):
            self._places.forget(key)
            return _NOTHING
        slots = self._places.take(key, now)
        tasks = state.tasks_of_service(key)
        if slots is None or is_under_way(service):
            view = ServiceView(service=service, tasks=tasks, nodes=state.nodes)
            verdict = replicated.decide(view, now, new_id)
            self._places.set_due(key, verdict.look_again_at)
            return verdict
        chosen = [task for task in tasks if task.slot in slots]
        view = ServiceView(service=service, tasks=chosen, nodes=state.nodes)
        verdict = replicated.decide_some(view, now, new_id)
        return self._places.also(key, verdict)

    def _note_task(self, task: Task, changed: Changed) -> Iterable[str]:
        if changed.new is None:
            self._places.note_whole(task.service_id)
            return (task.service_id,)
        return self._note_tasks((task,))

    def _note_tasks(self, tasks: Iterable[Task]) -> Iterable[str]:
        touched: dict[str, None] = {}
        for task in tasks:
            if task.slot:
                self._places.note(task.service_id, (task.slot,))
                touched[task.service_id] = None
        return touched


class GlobalLoop:
    """Keeps global services; its key is a service's id.

    It remembers on which nodes something happened, and looks only at those while no update is under way.
    """

    name = "global orchestrator"
    settle_seconds = 0.0

    def __init__(self) -> None:
        self._services: dict[str, None] = {}
        self._places: Places[str] = Places()

    def keys(self, state: State) -> Iterable[str]:
        """All global services, each as a whole."""
        self._places.clear()
        self._services = {
            service.id: None for service in state.services.values() if _is_global(service)
        }
        return list(self._services)

    def touched(self, state: State, changed: Changed) -> Iterable[str]:
        """A service, that of a task that came, ran or ended, and every service when a node changed."""
        match changed.new or changed.old:
            case Service() as service:
                return self._note_service(service, changed)
            case Task(service_id=service_id, node_id=node_id) if service_id in self._services:
                if not _matters(state, changed):
                    return ()
                self._places.note(service_id, (node_id,))
                return (service_id,)
            case Node(id=node_id):
                return self._note_node(node_id, changed)
            case _:
                return ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:
        """Looks at the service with its tasks on some nodes, or on all."""
        service = state.services.get(key)
        if service is None or not _is_global(service):
            self._places.forget(key)
            return _NOTHING
        node_ids = self._places.take(key, now)
        if node_ids is None or is_under_way(service):
            tasks = state.tasks_of_service(key)
            verdict = global_services.decide(
                _global_view(state, service, tasks, state.nodes, is_whole=True), now, new_id
            )
            self._places.set_due(key, verdict.look_again_at)
            return verdict
        chosen = [
            task
            for node_id in node_ids
            for task in state.tasks_of_node(node_id)
            if task.service_id == key
        ]
        view = _global_view(state, service, chosen, node_ids, is_whole=False)
        return self._places.also(key, global_services.decide(view, now, new_id))

    def _note_node(self, node_id: str, changed: Changed) -> Iterable[str]:
        for service_id in self._services:
            self._places.note(service_id, (node_id,))
            if _fares_otherwise(changed):  # an update passed over it while it was paused or down
                self._places.note_whole(service_id)
        return list(self._services)

    def _note_service(self, service: Service, changed: Changed) -> Iterable[str]:
        if changed.new is None or not _is_global(service):
            self._services.pop(service.id, None)
            self._places.forget(service.id)
            return ()
        self._services[service.id] = None
        self._places.note_whole(service.id)
        return (service.id,)


def _global_view(
    state: State,
    service: Service,
    tasks: Collection[Task],
    node_ids: Collection[str],
    *,
    is_whole: bool,
) -> GlobalView:
    return GlobalView(
        service=service, tasks=tasks, nodes=state.nodes, node_ids=node_ids, is_whole=is_whole
    )


class RemovedServicesLoop:
    """Removes what is left of deleted services; its key is the service's id."""

    name = "removal of services"
    settle_seconds = 0.0

    def keys(self, state: State) -> Iterable[str]:
        """Services that only tasks remember."""
        return {task.service_id for task in state.tasks.values()} - state.services.keys()

    def touched(self, state: State, changed: Changed) -> Iterable[str]:
        """A service that went, and the service of a task that came when it was gone already."""
        match changed.new or changed.old:
            case Service(id=service_id) if changed.new is None:
                return (service_id,)
            case Task(service_id=service_id) if changed.old is None:
                return () if service_id in state.services else (service_id,)
            case _:
                return ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:  # noqa: ARG002 - a Loop's
        """Looks at the tasks."""
        if key in state.services:
            return _NOTHING
        return removed_services.decide(state.tasks_of_service(key))


class HistoryLoop:
    """Forgets tasks; its key is a service's id."""

    name = "task history"
    settle_seconds = HISTORY_SETTLE_SECONDS

    def keys(self, state: State) -> Iterable[str]:
        """All services that have tasks."""
        return {task.service_id for task in state.tasks.values()}

    def touched(self, state: State, changed: Changed) -> Iterable[str]:
        """What may have become history: a task's end, an update's, a node's; all when the limit changed."""
        match changed.old, changed.new:
            case Task() as old_task, Task() as task:
                is_news = has_ended(task) or old_task.desired_state != task.desired_state
                return (task.service_id,) if is_news else ()
            case Service() as old, Service() as new:
                return (new.id,) if is_under_way(old) and not is_under_way(new) else ()
            case Node(id=node_id), None:
                return {task.service_id for task in state.tasks_of_node(node_id)}
            case Cluster() as old_cluster, Cluster() as new_cluster:
                return self.keys(state) if _limit(old_cluster) != _limit(new_cluster) else ()
            case _:
                return ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:  # noqa: ARG002 - a Loop's
        """Looks at the service's tasks."""
        view = HistoryView(
            service=state.services.get(key),
            tasks=state.tasks_of_service(key),
            nodes=state.nodes,
            limit=_limit(state.cluster()),
        )
        return history.decide(view)


class ConstraintLoop:
    """Moves tasks away from nodes that no longer suit them; its key is a node's id."""

    name = "constraint enforcer"
    settle_seconds = 0.0

    def keys(self, state: State) -> Iterable[str]:
        """All nodes."""
        return list(state.nodes)

    def touched(self, state: State, changed: Changed) -> Iterable[str]:  # noqa: ARG002 - a Loop's
        """A node whose spec or description changed."""
        match changed.old, changed.new:
            case Node() as old, Node() as new:
                is_other = old.spec != new.spec or old.description != new.description
                return (new.id,) if is_other else ()
            case _:
                return ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:  # noqa: ARG002 - a Loop's
        """Looks at the node with its tasks."""
        node = state.nodes.get(key)
        if node is None:
            return _NOTHING
        view = NodeView(node=node, tasks=state.tasks_of_node(key), services=state.services)
        return constraint_enforcer.decide(view, now)


class LeaseLoop:
    """Gives up tasks with a lease on nodes that have been silent for longer; its key is a node's id.

    It measures the silence by a clock of this manager that cannot be set, and begins anew with each reign.
    """

    name = "leases"
    settle_seconds = 0.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silences = Silences()

    def keys(self, state: State) -> Iterable[str]:
        """All nodes that are down."""
        self._silences.begin(state.nodes.values(), self._clock.monotonic())
        return [node.id for node in state.nodes.values() if is_down(node)]

    def touched(self, state: State, changed: Changed) -> Iterable[str]:  # noqa: ARG002 - a Loop's
        """A node that is down, and the node of a task with a lease that it was given only just."""
        match changed.new or changed.old:
            case Node(id=node_id) as node:
                present = None if changed.new is None else node
                self._silences.note(present, node_id, self._clock.monotonic())
                return (node_id,) if is_down(node) else ()
            case Task(node_id=node_id, status=status) as task if status.state == TaskState.ASSIGNED:
                return (node_id,) if is_leased(task) else ()
            case _:
                return ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:  # noqa: ARG002 - a Loop's
        """Looks at the node with its tasks."""
        node = state.nodes.get(key)
        if node is None or not is_down(node):
            return _NOTHING
        seconds = self._silences.seconds(node, self._clock.monotonic())
        view = SilentNode(node=node, tasks=state.tasks_of_node(key), silent_seconds=seconds)
        return silence.decide(view, now)


def _is_replicated(service: Service) -> bool:
    return isinstance(service.spec.mode, Replicated)


def _is_global(service: Service) -> bool:
    return isinstance(service.spec.mode, Global)


def _matters(state: State, changed: Changed) -> bool:
    """Whether a task came or went, or came to a state that its service's decision depends on."""
    match changed.old, changed.new:
        case Task() as old, Task() as new:
            service = state.services.get(new.service_id)
            if service is None or (new.desired_state == TaskState.REMOVE and not is_leased(new)):
                return False
            if (
                old.status.state == new.status.state
            ):  # an update may wait until an ended task counts as past
                return old.desired_state != new.desired_state and is_under_way(service)
            return wants_to_know(service, new.status.state)
        case Task() as gone, None:
            return is_wanted(gone)
        case _:
            return True


def _fares_otherwise(changed: Changed) -> bool:
    """Whether a node's tasks may have to move."""
    match changed.old, changed.new:
        case Node() as old, Node() as new:
            return (old.status.state, old.spec.availability) != (
                new.status.state,
                new.spec.availability,
            )
        case _:
            return changed.new is None


def _limit(cluster: Cluster | None) -> int:
    if cluster is None:
        return DEFAULT_TASK_HISTORY
    return cluster.spec.orchestration.task_history_retention_limit
