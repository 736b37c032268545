"""Which swarmd the command that runs talks to; the client itself is ``common.engine_client``."""

from collections.abc import Mapping

from common.engine_client import ApiError, CannotConnectError, Client, LostConnectionError

__all__ = [
    "ApiError",
    "CannotConnectError",
    "Client",
    "LostConnectionError",
    "chosen_host",
    "current_client",
]
DEFAULT_HOST = "unix:///run/swarmd/swarmd.sock"


def current_client() -> Client:
    """The client of the command that runs (made by ``cli.swarmctl.main``)."""
    import click  # noqa: PLC0415 - this module is otherwise free of the command line

    client: Client = click.get_current_context().obj
    return client


def chosen_host(flag: str | None, environment: Mapping[str, str]) -> str:
    """The address to talk to: ``-H``, else ``SWARM_HOST``, else ``DOCKER_HOST``, else the default socket."""
    return flag or environment.get("SWARM_HOST") or environment.get("DOCKER_HOST") or DEFAULT_HOST
