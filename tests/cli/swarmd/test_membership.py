from pathlib import Path

import pytest

from cli.swarmd.membership import Membership, MembershipFile
from common.errors import SystemFailureError

MEMBERSHIP = Membership(
    node_id="n", address="fd00::2", cluster_id="c", member_id="0" * 16, port=2377
)


def test_it_is_there_until_it_is_removed(tmp_path: Path) -> None:
    file = MembershipFile(tmp_path / "swarm" / "node")
    assert file.read() is None
    file.write(MEMBERSHIP)
    assert file.read() == MEMBERSHIP
    file.remove()
    assert file.read() is None
    file.remove()


def test_a_damaged_one_is_told_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "node"
    path.write_bytes(b"nonsense")
    with pytest.raises(SystemFailureError, match=str(path)):
        MembershipFile(path).read()


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert MEMBERSHIP.cluster_address == "[fd00::2]:2377"
