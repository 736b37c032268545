"""Further processes: told of, started, ended, forgotten."""

import asyncio
from typing import Any

import pytest

from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    SwarmdError,
    SystemFailureError,
    UnavailableError,
)
from tests.support.fake_clock import settle
from tests.support.machine import Machine, plain, restarting
from worker.containers.engine import LocalEngine
from worker.containers.execs import EXECS_MAX, ExecConfig, ExecState
from worker.containers.exit_codes import of_failed_start
from worker.runtime.bundle import FurtherProcess


def shell(**process: Any) -> ExecConfig:
    return ExecConfig(process=FurtherProcess(argv=("sh", "-c", "x"), **process), attach_stdout=True)


@pytest.fixture
async def one(engine: LocalEngine) -> str:
    return (await engine.start((await engine.create(plain())).id)).id


async def test_from_being_told_of_to_its_end(
    machine: Machine, engine: LocalEngine, one: str
) -> None:
    made = engine.execs.create(one, shell(tty=True))
    streams = await engine.execs.start(made.id, detach=False, console_size=(24, 80))
    running = engine.execs.find(made.id)
    (spawned,) = machine.runtime.spawned
    await engine.execs.resize(made.id, 30, 100)
    ids = engine.execs.of(one)
    spawned.end(3)
    await settle()
    ended = engine.execs.find(made.id)

    assert (made.state, made.exit_code) == (ExecState.CREATED, None)
    assert streams is spawned.streams
    assert (spawned.process.console_size, spawned.process.detached) == ((24, 80), False)
    assert (running.state, running.pid) == (ExecState.RUNNING, spawned.pid)
    assert spawned.streams.sizes == [(30, 100)]
    assert (ids, engine.execs.of(one)) == ([made.id], [])
    assert (ended.state, ended.exit_code, ended.pid) == (ExecState.ENDED, 3, 0)
    assert machine.told()[2:] == ["exec_create: sh -c x", "exec_start: sh -c x", "exec_die"]
    (die,) = [event for event in machine.events.past(0, 10**12) if event.action == "exec_die"]
    assert (die.attributes["execID"], die.attributes["exitCode"]) == (made.id, "3")


async def test_nobody_reads_a_detached_one(machine: Machine, engine: LocalEngine, one: str) -> None:
    made = engine.execs.create(one, shell())

    assert await engine.execs.start(made.id, detach=True) is None

    (spawned,) = machine.runtime.spawned
    assert (spawned.process.detached, spawned.streams.closed) == (True, True)
    assert engine.execs.find(made.id).state is ExecState.RUNNING


async def test_it_runs_once(machine: Machine, engine: LocalEngine, one: str) -> None:
    made = engine.execs.create(one, shell())
    await engine.execs.start(made.id, detach=True)

    with pytest.raises(ConflictError, match=f"Exec command {made.id} is already running"):
        await engine.execs.start(made.id, detach=True)
    machine.runtime.spawned[0].end(0)
    await settle()
    with pytest.raises(ConflictError, match=f"Exec command {made.id} has already run"):
        await engine.execs.start(made.id, detach=True)
    with pytest.raises(ConflictError, match="exec process is not started"):
        await engine.execs.resize(made.id, 1, 1)


async def test_a_program_that_cannot_run_has_ended_with_the_code_of_that(
    machine: Machine, engine: LocalEngine, one: str
) -> None:
    made = engine.execs.create(one, shell())
    machine.runtime.further_refusal = InvalidInputError('exec: "sh": no such file or directory')

    with pytest.raises(InvalidInputError):
        await engine.execs.start(made.id, detach=False)

    ended = engine.execs.find(made.id)
    assert (ended.state, ended.exit_code) == (ExecState.ENDED, 127)
    assert machine.told()[-1] == "exec_die"


CODES: dict[str, tuple[SwarmdError, int]] = {
    "it does not exist": (InvalidInputError("exec: x: no such file or directory"), 127),
    "it may not be run": (InvalidInputError('exec: "x": permission denied'), 126),
    "it is not in PATH": (
        InvalidInputError('exec: "x": executable file not found in $PATH'),
        127,
    ),
    "the machine refused": (SystemFailureError("no memory"), 128),
}


@pytest.mark.parametrize("name", CODES)
def test_failure_codes(name: str) -> None:
    error, expected = CODES[name]

    assert of_failed_start(error) == expected


STATES = {
    "was never started": ("create", "is not running"),
    "is paused": ("pause", "is paused, unpause the container before exec"),
    "waits for its next start": ("end", "is restarting, wait until the container is running"),
}


@pytest.mark.parametrize("name", STATES)
async def test_none_in_a_container_that(machine: Machine, engine: LocalEngine, name: str) -> None:
    how, words = STATES[name]
    container = await engine.create(restarting("always"))
    if how != "create":
        await engine.start(container.id)
        made = engine.execs.create(container.id, shell())
        if how == "pause":
            await engine.pause(container.id)
        else:
            await machine.runtime.end(container.id, 1)
            await settle()
        with pytest.raises(ConflictError, match=words):
            await engine.execs.start(made.id, detach=True)

    with pytest.raises(ConflictError, match=words):
        engine.execs.create(container.id, shell())


async def test_they_are_forgotten_with_their_container(engine: LocalEngine, one: str) -> None:
    made = engine.execs.create(one, shell())
    await engine.remove(one)

    with pytest.raises(NotFoundError, match=f"No such exec instance: {made.id}"):
        engine.execs.find(made.id)
    with pytest.raises(NotFoundError, match="No such container"):
        engine.execs.create(one, shell())


async def test_the_oldest_that_does_not_run_makes_room(
    machine: Machine, engine: LocalEngine, one: str
) -> None:
    first, second = engine.execs.create(one, shell()), engine.execs.create(one, shell())
    await engine.execs.start(first.id, detach=True)
    for _ in range(EXECS_MAX - 1):
        engine.execs.create(one, shell())

    assert engine.execs.find(first.id).state is ExecState.RUNNING
    with pytest.raises(NotFoundError):
        engine.execs.find(second.id)


async def test_too_many_that_run_are_too_many(
    machine: Machine, engine: LocalEngine, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.containers.execs.EXECS_MAX", 2)
    for _ in range(2):
        await engine.execs.start(engine.execs.create(one, shell()).id, detach=True)

    with pytest.raises(UnavailableError, match="2 further processes run in this container already"):
        engine.execs.create(one, shell())


async def test_one_without_a_command_is_refused(engine: LocalEngine, one: str) -> None:
    with pytest.raises(InvalidInputError, match="No exec command specified"):
        engine.execs.create(one, ExecConfig(process=FurtherProcess(argv=())))


async def test_one_that_comes_too_late_is_told_so(
    machine: Machine, engine: LocalEngine, one: str
) -> None:
    made = engine.execs.create(one, shell())
    machine.runtime.further_refusal = NotFoundError("it does not run")

    with pytest.raises(ConflictError, match=f"container {one} is not running"):
        await engine.execs.start(made.id, detach=False)


@pytest.mark.parametrize("turns", range(6))
async def test_who_leaves_while_it_starts_leaves_nothing_open(
    machine: Machine, engine: LocalEngine, one: str, turns: int
) -> None:
    """Its output would fill up, and it would wait for ever."""
    made = engine.execs.create(one, shell())
    starting = asyncio.ensure_future(engine.execs.start(made.id, detach=False))
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await settle()

    assert starting.cancelled() or starting.result() is machine.runtime.spawned[0].streams
    if starting.cancelled():
        assert all(spawned.streams.closed for spawned in machine.runtime.spawned)
