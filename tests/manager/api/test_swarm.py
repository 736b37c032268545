"""The swarm through the API, and what a node says that is part of none."""

from dataclasses import replace

import pytest

from common.model.cluster import ClusterSpec, OrchestrationConfig
from manager.api.ports import LocalState
from tests.support.api_swarm import ApiSwarm
from tests.support.fake_swarm import CLUSTER_ID, NODE_ID, ready_node

NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect '
    "this node to swarm and try again."
)
NEEDS_A_MANAGER = (
    ("GET", "/services"),
    ("POST", "/services/create"),
    ("GET", "/services/web"),
    ("POST", "/services/web/update?version=1"),
    ("DELETE", "/services/web"),
    ("GET", "/services/web/logs?stdout=1"),
    ("GET", "/tasks"),
    ("GET", "/tasks/x"),
    ("GET", "/tasks/x/logs?stdout=1"),
    ("GET", "/nodes"),
    ("GET", "/nodes/x"),
    ("POST", "/nodes/x/update?version=1"),
    ("DELETE", "/nodes/x"),
    ("GET", "/swarm"),
    ("POST", "/swarm/update?version=1"),
    ("GET", "/secrets"),
    ("POST", "/secrets/create"),
    ("GET", "/secrets/x"),
    ("GET", "/configs"),
    ("DELETE", "/configs/x"),
)


@pytest.mark.parametrize(("method", "path"), NEEDS_A_MANAGER)
async def test_a_node_outside_of_a_swarm_says_so(outside: ApiSwarm, method: str, path: str) -> None:
    assert await outside.call(method, path) == (503, NOT_A_MANAGER)


REASONS = {
    LocalState.PENDING: "This node is not a swarm manager. Manager is being prepared",
    LocalState.ACTIVE: "This node is not a swarm manager. Worker nodes can't be used",
    LocalState.LOCKED: "Swarm is encrypted and needs to be unlocked",
    LocalState.ERROR: "This node is not a swarm manager. the disk is full",
}


@pytest.mark.parametrize(("state", "expected"), REASONS.items())
async def test_a_node_without_a_manager_says_why(
    outside: ApiSwarm, state: LocalState, expected: str
) -> None:
    outside.node.state = state
    status, message = await outside.call("GET", "/services")
    assert (status, message[: len(expected)]) == (503, expected)


async def test_makes_a_swarm(outside: ApiSwarm) -> None:
    body = {"AdvertiseAddr": "192.0.2.1", "Spec": {"Orchestration": {}}}
    assert await outside.call("POST", "/swarm/init", json=body) == (200, NODE_ID)
    assert outside.node.requests[0].advertise_addr == "192.0.2.1"


async def test_makes_no_swarm_within_a_swarm(swarm: ApiSwarm) -> None:
    status, message = await swarm.call("POST", "/swarm/init", json={})
    assert (status, message[:42]) == (503, "This node is already part of a swarm. Use ")


async def test_shows_the_swarm(swarm: ApiSwarm) -> None:
    shown = await swarm.get("/swarm")
    assert shown == {
        "ID": CLUSTER_ID,
        "Version": {"Index": 1},
        "CreatedAt": "2023-11-14T22:13:20.000000000Z",
        "UpdatedAt": "2023-11-14T22:13:20.000000000Z",
        "Spec": {
            "Name": "default",
            "Labels": {},
            "Orchestration": {"TaskHistoryRetentionLimit": 5},
            "Raft": {
                "SnapshotInterval": 10_000,
                "KeepOldSnapshots": 0,
                "LogEntriesForSlowFollowers": 500,
                "ElectionTick": 10,
                "HeartbeatTick": 1,
            },
            "Dispatcher": {"HeartbeatPeriod": 5_000_000_000},
            "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000},
            "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": False},
        },
        "TLSInfo": {},
        "RootRotationInProgress": False,
        "DefaultAddrPool": ["10.0.0.0/8"],
        "SubnetSize": 24,
        "DataPathPort": 4789,
        "JoinTokens": {"Worker": "", "Manager": ""},
    }


async def test_changes_the_swarm(swarm: ApiSwarm) -> None:
    body = {"Orchestration": {"TaskHistoryRetentionLimit": 2}}
    assert await swarm.call("POST", "/swarm/update?version=1", json=body) == (200, "")
    cluster = swarm.store.state.cluster()
    assert cluster is not None
    assert cluster.spec == replace(
        ClusterSpec(), orchestration=OrchestrationConfig(task_history_retention_limit=2)
    )
    assert (await swarm.call("POST", "/swarm/update?version=1", json=body))[0] == 500


@pytest.mark.parametrize(
    "rotation", ["rotateWorkerToken", "rotateManagerToken", "rotateManagerUnlockKey"]
)
async def test_rotates_nothing_yet(swarm: ApiSwarm, rotation: str) -> None:
    path = f"/swarm/update?version=1&{rotation}=true"
    assert (await swarm.call("POST", path, json={}))[0] == 501


async def test_the_last_manager_leaves_only_by_force(swarm: ApiSwarm) -> None:
    status, message = await swarm.call("POST", "/swarm/leave")
    assert status == 503
    assert "Removing the last manager erases all current state of the swarm." in message
    assert swarm.node.left == []
    assert await swarm.call("POST", "/swarm/leave?force=1") == (200, "")
    assert swarm.node.left == [True]


async def test_a_manager_says_what_its_leaving_costs(swarm: ApiSwarm) -> None:
    await swarm.add(ready_node("m" * 25, hostname="other"))
    _, message = await swarm.call("POST", "/swarm/leave")
    assert "Removing this node leaves 1 managers out of 2." in message


async def test_leaves_no_swarm_outside_of_one(outside: ApiSwarm) -> None:
    expected = (503, "This node is not part of a swarm")
    assert await outside.call("POST", "/swarm/leave?force=1") == expected


NOT_YET = (
    ("POST", "/networks/create"),
    ("POST", "/swarm/join"),
    ("GET", "/swarm/unlockkey"),
    ("POST", "/swarm/unlock"),
    ("POST", "/secrets/create"),
    ("POST", "/configs/create"),
)


@pytest.mark.parametrize(("method", "path"), NOT_YET)
async def test_says_what_is_not_there_yet(swarm: ApiSwarm, method: str, path: str) -> None:
    status, message = await swarm.call(method, path, json={})
    assert (status, message.endswith("not implemented")) == (501, True)


async def test_there_are_no_secrets_and_no_configs(swarm: ApiSwarm) -> None:
    assert await swarm.get("/secrets", filters='{"name": {"s": true}}') == []
    assert await swarm.get("/configs") == []
    assert await swarm.call("GET", "/configs/c") == (404, "config c not found")
