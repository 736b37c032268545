"""An event as ``GET /events`` shows it."""

from typing import Any

from common.engine_json import NANOSECONDS
from common.events import Event

Json = dict[str, Any]


def render_event(event: Event) -> Json:
    """Engine API ``EventMessage``; containers and images also in the form of Docker before 1.10."""
    result: Json = {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.actor_id, "Attributes": dict(event.attributes)},
        "scope": event.scope,
        "time": int(event.at),
        "timeNano": round(event.at * NANOSECONDS),
    }
    if event.type == "container":
        return {
            "status": event.action,
            "id": event.actor_id,
            "from": event.attributes.get("image", ""),
            **result,
        }
    if event.type == "image":
        return {"status": event.action, "id": event.actor_id, **result}
    return result
