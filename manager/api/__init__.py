"""The cluster's half of the Docker Engine API."""

from manager.api.routing import routes
from manager.api.swarm_events import tell_swarm_events

__all__ = ["routes", "tell_swarm_events"]
