"""What only managers may know does not leave them through the API."""

from dataclasses import replace

import pytest

from common.model.cluster import RootCa
from manager.store.changes import Update
from tests.support.api_swarm import ApiSwarm
from tests.support.fake_swarm import CLUSTER_ID
from tests.support.pki import root_of

WORKER_TOKEN, MANAGER_TOKEN = "SWMTKN-1-worker", "SWMTKN-1-manager"
ANSWERS = ("/swarm", "/info", "/version", "/nodes", "/services", "/tasks", "/events?until=1")


async def with_a_root(swarm: ApiSwarm) -> None:
    assert swarm.node.manager is not None
    store = swarm.node.manager.store
    root = root_of()
    root_ca = RootCa(
        certificate=root.certificate,
        key=root.key,
        worker_token=WORKER_TOKEN,
        manager_token=MANAGER_TOKEN,
    )
    cluster = store.state.clusters[CLUSTER_ID]
    await store.propose([Update(object=replace(cluster, root_ca=root_ca))])


def words_of(key: bytes) -> list[str]:
    return [line for line in key.decode().splitlines() if line and not line.startswith("-")]


@pytest.mark.parametrize("path", ANSWERS)
async def test_the_roots_key_is_in_no_answer(swarm: ApiSwarm, path: str) -> None:
    await with_a_root(swarm)
    status, answer = await swarm.call("GET", path)
    assert status == 200
    assert "PRIVATE" not in str(answer)
    assert [word for word in words_of(root_of().key) if word in str(answer)] == []


@pytest.mark.parametrize("path", [path for path in ANSWERS if path != "/swarm"])
async def test_the_join_tokens_are_in_no_other_answer(swarm: ApiSwarm, path: str) -> None:
    await with_a_root(swarm)
    _, answer = await swarm.call("GET", path)
    assert "SWMTKN" not in str(answer)


async def test_the_swarm_tells_its_tokens_and_its_root(swarm: ApiSwarm) -> None:
    await with_a_root(swarm)
    _, answer = await swarm.call("GET", "/swarm")
    assert answer["JoinTokens"] == {"Worker": WORKER_TOKEN, "Manager": MANAGER_TOKEN}
    assert answer["TLSInfo"]["TrustRoot"] == root_of().certificate.decode()
    assert set(answer["TLSInfo"]) == {"TrustRoot", "CertIssuerSubject", "CertIssuerPublicKey"}


def test_the_root_does_not_show_in_what_is_logged() -> None:
    root_ca = RootCa(key=b"very-secret", worker_token="very-secret", manager_token="very-secret")
    assert "very-secret" not in repr(root_ca)
