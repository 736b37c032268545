import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.codec import pack_plain, unpack_plain
from common.errors import (
    NotLeaderError,
    OutcomeUnknownError,
    SystemFailureError,
    TooLargeError,
    UnavailableError,
)
from manager.raft.disk import DiskFile
from manager.raft.links import NoLinks
from manager.raft.log import ENTRY_BYTES_MAX
from manager.raft.peers import Peer
from manager.raft.records import JournalDamagedError
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.segments import segment_name
from manager.raft.storage import Storage
from manager.raft.surroundings import Surroundings

WAIT_SECONDS = 10
"""For what takes milliseconds; a test that fails should not hang."""


class Machine:
    """A state machine that remembers what it applied."""

    def __init__(self) -> None:
        self.applied: list[tuple[int, bytes, bytes]] = []
        self.answer: Callable[[bytes], bytes] = lambda entry: b"ok " + entry

    def apply(self, index: int, request_id: bytes, entry: bytes) -> bytes:
        answer = self.answer(entry)
        self.applied.append((index, request_id, entry))
        return answer

    def snapshot(self) -> Iterator[bytes]:
        return iter([pack_plain(self.applied)])

    def restore(self, parts: Iterable[bytes]) -> Callable[[], None]:
        applied = unpack_plain(b"".join(parts))

        def swap() -> None:
            self.applied = [tuple(entry) for entry in applied]

        return swap


