"""What a node makes of what it finds on its disk, before anything of it runs."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from cli.swarmd.life import Surroundings
from cli.swarmd.membership import Membership
from cli.swarmd.places import Places
from cli.swarmd.swarm_node import SwarmNode
from common.errors import (
    ConflictError,
    InvalidInputError,
    UnavailableError,
)
from common.events import EventLog
from common.pki.lock import Lock
from manager.api.parse.cluster_spec import parse_init_request
from manager.api.ports import LocalState
from manager.raft.storage import Storage
from tests.support.fake_clock import FakeClock
from tests.support.pki import CLUSTER_ID, credentials, identity

MEMBER = Membership(
    node_id="node1", address="192.0.2.1", cluster_id=CLUSTER_ID, member_id="a" * 16, port=2377
)


async def addresses() -> Mapping[str, Sequence[str]]:
    return {}


class Worker:
    """Has nothing to forget."""

    def show_trust(self, _trust: object) -> None:
        pass

    async def forget_tasks(self) -> None:
        pass


def node_in(data_root: Path) -> SwarmNode:
    clock = FakeClock()
    return SwarmNode(
        Surroundings(
            data_root=data_root,
            worker=cast("Any", Worker()),
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
