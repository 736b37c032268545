import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from cli.swarmd.asking import MisdirectedError, RefusedError
from cli.swarmd.joining import AGAIN_SECONDS_MAX, of_any, until_added
from cli.swarmd.membership import Membership
from common.errors import ForbiddenError, InvalidInputError, SwarmdError, UnavailableError
from common.pki.tls import Tls
from manager.raft.peers import Peer, RaftStatus
from tests.support.fake_clock import FakeClock
from tests.support.pki import files_of, identity
from tests.support.raft_status import status_of

DOWN = UnavailableError("cannot be reached")
Answers = dict[str, str | SwarmdError]

ANSWERED: dict[str, tuple[Answers, str, list[str]]] = {
    "the first answers": ({"a": "yes", "b": "no"}, "yes", ["a"]),
    "the first is down": ({"a": DOWN, "b": "yes"}, "yes", ["a", "b"]),
    "another one leads": ({"a": MisdirectedError("c"), "c": "yes"}, "yes", ["a", "c"]),
    "nobody is known to lead there": ({"a": MisdirectedError(""), "b": "yes"}, "yes", ["a", "b"]),
    "who is said to lead is down": (
        {"a": MisdirectedError("c"), "c": DOWN, "b": "yes"},
        "yes",
        ["a", "c", "b"],
    ),
}


class Managers:
    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def ask(self, manager: str) -> str:
        self.asked.append(manager)
        answer = self.answers[manager]
        if isinstance(answer, SwarmdError):
            raise answer
        return answer


@pytest.mark.parametrize(("answers", "expected", "asked"), ANSWERED.values(), ids=ANSWERED)
async def test_asks_until_one_answers(answers: Answers, expected: str, asked: list[str]) -> None:
    managers = Managers(answers)
    known = [name for name in answers if name != "c"]
    assert await of_any(known, managers.ask) == expected
    assert managers.asked == asked


REFUSED: dict[str, tuple[Answers, type[SwarmdError], str]] = {
    "none can be reached": ({"a": DOWN}, UnavailableError, "could not reach any manager"),
    "the token is wrong": ({"a": RefusedError(403, "no")}, ForbiddenError, "no"),
    "the request is wrong": ({"a": RefusedError(400, "what")}, InvalidInputError, "what"),
    "managers send each other in a circle": (
        {"a": MisdirectedError("a")},
        UnavailableError,
        "could not reach any manager",
    ),
}


@pytest.mark.parametrize(("answers", "kind", "message"), REFUSED.values(), ids=REFUSED)
async def test_gives_up(answers: Answers, kind: type[SwarmdError], message: str) -> None:
    with pytest.raises(kind, match=message):
        await of_any(list(answers), Managers(answers).ask)


ME = Peer(member_id="a" * 16, node_id="node", address="host:2377")
LISTED = status_of(ME, last_index=9, commit=3, applied=3)


@dataclass
class Around:
    clock: FakeClock = field(default_factory=FakeClock)
    chance: random.Random = field(default_factory=lambda: random.Random(1))


@dataclass
class Joiner:
    membership: Membership
    tls: Tls


@dataclass
class Member:
    seen: Iterator[RaftStatus]

    def status(self) -> RaftStatus:
        return next(self.seen)


async def test_it_has_not_joined_before_its_addition_is_committed(tmp_path: Path) -> None:
    """The leader that wrote it may be gone, and the next one reverse it: it goes on asking."""
    seen = iter([LISTED, LISTED, replace(LISTED, is_member=True)])
    membership = Membership(node_id="node", address="host", member_id=ME.member_id)
    joiner = Joiner(membership, Tls(files_of(tmp_path, identity("node"))))
    around = Around()
    added = asyncio.create_task(until_added(joiner, Member(seen), around))
    for _ in range(2):
        await around.clock.advance(AGAIN_SECONDS_MAX)
    assert await asyncio.wait_for(added, 5) == [ME.address]
    assert next(seen, None) is None