class World:
    """Members that are started one after the other on one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.machine = Machine()
        self.leadership: list[bool] = []
        self.failures: list[tuple[str, BaseException]] = []
        self.logs: list[ReplicatedLog] = []

    async def started(self) -> ReplicatedLog:
        self.machine = Machine()
        log = self.member()
        await log.start(bootstrap=True)
        await asyncio.wait_for(log.until_leader(), WAIT_SECONDS)
        return log

    def member(self) -> ReplicatedLog:
        around = Surroundings(
            me=Peer(member_id="me", node_id="node", address=""),
            machine=self.machine,
            links=NoLinks(),
            clock=SystemClock(),
            chance=random.Random(1),
            on_leadership=self.leadership.append,
            fail_stop=lambda reason, error: self.failures.append((reason, error)),
        )
        log = ReplicatedLog(Storage.at(self.directory), around)
        self.logs.append(log)
        return log


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "raft")
    yield world
    for log in world.logs:
        await log.stop()


def request(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def test_a_lone_member_leads_at_once_and_says_so(world: World) -> None:
    log = await world.started()
    assert (log.is_leader, world.leadership) == (True, [True])
    await log.stop()
    assert (log.is_leader, world.leadership) == (False, [True, False])


async def test_gives_what_applying_answered(world: World) -> None:
    log = await world.started()
    applied = await log.propose(b"entry", request(7))
    assert applied.answer == b"ok entry"
    assert world.machine.applied == [(applied.index, request(7), b"entry")]


async def test_many_proposals_are_applied_once_and_in_order(world: World) -> None:
    log = await world.started()
    outcomes = await asyncio.gather(*(log.propose(b"%d" % n, request(n)) for n in range(2000)))
    assert [entry for _, _, entry in world.machine.applied] == [b"%d" % n for n in range(2000)]
    assert [o.index for o in outcomes] == [index for index, _, _ in world.machine.applied]


async def test_after_a_restart_everything_is_applied_again(world: World) -> None:
    log = await world.started()
    for number in range(1200):
        await log.propose(b"%d" % number, request(number))
    before = world.machine.applied
    await log.stop()
    await world.started()
    assert world.machine.applied == before
    assert len(before) == 1200


async def test_terms_grow_over_restarts(world: World) -> None:
    indexes = []
    for _ in range(3):
        log = await world.started()
        indexes.append((await log.propose(b"x", request(1))).index)
        await log.stop()
    assert indexes == [3, 5, 7]  # the log's beginning, then in each term its no-op and one entry


async def test_a_large_entry_is_whole_and_a_larger_one_refused(world: World) -> None:
    log = await world.started()
    entry = random.Random(1).randbytes(ENTRY_BYTES_MAX)
    await log.propose(entry, request(1))
    with pytest.raises(TooLargeError):
        await log.propose(entry + b"x", request(2))
    await log.stop()
    await world.started()
    assert [entry for _, _, entry in world.machine.applied] == [entry]


async def test_only_a_running_leader_takes_proposals(world: World) -> None:
    log = world.member()
    with pytest.raises(NotLeaderError):
        await log.propose(b"x", request(1))
    with pytest.raises(NotLeaderError):
        await log.until_leader()


async def test_stopping_tells_who_waits_that_the_outcome_is_unknown(world: World) -> None:
    log = await world.started()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(outcome_of(log, b"x"))
        await asyncio.sleep(0)
        await log.stop()
    assert isinstance(waiting.result(), OutcomeUnknownError)
    await world.started()
    assert [entry for _, _, entry in world.machine.applied] == [
        b"x"
    ]  # it was, and might not have been


async def outcome_of(log: ReplicatedLog, entry: bytes) -> object:
    try:
        return await log.propose(entry, request(1))
    except UnavailableError as error:
        return error


async def test_a_proposer_that_goes_away_harms_nobody(world: World) -> None:
    log = await world.started()
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(log.propose(b"left", request(1)))
        await asyncio.sleep(0)
        leaving.cancel()
    assert (await log.propose(b"next", request(2))).answer == b"ok next"
    assert [entry for _, _, entry in world.machine.applied] == [b"left", b"next"]


async def test_too_much_under_way_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.raft.participant.PROPOSALS_MAX", 2)
    log = await world.started()
    outcomes = await asyncio.gather(*(outcome_of(log, b"%d" % n) for n in range(3)))
    assert [isinstance(o, UnavailableError) for o in outcomes] == [False, False, True]


async def test_what_cannot_be_applied_stops_the_manager(world: World) -> None:
    log = await world.started()

    def breaks(entry: bytes) -> bytes:
        raise ZeroDivisionError

    world.machine.answer = breaks
    with pytest.raises(OutcomeUnknownError):
        await log.propose(b"x", request(1))
    (failure,) = world.failures
    assert isinstance(failure[1], ZeroDivisionError)
    assert failure[1].__notes__ == ["while applying entry 3"]
    with pytest.raises(NotLeaderError):
        await log.propose(b"y", request(2))


async def test_a_member_that_cannot_replay_does_not_start(world: World) -> None:
    log = await world.started()
    await log.propose(b"x", request(1))
    await log.stop()
    again = world.member()

    def breaks(entry: bytes) -> bytes:
        raise ZeroDivisionError

    world.machine.answer = breaks
    with pytest.raises(ZeroDivisionError):
        await again.start(bootstrap=True)
    assert len(world.failures) == 1


async def test_a_full_disk_stops_the_manager_and_acknowledges_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await world.started()

    def full(self: DiskFile, data: bytes, offset: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(DiskFile, "write", full)
        with pytest.raises(OutcomeUnknownError):
            await log.propose(b"x", request(1))
    assert [reason for reason, _ in world.failures] == ["the journal cannot be written"]
    assert world.machine.applied == []
    assert log.is_leader is False
    await log.stop()
    await world.started()
    assert world.machine.applied == []


async def test_a_second_member_on_the_same_directory_is_refused(world: World) -> None:
    await world.started()
    with pytest.raises(SystemFailureError, match="in use"):
        await world.member().start(bootstrap=True)


async def test_a_damaged_journal_is_refused_by_name(world: World) -> None:
    log = await world.started()
    for number in range(3):
        await log.propose(b"%d" % number, request(number))
    await log.stop()
    path = world.directory / segment_name(1)
    content = bytearray(path.read_bytes())
    content[150] ^= 1
    path.write_bytes(bytes(content))
    for _ in range(2):  # and the file is let go of
        with pytest.raises(JournalDamagedError, match=str(path)):
            await world.member().start(bootstrap=True)


async def test_a_journal_that_cannot_be_read_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(self: DiskFile, offset: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    await (await world.started()).stop()
    monkeypatch.setattr(DiskFile, "read", unreadable)
    with pytest.raises(SystemFailureError, match=r"cannot open the log in .*: Input/output error"):
        await world.member().start(bootstrap=True)


async def test_a_long_replay_gives_others_their_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await world.started()
    for number in range(5):
        await log.propose(b"%d" % number, request(number))
    await log.stop()
    monkeypatch.setattr("manager.raft.applying.TURN_SECONDS_MAX", -1.0)
    seen = set()
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(world.started())
        while not starting.done():
            await asyncio.sleep(0)
            seen.add(len(world.machine.applied))
    assert len(seen) > 3  # and not all in one turn


async def test_a_torn_journal_is_repaired(world: World, caplog: pytest.LogCaptureFixture) -> None:
    log = await world.started()
    await log.propose(b"x", request(1))
    await log.stop()
    path = world.directory / segment_name(1)
    path.write_bytes(path.read_bytes() + b"torn")
    with caplog.at_level(logging.WARNING):
        await world.started()
    assert [entry for _, _, entry in world.machine.applied] == [b"x"]
    assert "interrupted write" in caplog.text
