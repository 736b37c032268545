"""Objects of the model, saying only what matters to a test; and a state made of them."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from common.model.config import Config, ConfigSpec
from common.model.container_spec import (
    ConfigReference,
    ContainerSpec,
    FileTarget,
    SecretReference,
)
from common.model.endpoint import EndpointSpec, PortConfig
from common.model.node import Availability, Node, NodeDescription, NodeSpec, NodeState, NodeStatus
from common.model.placement import Placement
from common.model.policies import RestartPolicy, UpdateConfig
from common.model.secret import Secret, SecretSpec
from common.model.service import Global, Mode, Replicated, Service, ServiceSpec
from common.model.task import Task, TaskSpec, TaskState, TaskStatus
from manager.store.apply import effects
from manager.store.changes import Change, Entry, StoredObject
from manager.store.state import State
from manager.store.watch import Changed

NOW = 1_000.0


def numbered_ids(prefix: str = "new") -> Callable[[], str]:
    """new1, new2, …"""
    numbers = itertools.count(1)
    return lambda: f"{prefix}{next(numbers)}"


def node(
    name: str = "n1",
    *,
    state: NodeState = NodeState.READY,
    availability: Availability = Availability.ACTIVE,
    labels: dict[str, str] | None = None,
    **description: Any,
) -> Node:
    """A node whose id is its name."""
    return Node(
        id=name,
        version=1,
        spec=NodeSpec(name=name, labels=labels or {}, availability=availability),
        description=NodeDescription(hostname=name, **description),
        status=NodeStatus(state=state),
    )


def template(
    image: str = "web:1",
    *,
    restart: RestartPolicy | None = None,
    constraints: Sequence[str] = (),
    **fields: Any,
) -> TaskSpec:
    """What a service's tasks are to be."""
    return TaskSpec(
        container_spec=ContainerSpec(image=image),
        restart_policy=restart,
        placement=Placement(constraints=tuple(constraints)) if constraints else None,
        **fields,
    )


def service(
    replicas: int | None = 1,
    *,
    name: str = "web",
    image: str = "web:1",
    spec: TaskSpec | None = None,
    update: UpdateConfig | None = None,
    rollback: UpdateConfig | None = None,
    ports: Sequence[PortConfig] = (),
    version: int = 10,
    **fields: Any,
) -> Service:
    """A service whose id is its name; ``replicas`` None makes it global."""
    mode: Mode = Global() if replicas is None else Replicated(replicas=replicas)
    return Service(
        id=name,
        version=version,
        spec_version=version,
        spec=ServiceSpec(
            name=name,
            mode=mode,
            task_template=spec or template(image),
            update_config=update,
            rollback_config=rollback,
            endpoint_spec=EndpointSpec(ports=tuple(ports)) if ports else None,
        ),
        **fields,
    )


def secret(name: str = "key", *, data: bytes = b"s3cret", **fields: Any) -> Secret:
    """A secret whose id is its name."""
    return Secret(id=name, version=1, spec=SecretSpec(name=name, data=data, **fields))


def config(name: str = "conf", *, data: bytes = b"a = 1", **fields: Any) -> Config:
    """A config whose id is its name."""
    return Config(id=name, version=1, spec=ConfigSpec(name=name, data=data, **fields))


def template_with(*items: Secret | Config) -> TaskSpec:
    """What a service's tasks are to be that get these secrets and configs."""
    return TaskSpec(
        container_spec=ContainerSpec(
            image="web:1",
            secrets=tuple(
                SecretReference(
                    file=FileTarget(name=item.spec.name),
                    secret_id=item.id,
                    secret_name=item.spec.name,
                )
                for item in items
                if isinstance(item, Secret)
            ),
            configs=tuple(
                ConfigReference(
                    file=FileTarget(name=item.spec.name),
                    config_id=item.id,
                    config_name=item.spec.name,
                )
                for item in items
                if isinstance(item, Config)
            ),
        )
    )


def updated(old: Service, *, image: str = "web:2", version: int = 20) -> Service:
    """The service after its user changed the image."""
    spec = replace(old.spec, task_template=template(image))
    return replace(
        old,
        spec=spec,
        previous_spec=old.spec,
        previous_spec_version=old.spec_version,
        version=version,
        spec_version=version,
        update_status=None,
    )


def task(
    slot: int = 1,
    state: TaskState = TaskState.RUNNING,
    *,
    of: Service | None = None,
    desired: TaskState = TaskState.RUNNING,
    node_id: str = "n1",
    name: str = "",
    at: float = NOW - 100,
    since: float | None = None,
    running_at: float | None = None,
    **fields: Any,
) -> Task:
    """A task of ``of``: made at ``at``, in its state since ``since``."""
    of = of or service()
    since = at if since is None else since
    if running_at is None:
        running_at = since if state == TaskState.RUNNING else 0.0
    return Task(
        id=name or f"{of.id}.{slot}",
        version=fields.pop("version", 5),
        created_at=at,
        service_id=of.id,
        service_name=of.spec.name,
        slot=slot,
        node_id=node_id if state >= TaskState.ASSIGNED or slot == 0 else "",
        spec=of.spec.task_template,
        spec_version=of.spec_version,
        desired_state=desired,
        status=TaskStatus(state=state, timestamp=since, applied_at=since),
        running_at=running_at,
        **fields,
    )


def state_of(objects: Iterable[StoredObject], index: int = 100) -> State:
    """A state that holds just these objects."""
    state = State()
    state.put(index, [Changed(None, item) for item in objects])
    return state


def applied(state: State, changes: Iterable[Change], now: float = NOW) -> State:
    """The same state after these changes, as the store applies them."""
    entry = Entry(at=now, changes=tuple(changes))
    state.put(state.index + 1, effects(state, entry, state.index + 1))
    return state
