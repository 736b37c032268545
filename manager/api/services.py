"""Services: create, list, inspect, update, roll back, remove."""

import asyncio
import random  # noqa: TID251 - only named as a type
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from aiohttp import web

from common.clock import Clock
from common.disconnect import STOP_AFTER_LABEL, stop_after_seconds
from common.engine_api.application import requested_version
from common.engine_api.http import (
    filters,
    flag,
    integer,
    json_list_response,
    json_response,
    read_json,
)
from common.errors import (
    ConflictError,
    InvalidInputError,
    NotImplementedHereError,
    StaleVersionError,
)
from common.ids import id_source
from common.model.node import NodeState
from common.model.service import (
    Global,
    GlobalJob,
    Replicated,
    ReplicatedJob,
    Service,
    ServiceSpec,
    UpdateState,
    UpdateStatus,
)
from common.model.task import TaskSpec, TaskState
from manager.allocator.published_ports import port_conflict
from manager.api.access import manager_of, state_of
from manager.api.defaults import task_template_with_defaults, with_defaults
from manager.api.errors import name_taken, out_of_sequence
from manager.api.filters import SERVICE_FILTERS, shows_service
from manager.api.names import unused_name
from manager.api.parse.references import check_named_exist
from manager.api.parse.service_spec import parse_service_spec
from manager.api.ports import LocalEngine, SwarmNode
from manager.api.render.service import ServiceStatus, render_service
from manager.orchestrator.dirty import is_allocated
from manager.store.changes import Create, Delete, Update
from manager.store.state import State
from manager.store.store import Store
from manager.store.watch import WatchLaggedError

LEASE_PERIODS_MIN = 3
"""Heartbeats that the shortest lease of a service lasts: one that is late does not end it."""
ALLOCATION_WAIT_SECONDS = 1.0
"""How long an answer waits for the service's ports; without them it comes all the same."""
MANUAL_ROLLBACK = "manually requested rollback"
_CLIENT_THAT_RESOLVES = "Docker-Client/"
"""Docker's command line asks for an image's digest itself, and warns itself when there is none."""


class Services:
    """The handlers of ``/services``."""

    def __init__(
        self, node: SwarmNode, engine: LocalEngine, clock: Clock, chance: random.Random
    ) -> None:
        self._node, self._engine, self._clock, self._chance = node, engine, clock, chance
        self._new_id = id_source(chance)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /services``."""
        state, wanted = state_of(self._node), filters(request, *SERVICE_FILTERS)
        shown = [service for service in state.services.values() if shows_service(wanted, service)]
        if not flag(request, "status"):
            return await json_list_response(request, shown, render_service)

        def with_status(service: Service) -> dict[str, Any]:
            return render_service(service, service_status(state, service))

        return await json_list_response(request, shown, with_status)

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /services/{id}``."""
        service = state_of(self._node).find_service(request.match_info["id"])
        if flag(request, "insertDefaults"):
            service = replace(service, spec=with_defaults(service.spec))
        return json_response(render_service(service))

    async def create(self, request: web.Request) -> web.Response:
        """``POST /services/create``."""
        store = manager_of(self._node).store
        spec = parse_service_spec(await read_json(request))
        taken = store.state.service_holding_name
        if not spec.name:
            spec = replace(
                spec, name=unused_name(self._chance, lambda name: taken(name) is not None)
            )
        elif taken(spec.name) is not None:
            raise name_taken(spec.name)
        _check_ports(store.state, spec)
        _check_lease(store.state, spec)
        check_named_exist(store.state, spec.task_template.container_spec)
        service = Service(id=self._new_id(), spec=spec)
        try:
            await store.propose([Create(object=service)])
        except ConflictError:
            raise name_taken(spec.name) from None
        await _until_allocated(store, service.id)
        answer = {"ID": service.id, "Warnings": _warnings(request, self._engine, spec)}
        return json_response(answer, status=201)

    async def update(self, request: web.Request) -> web.Response:
        """``POST /services/{id}/update``."""
        store = manager_of(self._node).store
        version = integer(request, "version")
        is_rollback = _is_rollback(request.query)
        body = await read_json(request)
        service = store.state.find_service(request.match_info["id"])
        if is_rollback:
            changed = _rolled_back(service, self._clock.now())
            check_named_exist(store.state, changed.spec.task_template.container_spec)
            warnings = []
        else:
            spec = parse_service_spec(body)
            changed = _updated(service, replace(spec, name=spec.name or service.spec.name))
            _check_ports(store.state, spec, own_id=service.id)
            _check_lease(store.state, spec)
            check_named_exist(store.state, spec.task_template.container_spec)
            is_new_image = _image(spec) != _image(service.spec)
            warnings = _warnings(request, self._engine, spec) if is_new_image else []
        if version != service.version:
            raise out_of_sequence()
        try:
            await store.propose([Update(object=changed)])
        except StaleVersionError:
            raise out_of_sequence() from None
        await _until_allocated(store, service.id)
        return json_response({"Warnings": warnings})

    async def remove(self, request: web.Request) -> web.Response:
        """``DELETE /services/{id}``."""
        store = manager_of(self._node).store
        service = store.state.find_service(request.match_info["id"])
        await store.propose([Delete(table="service", id=service.id)])
        return web.Response()


