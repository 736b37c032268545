"""The docker SDK from PyPI drives the API over a unix socket, as the tools that people have do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.errors
import docker.types
import pytest
from aiohttp import web

from common.engine_api.application import engine_application
from tests.support.api_swarm import ApiSwarm, task_of
from tests.support.fake_swarm import NODE_ID, ready_node, standing

PORTS: Any = {8080: 80}  # the SDK wants numbers, its stubs texts
T = TypeVar("T")


@pytest.fixture
async def socket(swarm: ApiSwarm, tmp_path: Path) -> AsyncIterator[str]:
    runner = web.AppRunner(engine_application(swarm.routes(), server="swarmd/test"))
    await runner.setup()
    path = tmp_path / "api.sock"
    await web.UnixSite(runner, str(path)).start()
    yield f"unix://{path}"
    await runner.cleanup()


@contextmanager
def _client(address: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=address)
    try:
        yield client
    finally:
        client.close()


async def _with_sdk(address: str, use: Callable[[docker.DockerClient], T]) -> T:
    """Runs blocking code of the SDK beside the server."""

    def run() -> T:
        with _client(address) as client:
            return use(client)

    return await asyncio.to_thread(run)


async def test_negotiates_a_version_and_sees_the_swarm(socket: str) -> None:
    def use(client: docker.DockerClient) -> tuple[object, ...]:
        version = client.version()["ApiVersion"]
        return client.ping(), version, client.info()["Swarm"]["NodeID"], client.nodes.list()[0].id

    assert await _with_sdk(socket, use) == (True, "1.50", NODE_ID, NODE_ID)


async def test_makes_changes_and_removes_a_service(socket: str, swarm: ApiSwarm) -> None:
    def use(client: docker.DockerClient) -> None:
        services: Any = client.services  # without types in the stubs
        service = services.create(
            "hello:1",
            name="web",
            command=["httpd", "-f"],
            env=["A=B"],
            labels={"tier": "front"},
            mode=docker.types.ServiceMode("replicated", 2),
            mounts=["data:/data:rw"],
            endpoint_spec=docker.types.EndpointSpec(ports=PORTS),
            healthcheck=docker.types.Healthcheck(test=["CMD", "true"], interval=10**9),
            restart_policy=docker.types.RestartPolicy("on-failure", delay=1),
            update_config=docker.types.UpdateConfig(parallelism=1, order="start-first"),
            resources=docker.types.Resources(mem_limit=2**26, cpu_limit=10**9),
            constraints=["node.role==manager"],
        )
        assert [one.name for one in client.services.list(filters={"name": "we"})] == ["web"]
        service.scale(3)
        service.reload()
        assert service.attrs["Spec"]["Mode"] == {"Replicated": {"Replicas": 3}}
        service.update(image="hello:2")
        service.reload()
        assert service.attrs["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "hello:1"
        service.force_update()
        with pytest.raises(docker.errors.APIError) as caught:
            services.create("hello:1", name="web")
        assert caught.value.status_code == 409
        service.remove()
        with pytest.raises(docker.errors.NotFound):
            services.get("web")

    await _with_sdk(socket, use)
    assert not swarm.store.state.services


async def test_lists_tasks_and_reads_logs(socket: str, swarm: ApiSwarm) -> None:
    await swarm.create()
    await swarm.add(task_of(swarm.service(), 1, node_id=NODE_ID))

    def use(client: docker.DockerClient) -> tuple[object, ...]:
        services: Any = client.services
        service = services.get("web")
        tasks = service.tasks(filters={"desired-state": "running"})
        return [task["Slot"] for task in tasks], b"".join(service.logs(stdout=True))

    assert await _with_sdk(socket, use) == ([1], b"")


async def test_changes_the_swarm_and_its_node(socket: str, swarm: ApiSwarm) -> None:
    def use(client: docker.DockerClient) -> None:
        client.swarm.update(task_history_retention_limit=3)
        node = client.nodes.get(NODE_ID)
        node.update({"Role": "manager", "Availability": "drain"})
        with pytest.raises(docker.errors.APIError) as caught:
            client.swarm.leave()
        assert caught.value.status_code == 503

    await _with_sdk(socket, use)
    cluster = swarm.store.state.cluster()
    assert cluster is not None
    assert cluster.spec.orchestration.task_history_retention_limit == 3
    assert swarm.store.state.nodes[NODE_ID].spec.availability == "drain"


async def test_rotates_a_token_demotes_a_manager_and_leaves(socket: str, swarm: ApiSwarm) -> None:
    await swarm.add(ready_node("m2", hostname="second"), ready_node("m3", hostname="third"))
    swarm.manager.standing |= {
        "m2": standing("192.0.2.2"),
        "m3": standing("192.0.2.3", reachable=False),
    }

    def use(client: docker.DockerClient) -> None:
        client.swarm.reload()
        before = client.swarm.attrs["JoinTokens"]
        client.swarm.update(rotate_worker_token=True)
        assert client.swarm.attrs["JoinTokens"]["Worker"] != before["Worker"]
        dead = client.nodes.get("m3")
        assert dead.attrs["ManagerStatus"]["Reachability"] == "unreachable"
        dead.update({**dead.attrs["Spec"], "Role": "worker"})
        with pytest.raises(docker.errors.APIError, match="participating as a manager"):
            client.swarm.leave()
        assert client.swarm.leave(force=True)

    await _with_sdk(socket, use)
    assert swarm.node.left == [True]


async def test_joins(outside: ApiSwarm, tmp_path: Path) -> None:
    runner = web.AppRunner(engine_application(outside.routes(), server="swarmd/test"))
    await runner.setup()
    path = tmp_path / "api.sock"
    await web.UnixSite(runner, str(path)).start()

    def use(client: docker.DockerClient) -> bool:
        return bool(
            client.swarm.join(
                remote_addrs=["192.0.2.1"], join_token="SWMTKN-1-a-b", listen_addr="0.0.0.0:2377"
            )
        )

    assert await _with_sdk(f"unix://{path}", use)
    assert outside.node.joined[0].remote_addrs == ("192.0.2.1:2377",)
    await runner.cleanup()
