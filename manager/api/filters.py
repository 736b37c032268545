"""``?filters=``: which nodes, services and tasks a list shows."""

from collections.abc import Callable

from common.engine_api.filters import Filters
from common.errors import InvalidInputError
from common.model.node import Availability, Node
from common.model.service import Global, GlobalJob, Mode, Replicated, ReplicatedJob, Service
from common.model.task import Task, TaskState
from manager.api.parse.service_spec import CONTAINER_RUNTIME

SERVICE_FILTERS = ("id", "label", "mode", "name", "runtime")
NODE_FILTERS = ("availability", "id", "label", "membership", "name", "node.label", "role")
TASK_FILTERS = (
    "_up-to-date",
    "desired-state",
    "id",
    "label",
    "name",
    "node",
    "runtime",
    "service",
)
_MODES: dict[type[Mode], str] = {
    Replicated: "replicated",
    Global: "global",
    ReplicatedJob: "replicated-job",
    GlobalJob: "global-job",
}
_ACCEPTED = "accepted"


def shows_service(filters: Filters, service: Service) -> bool:
    """Whether the list shows this service; names and ids match by their beginning."""
    return (
        filters.accepts_prefix("id", [service.id])
        and filters.accepts_prefix("name", [service.spec.name])
        and filters.accepts_labels(service.spec.labels)
        and filters.accepts("mode", lambda mode: mode == _MODES[type(service.spec.mode)])
        and _shows_containers(filters)
    )


def shows_node(filters: Filters, node: Node) -> bool:
    """Whether the list shows this node. ``label`` means the engine's labels, as in Docker."""
    names = [name for name in (node.spec.name, node.description.hostname) if name]
    return (
        filters.accepts_prefix("id", [node.id])
        and filters.accepts_prefix("name", names)
        and filters.accepts_labels(node.description.engine.labels)
        and filters.accepts_labels(node.spec.labels, "node.label")
        and filters.accepts("role", lambda role: role == node.spec.role)
        and filters.accepts("membership", lambda membership: membership == _ACCEPTED)
        and filters.accepts("availability", lambda text: text == node.spec.availability)
    )


def check_node_filters(filters: Filters) -> None:
    """Refuses words that no node can be.

    Raises:
        InvalidInputError: names the filter and the word.
    """
    known: dict[str, set[str]] = {
        "role": {"worker", "manager"},
        "membership": {_ACCEPTED, "pending"},
        "availability": set(Availability),
    }
    for name, words in known.items():
        for given in filters.get(name):
            if given not in words:
                raise InvalidInputError(f"invalid {name} filter: '{given}'")


def shows_task(filters: Filters, task: Task, is_up_to_date: Callable[[Task], bool]) -> bool:
    """Whether the list shows this task. ``service`` and ``node`` are ids by now."""
    return (
        filters.accepts_prefix("id", [task.id])
        and filters.accepts_prefix("name", [task_name(task)])
        and filters.accepts_labels(task.service_labels)
        and filters.accepts("service", lambda service_id: service_id == task.service_id)
        and filters.accepts("node", lambda node_id: node_id == task.node_id)
        and filters.accepts("desired-state", lambda word: word == task.desired_state.name.lower())
        and _shows_containers(filters)
        and filters.accepts("_up-to-date", lambda word: is_up_to_date(task) is (word == "true"))
    )


def check_task_filters(filters: Filters) -> None:
    """Refuses words that no task can be.

    Raises:
        InvalidInputError: names the filter and the word.
    """
    words = {state.name.lower() for state in TaskState}
    for given in filters.get("desired-state"):
        if given not in words:
            raise InvalidInputError(f"invalid desired-state filter: '{given}'")
    for given in filters.get("_up-to-date"):
        if given not in ("true", "false"):
            raise InvalidInputError(f"invalid _up-to-date filter: '{given}'")


def task_name(task: Task) -> str:
    """``service.slot.id``, as logs and lists name a task."""
    return f"{task.service_name}.{task.slot or task.node_id}.{task.id}"


def _shows_containers(filters: Filters) -> bool:
    return filters.accepts("runtime", lambda runtime: runtime == CONTAINER_RUNTIME)
