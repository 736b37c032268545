"""Lists of tasks, as ``service ps`` and ``node ps`` show them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from cli.swarmctl import shown
from cli.swarmctl.client import ApiError, current_client
from cli.swarmctl.filters import filter_option, format_option, quiet_option
from cli.swarmctl.now import now
from cli.swarmctl.table import show_list

_COLUMNS = {
    "ID": "ID",
    "_Name": "NAME",
    "Image": "IMAGE",
    "Node": "NODE",
    "DesiredState": "DESIRED STATE",
    "CurrentState": "CURRENT STATE",
    "Error": "ERROR",
    "Ports": "PORTS",
}
_ERROR_WIDTH = 30
_NOT_FOUND = 404
_Function = TypeVar("_Function", bound=Callable[..., Any])


def task_options(function: _Function) -> _Function:
    """The flags of every list of tasks."""
    for option in (
        click.option("--no-resolve", is_flag=True, help="ids instead of names"),
        click.option("--no-trunc", is_flag=True, help="whole ids and errors"),
        quiet_option(),
        format_option(),
        filter_option(),
    ):
        function = option(function)
    return function


def show_tasks(query: Mapping[str, str], *, format_: str | None, **more: bool) -> None:
    """Prints the tasks of a query, by name, the newest of each slot first.

    Args:
        query: The query string of ``GET /tasks``.
        format_: As of ``show_list``.
        more: ``quiet``, ``no_trunc`` and ``no_resolve``.
    """
    tasks = current_client().get("/tasks", **query)
    names = _Names(resolve=not more["no_resolve"])
    tasks.sort(key=lambda task: str(task["CreatedAt"]), reverse=True)
    tasks.sort(key=lambda task: (shown.natural(names.task(task)), str(task.get("NodeID", ""))))
    rows: list[dict[str, str]] = []
    for task in tasks:
        row = _row(task, names, whole=more["no_trunc"] or more["quiet"])
        again = rows and rows[-1]["Name"] == row["Name"]
        rows.append(row | {"_Name": f" \\_ {row['Name']}" if again else row["Name"]})
    show_list(rows, _COLUMNS, format_=format_, quiet=more["quiet"])


def _row(task: dict[str, Any], names: "_Names", *, whole: bool) -> dict[str, str]:
    status = task["Status"]
    error = status.get("Err", "")
    ports = (status.get("PortStatus") or {}).get("Ports") or []
    age = shown.ago(status["Timestamp"], now()).lower()
    return {
        "ID": shown.short(task["ID"], whole=whole),
        "Name": names.task(task),
        "Image": task["Spec"].get("ContainerSpec", {}).get("Image", "").partition("@")[0],
        "Node": names.node(task.get("NodeID", "")),
        "DesiredState": task["DesiredState"].title(),
        "CurrentState": f"{status['State'].title()} {age}",
        "Error": shown.cut(f'"{error}"' if error else "", _ERROR_WIDTH, whole=whole),
        "Ports": shown.ports(ports, mode="host"),
    }


class _Names:
    """Names of services and nodes by their ids; the id where there is none any more."""

    def __init__(self, *, resolve: bool) -> None:
        self._resolve = resolve
        self._known: dict[str, str] = {}

    def task(self, task: Mapping[str, Any]) -> str:
        """``web.1``, or ``web.NODEID`` for a task of a global service."""
        service = self._look_up(f"/services/{task['ServiceID']}", ("Spec", "Name"))
        return f"{service}.{task.get('Slot') or task.get('NodeID', '')}"

    def node(self, node_id: str) -> str:
        """The host name."""
        return self._look_up(f"/nodes/{node_id}", ("Description", "Hostname")) if node_id else ""

    def _look_up(self, path: str, fields: tuple[str, str]) -> str:
        if path not in self._known:
            self._known[path] = path.rpartition("/")[2]
            if self._resolve:
                self._known[path] = _name(path, fields) or self._known[path]
        return self._known[path]


def _name(path: str, fields: tuple[str, str]) -> str:
    try:
        return str(current_client().get(path)[fields[0]].get(fields[1], ""))
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        return ""