def _warnings(request: web.Request, engine: LocalEngine, spec: ServiceSpec) -> list[str]:
    """Says that an image is not here, to clients that do not find that out by themselves."""
    image = _image(spec)
    if engine.has_image(image):
        return []
    client = request.headers.get("User-Agent", "")
    if client.startswith(_CLIENT_THAT_RESOLVES) and requested_version(request) >= (1, 30):
        return []
    warning = (
        f"image {image} could not be accessed on a registry to record\n"
        f"its digest. Each node will access {image} independently,\n"
        "possibly leading to different nodes running different\nversions of the image.\n"
    )
    return [warning]


def _image(spec: ServiceSpec) -> str:
    container = spec.task_template.container_spec
    return container.image if container is not None else ""


async def _until_allocated(store: Store, service_id: str) -> None:
    """Waits a moment for the allocator's write, so that the version that the client reads next is a settled one."""
    with suppress(TimeoutError, WatchLaggedError):
        async with asyncio.timeout(ALLOCATION_WAIT_SECONDS), store.watch() as watch:
            while (service := store.state.services.get(service_id)) and not is_allocated(service):
                await watch.take()


def _check_ports(state: State, spec: ServiceSpec, *, own_id: str = "") -> None:
    conflict = port_conflict(spec.endpoint_spec, state.services.values(), own_id)
    if conflict is not None:
        raise InvalidInputError(conflict)


def _check_lease(state: State, spec: ServiceSpec) -> None:
    """A lease is renewed by heartbeats: one that is shorter would end while all is well."""
    cluster, lease = state.cluster(), stop_after_seconds(spec.labels)
    if cluster is None or lease is None:
        return
    shortest = LEASE_PERIODS_MIN * cluster.spec.dispatcher.heartbeat_period_seconds
    if lease < shortest:
        raise InvalidInputError(
            f"{STOP_AFTER_LABEL} must not be shorter than {LEASE_PERIODS_MIN} heartbeats "
            f"of a node ({shortest:g}s)"
        )


def _is_rollback(query: Mapping[str, str]) -> bool:
    if query.get("registryAuthFrom", "") not in ("", "spec", "previous-spec"):
        raise InvalidInputError("unsupported registryAuthFrom value")
    rollback = query.get("rollback", "")
    if rollback not in ("", "none", "previous"):
        raise InvalidInputError(f"unrecognized rollback option {rollback}")
    return rollback == "previous"


def _updated(service: Service, spec: ServiceSpec) -> Service:
    if type(spec.mode) is not type(service.spec.mode):
        raise NotImplementedHereError("service mode change is not allowed")
    if spec.name != service.spec.name:
        raise NotImplementedHereError("renaming services is not supported")
    if _means_the_same(spec.task_template, service.spec.task_template):
        # Clients that read with defaults send them back: that is no reason to restart every task.
        spec = replace(spec, task_template=service.spec.task_template)
    return replace(
        service,
        spec=spec,
        previous_spec=service.spec,
        previous_spec_version=service.spec_version,
        update_status=None,
    )


def _means_the_same(one: TaskSpec, other: TaskSpec) -> bool:
    return task_template_with_defaults(one) == task_template_with_defaults(other)


def _rolled_back(service: Service, now: float) -> Service:
    if service.previous_spec is None:
        raise InvalidInputError(f"service {service.id} does not have a previous spec")
    return replace(
        service,
        spec=service.previous_spec,
        previous_spec=service.spec,
        previous_spec_version=service.spec_version,
        update_status=UpdateStatus(
            state=UpdateState.ROLLBACK_STARTED, started_at=now, message=MANUAL_ROLLBACK
        ),
    )


def service_status(state: State, service: Service) -> ServiceStatus:
    """Counts a service's tasks as ``docker service ls`` shows them."""
    running = desired = completed = 0
    is_down = _nodes_down(state)
    for task in state.tasks_of_service(service.id):
        observed, wanted = task.status.state, task.desired_state
        running += observed == TaskState.RUNNING and not is_down(task.node_id)
        completed += observed == TaskState.COMPLETE
        desired += wanted in (TaskState.RUNNING, TaskState.COMPLETE)
    match service.spec.mode:
        case Replicated(replicas=replicas):
            return ServiceStatus(running=running, desired=replicas)
        case Global():
            return ServiceStatus(running=running, desired=desired)
        case ReplicatedJob(max_concurrent=concurrent):
            return ServiceStatus(running=running, desired=concurrent, completed=completed)
        case GlobalJob():
            return ServiceStatus(running=running, desired=desired, completed=completed)


def _nodes_down(state: State) -> Callable[[str], bool]:
    def is_down(node_id: str) -> bool:
        node = state.nodes.get(node_id)
        return node is None or node.status.state is NodeState.DOWN

    return is_down
