"""When a node has its certificate renewed, and what comes of it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli.swarmd.renewing import AGAIN_SECONDS_MAX, LOOK_SECONDS, Renewed, Renewing, roots_in
from common.errors import UnavailableError
from common.model.node import Role
from common.pki.authority import Root, cross_sign, new_request, sign
from common.pki.certificate import bundle, public_key_in
from common.pki.files import NodeFiles
from common.pki.tls import Tls
from common.protocol.messages import NodeTold
from tests.support.fake_clock import FakeClock, settle
from tests.support.pki import NOW, credentials, identity, root_of

DAY = 24 * 3600.0
LIFE = 90 * DAY
ROOT, OTHER = root_of(), root_of("another")
WORKER, MANAGER = identity("node1", Role.WORKER), identity("node1")


class World:
    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock(NOW)
        self.files = NodeFiles(directory)
        self.files.write(credentials(WORKER, ROOT, now=NOW, lifetime_seconds=LIFE))
        self.role, self.signer, self.trust = Role.WORKER, ROOT, ROOT.certificate
        self.asked: list[float] = []
        self.fails = False
        self.signs_for: bytes | None = None
        self.keeps_role = False
        self.changes = self.dropped = 0
        self.tls = Tls(self.files)
        self.renewing = Renewing(
            self.tls,
            self.ask,
            self.clock,
            random.Random(1),
            keeps_role=lambda: self.keeps_role,
        )
        self.renewing.on_change = self.change
        self.renewing.on_root_dropped = self.drop

    def change(self) -> None:
        self.changes += 1

    def drop(self) -> None:
        self.dropped += 1

    async def ask(self, request: bytes) -> Renewed:
        self.asked.append(self.clock.now() - NOW)
        if self.fails:
            raise UnavailableError("nobody answers")
        who = identity("node1", self.role)
        signed = sign(self.signer, self.signs_for or request, who, self.clock.now(), LIFE)
        return Renewed(certificate=signed, trust=self.trust)

    def told(self, role: Role = Role.WORKER, root: Root = ROOT, trust: bytes = b"") -> None:
        issuer = public_key_in(root.certificate)
        self.renewing.hear(NodeTold(role=role, trust=trust or root.certificate, issuer=issuer))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.renewing.run())
            await self.until_idle()
            yield
            running.cancel()

    async def until_idle(self) -> None:
        """Keys are made in threads."""
        while self.clock.next_at is None:  # noqa: ASYNC110 - a thread makes them
            await asyncio.sleep(0.001)
        await settle()

    async def let(self, seconds: float) -> None:
        """Lets time pass in long steps: nothing happens in between but looking."""
        await settle()
        await self.until_idle()
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            next_at = self.clock.next_at or until
            await self.clock.advance(max(0.0, min(next_at, until) - self.clock.now()))
            await self.until_idle()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_it_is_renewed_once_when_half_of_its_life_is_over_and_before_a_fifth_is_left(
    world: World,
) -> None:
    serial = world.files.certificate.read_bytes()
    async with world.running():
        assert world.asked == []
        world.clock._now = NOW + 0.49 * LIFE
        await world.let(LOOK_SECONDS)
        assert world.asked == []
        world.clock._now = NOW + 0.81 * LIFE
        await world.let(LOOK_SECONDS)
        assert len(world.asked) == 1
        await world.let(3 * LOOK_SECONDS)
        assert len(world.asked) == 1
    assert world.files.certificate.read_bytes() != serial
    assert world.changes == 1
    assert world.dropped == 0


async def test_it_is_renewed_at_once_when_the_managers_want_another_role(world: World) -> None:
    async with world.running():
        world.role = Role.MANAGER
        world.told(Role.MANAGER)
        await settle()
        await world.until_idle()
        assert world.asked == [0.0]
        assert world.renewing.facts.role is Role.MANAGER
        assert world.renewing.told_role is Role.MANAGER
    assert NodeFiles(world.files.certificate.parent).open() is not None


async def test_a_manager_stays_one_until_its_own_log_says_otherwise(world: World) -> None:
    world.keeps_role = True
    async with world.running():
        world.told(Role.MANAGER)
        await settle()
        await world.until_idle()
        assert world.asked == []


async def test_a_manager_that_is_behind_is_asked_again_later(world: World) -> None:
    async with world.running():
        world.told(Role.MANAGER)
        await settle()
        await world.until_idle()
        assert len(world.asked) == 1
        world.role = Role.MANAGER
        await world.let(1.0)
        assert len(world.asked) == 2
        await world.let(4 * AGAIN_SECONDS_MAX)
        assert len(world.asked) == 2


async def test_it_goes_on_asking_with_growing_waits_while_nobody_answers(world: World) -> None:
    world.fails = True
    async with world.running():
        world.told(Role.MANAGER)
        await settle()
        await world.let(600.0)
        waits = [b - a for a, b in zip(world.asked, world.asked[1:], strict=False)]
        assert waits[0] <= 0.5
        assert max(waits) <= AGAIN_SECONDS_MAX
        assert len(waits) < 30


async def test_another_issuer_first_has_the_old_root_and_the_new_one_trusted(world: World) -> None:
    both = bundle(OTHER.certificate, ROOT.certificate)
    chain = cross_sign(ROOT, OTHER.certificate, NOW)
    world.signer = Root(certificate=OTHER.certificate, key=OTHER.key, chain=chain)
    world.trust = both
    async with world.running():
        world.told(root=OTHER, trust=both)
        await settle()
        await world.until_idle()
        assert world.asked == [0.0]
        assert world.dropped == 0
        assert world.renewing.trust.trust_root == both.decode()
        assert world.renewing.trust.cert_issuer_public_key == public_key_in(OTHER.certificate)
        world.told(root=OTHER)
        await settle()
        await world.until_idle()
        assert world.asked == [0.0]
        assert world.dropped == 1
    assert world.files.root() == OTHER.certificate
    assert len(world.tls.client().get_ca_certs()) == 1


async def test_a_root_that_it_needs_itself_is_not_dropped(world: World) -> None:
    world.fails = True
    async with world.running():
        world.told(root=OTHER)
        await settle()
        await world.let(10.0)
    assert world.files.root() == ROOT.certificate
    assert world.dropped == 0


async def test_a_certificate_for_another_key_is_not_kept(world: World) -> None:
    before = world.files.open()
    _, world.signs_for = new_request()
    async with world.running():
        world.told(Role.MANAGER)
        await settle()
        await world.until_idle()
        assert world.asked == [0.0]
    assert world.files.open() == before


async def test_one_that_has_run_out_says_so(world: World) -> None:
    assert world.renewing.trouble() == ""
    world.clock._now = NOW + LIFE + 1
    assert world.renewing.trouble().startswith("this node's certificate ran out on 20")


async def test_a_manager_makes_its_certificate_anew_once_a_clock_that_was_ahead_is_right(
    world: World,
) -> None:
    world.keeps_role = True
    world.clock._now = NOW - 10 * DAY
    assert not world.renewing.is_in_date()
    async with world.running():
        assert len(world.asked) == 1
        assert world.renewing.is_in_date()
        await world.let(3 * LOOK_SECONDS)
        assert len(world.asked) == 1


async def test_a_worker_whose_clock_is_behind_asks_for_no_other(world: World) -> None:
    world.clock._now = NOW - 10 * DAY
    async with world.running():
        await world.let(3 * LOOK_SECONDS)
        assert world.asked == []


def test_roots_are_compared_one_by_one() -> None:
    both = bundle(OTHER.certificate, ROOT.certificate)
    assert roots_in(both) == roots_in(ROOT.certificate) | roots_in(OTHER.certificate.strip())
