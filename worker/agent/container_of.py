"""Pure: the container that a task is, with Docker's names and labels."""

from collections.abc import Iterable
from dataclasses import replace

from common.errors import InvalidInputError
from common.model.node import NodeDescription
from common.model.resources import GenericResource, ResourceRequirements
from common.model.task import Task
from worker.agent.template import Facts, expand_spec
from worker.containers.record import ContainerConfig

_BRIDGE = "bridge"
_NETWORKS = frozenset({_BRIDGE, "host", "none"})


def task_name(task: Task) -> str:
    """``service.slot.taskid``; the slot of a global service's task is its node."""
    return f"{task.service_name}.{_slot(task)}.{task.id}"


def container_of(task: Task, node_id: str, description: NodeDescription) -> ContainerConfig:
    """Says what to create for a task on this node.

    Raises:
        InvalidInputError: the task has no container, a placeholder in it is wrong, or it names an unknown network.
    """
    if task.spec.container_spec is None:
        raise InvalidInputError(
            f"a task of runtime {task.spec.runtime or 'container'!r} cannot run here"
        )
    spec = expand_spec(task.spec.container_spec, facts_of(task, node_id, description))
    return ContainerConfig(
        name=task_name(task),
        spec=replace(spec, env=(*spec.env, *_resource_env(task.generic_resources))),
        resources=task.spec.resources or ResourceRequirements(),
        labels={
            "com.docker.swarm.node.id": node_id,
            "com.docker.swarm.service.id": task.service_id,
            "com.docker.swarm.service.name": task.service_name,
            "com.docker.swarm.task": "",
            "com.docker.swarm.task.id": task.id,
            "com.docker.swarm.task.name": task_name(task),
        },
        log_driver=task.spec.log_driver,
        task_id=task.id,
        network=_network(task),
    )


def _slot(task: Task) -> str:
    return str(task.slot or task.node_id)


def facts_of(task: Task, node_id: str, description: NodeDescription) -> Facts:
    """What placeholders of a task on this node stand for."""
    return Facts(
        service_id=task.service_id,
        service_name=task.service_name,
        service_labels=task.service_labels,
        node_id=node_id,
        node_hostname=description.hostname,
        platform_os=description.platform.os,
        platform_architecture=description.platform.architecture,
        task_id=task.id,
        task_name=task_name(task),
        task_slot=_slot(task),
    )


def _network(task: Task) -> str:
    targets = {network.target for network in task.spec.networks}
    unknown = sorted(targets - _NETWORKS)
    if unknown:
        raise InvalidInputError(f"network {unknown[0]} not found")
    if len(targets) > 1:
        raise InvalidInputError(f"a task cannot join {' and '.join(sorted(targets))} together")
    return targets.pop() if targets else _BRIDGE


def _resource_env(resources: Iterable[GenericResource]) -> tuple[str, ...]:
    """Docker's ``DOCKER_RESOURCE_GPU=UUID1,UUID2``: what the scheduler gave this task."""
    values: dict[str, list[str]] = {}
    for resource in resources:
        if resource.named_resource_spec is not None:
            named = resource.named_resource_spec
            values.setdefault(named.kind, []).append(named.value)
        elif resource.discrete_resource_spec is not None:
            discrete = resource.discrete_resource_spec
            values.setdefault(discrete.kind, []).append(str(discrete.value))
    return tuple(
        f"DOCKER_RESOURCE_{kind.upper()}={','.join(given)}" for kind, given in values.items()
    )
