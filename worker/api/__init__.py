"""The local half of the Docker Engine API."""

<<<<<<< Updated upstream
from worker.api.routing import routes

__all__ = ["routes"]
=======

def routes(*_a):  # temporary
    return []
>>>>>>> Stashed changes
