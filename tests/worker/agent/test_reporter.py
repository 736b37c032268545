import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from common.model.task import TaskState, TaskStatus
from common.protocol.channel import LocalChannel, local_channel
from common.protocol.messages import REPORTS_PER_MESSAGE_MAX, Report
from tests.support.fake_clock import settle
from worker.agent.reporter import Reporter


def status(state: TaskState) -> TaskStatus:
    return TaskStatus(state=state)


async def heard(manager: LocalChannel) -> list[Report]:
    """The reports that came until now."""
    await settle()
    reports: list[Report] = []
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                message = await manager.receive()
                assert isinstance(message, Report)
                reports.append(message)
                continue
        return reports


@asynccontextmanager
async def sending(reporter: Reporter) -> AsyncIterator[LocalChannel]:
    manager, agent = local_channel()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reporter.send_to(agent))
        yield manager
        task.cancel()


def states(report: Report) -> dict[str, TaskState]:
    return {one.task_id: one.status.state for one in report.reports}


async def test_one_report_at_a_time_and_only_the_latest_of_each_task() -> None:
    reporter = Reporter()
    async with sending(reporter) as manager:
        reporter.put("a", status(TaskState.ACCEPTED))
        reporter.put("b", status(TaskState.ACCEPTED))
        (first,) = await heard(manager)
        assert states(first) == {"a": TaskState.ACCEPTED, "b": TaskState.ACCEPTED}
        reporter.put("a", status(TaskState.PREPARING))
        reporter.put("a", status(TaskState.RUNNING))
        assert await heard(manager) == []
        reporter.take(first.number)
        (second,) = await heard(manager)
        assert states(second) == {"a": TaskState.RUNNING}
        assert second.number == first.number + 1


async def test_an_acknowledgement_of_something_else_is_ignored() -> None:
    reporter = Reporter()
    async with sending(reporter) as manager:
        reporter.put("a", status(TaskState.ACCEPTED))
        (first,) = await heard(manager)
        reporter.put("a", status(TaskState.RUNNING))
        reporter.take(first.number - 1)
        assert await heard(manager) == []


async def test_what_was_not_acknowledged_is_repeated_in_the_next_session() -> None:
    reporter = Reporter()
    async with sending(reporter) as manager:
        reporter.put("a", status(TaskState.RUNNING))
        await heard(manager)
    reporter.repeat({"a": status(TaskState.RUNNING), "b": status(TaskState.FAILED)})
    async with sending(reporter) as manager:
        (report,) = await heard(manager)
        assert states(report) == {"a": TaskState.RUNNING, "b": TaskState.FAILED}


async def test_many_are_reported_in_parts() -> None:
    reporter = Reporter()
    count = 2 * REPORTS_PER_MESSAGE_MAX + 1
    for number in range(count):
        reporter.put(f"t{number}", status(TaskState.RUNNING))
    sizes = []
    async with sending(reporter) as manager:
        for _ in range(3):
            (report,) = await heard(manager)
            sizes.append(len(report.reports))
            reporter.take(report.number)
        assert await heard(manager) == []
    assert sizes == [REPORTS_PER_MESSAGE_MAX, REPORTS_PER_MESSAGE_MAX, 1]


async def test_nothing_is_said_of_a_forgotten_task() -> None:
    reporter = Reporter()
    reporter.put("a", status(TaskState.FAILED))
    reporter.put("b", status(TaskState.FAILED))
    reporter.forget("a")
    async with sending(reporter) as manager:
        (report,) = await heard(manager)
        assert states(report) == {"b": TaskState.FAILED}
