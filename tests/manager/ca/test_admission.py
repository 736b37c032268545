import re

import pytest

from common.errors import ForbiddenError
from common.model.cluster import RootCa
from common.model.node import Role
from manager.ca.admission import node_id_for, role_of_token
from manager.ca.pace import BURST_MAX, PER_SECOND, Pace

ROOT = RootCa(worker_token="SWMTKN-1-w", manager_token="SWMTKN-1-m")

TOKENS = {
    "the workers'": ("SWMTKN-1-w", Role.WORKER),
    "the managers'": ("SWMTKN-1-m", Role.MANAGER),
}


@pytest.mark.parametrize(("token", "role"), TOKENS.values(), ids=TOKENS)
def test_the_token_says_as_what_its_owner_comes(token: str, role: Role) -> None:
    assert role_of_token(token, ROOT) is role


NO_TOKENS = {
    "nothing": "",
    "another": "SWMTKN-1-x",
    "part of one": "SWMTKN-1-",
    "more than one": "SWMTKN-1-w ",
    "in capitals": "swmtkn-1-w",
    "no text at all": "\udc80",
}


@pytest.mark.parametrize("token", NO_TOKENS.values(), ids=NO_TOKENS)
def test_another_token_lets_nobody_in(token: str) -> None:
    with pytest.raises(ForbiddenError, match="valid join token"):
        role_of_token(token, ROOT)


def test_without_tokens_nobody_is_let_in() -> None:
    with pytest.raises(ForbiddenError):
        role_of_token("", RootCa())


def test_an_id_is_dockers_and_follows_from_the_key_and_the_cluster() -> None:
    node_id = node_id_for("c1", b"key")
    assert re.fullmatch(r"[0-9a-z]{25}", node_id)
    assert node_id_for("c1", b"key") == node_id
    assert len({node_id, node_id_for("c2", b"key"), node_id_for("c1", b"other")}) == 3


def test_a_whole_cluster_may_come_at_once_and_then_at_a_pace() -> None:
    pace = Pace()
    assert [pace.take(10.0) for _ in range(BURST_MAX + 1)] == [True] * BURST_MAX + [False]
    taken = sum(pace.take(10.0 + tick / 1000) for tick in range(1, 2001))
    assert abs(taken - 2 * PER_SECOND) <= 1


def test_what_is_not_used_is_saved_up_to_the_bound() -> None:
    pace = Pace()
    pace.take(1.0)
    assert sum(pace.take(1e9) for _ in range(BURST_MAX + 10)) == BURST_MAX
