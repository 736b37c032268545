"""Since when this node has had no manager, and until when its tasks may run."""

from pathlib import Path

import pytest

from common.disconnect import STOP_AFTER_LABEL
from common.model.container_spec import ContainerSpec
from common.model.task import Task, TaskSpec
from tests.support.fake_clock import FakeBootClock, FakeClock
from worker.agent.lease import KILL_LATE_SECONDS, LATE_SECONDS, Lease

GRACE = 4.0
SPEC = TaskSpec(container_spec=ContainerSpec(image="x", stop_grace_period_seconds=GRACE))
LEASED = Task(id="t1", spec=SPEC, service_labels={STOP_AFTER_LABEL: "30s"})
FREE = Task(id="t2", spec=SPEC)


class World:
    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.boot = FakeBootClock(self.clock)
        self.file = directory / "last-answer"
        self.lease = self.again()

    def again(self) -> Lease:
        lease = Lease(self.file, self.boot)
        lease.load()
        return lease


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_counts_from_the_sending_of_what_was_answered(world: World) -> None:
    sent = world.lease.moment()
    await world.clock.advance(10)
    world.lease.renew(sent)
    assert world.lease.left_seconds(LEASED) == 20.0
    await world.clock.advance(19)
    assert not world.lease.is_over(LEASED)
    await world.clock.advance(1)
    assert world.lease.is_over(LEASED)


async def test_an_answer_that_comes_late_takes_nothing_back(world: World) -> None:
    early = world.lease.moment()
    await world.clock.advance(5)
    world.lease.renew(world.lease.moment())
    world.lease.renew(early)
    assert world.lease.left_seconds(LEASED) == 30.0


def test_without_any_answer_it_is_over_and_others_have_none(world: World) -> None:
    assert world.lease.is_over(LEASED)
    assert world.lease.grace_seconds(LEASED, GRACE) == 0.0
    assert world.lease.limits(LEASED) is None
    assert not world.lease.is_over(FREE)
    assert not world.lease.is_over(None)
    assert world.lease.limits(FREE) is None


async def test_a_later_agent_knows_it_but_not_after_a_reboot(world: World) -> None:
    world.lease.renew(world.lease.moment())
    world.lease.save()
    await world.clock.advance(12)
    assert world.again().left_seconds(LEASED) == 18.0
    world.boot.boots += 1
    assert world.again().is_over(LEASED)


def test_a_moment_that_has_not_come_yet_is_not_believed(world: World) -> None:
    world.lease.renew(world.lease.moment() + 100)
    world.lease.save()
    assert world.again().is_over(LEASED)


def test_a_damaged_file_counts_as_none(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.file.write_bytes(b"\xff")
    assert world.again().is_over(LEASED)
    assert "is not known any more" in caplog.text


def test_a_disk_that_does_not_take_it_is_told_of_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    lease = Lease(world.file / "nowhere" / "x", world.boot)
    lease.load()
    lease.renew(lease.moment())
    lease.save()
    lease.save()
    assert len(caplog.records) == 1


async def test_a_late_stop_gets_only_what_is_left_of_its_grace(world: World) -> None:
    world.lease.renew(world.lease.moment())
    assert world.lease.grace_seconds(LEASED, GRACE) == GRACE
    await world.clock.advance(31)
    assert world.lease.grace_seconds(LEASED, GRACE) == GRACE - 1
    await world.clock.advance(100)
    assert world.lease.grace_seconds(LEASED, GRACE) == 0.0
    assert world.lease.grace_seconds(FREE, GRACE) == GRACE


def test_the_supervisor_comes_after_the_agent(world: World) -> None:
    at = world.lease.moment()
    world.lease.renew(at)
    expected = (at + 30 + LATE_SECONDS, at + 30 + GRACE + KILL_LATE_SECONDS)
    assert world.lease.limits(LEASED) == expected
