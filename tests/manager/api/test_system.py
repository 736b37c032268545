"""Ping, version, info, and asking for an image's digest."""

import pytest

from manager.api.ports import LocalState
from tests.support.api_swarm import ApiSwarm
from tests.support.fake_swarm import CLUSTER_ID, NODE_ID


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_ping_tells_a_client_what_to_speak(swarm: ApiSwarm, method: str) -> None:
    answer = await swarm.client.request(method, "/_ping")
    assert answer.status == 200
    assert await answer.text() == ("OK" if method == "GET" else "")
    expected = {
        "Api-Version": "1.50",
        "Builder-Version": "1",
        "Docker-Experimental": "false",
        "Ostype": "linux",
        "Server": "swarmd/test",
        "Swarm": "active/manager",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
    }
    assert {key: answer.headers[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [(LocalState.INACTIVE, "inactive"), (LocalState.ACTIVE, "active/worker")],
)
async def test_ping_tells_the_part_in_a_swarm(
    outside: ApiSwarm, state: LocalState, expected: str
) -> None:
    outside.node.state = state
    assert (await outside.client.get("/_ping")).headers["Swarm"] == expected


async def test_version(swarm: ApiSwarm) -> None:
    shown = await swarm.get("/version")
    assert (shown["Version"], shown["ApiVersion"], shown["MinAPIVersion"], shown["Arch"]) == (
        "0.1.0",
        "1.50",
        "1.24",
        "amd64",
    )
    assert [component["Name"] for component in shown["Components"]] == ["Engine"]


async def test_info_of_a_manager(swarm: ApiSwarm) -> None:
    shown = await swarm.get("/info")
    assert (shown["Name"], shown["NCPU"], shown["SystemTime"]) == (
        "host",
        2,
        "2023-11-14T22:13:20.000000000Z",
    )
    part = shown["Swarm"]
    assert part.pop("Cluster")["ID"] == CLUSTER_ID
    assert part == {
        "NodeID": NODE_ID,
        "NodeAddr": "192.0.2.1",
        "LocalNodeState": "active",
        "ControlAvailable": True,
        "Error": "",
        "RemoteManagers": [{"NodeID": NODE_ID, "Addr": "192.0.2.1:2377"}],
        "Nodes": 1,
        "Managers": 1,
    }


async def test_info_outside_of_a_swarm(outside: ApiSwarm) -> None:
    assert (await outside.get("/info"))["Swarm"] == {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    }


async def test_no_image_has_a_known_digest(swarm: ApiSwarm) -> None:
    status, message = await swarm.call("GET", "/distribution/example.org/team/hello:1/json")
    assert status == 404
    assert "example.org/team/hello:1" in message


async def test_what_cannot_be_an_image_is_refused(swarm: ApiSwarm) -> None:
    expected = (400, "invalid reference format")
    assert await swarm.call("GET", "/distribution/Hello/json") == expected


async def test_there_are_no_plugins(swarm: ApiSwarm) -> None:
    assert await swarm.get("/plugins") == []
