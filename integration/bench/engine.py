"""An Engine API on a unix socket, and the measured steps on it: the same calls for us and for a peer."""

import http.client
import json
import os
import socket
import struct
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from typing_extensions import override

API = "/v1.41"
DEADLINE_SECONDS = 180.0
REQUEST_SECONDS = 60.0
REMOVAL_POLL_SECONDS = 0.05


class EngineError(Exception):
    """The API refused, with its status and message; or what was waited for did not come."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=REQUEST_SECONDS)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(REQUEST_SECONDS)
        self.sock.connect(self._path)


class Engine:
    """One daemon."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection = _Connection(path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; ``bytes`` are sent as they are, anything else as JSON."""
        is_raw = isinstance(body, bytes)
        payload = body if is_raw or body is None else json.dumps(body).encode()
        kind = "application/x-tar" if is_raw else "application/json"
        for is_last in (False, True):
            try:
                self._connection.request(method, API + path, payload, {"Content-Type": kind})
                response = self._connection.getresponse()
                data = response.read()
                break
            except TimeoutError:
                self._connection.close()
                raise  # it may have been done: not again
            except (http.client.HTTPException, OSError):
                self._connection.close()  # an idle connection that the daemon closed meanwhile
                if is_last:
                    raise
        else:
            raise EngineError("unreachable")
        if response.status >= 400:
            raise EngineError(f"{method} {path}: {response.status} {data[:300]!r}")
        is_json = response.headers.get_content_type() == "application/json"
        return (
            json.loads(data)
            if data and is_json and path.split("?", maxsplit=1)[0] != "/images/create"
            else data
        )

    def close(self) -> None:
        """Closes the connection; the next request opens one."""
        self._connection.close()

    def daemon_pid(self) -> int:
        """The process that listens on the socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(self.path)
            size = struct.calcsize("3i")
            pid: int = struct.unpack(
                "3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            )[0]
        return pid

    # -------------------------------------------------------------------------------- services

    def create(self, name: str, image: str, replicas: int, **more: Any) -> str:
        """Creates a service whose tasks are restarted at once, and gives its id."""
        spec = {
            "Name": name,
            "TaskTemplate": {
                "ContainerSpec": {"Image": image},
                "RestartPolicy": {"Condition": "any", "Delay": 0},
            },
            "Mode": {"Replicated": {"Replicas": replicas}},
            **more,
        }
        created: str = self.call("POST", "/services/create", spec)["ID"]
        return created

    def update(self, service: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Changes a service's spec."""
        found = self.call("GET", f"/services/{service}")
        change(found["Spec"])
        version = found["Version"]["Index"]
        self.call("POST", f"/services/{service}/update?version={version}", found["Spec"])

    def scale(self, service: str, replicas: int) -> None:
        """Sets the number of replicas."""
        self.update(service, lambda spec: spec["Mode"]["Replicated"].update(Replicas=replicas))

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """The tasks that are to run."""
        filters = _filters({"service": [service], "desired-state": ["running"]})
        found: list[dict[str, Any]] = self.call("GET", f"/tasks?filters={filters}")
        return found

    def running(self, service: str) -> list[dict[str, Any]]:
        """Those of them that do."""
        return [task for task in self.tasks(service) if task["Status"]["State"] == "running"]

    def wait_running(self, service: str, replicas: int, poll_seconds: float) -> None:
        """Waits until so many tasks run."""
        wait(
            f"{replicas} running tasks",
            lambda: len(self.running(service)) >= replicas,
            poll_seconds=poll_seconds,
        )

    def remove(self, service: str) -> None:
        """Removes a service and waits until none of its containers is left."""
        filters = _filters({"label": [f"com.docker.swarm.service.id={service}"]})
        self.call("DELETE", f"/services/{service}")
        wait(
            "the containers to go",
            lambda: not self.call("GET", f"/containers/json?all=1&filters={filters}"),
            poll_seconds=REMOVAL_POLL_SECONDS,
        )

    def import_image(self, archive: bytes, name: str, *changes: str) -> str:
        """Makes an image of a file system and gives its id."""
        repository, _, tag = name.partition(":")
        query = [("fromSrc", "-"), ("repo", repository), ("tag", tag)]
        query += [("changes", change) for change in changes]
        self.call("POST", f"/images/create?{urllib.parse.urlencode(query)}", archive)
        image_id: str = self.call("GET", f"/images/{name}/json")["Id"]
        return image_id

    def remove_all(self, prefix: str) -> None:
        """Removes the services that are called so, and what is left of their containers."""
        for service in self.call("GET", f"/services?filters={_filters({'name': [prefix]})}"):
            self.remove(service["ID"])


def wait(what: str, look: Callable[[], object], *, poll_seconds: float) -> None:
    """Looks again and again until there is something true to see."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not look():
        if time.monotonic() > end:
            raise EngineError(f"waited {DEADLINE_SECONDS:g} s for {what}")
        time.sleep(poll_seconds)


def kill_task(task: Mapping[str, Any]) -> None:
    """Kills a task's container process, as a crash would."""
    os.kill(task["Status"]["ContainerStatus"]["PID"], 9)


def _filters(wanted: Mapping[str, list[str]]) -> str:
    return urllib.parse.quote(json.dumps(wanted))
