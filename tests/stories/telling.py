"""Reads stories: commands to a cluster, a line of dashes, and what it then shows."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from common.disconnect import STOP_AFTER_LABEL
from common.model.endpoint import EndpointSpec, PortConfig
from common.model.node import Availability, NodeState
from common.model.policies import (
    FailureAction,
    RestartCondition,
    RestartPolicy,
    UpdateConfig,
    UpdateOrder,
)
from common.model.service import Global, Replicated, Service, ServiceSpec
from common.model.task import Task, TaskState
from manager.store.changes import Create, Delete
from tests.support.builders import template
from tests.support.world import World

RULE = "----"


@dataclass(frozen=True, slots=True)
class Scene:
    """Part of a story: comments and commands as they stand in the file, and what is to be shown."""

    lines: tuple[str, ...]
    shown: str

    @property
    def commands(self) -> list[list[str]]:
        return [line.split() for line in self.lines if line and not line.startswith("#")]


def scenes(text: str) -> Iterator[Scene]:
    """The scenes of a story; they are divided by empty lines after what is shown."""
    for part in text.strip().split("\n\n"):
        lines = part.splitlines()
        rule = lines.index(RULE)
        yield Scene(tuple(lines[:rule]), "\n".join(lines[rule + 1 :]))


def written(parts: list[Scene]) -> str:
    """The story as a file."""
    return "\n\n".join(f"{chr(10).join(p.lines)}\n{RULE}\n{p.shown}" for p in parts) + "\n"


class Teller:
    """Does what a story says, and shows what becomes of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made: dict[str, int] = {}

    async def do(self, command: list[str]) -> str:
        """Does one command, and lets everything settle that takes no time."""
        verb, *words = command
        shown: str = await getattr(self, f"_{verb}")(*words) or ""
        await self._world.clock.advance(0)
        return shown

    async def _nodes(self, *names: str) -> None:
        for name in names:
            await self._world.add_node(name)

    async def _node(self, name: str, becomes: str) -> None:
        if becomes == "gone":
            await self._world.remove_node(name)
        elif becomes in list(NodeState):
            await self._world.change_node(name, state=NodeState(becomes))
        elif "=" in becomes:
            key, _, value = becomes.partition("=")
            await self._world.change_node(name, labels={key: value})
        else:
            await self._world.change_node(name, availability=Availability(becomes))

    async def _create(self, name: str, *options: str) -> None:
        spec = _spec(ServiceSpec(name=name, task_template=template("ok:1")), options)
        await self._world.store.propose([Create(object=Service(id=name, spec=spec))])

    async def _update(self, name: str, *options: str) -> None:
        old = self._world.state.services[name].spec
        new = _spec(old, options)
        await self._world.change_spec(
            name,
            labels=new.labels,
            task_template=new.task_template,
            mode=new.mode,
            update_config=new.update_config,
            rollback_config=new.rollback_config,
            endpoint_spec=new.endpoint_spec,
        )

    async def _remove(self, name: str) -> None:
        await self._world.store.propose([Delete(table="service", id=name)])

    async def _kill(self, name: str, state: str = "failed") -> None:
        service, _, place = name.partition(".")
        for task in list(self._world.state.tasks_of_service(service)):
            if _place(task) == place and task.status.state == TaskState.RUNNING:
                await self._world.end(task, TaskState[state.upper()])

    async def _leader(self, word: str) -> None:
        assert word == "changes"
        await self._world.lead()

    async def _wait(self, seconds: str) -> None:
        await self._world.clock.advance(float(seconds))

    async def _tasks(self, service: str) -> str:
        tasks = sorted(self._world.state.tasks_of_service(service), key=_order)
        if not tasks:
            return "no tasks"
        return "\n".join(
            f"{_place(task):4} {task.node_id or '-':4} {_image(task):9} "
            f"{task.desired_state.name.lower():9} {task.status.state.name.lower():9} "
            f"{task.status.err}".rstrip()
            for task in tasks
        )

    async def _service(self, name: str) -> str:
        service = self._world.state.services[name]
        tasks = self._world.state.tasks_of_service(name)
        running = sum(task.status.state == TaskState.RUNNING for task in tasks)
        wanted = service.spec.mode.replicas if isinstance(service.spec.mode, Replicated) else "all"
        lines = [f"{name} {running}/{wanted} {service.spec.task_template.container_spec.image}"]  # type: ignore[union-attr]
        lines += [
            f"{port.published_port}:{port.target_port}/{port.protocol}"
            for port in service.endpoint.ports
        ]
        if service.update_status:
            message = service.update_status.message
            for task in tasks:
                message = message.replace(task.id, f"{name}.{_place(task)}")
            message = re.sub(r"\b[0-9a-z]{25}\b", "that is forgotten", message)
            lines.append(f"{service.update_status.state}: {message}")
        return "\n".join(lines)


