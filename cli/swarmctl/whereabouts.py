"""Which container a name means: one of this node, or the one of a task, wherever in the swarm it runs."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import click

from cli.swarmctl.client import ApiError, Client, current_client
from cli.swarmctl.filters import query

T = TypeVar("T")


def on_container(name: str, act: Callable[[Client, str], T]) -> T:
    """Does it to the container of this name; where there is none, to the one of the task of this name.

    Args:
        name: Of a container, or a task: its id, ``service.slot``, or ``service.slot.id``.
        act: It is given a client of the right node, and the container's name or id there. What swarmd answers with
            404 it must not have begun.

    Raises:
        ApiError: swarmd refuses, or there is neither.
    """
    client = current_client()
    try:
        return act(client, name)
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND or client.is_elsewhere:
            raise
        task = _task(client, name)
        if task is None:
            raise
    container = ((task.get("Status") or {}).get("ContainerStatus") or {}).get("ContainerID", "")
    if not container or not task.get("NodeID"):
        state = (task.get("Status") or {}).get("State", "new")
        raise click.ClickException(f"task {name} has no container: it is {state}")
    return act(client.on_node(task["NodeID"]), container)


def _task(client: Client, name: str) -> Mapping[str, Any] | None:
    try:
        return _by_slot(client, name) if "." in name else _by_id(client, name)
    except ApiError:  # no such task, or no swarm at all: there is no such container either
        return None


def _by_id(client: Client, name: str) -> Mapping[str, Any]:
    task: Mapping[str, Any] = client.get(f"/tasks/{name}")
    return task


def _by_slot(client: Client, name: str) -> Mapping[str, Any] | None:
    service, _, rest = name.partition(".")
    slot, _, task_id = rest.partition(".")
    if task_id:
        return _by_id(client, task_id)
    wanted = {"service": [service], "desired-state": ["running"]}
    tasks = client.get("/tasks", **query((), **wanted))
    return next(
        (task for task in tasks if slot in (str(task.get("Slot")), task.get("NodeID"))), None
    )
