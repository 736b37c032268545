"""The whole cluster as a file, through the API."""

import io
from collections.abc import Sequence

import pytest

from common.codec import encode
from common.model.cluster import Cluster
from common.model.node import Availability, Node
from common.saved_cluster import SavedCluster, SavedHead, pack_saved
from common.version import VERSION
from manager.api import snapshots
from manager.store.changes import Create, Entry, StoredObject
from manager.store.replica import Replica
from tests.support.api_swarm import NOW, ApiSwarm
from tests.support.fake_swarm import CLUSTER_ID, NODE_ID


async def saved(swarm: ApiSwarm) -> bytes:
    async with swarm.client.request("GET", "/swarm/snapshot") as answer:
        assert (answer.status, answer.content_type) == (200, "application/octet-stream")
        return await answer.read()


async def restore(swarm: ApiSwarm, data: bytes, **query: str) -> tuple[int, object]:
    return await swarm.call("POST", "/swarm/snapshot", params=query, data=data)


async def test_saves_what_is_there(swarm: ApiSwarm) -> None:
    await swarm.create()
    file = SavedCluster(io.BytesIO(await saved(swarm)))
    assert file.head == SavedHead(
        cluster_id=CLUSTER_ID,
        index=swarm.store.state.index,
        saved_at=NOW,
        written_by=VERSION,
        objects={"cluster": 1, "node": 1, "service": 1, "task": 0, "secret": 0, "config": 0},
    )
    replica = Replica()
    replica.restore(file.parts())()
    assert replica.state.objects() == swarm.store.state.objects()


def saved_cluster(cluster_id: str = "old", index: int = 1, *, parts: Sequence[bytes] = ()) -> bytes:
    head = SavedHead(cluster_id=cluster_id, index=index, saved_at=1.0)
    return b"".join(pack_saved(head, parts or PARTS))


def parts_of(*objects: StoredObject) -> list[bytes]:
    replica = Replica()
    entry = Entry(at=1.0, changes=tuple(Create(object=item) for item in objects))
    replica.apply(1, b"r" * 16, encode(entry))
    return [*replica.snapshot()]


PARTS = parts_of(Cluster(id="old"), Node(id="n"))


async def test_restores_on_a_node_that_is_in_no_swarm(outside: ApiSwarm) -> None:
    query = {"advertiseAddr": "192.0.2.1", "availability": "drain"}
    assert await restore(outside, saved_cluster(), **query) == (200, NODE_ID)
    (request, state, parts) = outside.node.restored[0]
    assert (request.advertise_addr, request.availability) == ("192.0.2.1", Availability.DRAIN)
    assert (state.cluster_id, state.index, parts) == ("old", 1, PARTS)


async def test_restores_nothing_within_a_swarm(swarm: ApiSwarm) -> None:
    status, message = await restore(swarm, b"")
    assert (status, str(message)[:42]) == (503, "This node is already part of a swarm. Use ")


WHOLE = saved_cluster()
BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "this is no saved cluster"),
    "something else": (b"#!/bin/sh\n" * 9, "this is no saved cluster"),
    "half of it": (WHOLE[:-40], "the saved cluster is incomplete: its end is missing"),
    "another digest": (
        WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]),
        "the saved cluster is damaged: its digest is another",
    ),
    "more behind its end": (
        WHOLE + b"x",
        "the saved cluster is damaged: something follows its end",
    ),
    "a state that is none": (
        saved_cluster(parts=[b"nothing"]),
        "this is no snapshot of swarmd's state",
    ),
    "a head of another cluster": (
        saved_cluster("new"),
        "the saved cluster is damaged: its head tells of another",
    ),
    "a head of another moment": (
        saved_cluster(index=2),
        "the saved cluster is damaged: its head tells of another",
    ),
    "no cluster": (
        saved_cluster(parts=parts_of(Node(id="n"))),
        "the saved cluster is damaged: its head tells of another",
    ),
}


@pytest.mark.parametrize(("data", "expected"), BAD.values(), ids=BAD)
async def test_restores_nothing_that_is_damaged(
    outside: ApiSwarm, data: bytes, expected: str
) -> None:
    assert await restore(outside, data) == (400, expected)
    assert outside.node.restored == []


async def test_a_file_is_bounded(outside: ApiSwarm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SAVED_BYTES_MAX", 10)
    assert (await restore(outside, WHOLE))[0] == 413


async def test_so_many_at_once(swarm: ApiSwarm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "AT_ONCE_MAX", 0)
    status, _ = await swarm.call("GET", "/swarm/snapshot")
    assert status == 503
