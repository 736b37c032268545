import pytest

from common.model.endpoint import PortConfig, Protocol
from common.model.task import TaskState
from worker.agent.published import LiveTask, published_ports
from worker.balancer.table import Backend, PublishedPort

WEB = PortConfig(target_port=80, published_port=8080)
DNS = PortConfig(protocol=Protocol.UDP, target_port=53, published_port=5353)


def live(
    *ports: PortConfig,
    state: TaskState = TaskState.RUNNING,
    is_wanted: bool = True,
    address: str = "10.0.0.1",
) -> LiveTask:
    return LiveTask(ports=ports or (WEB,), state=state, is_wanted=is_wanted, address=address)


def published(*backends: str) -> tuple[PublishedPort, ...]:
    found = tuple(Backend(address=address, port=80) for address in backends)
    return (PublishedPort(protocol=Protocol.TCP, port=8080, backends=found),)


CASES = {
    "running tasks share a port": (
        [live(address="10.0.0.2"), live()],
        published("10.0.0.1", "10.0.0.2"),
    ),
    "a task that is not running yet holds the port": (
        [live(state=TaskState.STARTING)],
        published(),
    ),
    "a task that is to stop holds the port only": ([live(is_wanted=False)], published()),
    "a task without an address holds the port only": ([live(address="")], published()),
    "a task that has ended holds nothing": ([live(state=TaskState.FAILED)], ()),
    "a task that may still be refused holds nothing": ([live(state=TaskState.ACCEPTED)], ()),
    "a port not given yet is left out": ([live(PortConfig(target_port=80))], ()),
    "two ports of one task to the same target": (
        [live(WEB, PortConfig(target_port=80, published_port=8081))],
        (
            *published("10.0.0.1"),
            PublishedPort(
                protocol=Protocol.TCP, port=8081, backends=(Backend(address="10.0.0.1", port=80),)
            ),
        ),
    ),
    "protocols are apart": (
        [live(DNS), live()],
        (
            *published("10.0.0.1"),
            PublishedPort(
                protocol=Protocol.UDP, port=5353, backends=(Backend(address="10.0.0.1", port=53),)
            ),
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_published_ports(case: str) -> None:
    tasks, expected = CASES[case]
    assert published_ports(tasks) == expected
    assert published_ports(reversed(tasks)) == expected
