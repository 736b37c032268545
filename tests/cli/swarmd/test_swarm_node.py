"""What a node makes of what it finds on its disk, before anything of it runs."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from cli.swarmd.life import Surroundings
from cli.swarmd.local_api import LocalApi
from cli.swarmd.membership import Membership
from cli.swarmd.places import Places
from cli.swarmd.swarm_node import SwarmNode
from common.errors import (
    ConflictError,
    InvalidInputError,
    UnavailableError,
)
from common.events import EventLog
from common.model.node import Role, TlsInfo
from common.pki.lock import Lock
from manager.api.parse.cluster_spec import parse_init_request
from manager.api.ports import LocalState
from manager.raft.storage import Storage
from tests.support.fake_clock import FakeClock
from tests.support.pki import CLUSTER_ID, NOW, credentials, identity, root_of

MEMBER = Membership(
    node_id="node1", address="192.0.2.1", cluster_id=CLUSTER_ID, member_id="a" * 16, port=2377
)


async def addresses() -> Mapping[str, Sequence[str]]:
    return {}


@dataclass
class FakeWorker:
    trust: TlsInfo | None = None

    def show_trust(self, trust: TlsInfo | None) -> None:
        self.trust = trust

    async def forget_tasks(self) -> None:
        pass

    async def run_agent(self, _node_id: str, _connect: object) -> None:
        await asyncio.Event().wait()


def node_in(
    data_root: Path, clock: FakeClock | None = None, worker: FakeWorker | None = None
) -> SwarmNode:
    clock = clock or FakeClock()
    return SwarmNode(
        Surroundings(
            data_root=data_root,
            worker=cast("Any", worker or FakeWorker()),
            api=LocalApi(),
            addresses=addresses,
            events=EventLog(clock),
            clock=clock,
            chance=random.Random(1),
        )
    )


async def test_a_member_whose_log_is_gone_takes_part_no_more(tmp_path: Path) -> None:
    """With an empty log it would vote for whoever lacks what it has acknowledged."""
    places = Places(tmp_path / "swarm")
    places.certificates.write(credentials(identity("node1")))
    places.membership.write(MEMBER)
    async with node_in(tmp_path) as node:
        assert node.local_state() is LocalState.ERROR
        assert "log is gone" in node.local_error()
        assert node.manager is None
    assert not places.log.exists()


# ----------------------------------------------------------------------------------- locked

LOCK = Lock(b"1" * 32)


def locked_in(data_root: Path) -> Places:
    places = Places(data_root / "swarm")
    places.vault.begin(LOCK)
    Storage.at(places.log, places.vault.keys).open().close()
    places.certificates.write(credentials(identity("node1")))
    places.membership.write(MEMBER)
    return places


async def test_a_locked_manager_waits_for_its_key(tmp_path: Path) -> None:
    locked_in(tmp_path)
    async with node_in(tmp_path) as node:
        assert node.local_state() is LocalState.LOCKED
        assert node.local_error().startswith("Swarm is encrypted and needs to be unlocked")
        assert (node.manager, node.node_id) == (None, "")
        for key, reason in (
            ("nonsense", "invalid key string"),
            (Lock(b"2" * 32).text, "swarm could not be unlocked: invalid key provided"),
        ):
            with pytest.raises(InvalidInputError) as refused:
                await node.unlock(key)
            assert str(refused.value) == reason
        assert node.local_state() is LocalState.LOCKED


async def test_a_locked_manager_makes_and_joins_no_other_swarm(tmp_path: Path) -> None:
    locked_in(tmp_path)
    async with node_in(tmp_path) as node:
        with pytest.raises(UnavailableError, match="already part of a swarm"):
            await node.init(parse_init_request({}))
        with pytest.raises(UnavailableError, match="already part of a swarm"):
            await node.init(parse_init_request({"ForceNewCluster": True}))
    assert Places(tmp_path / "swarm").vault.is_locked()


async def test_a_locked_manager_leaves_without_its_key(tmp_path: Path) -> None:
    places = locked_in(tmp_path)
    async with node_in(tmp_path) as node:
        await node.leave(force=True)
        assert node.local_state() is LocalState.INACTIVE
        with pytest.raises(ConflictError, match="swarm is not locked"):
            await node.unlock(LOCK.text)
    assert places.membership.read() is None
    assert not places.log.exists()
    assert not places.certificates.key.exists()


# ----------------------------------------------------------------------------------- workers


async def test_a_worker_whose_certificate_ran_out_says_so_as_long_as_that_is_so(
    tmp_path: Path,
) -> None:
    """Its containers go on, and with another clock it may be a node as before."""
    places, clock, worker = Places(tmp_path / "swarm"), FakeClock(NOW), FakeWorker()
    issued = credentials(identity("node1", Role.WORKER), now=NOW, lifetime_seconds=7200.0)
    places.certificates.write(issued)
    places.membership.write(replace(MEMBER, member_id=""))
    async with node_in(tmp_path, clock, worker) as node:
        assert node.local_state() is LocalState.ACTIVE
        assert worker.trust is not None
        assert worker.trust.trust_root == root_of().certificate.decode()
        clock._now = NOW + 7201.0
        assert node.local_state() is LocalState.ERROR
        assert "ran out on" in node.local_error()
        assert "leave the swarm" in node.local_error()
        clock._now = NOW
        assert (node.local_state(), node.local_error()) == (LocalState.ACTIVE, "")


async def test_a_worker_has_no_log_though_a_crash_may_have_left_one(tmp_path: Path) -> None:
    """With it, it would take part under an id that was removed, should it ever be a manager again."""
    places = Places(tmp_path / "swarm")
    places.certificates.write(credentials(identity("node1", Role.WORKER)))
    places.membership.write(replace(MEMBER, member_id=""))
    places.log.mkdir()
    (places.log / "log-1").touch()
    async with node_in(tmp_path):
        assert not places.log.exists()
