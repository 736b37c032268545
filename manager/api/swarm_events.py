"""Events of the cluster, told from what the store commits."""

import logging
from collections.abc import Iterator
from typing import Never

from common.events import EventLog
from common.model.config import Config
from common.model.node import Node
from common.model.secret import Secret
from common.model.service import Replicated, Service
from manager.store.changes import StoredObject
from manager.store.store import Store
from manager.store.watch import Changed, WatchLaggedError

log = logging.getLogger("swarmd.api")

Told = tuple[str, str, str, dict[str, str]]
"""Type, action, id and attributes of an event."""


async def tell_swarm_events(store: Store, events: EventLog) -> Never:
    """Tells every change of a service or node, for as long as this node is a manager."""
    async with store.watch() as watch:
        while True:
            try:
                committed = await anext(watch)
            except WatchLaggedError:
                log.warning("events of the cluster were lost: too many changes at once")
                continue
            for changed in committed.changed:
                for kind, action, actor_id, attributes in events_of(changed):
                    events.tell(kind, action, actor_id, attributes, scope="swarm")


def events_of(changed: Changed) -> Iterator[Told]:
    """What a change is told as: services, nodes, secrets and configs are created, updated and removed, as in Docker."""
    item = changed.new if changed.new is not None else changed.old
    if not isinstance(item, (Service, Node, Secret, Config)):
        return
    if changed.old is None:
        action = "create"
    elif changed.new is None:
        action = "remove"
    else:
        action = "update"
    kind = type(item).__name__.lower()
    yield kind, action, item.id, {"name": _name(item), **_differences(changed.old, changed.new)}


def _name(item: Service | Node | Secret | Config) -> str:
    if isinstance(item, Node):
        return item.spec.name or item.description.hostname
    return item.spec.name


def _differences(old: StoredObject | None, new: StoredObject | None) -> dict[str, str]:
    if isinstance(old, Service) and isinstance(new, Service):
        before, after = _service_words(old), _service_words(new)
    elif isinstance(old, Node) and isinstance(new, Node):
        before, after = _node_words(old), _node_words(new)
    else:
        return {}
    result = {}
    for key in (*before, *(key for key in after if key not in before)):
        if before.get(key) == after.get(key):
            continue
        if key in before:
            result[f"{key}.old"] = before[key]
        if key in after:
            result[f"{key}.new"] = after[key]
    return result


def _service_words(service: Service) -> dict[str, str]:
    words = {}
    container = service.spec.task_template.container_spec
    if container is not None:
        words["image"] = container.image
    if isinstance(service.spec.mode, Replicated):
        words["replicas"] = str(service.spec.mode.replicas)
    if service.update_status is not None:
        words["updatestate"] = service.update_status.state.value
    return words


def _node_words(node: Node) -> dict[str, str]:
    return {
        "availability": node.spec.availability.value,
        "role": node.spec.role.value,
        "state": node.status.state.value,
    }
