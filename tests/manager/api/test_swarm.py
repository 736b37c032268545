"""The swarm through the API, and what a node says that is part of none."""

import json
from dataclasses import replace

import pytest

from common.model.cluster import ClusterSpec, OrchestrationConfig, RootCa
from common.model.node import Availability
from common.pki.lock import Lock
from common.pki.tokens import parse_token
from manager.api.ports import JoinRequest, LocalState
from manager.store.changes import Update
from tests.support.api_swarm import ApiSwarm
from tests.support.fake_swarm import CLUSTER_ID, NODE_ID, UNLOCK_KEY, standing
from tests.support.pki import root_of

ROOT, OWN = root_of("old"), root_of("own")

NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect '
    "this node to swarm and try again."
)
LOCKED = (
    "Swarm is encrypted and needs to be unlocked before it can be used. "
    'Please use "docker swarm unlock" to unlock it.'
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


@pytest.mark.parametrize("role", ["Worker", "Manager"])
async def test_rotates_a_join_token(swarm: ApiSwarm, role: str) -> None:
    before = await swarm.get("/swarm")
    path = f"/swarm/update?version=1&rotate{role}Token=true"
    assert await swarm.call("POST", path, json=before["Spec"]) == (200, "")
    after = await swarm.get("/swarm")
    changed = {
        name for name, token in after["JoinTokens"].items() if token != before["JoinTokens"][name]
    }
    assert changed == {role}
    assert parse_token(after["JoinTokens"][role]).is_for(b"")
    assert after["Spec"] == before["Spec"]


async def with_root(swarm: ApiSwarm) -> None:
    cluster = swarm.store.state.cluster()
    assert cluster is not None
    root_ca = RootCa(certificate=ROOT.certificate, key=ROOT.key, worker_token="w")
    await swarm.store.propose([Update(object=replace(cluster, root_ca=root_ca))])


async def test_begins_to_change_the_root_and_goes_on_with_the_former_one(swarm: ApiSwarm) -> None:
    await with_root(swarm)
    before = await swarm.get("/swarm")
    await change(swarm, {"CAConfig": {"ForceRotate": 1}})
    after = await swarm.get("/swarm")
    assert after["RootRotationInProgress"]
    assert after["Spec"]["CAConfig"]["ForceRotate"] == 1
    assert after["JoinTokens"] == before["JoinTokens"]
    assert after["TLSInfo"]["TrustRoot"] == before["TLSInfo"]["TrustRoot"]
    assert after["TLSInfo"]["CertIssuerPublicKey"] != before["TLSInfo"]["CertIssuerPublicKey"]
    await change(swarm, after["Spec"])
    again = await swarm.get("/swarm")
    assert again["TLSInfo"] == after["TLSInfo"], "another setting begins no other rotation"


async def test_takes_a_root_that_is_given_and_never_shows_its_key(swarm: ApiSwarm) -> None:
    await with_root(swarm)
    pem = {"SigningCACert": OWN.certificate.decode(), "SigningCAKey": OWN.key.decode()}
    await change(swarm, {"CAConfig": pem})
    cluster = swarm.store.state.cluster()
    assert cluster is not None
    assert cluster.root_ca.rotation is not None
    assert cluster.root_ca.rotation.key == OWN.key
    assert cluster.spec == ClusterSpec()
    assert "PRIVATE" not in json.dumps(await swarm.get("/swarm"))


async def test_a_root_that_cannot_be_one_changes_nothing(swarm: ApiSwarm) -> None:
    await with_root(swarm)
    version = (await swarm.get("/swarm"))["Version"]["Index"]
    pem = {"SigningCACert": OWN.certificate.decode(), "SigningCAKey": ROOT.key.decode()}
    path = f"/swarm/update?version={version}"
    assert await swarm.call("POST", path, json={"CAConfig": pem}) == (
        400,
        "the CA certificate is not that of the CA key",
    )
    assert not (await swarm.get("/swarm"))["RootRotationInProgress"]


async def test_remembers_the_longest_life_of_certificates(swarm: ApiSwarm) -> None:
    for hours in (10_000, 1):
        await change(swarm, {"CAConfig": {"NodeCertExpiry": hours * 3600 * 10**9}})
    cluster = swarm.store.state.cluster()
    assert cluster is not None
    assert cluster.longest_cert_seconds == 10_000 * 3600
    assert cluster.spec.ca_config.node_cert_expiry_seconds == 3600


async def change(swarm: ApiSwarm, body: object, **flags: str) -> None:
    version = (await swarm.get("/swarm"))["Version"]["Index"]
    query = {"version": str(version), **flags}
    assert await swarm.call("POST", "/swarm/update", params=query, json=body) == (200, "")


async def unlock_key(swarm: ApiSwarm) -> str:
    return str((await swarm.get("/swarm/unlockkey"))["UnlockKey"])


async def test_locks_managers_with_a_key_that_it_makes_turns_over_and_forgets(
    swarm: ApiSwarm,
) -> None:
    assert await unlock_key(swarm) == ""
    await change(swarm, {}, rotateManagerUnlockKey="true")
    assert await unlock_key(swarm) == "", "there is nothing to rotate"
    await change(swarm, {"EncryptionConfig": {"AutoLockManagers": True}})
    first = await unlock_key(swarm)
    assert Lock.parse(first).text == first
    await change(swarm, {"Labels": {"a": "b"}})
    assert await unlock_key(swarm) == first
    spec = (await swarm.get("/swarm"))["Spec"]
    assert spec["EncryptionConfig"] == {"AutoLockManagers": True}
    await change(swarm, spec, rotateManagerUnlockKey="true")
    assert await unlock_key(swarm) not in ("", first)
    await change(swarm, {"EncryptionConfig": {"AutoLockManagers": False}})
    assert await unlock_key(swarm) == ""


async def test_unlocks_a_locked_manager_with_its_key_alone(outside: ApiSwarm) -> None:
    outside.node.state = LocalState.LOCKED
    status, message = await outside.call("POST", "/swarm/unlock", json={"UnlockKey": "x"})
    assert (status, message) == (400, "swarm could not be unlocked: invalid key provided")
    assert outside.node.state is LocalState.LOCKED
    assert (await outside.get("/info"))["Swarm"]["LocalNodeState"] == "locked"
    answer = await outside.call("POST", "/swarm/unlock", json={"UnlockKey": UNLOCK_KEY})
    assert answer == (200, "")
    assert outside.node.unlocked == ["x", UNLOCK_KEY]
    answer = await outside.call("POST", "/swarm/unlock", json={"UnlockKey": UNLOCK_KEY})
    assert answer == (409, "swarm is not locked")


async def test_unlocks_nothing_where_there_is_no_manager(outside: ApiSwarm) -> None:
    status, message = await outside.call("POST", "/swarm/unlock", json={"UnlockKey": UNLOCK_KEY})
    assert (status, message) == (503, NOT_A_MANAGER)
    assert outside.node.unlocked == []


async def test_a_locked_manager_leaves_only_by_force_and_makes_no_other_swarm(
    outside: ApiSwarm,
) -> None:
    outside.node.state = LocalState.LOCKED
    status, message = await outside.call("POST", "/swarm/leave")
    assert (status, message[:43]) == (503, "Swarm is encrypted and locked. Please unloc")
    for path, body in (("/swarm/init", {}), ("/swarm/join", JOIN)):
        status, message = await outside.call("POST", path, json=body)
        assert (status, message[:42]) == (503, "This node is already part of a swarm. Use ")
    status, message = await outside.call("POST", "/swarm/init", json={"ForceNewCluster": True})
    assert (status, message[:38]) == (503, "Swarm is encrypted and needs to be unl")
    assert await outside.call("POST", "/swarm/leave?force=1") == (200, "")


@pytest.mark.parametrize(("method", "path"), [*NEEDS_A_MANAGER, ("GET", "/swarm/unlockkey")])
async def test_a_locked_manager_says_so(outside: ApiSwarm, method: str, path: str) -> None:
    outside.node.state = LocalState.LOCKED
    assert await outside.call(method, path) == (503, LOCKED)


async def test_the_last_manager_leaves_only_by_force(swarm: ApiSwarm) -> None:
    status, message = await swarm.call("POST", "/swarm/leave")
    assert status == 503
    assert "Removing the last manager erases all current state of the swarm." in message
    assert swarm.node.left == []
    assert await swarm.call("POST", "/swarm/leave?force=1") == (200, "")
    assert swarm.node.left == [True]


LEAVING = "You are attempting to leave the swarm on a node that is participating as a manager. "
ONLY_WAY = (
    "The only way to restore a swarm that has lost consensus is to reinitialize it with "
    "`--force-new-cluster`. Use `--force` to suppress this message."
)
NO_QUORUM = "Without a Raft quorum your swarm will be inaccessible. "
COSTS: dict[str, tuple[list[bool], bool, str]] = {
    "one of two": ([True], True, f"Removing this node leaves 1 managers out of 2. {NO_QUORUM}"),
    "one of three": ([True, True], True, ""),
    "one of three with a dead one": (
        [True, False],
        True,
        f"Removing this node leaves 1 managers out of 3. {NO_QUORUM}",
    ),
    "one of five with a dead one": ([True, True, True, False], True, ""),
    "one of three, without a leader": ([False, False], False, ""),
}


@pytest.mark.parametrize(("others", "has_leader", "cost"), COSTS.values(), ids=COSTS)
async def test_a_manager_says_what_its_leaving_costs(
    swarm: ApiSwarm, others: list[bool], has_leader: bool, cost: str
) -> None:
    """Others by whether they are reachable."""
    swarm.manager.standing = {NODE_ID: standing("192.0.2.1", leader=has_leader)} | {
        f"m{number}": standing("192.0.2.2", reachable=reachable)
        for number, reachable in enumerate(others)
    }
    swarm.node.log.has_leader = has_leader
    assert await swarm.call("POST", "/swarm/leave") == (503, f"{LEAVING}{cost}{ONLY_WAY}")
    assert await swarm.call("POST", "/swarm/leave?force=true") == (200, "")


async def test_starts_anew_from_what_is_here_only_on_a_manager(swarm: ApiSwarm) -> None:
    body = {"ForceNewCluster": True}
    manager, swarm.node.manager = swarm.node.manager, None
    assert await swarm.call("POST", "/swarm/init", json=body) == (
        503,
        "This node is not participating as a Swarm manager",
    )
    swarm.node.manager = manager
    assert await swarm.call("POST", "/swarm/init", json=body) == (200, NODE_ID)
    assert swarm.node.requests[-1].force_new_cluster


JOIN = {"RemoteAddrs": ["192.0.2.7"], "JoinToken": "SWMTKN-1-a-b"}


async def test_joins_a_swarm(outside: ApiSwarm) -> None:
    body = {**JOIN, "RemoteAddrs": ["192.0.2.7:1", "[2001:db8::1]"], "Availability": "drain"}
    assert await outside.call("POST", "/swarm/join", json=body) == (200, "")
    assert outside.node.joined == [
        JoinRequest(
            listen_addr="0.0.0.0:2377",
            advertise_addr="",
            data_path_addr="",
            remote_addrs=("192.0.2.7:1", "[2001:db8::1]:2377"),
            join_token="SWMTKN-1-a-b",
            availability=Availability.DRAIN,
        )
    ]


async def test_joins_no_swarm_within_one(swarm: ApiSwarm) -> None:
    status, message = await swarm.call("POST", "/swarm/join", json=JOIN)
    assert (status, message[:42]) == (503, "This node is already part of a swarm. Use ")


async def test_leaves_no_swarm_outside_of_one(outside: ApiSwarm) -> None:
    expected = (503, "This node is not part of a swarm")
    assert await outside.call("POST", "/swarm/leave?force=1") == expected


NOT_YET = (("POST", "/networks/create"),)


@pytest.mark.parametrize(("method", "path"), NOT_YET)
async def test_says_what_is_not_there_yet(swarm: ApiSwarm, method: str, path: str) -> None:
    status, message = await swarm.call(method, path, json={})
    assert (status, message.endswith("not implemented")) == (501, True)


async def test_there_are_no_secrets_and_no_configs(swarm: ApiSwarm) -> None:
    assert await swarm.get("/secrets", filters='{"name": {"s": true}}') == []
    assert await swarm.get("/configs") == []
    assert await swarm.call("GET", "/configs/c") == (404, "config c not found")
