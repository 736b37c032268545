"""Which answers hold everything committed before, and what is answered when nobody leads."""

import pytest

from common.errors import NoLeaderError, NotLeaderError
from tests.support.api_swarm import ApiSwarm, service_body
from tests.support.fake_swarm import NODE_ID, standing

NOBODY = NoLeaderError().message
READS = (
    "/swarm",
    "/nodes",
    f"/nodes/{NODE_ID}",
    "/services",
    "/services/web",
    "/tasks",
    "/secrets",
    "/configs",
)
WRITES = (
    ("POST", "/services/create"),
    ("POST", "/services/web/update?version=1&stale=true"),
    ("DELETE", "/services/web"),
    ("POST", f"/nodes/{NODE_ID}/update?version=1"),
    ("DELETE", f"/nodes/{NODE_ID}"),
    ("POST", "/swarm/update?version=1"),
)


@pytest.fixture
async def leaderless(swarm: ApiSwarm) -> ApiSwarm:
    """A manager with a service that has lost the others."""
    await swarm.create()
    swarm.node.log.has_leader = False
    swarm.manager.standing = {
        NODE_ID: standing("192.0.2.1"),
        "m2": standing("192.0.2.2", reachable=False),
        "m3": standing("192.0.2.3", reachable=False),
    }
    return swarm


def test_says_it_in_dockers_words() -> None:
    assert NOBODY == (
        "The swarm does not have a leader. It's possible that too few managers are online. "
        "Make sure more than half of the managers are online."
    )


@pytest.mark.parametrize("path", READS)
async def test_a_read_is_brought_up_to_date_unless_it_says_otherwise(
    swarm: ApiSwarm, path: str
) -> None:
    await swarm.create()
    before = swarm.node.log.looks
    await swarm.get(path)
    assert swarm.node.log.looks == before + 1
    await swarm.get(path, stale="1")
    assert (await swarm.client.get(path, headers={"X-Swarmd-Stale": "true"})).status == 200
    assert swarm.node.log.looks == before + 1


@pytest.mark.parametrize("path", [*READS, "/swarm/snapshot"])
async def test_without_a_leader_only_stale_reads_are_answered(
    leaderless: ApiSwarm, path: str
) -> None:
    assert await leaderless.call("GET", path) == (503, NOBODY)
    assert (await leaderless.client.get(path, params={"stale": "true"})).status == 200


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_without_a_leader_nothing_is_changed(
    leaderless: ApiSwarm, method: str, path: str
) -> None:
    before = leaderless.store.state.index
    assert await leaderless.call(method, path, json=service_body("db")) == (503, NOBODY)
    assert leaderless.store.state.index == before


async def test_without_a_leader_the_node_tells_of_itself(leaderless: ApiSwarm) -> None:
    info = (await leaderless.get("/info"))["Swarm"]
    del info["Cluster"]
    assert info == {
        "NodeID": NODE_ID,
        "NodeAddr": "192.0.2.1",
        "LocalNodeState": "active",
        "ControlAvailable": True,
        "Error": NOBODY,
        "RemoteManagers": [
            {"NodeID": NODE_ID, "Addr": "192.0.2.1:2377"},
            {"NodeID": "m2", "Addr": "192.0.2.2:2377"},
            {"NodeID": "m3", "Addr": "192.0.2.3:2377"},
        ],
        "Nodes": 1,
        "Managers": 3,
    }
    assert await leaderless.get("/_ping") == "OK"


async def test_a_manager_that_is_stopping_still_tells_of_itself(
    swarm: ApiSwarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped() -> None:
        raise NotLeaderError("this manager is not running")

    monkeypatch.setattr(swarm.manager, "managers", stopped)
    info = (await swarm.get("/info"))["Swarm"]
    assert (info["Error"], info["Nodes"]) == ("this manager is not running", 1)


async def test_warns_of_two_managers(swarm: ApiSwarm) -> None:
    swarm.manager.standing["m2"] = standing("192.0.2.2")
    (warning,) = (await swarm.get("/info"))["Swarm"]["Warnings"]
    assert warning.startswith("WARNING: Running Swarm in a two-manager configuration.")


async def test_stale_is_true_or_false(swarm: ApiSwarm) -> None:
    assert (await swarm.call("GET", "/nodes?stale=perhaps"))[0] == 400
    answer = await swarm.client.get("/nodes", headers={"X-Swarmd-Stale": "perhaps"})
    assert answer.status == 400
