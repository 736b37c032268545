"""The local half of the Docker Engine API."""

from worker.api.routing import routes

__all__ = ["routes"]
