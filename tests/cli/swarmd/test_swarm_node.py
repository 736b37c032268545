"""What a node makes of what it finds on its disk, before anything of it runs."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from cli.swarmd.life import Surroundings
from cli.swarmd.membership import Membership
from cli.swarmd.places import Places
from cli.swarmd.swarm_node import SwarmNode
from common.events import EventLog
from manager.api.ports import LocalState
from tests.support.fake_clock import FakeClock
from tests.support.pki import CLUSTER_ID, credentials, identity

MEMBER = Membership(
    node_id="node1", address="192.0.2.1", cluster_id=CLUSTER_ID, member_id="a" * 16, port=2377
)


async def addresses() -> Mapping[str, Sequence[str]]:
    return {}


def node_in(data_root: Path) -> SwarmNode:
    clock = FakeClock()
    return SwarmNode(
        Surroundings(
            data_root=data_root,
            worker=cast("Any", None),
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
