"""The local engine without containers: a test says how each of them fares."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from common.errors import NotFoundError
from worker.containers.files import ContainerFile
from worker.containers.log_lines import LogQuery, LogRecord
from worker.containers.record import (
    Container,
    ContainerConfig,
    ContainerState,
    Health,
    HealthStatus,
)
from worker.network.attachment import Attachment

STOPPED = 143
KILLED = 137


class FakeContainers:
    """``worker.agent.ports.Containers``. ``calls`` says what was done, in order."""

    def __init__(self, calls: list[str] | None = None) -> None:
        self.calls: list[str] = [] if calls is None else calls
        self.images = {"hello:1", "hello:2"}
        self.errors: dict[str, list[Exception]] = {}
        """By verb: what the next calls raise."""
        self.gate = asyncio.Event()
        """Closed, it holds up ``create``."""
        self.gate.set()
        self.stop_gate = asyncio.Event()
        self.stop_gate.set()
        self.checked = False
        """Whether containers have a healthcheck, and begin as STARTING."""
        self.limits: dict[str, tuple[float, float]] = {}
        self.lines: dict[str, list[LogRecord]] = {}
        self.log_error: Exception | None = None
        self.files: dict[str, tuple[ContainerFile, ...]] = {}
        """What containers were started with."""
        self._by_id: dict[str, Container] = {}
        self._readers: set[asyncio.Queue[Container]] = set()

    async def create(self, config: ContainerConfig) -> Container:
        self.calls.append(f"create {config.task_id}")
        await self.gate.wait()
        self._maybe_raise("create")
        if config.spec.image not in self.images:
            raise NotFoundError(f"No such image: {config.spec.image}")
        number = len(self._by_id) + 1
        container = Container(
            id=f"c-{config.task_id}",
            config=config,
            image_id="sha256:1",
            created_at=1.0,
            attachment=Attachment(address=f"172.17.0.{number}"),
        )
        return self.set(self._by_id.get(container.id, container))

    async def start(self, container_id: str, files: Sequence[ContainerFile] = ()) -> Container:
        self.files[container_id] = tuple(files)
        container = self._by_id[container_id]
        self.calls.append(f"start {container.config.task_id}")
        self._maybe_raise("start")
        health = Health.STARTING if self.checked else Health.NONE
        return self.set(
            replace(
                container,
                state=ContainerState.RUNNING,
                pid=4242,
                started_at=2.0,
                health=HealthStatus(state=health),
            )
        )

    async def stop(self, container_id: str, *, grace_seconds: float) -> Container:
        task_id = self._by_id[container_id].config.task_id
        self.calls.append(f"stop {task_id} {grace_seconds:g}")
        await self.stop_gate.wait()
        self._maybe_raise("stop")
        container = self._by_id[container_id]
        if container.state is ContainerState.RUNNING:
            self.exit(task_id, STOPPED)
        return self._by_id[container_id]

    async def let_run_until(self, moments: Mapping[str, tuple[float, float]]) -> None:
        self.limits |= moments

    async def remove(self, container_id: str) -> None:
        self.calls.append(f"remove {self._by_id[container_id].config.task_id}")
        self._maybe_raise("remove")
        self._by_id.pop(container_id, None)

    def get(self, container_id: str) -> Container | None:
        return self._by_id.get(container_id)

    def all(self) -> Sequence[Container]:
        return list(self._by_id.values())

    async def changed(self) -> AsyncIterator[Container]:
        queue: asyncio.Queue[Container] = asyncio.Queue()
        self._readers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._readers.discard(queue)

    async def logs(self, container_id: str, query: LogQuery) -> AsyncIterator[LogRecord]:
        lines = self.lines.get(container_id, [])
        place = 0
        if self.log_error is not None:
            raise self.log_error
        while True:
            for line in lines[place:]:
                place += 1
                yield line
            container = self._by_id.get(container_id)
            ended = container is None or container.state is ContainerState.EXITED
            if not query.follow or ended:
                return
            await asyncio.sleep(0)

    # ---------------------------------------------------------------------------- for the test

    def set(self, container: Container) -> Container:
        self._by_id[container.id] = container
        for reader in self._readers:
            reader.put_nowait(container)
        return container

    def of(self, task_id: str) -> Container:
        return self._by_id[f"c-{task_id}"]

    def exit(self, task_id: str, code: int) -> None:
        self.set(
            replace(self.of(task_id), state=ContainerState.EXITED, exit_code=code, finished_at=3.0)
        )

    def judge(self, task_id: str, health: Health) -> None:
        self.set(replace(self.of(task_id), health=HealthStatus(state=health)))

    def _maybe_raise(self, verb: str) -> None:
        if self.errors.get(verb):
            raise self.errors[verb].pop(0)
