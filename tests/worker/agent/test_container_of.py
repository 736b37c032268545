from dataclasses import replace

import pytest

from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec, Driver
from common.model.node import NodeDescription
from common.model.resources import (
    DiscreteResource,
    GenericResource,
    Limit,
    NamedResource,
    ResourceRequirements,
)
from common.model.task import NetworkAttachmentConfig, Task, TaskSpec
from worker.agent.container_of import container_of
from worker.containers.record import ContainerConfig

HOST = NodeDescription(hostname="host1")
TASK = Task(
    id="t1",
    service_id="s1",
    service_name="web",
    slot=2,
    node_id="n1",
    spec=TaskSpec(container_spec=ContainerSpec(image="hello:1", env=("AT={{.Node.Hostname}}",))),
)


def networks(*targets: str) -> Task:
    attachments = tuple(NetworkAttachmentConfig(target=target) for target in targets)
    return replace(TASK, spec=replace(TASK.spec, networks=attachments))


def test_dockers_name_and_labels() -> None:
    assert container_of(TASK, "n1", HOST) == ContainerConfig(
        name="web.2.t1",
        spec=ContainerSpec(image="hello:1", env=("AT=host1",)),
        labels={
            "com.docker.swarm.node.id": "n1",
            "com.docker.swarm.service.id": "s1",
            "com.docker.swarm.service.name": "web",
            "com.docker.swarm.task": "",
            "com.docker.swarm.task.id": "t1",
            "com.docker.swarm.task.name": "web.2.t1",
        },
        task_id="t1",
    )


def test_a_global_task_is_named_by_its_node() -> None:
    assert container_of(replace(TASK, slot=0), "n1", HOST).name == "web.n1.t1"


def test_resources_and_log_driver_are_taken_over() -> None:
    resources = ResourceRequirements(limits=Limit(memory_bytes=1 << 20))
    spec = replace(TASK.spec, resources=resources, log_driver=Driver(name="none"))
    config = container_of(replace(TASK, spec=spec), "n1", HOST)
    assert (config.resources, config.log_driver) == (resources, Driver(name="none"))


def test_the_resources_given_by_the_scheduler_are_in_the_environment() -> None:
    given = (
        GenericResource(named_resource_spec=NamedResource(kind="gpu", value="u1")),
        GenericResource(named_resource_spec=NamedResource(kind="gpu", value="u2")),
        GenericResource(discrete_resource_spec=DiscreteResource(kind="ssd", value=3)),
    )
    config = container_of(replace(TASK, generic_resources=given), "n1", HOST)
    assert config.spec.env == ("AT=host1", "DOCKER_RESOURCE_GPU=u1,u2", "DOCKER_RESOURCE_SSD=3")


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_a_network_of_the_host(name: str) -> None:
    assert container_of(networks(name), "n1", HOST).network == name


REFUSED = {
    "network blue not found": networks("blue"),
    "a task cannot join bridge and host together": networks("host", "bridge"),
    "a task of runtime 'plugin' cannot run here": Task(id="t1", spec=TaskSpec(runtime="plugin")),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_is_refused(message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        container_of(REFUSED[message], "n1", HOST)
