"""What becomes of a node in a swarm, as the tables in cli/swarmd/README.md have it. Lives are stand-ins here."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typing_extensions import override

from cli.swarmd import joining
from cli.swarmd.asking import RefusedError
from cli.swarmd.life import Start, Surroundings
from cli.swarmd.living import PROMOTE_AGAIN_SECONDS, Living, Running
from cli.swarmd.local_api import LocalApi
from cli.swarmd.membership import Membership
from cli.swarmd.turning import promoted, tend
from common.bell import Bell
from common.errors import SwarmdError, SystemFailureError, UnavailableError
from common.events import EventLog
from manager.api.ports import LocalState
from manager.raft.peers import Peer, RaftStatus
from tests.support.fake_clock import FakeClock, settle
from tests.support.raft_status import status_of

WORKER = Membership(
    node_id="n1", address="192.0.2.1", cluster_id="c", port=2377, managers=("192.0.2.9:2377",)
)
MANAGER = replace(WORKER, member_id="a" * 16)
JOINER = replace(MANAGER, is_joining=True)
PROMOTED = replace(JOINER, is_promoted=True)


@dataclass
class FakeManager:
    is_member: bool = False

    def status(self) -> RaftStatus:
        me = Peer(member_id="a" * 16, node_id="n1", address="192.0.2.1:2377")
        return status_of(me, is_member=self.is_member)


@dataclass
class FakeLife:
    membership: Membership
    news: Bell
    manager: FakeManager | None
    unwanted: str = ""
    is_out_of_log: bool = False
    wants_to_manage: bool = False
    taken_back: bool = False
    tls: Any = field(default_factory=lambda: SimpleNamespace(client=object))

    def is_to_manage(self) -> bool:
        return self.wants_to_manage

    def is_taken_back(self) -> bool:
        return self.taken_back

    def other_managers(self) -> tuple[str, ...]:
        return ()

    def trouble(self) -> str:
        return ""


class FakeLiving(Living):
    """Lives begin and end at once."""

    def __init__(self, data_root: Path) -> None:
        self.clock = FakeClock()
        around = Surroundings(
            data_root=data_root,
            worker=cast("Any", None),
            api=LocalApi(),
            addresses=_no_addresses,
            events=EventLog(self.clock),
            clock=self.clock,
            chance=random.Random(1),
        )
        super().__init__(around, tend)
        self.begun: list[Membership] = []
        self.refuses_managers = False

    @override
    async def start(self, membership: Membership, start: Start) -> Running:
        self.begun.append(membership)
        if membership.member_id and self.refuses_managers:
            raise SystemFailureError("the address is taken")
        manager = FakeManager() if membership.member_id else None
        life = FakeLife(membership, Bell(self.clock), manager)
        loop = asyncio.get_running_loop()
        task = self.keeper.spawn(_for_ever())
        return Running(life=cast("Any", life), task=task, joined=loop.create_future())

    @property
    def life(self) -> FakeLife:
        assert self.running is not None
        return cast("FakeLife", self.running.life)

    async def begin(self, membership: Membership) -> FakeLife:
        self.places.membership.write(membership)
        self.go_on(await self.start(membership, cast("Any", None)))
        life = self.life
        await settle()
        return life

    async def turned(self) -> Membership:
        """What it remembers once it has turned; its files are removed in threads."""
        for _ in range(20):
            await settle()
            await asyncio.sleep(0.001)
        kept = self.places.membership.read()
        assert kept is not None
        if not kept.removed:
            assert self.life.membership == kept
        return kept


async def _no_addresses() -> Mapping[str, Sequence[str]]:
    return {}


async def _for_ever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def living(tmp_path: Path) -> AsyncIterator[FakeLiving]:
    made, over = FakeLiving(tmp_path), asyncio.Event()
    made.places.make()
    opened = asyncio.Event()

    async def own() -> None:
        await made.keeper.open()
        opened.set()
        await over.wait()
        await made.keeper.close(None)

    owner = asyncio.get_running_loop().create_task(own())
    await opened.wait()
    yield made
    over.set()
    await owner


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, UnavailableError("nobody answers"))


def answer(monkeypatch: pytest.MonkeyPatch, error: SwarmdError) -> None:
    """What the managers answer that are asked to add this one."""

    async def ask(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr(joining, "ask", ask)


def ring(life: FakeLife, **changes: object) -> None:
    for name, value in changes.items():
        setattr(life, name, value)
    life.news.ring()


# ------------------------------------------------------------------------------------ a worker


async def test_a_worker_that_is_to_be_a_manager_joins_the_log_under_a_fresh_id(
    living: FakeLiving,
) -> None:
    life = await living.begin(WORKER)
    old_log = living.places.log / "log-1"
    old_log.parent.mkdir()
    old_log.touch()  # of when it was a manager before: a crash had kept it from going
    ring(life, wants_to_manage=True)
    kept = await living.turned()
    assert kept == replace(PROMOTED, member_id=kept.member_id)
    assert len(kept.member_id) == 16
    assert not old_log.exists()
    assert living.state() is LocalState.ACTIVE


async def test_a_worker_that_cannot_listen_stays_one_and_tries_again_later(
    living: FakeLiving,
) -> None:
    life = await living.begin(WORKER)
    living.refuses_managers = True
    ring(life, wants_to_manage=True)
    assert await living.turned() == WORKER
    ring(living.life, wants_to_manage=True)
    assert await living.turned() == WORKER
    assert [bool(one.member_id) for one in living.begun] == [False, True, False]
    living.refuses_managers = False
    await living.clock.advance(PROMOTE_AGAIN_SECONDS)
    assert (await living.turned()).is_promoted


async def test_a_worker_that_the_swarm_does_not_know_is_removed(living: FakeLiving) -> None:
    life = await living.begin(WORKER)
    ring(life, unwanted="it is not part of this swarm")
    kept = await living.turned()
    assert kept.removed.startswith("it is not part of this swarm; leave")
    assert living.state() is LocalState.ERROR


# --------------------------------------------------------------------------------- one that joins


async def test_a_promoted_node_is_a_manager_once_its_addition_is_committed(
    living: FakeLiving,
) -> None:
    life = await living.begin(PROMOTED)
    await living.clock.advance(30.0)
    assert life.membership.is_joining
    assert life.manager is not None
    life.manager.is_member = True
    await living.clock.advance(30.0)
    kept = await living.turned()
    assert replace(kept, managers=()) == replace(MANAGER, managers=())


TAKEN_BACK: dict[str, dict[str, object]] = {
    "it is to be a worker after all": {"taken_back": True},
    "its log says that it was removed": {"is_out_of_log": True},
}


@pytest.mark.parametrize("news", TAKEN_BACK.values(), ids=TAKEN_BACK)
async def test_a_promoted_node_is_a_worker_again_when(
    living: FakeLiving, news: Mapping[str, object]
) -> None:
    life = await living.begin(PROMOTED)
    ring(life, **news)
    assert await living.turned() == WORKER


async def test_a_promoted_node_that_is_refused_is_a_worker_and_tries_again_with_another_id(
    living: FakeLiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, RefusedError(409, "that member was removed"))
    await living.begin(PROMOTED)
    assert await living.turned() == WORKER
    ring(living.life, wants_to_manage=True)
    assert await living.turned() == WORKER
    answer(monkeypatch, UnavailableError("nobody answers"))
    await living.clock.advance(PROMOTE_AGAIN_SECONDS)
    kept = await living.turned()
    assert kept.is_promoted
    assert kept.member_id != PROMOTED.member_id


async def test_a_promoted_node_goes_on_asking_where_a_manager_does_not_know_of_it_yet(
    living: FakeLiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, RefusedError(403, "node n1 is no manager of this swarm"))
    await living.begin(PROMOTED)
    await living.clock.advance(60.0)
    assert await living.turned() == PROMOTED
    assert len(living.begun) == 1


async def test_a_node_that_joins_with_a_token_and_is_refused_is_no_worker(
    living: FakeLiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, RefusedError(403, "this node is not part of this swarm"))
    await living.begin(JOINER)
    assert (await living.turned()).removed == "this node is not part of this swarm"


async def test_after_a_restart_a_promoted_node_that_cannot_listen_is_a_worker(
    living: FakeLiving,
) -> None:
    living.refuses_managers = True
    living.go_on(await promoted(living, PROMOTED))
    assert await living.turned() == WORKER


# --------------------------------------------------------------------------------------- a manager


async def test_a_manager_that_was_taken_out_of_the_log_is_a_worker_and_keeps_its_id(
    living: FakeLiving,
) -> None:
    life = await living.begin(MANAGER)
    (living.places.log).mkdir()
    ring(life, is_out_of_log=True)
    assert await living.turned() == WORKER
    assert not living.places.log.exists()


async def test_a_manager_that_is_only_told_to_be_a_worker_keeps_its_log(
    living: FakeLiving,
) -> None:
    """Whoever tells it may be behind; its log holds what it has acknowledged."""
    life = await living.begin(MANAGER)
    ring(life)
    assert await living.turned() == MANAGER
    assert life.membership == MANAGER
