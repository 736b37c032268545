"""The whole circle in one process: store, dispatcher, channel, agent, and an engine that the test plays."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from common.bell import Bell
from common.disconnect import STOP_AFTER_LABEL
from common.errors import InvalidInputError, SystemFailureError, UnavailableError
from common.model.container_spec import ContainerSpec
from common.model.endpoint import PortConfig, PublishMode
from common.model.node import Node, NodeDescription, NodeState
from common.model.task import NetworkAttachmentConfig, Task, TaskSpec, TaskState
from common.protocol.channel import Channel, ChannelClosedError, LocalChannel, local_channel
from manager.dispatcher.server import Dispatcher
from manager.logs.broker import LogBroker
from manager.store.changes import AllocateTask, AssignTask, Create, Delete, SetDesiredState
from manager.store.store import memory_store
from tests.support.builders import secret, template_with
from tests.support.fake_clock import FakeBootClock, FakeClock, settle
from tests.support.fake_containers import FakeContainers
from tests.support.fake_ports import FakePorts
from tests.support.log_lines import copy
from worker.agent.agent import Agent, Machine
from worker.agent.task_runner import WORK_AT_ONCE
from worker.containers.log_lines import LogRecord
from worker.containers.record import ContainerState, Health

NODE = "node1"
WEB = (PortConfig(target_port=80, published_port=8080),)


class World:
    """One manager and one node; the agent can be killed and begun again."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        chance = random.Random(1)
        self.store = memory_store(self.clock, chance)
        self.dispatcher = Dispatcher(self.store, self.clock, chance)
        self.broker = LogBroker(self.store, self.dispatcher, self.clock, chance)
        self.calls: list[str] = []
        self.containers = FakeContainers(self.calls)
        self.ports = FakePorts(self.calls)
        self.machine = Machine(
            containers=self.containers,
            ports=self.ports,
            describe=lambda: NodeDescription(hostname="host1"),
            description_changed=Bell(self.clock),
            memory=directory / "assignments",
            clock=self.clock,
            chance=chance,
            boot_clock=FakeBootClock(self.clock),
        )
        self.channels: list[LocalChannel] = []
        self.reachable = True
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.store.propose([Create(object=Node(id=NODE))])
        async with asyncio.TaskGroup() as self._group:
            dispatching = self._group.create_task(self.dispatcher.run())
            await settle()
            yield
            dispatching.cancel()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """An agent until it is killed."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(Agent(NODE, self.connect, self.machine).run())
            await settle()
            try:
                yield
            finally:
                task.cancel()
        for channel in self.channels:
            channel.close()
        await settle()

    async def connect(self) -> Channel:
        if not self.reachable:
            raise ChannelClosedError
        manager, agent = local_channel()
        self.channels.append(manager)
        assert self._group is not None
        self._group.create_task(self.dispatcher.serve(manager))
        return agent

    async def assign(
        self,
        task_id: str,
        image: str = "hello:1",
        ports: Sequence[PortConfig] = (),
        networks: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> None:
        spec = TaskSpec(
            container_spec=ContainerSpec(image=image),
            networks=tuple(NetworkAttachmentConfig(target=name) for name in networks),
        )
        task = Task(
            id=task_id, service_id="s1", service_name="web", slot=1, spec=spec, ports=tuple(ports),
            service_labels=labels or {},
        )  # fmt: skip
        await self.store.propose([Create(object=task)])
        await self._assign(task_id)

    async def _assign(self, task_id: str) -> None:
        task = self.store.state.tasks[task_id]
        await self.store.propose(
            [AllocateTask(task_id=task_id, basis=task.version, ports=task.ports)]
        )
        task = self.store.state.tasks[task_id]
        await self.store.propose([AssignTask(task_id=task_id, basis=task.version, node_id=NODE)])
        await settle()

    async def want(self, task_id: str, state: TaskState) -> None:
        await self.store.propose([SetDesiredState(task_id=task_id, state=state)])
        await settle()

    def state(self, task_id: str) -> TaskState:
        return self.store.state.tasks[task_id].status.state

    def err(self, task_id: str) -> str:
        return self.store.state.tasks[task_id].status.err

    def node_state(self) -> NodeState:
        return self.store.state.nodes[NODE].status.state


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_task_assigned_runs(world: World) -> None:
    async with world.running(), world.agent():
        assert world.node_state() is NodeState.READY
        assert world.store.state.nodes[NODE].description.hostname == "host1"
        await world.assign("t1")
        status = world.store.state.tasks["t1"].status
        assert (status.state, status.message, status.err) == (TaskState.RUNNING, "started", "")
        assert status.container_status is not None
        assert status.container_status.container_id == "c-t1"
        assert status.container_status.pid == 4242


LEASED = {STOP_AFTER_LABEL: "30s"}


async def test_a_task_with_a_lease_runs_as_long_as_managers_answer_and_stops_after(
    world: World,
) -> None:
    async with world.running(), world.agent():
        await world.assign("t1", labels=LEASED)
        await world.assign("t2")
        await world.clock.advance(300)
        assert world.state("t1") is TaskState.RUNNING
        world.reachable = False
        world.channels[-1].close()
        await world.clock.advance(24)
        assert world.containers.of("t1").state is ContainerState.RUNNING
        await world.clock.advance(7)
        assert world.containers.of("t1").state is ContainerState.EXITED
        assert world.containers.of("t2").state is ContainerState.RUNNING
        world.reachable = True
        await world.clock.advance(10)
        assert world.state("t1") is TaskState.FAILED
        assert "swarmd.disconnect.stop-after" in world.err("t1")
        assert world.state("t2") is TaskState.RUNNING


async def test_a_lease_goes_on_counting_while_the_agent_is_dead(world: World) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1", labels=LEASED)
            await world.clock.advance(1)
            limits = dict(world.containers.limits)
        world.reachable = False
        await world.clock.advance(20)
        async with world.agent():
            await world.clock.advance(1)
            assert world.containers.of("t1").state is ContainerState.RUNNING
            assert world.containers.limits == limits, "the supervisor was told the same"
            await world.clock.advance(15)
            assert world.containers.of("t1").state is ContainerState.EXITED


async def test_after_too_long_an_agent_stops_it_at_once_though_a_manager_answers(
    world: World,
) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1", labels=LEASED)
            await world.clock.advance(1)
        await world.clock.advance(100)
        async with world.agent():
            assert "stop t1 0" in world.calls
            assert world.state("t1") is TaskState.FAILED


async def test_the_exit_of_a_container_is_reported(world: World) -> None:
    async with world.running(), world.agent():
        await world.assign("t1")
        await world.assign("t2")
        world.containers.exit("t1", 137)
        world.containers.exit("t2", 0)
        await settle()
        assert world.state("t1") is TaskState.FAILED
        assert world.err("t1") == "task: non-zero exit (137)"
        assert world.state("t2") is TaskState.COMPLETE


async def test_an_image_that_no_node_has_rejects_the_task(world: World) -> None:
    async with world.running(), world.agent():
        await world.assign("t1", image="x:1")
        assert world.state("t1") is TaskState.REJECTED
        assert world.err("t1") == "No such image: x:1"


async def test_a_task_is_reachable_before_it_is_called_running(world: World) -> None:
    async with world.running(), world.agent():
        world.containers.checked = True
        await world.assign("t1", ports=WEB)
        assert world.state("t1") is TaskState.STARTING
        assert "publish 8080->" in world.calls
        world.containers.judge("t1", Health.HEALTHY)
        await settle()
        assert world.calls[-1] == "publish 8080->172.17.0.1"
        assert world.state("t1") is TaskState.RUNNING


async def test_a_task_leaves_the_table_before_its_container_is_stopped(world: World) -> None:
    async with world.running(), world.agent():
        await world.assign("t1", ports=WEB)
        await world.assign("t2", ports=WEB)
        del world.calls[:]
        await world.want("t1", TaskState.SHUTDOWN)
        assert world.calls == ["publish 8080->172.17.0.2", "drain 172.17.0.1 2", "stop t1 10"]
        assert world.state("t1") is TaskState.SHUTDOWN


async def test_an_unhealthy_container_is_drained_stopped_and_reported(world: World) -> None:
    async with world.running(), world.agent():
        world.containers.checked = True
        await world.assign("t1", ports=WEB)
        world.containers.judge("t1", Health.HEALTHY)
        await settle()
        del world.calls[:]
        world.containers.judge("t1", Health.UNHEALTHY)
        await settle()
        assert world.calls[:3] == ["publish 8080->", "drain 172.17.0.1 2", "stop t1 10"]
        assert world.state("t1") is TaskState.FAILED
        assert world.err("t1") == "task: unhealthy container"


async def test_a_port_of_the_host_that_is_taken_rejects_the_task(world: World) -> None:
    world.ports.taken.add(8080)
    async with world.running(), world.agent():
        await world.assign("t1", ports=WEB)
        assert world.state("t1") is TaskState.REJECTED
        assert world.err("t1") == "port 8080/tcp is already in use on this host"
        assert "create t1" not in world.calls


async def test_a_slow_creation_ends_when_the_task_is_no_longer_wanted(world: World) -> None:
    async with world.running(), world.agent():
        world.containers.gate.clear()
        await world.assign("t1")
        assert world.state("t1") is TaskState.PREPARING
        await world.want("t1", TaskState.SHUTDOWN)
        assert world.state("t1") is TaskState.SHUTDOWN
        assert world.calls[-1] == "create t1"


async def test_a_new_agent_goes_on_with_what_runs(world: World) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1", ports=WEB)
            await world.assign("t2")
        assert world.node_state() is NodeState.DISCONNECTED
        del world.calls[:]
        world.containers.exit("t2", 3)
        async with world.agent():
            assert world.node_state() is NodeState.READY
            assert world.state("t1") is TaskState.RUNNING
            assert world.state("t2") is TaskState.FAILED
            assert world.calls == ["publish 8080->172.17.0.1"]
            await world.want("t1", TaskState.SHUTDOWN)
            assert world.state("t1") is TaskState.SHUTDOWN


async def test_a_new_agent_needs_no_manager_to_go_on(world: World) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1", ports=WEB)
        world.reachable = False
        del world.calls[:]
        async with world.agent():
            assert world.calls == ["publish 8080->172.17.0.1"]
            world.containers.exit("t1", 1)
            await settle()
            assert world.ports.table == ()
            assert world.state("t1") is TaskState.RUNNING
            world.reachable = True
            await world.clock.advance(8.0)
            assert world.state("t1") is TaskState.FAILED


async def test_a_rejected_task_is_not_tried_again_by_a_new_agent(world: World) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1", image="x:1")
        world.containers.images.add("x:1")
        async with world.agent():
            await settle()
            assert world.state("t1") is TaskState.REJECTED
            assert world.calls.count("create t1") == 1


async def test_an_agent_without_memory_is_told_and_adopts(world: World, tmp_path: Path) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1")
        (tmp_path / "assignments").unlink()
        async with world.agent():
            assert world.state("t1") is TaskState.RUNNING
            assert world.calls == ["publish", "create t1", "start t1", "publish"]


async def test_what_the_manager_forgot_meanwhile_is_stopped_and_removed(world: World) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1")
        await world.store.propose([Delete(table="task", id="t1")])
        async with world.agent():
            assert world.calls[-2:] == ["stop t1 10", "remove t1"]
            assert world.containers.all() == []


async def test_a_container_of_a_task_nobody_knows_is_removed(world: World, tmp_path: Path) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1")
        await world.store.propose([Delete(table="task", id="t1")])
        (tmp_path / "assignments").unlink()
        async with world.agent():
            assert world.containers.all() == []


async def test_an_ended_container_stays_until_the_manager_forgets_the_task(world: World) -> None:
    async with world.running(), world.agent():
        await world.assign("t1")
        await world.want("t1", TaskState.REMOVE)
        assert world.state("t1") is TaskState.SHUTDOWN
        assert world.containers.of("t1").state is ContainerState.EXITED
        await world.store.propose([Delete(table="task", id="t1")])
        await settle()
        assert world.containers.all() == []


async def test_a_container_that_came_to_be_too_late_is_removed_with_its_task(world: World) -> None:
    async with world.running(), world.agent():
        await world.assign("t1")
        late = replace(world.containers.of("t1"), state=ContainerState.CREATED)
        world.containers.gate.clear()
        await world.assign("t2")
        await world.want("t2", TaskState.REMOVE)
        world.containers.set(
            replace(late, id="c-t2", config=replace(late.config, name="web.2", task_id="t2"))
        )
        await settle()
        assert world.state("t2") is TaskState.SHUTDOWN
        await world.store.propose([Delete(table="task", id="t2")])
        await settle()
        assert [container.id for container in world.containers.all()] == ["c-t1"]


async def test_a_container_that_came_to_be_after_its_task_was_forgotten_is_removed(
    world: World,
) -> None:
    async with world.running(), world.agent():
        await world.assign("t1")
        late = world.containers.of("t1")
        await world.store.propose([Delete(table="task", id="t1")])
        await settle()
        assert world.containers.all() == []
        world.containers.set(replace(late, state=ContainerState.CREATED))
        await settle()
        assert world.containers.all() == []


async def test_a_silent_node_goes_down_and_comes_back(world: World) -> None:
    async with world.running():
        async with world.agent():
            await world.clock.advance(60.0)
            assert world.node_state() is NodeState.READY
        assert world.node_state() is NodeState.DISCONNECTED
        await world.clock.advance(15.0)
        assert world.node_state() is NodeState.DOWN
        async with world.agent():
            assert world.node_state() is NodeState.READY


@dataclass(frozen=True, kw_only=True)
class Selection:
    follow: bool = False
    stdout: bool = True
    stderr: bool = True
    since: float = 0.0
    until: float = 0.0
    tail: int = -1


def record(text: str) -> LogRecord:
    return LogRecord(stream="stdout", at=1.0, data=text.encode())


async def test_logs_of_tasks_are_read_through_the_session(world: World) -> None:
    async with world.running(), world.agent():
        await world.assign("t1")
        await world.assign("t2")
        world.containers.lines = {"c-t1": [record("one"), record("two")], "c-t2": [record("three")]}
        lines = world.broker.read(["t1", "t2"], Selection())
        got = [(line.task_id, line.data) async for line in lines]
        assert sorted(got) == [("t1", b"one"), ("t1", b"two"), ("t2", b"three")]


async def test_many_lines_arrive_in_order_however_slowly_they_are_read(world: World) -> None:
    count = 20_000
    async with world.running(), world.agent():
        await world.assign("t1")
        world.containers.lines = {"c-t1": [record(str(n)) for n in range(count)]}
        got = [line.data async for line in world.broker.read(["t1"], Selection())]
        assert got == [str(n).encode() for n in range(count)]


async def test_a_log_is_followed_from_before_the_container_exists_to_its_end(world: World) -> None:
    async with world.running(), world.agent():
        world.containers.gate.clear()
        world.containers.lines = {"c-t1": [record("one")]}
        await world.assign("t1")
        got: list[bytes] = []

        async with asyncio.TaskGroup() as group:
            lines = world.broker.read(["t1"], Selection(follow=True))
            group.create_task(copy(lines, got.append))
            await settle()
            assert got == []
            world.containers.gate.set()
            await settle()
            assert got == [b"one"]
            world.containers.lines["c-t1"].append(record("two"))
            world.containers.exit("t1", 0)
        assert got == [b"one", b"two"]


async def test_a_lost_node_ends_its_logs_with_an_error(world: World) -> None:
    async with world.running():
        async with world.agent():
            await world.assign("t1")
        with pytest.raises(UnavailableError, match=r"incomplete log stream.*: node node1"):
            await anext(world.broker.read(["t1"], Selection()))


# ------------------------------------------------------------------------- errors and limits


async def test_a_temporary_error_is_tried_again(world: World) -> None:
    world.containers.errors["create"] = [UnavailableError("not yet")] * 2
    async with world.running(), world.agent():
        await world.assign("t1")
        assert world.state("t1") is TaskState.PREPARING
        await world.clock.advance(2.0)
        assert world.state("t1") is TaskState.RUNNING
        assert world.calls.count("create t1") == 3


async def test_a_container_that_cannot_start_fails_the_task(world: World) -> None:
    world.containers.errors["start"] = [InvalidInputError('exec: "nope": no such file')]
    async with world.running(), world.agent():
        await world.assign("t1")
        assert world.state("t1") is TaskState.FAILED
        assert world.err("t1") == 'starting container failed: exec: "nope": no such file'


async def test_a_mistake_of_ours_fails_one_task_only(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.containers.errors["create"] = [ZeroDivisionError("oops")]
    async with world.running(), world.agent():
        await world.assign("t1")
        await world.assign("t2")
        assert world.state("t1") is TaskState.REJECTED
        assert "internal error" in world.err("t1")
        assert world.state("t2") is TaskState.RUNNING
        assert "Create failed" in caplog.text


async def test_a_container_that_does_not_stop_is_not_called_stopped(world: World) -> None:
    world.containers.errors["stop"] = [SystemFailureError("it does not die")] * 3
    async with world.running(), world.agent():
        await world.assign("t1")
        await world.want("t1", TaskState.SHUTDOWN)
        assert world.state("t1") is TaskState.RUNNING
        await world.clock.advance(3.0)
        assert world.state("t1") is TaskState.SHUTDOWN


async def test_a_long_stop_does_not_hold_up_other_tasks(world: World) -> None:
    async with world.running(), world.agent():
        for number in range(20):
            await world.assign(f"t{number}")
        world.containers.stop_gate.clear()
        for number in range(20):
            await world.want(f"t{number}", TaskState.SHUTDOWN)
        await world.assign("new")
        assert world.state("new") is TaskState.RUNNING
        world.containers.stop_gate.set()


async def test_a_port_of_the_host_is_found_when_none_was_asked_for(world: World) -> None:
    host = PortConfig(target_port=80, publish_mode=PublishMode.HOST)
    async with world.running():
        async with world.agent():
            await world.assign("t1", ports=(host,))
            status = world.store.state.tasks["t1"].status
            assert status.port_status is not None
            (given,) = status.port_status.ports
            assert given.published_port >= 32_768
            assert [port.port for port in world.ports.table] == [given.published_port]
        async with world.agent():
            assert [port.port for port in world.ports.table] == [given.published_port]


async def test_a_task_on_the_hosts_network_publishes_nothing(world: World) -> None:
    async with world.running(), world.agent():
        await world.assign("t1", ports=WEB, networks=("host",))
        assert world.state("t1") is TaskState.RUNNING
        assert world.ports.table == ()


async def test_a_few_containers_are_made_at_a_time(world: World) -> None:
    async with world.running(), world.agent():
        world.containers.gate.clear()
        for number in range(2 * WORK_AT_ONCE):
            await world.assign(f"t{number}")
        assert sum(call.startswith("create") for call in world.calls) == WORK_AT_ONCE
        world.containers.gate.set()
        await settle()
        assert all(
            task.status.state is TaskState.RUNNING for task in world.store.state.tasks.values()
        )


KEY = secret("key")
WITH_KEY = template_with(KEY)


async def use_key(world: World, task_id: str) -> None:
    """Assigns a task that names the secret."""
    spec = replace(
        WITH_KEY,
        container_spec=WITH_KEY.container_spec
        and replace(WITH_KEY.container_spec, image="hello:1"),
    )
    task = Task(id=task_id, service_id="s1", service_name="web", slot=1, spec=spec)
    await world.store.propose([Create(object=task)])
    await world._assign(task_id)


async def test_a_task_gets_its_secret_and_the_memory_on_disk_does_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running(), world.agent():
        await world.store.propose([Create(object=KEY)])
        await use_key(world, "t1")
        (file,) = world.containers.files["c-t1"]
        assert (file.path, file.data) == ("/run/secrets/key", KEY.spec.data)
        assert world.store.state.tasks["t1"].status.state is TaskState.RUNNING
    assert KEY.spec.data not in (tmp_path / "assignments").read_bytes()


async def test_without_a_manager_a_new_agent_waits_for_the_secret(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running():
        await world.store.propose([Create(object=KEY)])
        async with world.agent():
            world.containers.gate.clear()
            await use_key(world, "t1")
        world.containers.gate.set()
        world.reachable = False
        async with world.agent():
            await settle()
            assert "create t1" in world.calls
            assert "start t1" not in world.calls
            world.reachable = True
            await world.clock.advance(10)
            await settle()
            assert world.containers.files["c-t1"][0].data == KEY.spec.data


async def test_a_secret_that_is_gone_fails_the_task_by_name(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running(), world.agent():
        await use_key(world, "t1")
        status = world.store.state.tasks["t1"].status
        assert status.state is TaskState.FAILED
        assert status.err == "starting container failed: secret key not found"