def _spec(spec: ServiceSpec, options: tuple[str, ...]) -> ServiceSpec:
    for option in options:
        key, _, value = option.partition("=")
        spec = _with(spec, key, value)
    return spec


def _with(spec: ServiceSpec, key: str, value: str) -> ServiceSpec:
    if key in _UPDATE:
        config = replace(
            spec.update_config or UpdateConfig(), **{_UPDATE[key][0]: _UPDATE[key][1](value)}
        )
        return replace(spec, update_config=config)
    if key in _RESTART:
        old = spec.task_template.restart_policy or RestartPolicy()
        policy = replace(old, **{_RESTART[key][0]: _RESTART[key][1](value)})
        return replace(spec, task_template=replace(spec.task_template, restart_policy=policy))
    return _OTHERS[key](spec, value)


_UPDATE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "parallelism": ("parallelism", int),
    "delay": ("delay_seconds", float),
    "monitor": ("monitor_seconds", float),
    "ratio": ("max_failure_ratio", float),
    "order": ("order", UpdateOrder),
    "failure": ("failure_action", FailureAction),
}
_RESTART: dict[str, tuple[str, Callable[[str], Any]]] = {
    "restart": ("condition", RestartCondition),
    "attempts": ("max_attempts", int),
    "restart-delay": ("delay_seconds", float),
    "window": ("window_seconds", float),
}


def _with_image(spec: ServiceSpec, image: str) -> ServiceSpec:
    container = template(image).container_spec
    return replace(spec, task_template=replace(spec.task_template, container_spec=container))


def _with_constraint(spec: ServiceSpec, constraint: str) -> ServiceSpec:
    placement = template(constraints=(constraint,)).placement
    return replace(spec, task_template=replace(spec.task_template, placement=placement))


def _with_port(spec: ServiceSpec, ports: str) -> ServiceSpec:
    published, _, target = ports.partition(":")
    port = PortConfig(published_port=int(published or 0), target_port=int(target))
    return replace(spec, endpoint_spec=EndpointSpec(ports=(port,)))


def _with_lease(spec: ServiceSpec, after: str) -> ServiceSpec:
    return replace(spec, labels={**spec.labels, STOP_AFTER_LABEL: after})


_OTHERS: dict[str, Callable[[ServiceSpec, str], ServiceSpec]] = {
    "replicas": lambda spec, value: replace(spec, mode=Replicated(replicas=int(value))),
    "mode": lambda spec, _: replace(spec, mode=Global()),
    "image": _with_image,
    "constraint": _with_constraint,
    "publish": _with_port,
    "stop-after": _with_lease,
}


def _place(task: Task) -> str:
    return str(task.slot) if task.slot else task.node_id


def _image(task: Task) -> str:
    return task.spec.container_spec.image if task.spec.container_spec else "-"


def _order(task: Task) -> tuple[int, str, float, int]:
    return task.slot, "" if task.slot else task.node_id, task.created_at, task.spec_version
