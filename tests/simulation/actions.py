"""What users, machines and managers do to a cluster, drawn from a seed."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from common.model.node import Availability, NodeState
from common.model.policies import (
    FailureAction,
    RestartCondition,
    RestartPolicy,
    UpdateConfig,
    UpdateOrder,
)
from common.model.service import Global, Replicated, Service
from common.model.task import TaskSpec, TaskState
from manager.store.changes import Create, Delete
from tests.support.builders import service, template
from tests.support.world import World

IMAGES = ("ok:1", "ok:2", "ok:3", "slow:3", "slow:20", "missing", "crash:1", "crash:8", "exit:2")
REPLICAS_MAX = 6
NODES_MAX = 5


class Chaos:
    """Draws what happens next and does it."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world, self._chance = world, chance
        self._made = 0
        self.log: list[str] = []

    async def act(self) -> None:
        """Does one thing."""
        actions: list[Callable[[], Awaitable[str]]] = [
            self.create,
            self.change,
            self.change,
            self.change,
            self.delete,
            self.node,
            self.node,
            self.kill,
            self.leader,
        ]
        what = await self._chance.choice(actions)()
        self.log.append(f"{self._world.clock.now():.1f} {what}")

    async def create(self) -> str:
        self._made += 1
        name = f"s{self._made}"
        replicas = self._chance.choice((None, 0, 1, 3, REPLICAS_MAX))
        new = replace(
            service(replicas, name=name, spec=self._template()),
            version=0,
        )
        spec = replace(new.spec, update_config=self._config(), rollback_config=self._config())
        await self._world.store.propose([Create(object=replace(new, spec=spec))])
        return f"create {name} {spec.mode} {_image(new)}"

    async def change(self) -> str:
        old = self._a_service()
        if old is None:
            return await self.create()
        if isinstance(old.spec.mode, Replicated) and self._chance.random() < 0.4:
            replicas = self._chance.randint(0, REPLICAS_MAX)
            new = await self._world.change_spec(old.id, mode=Replicated(replicas=replicas))
        else:
            new = await self._world.change_spec(
                old.id, task_template=self._template(), update_config=self._config()
            )
        return f"change {old.id} {new.spec.mode} {_image(new)} {new.spec.update_config}"

    async def delete(self) -> str:
        old = self._a_service()
        if old is None or self._chance.random() < 0.5:
            return "nothing"
        await self._world.store.propose([Delete(table="service", id=old.id)])
        return f"delete {old.id}"

    async def node(self) -> str:
        names = list(self._world.state.nodes)
        if len(names) < 2 or (len(names) < NODES_MAX and self._chance.random() < 0.2):
            name = f"m{self._chance.randint(1, 1_000_000)}"
            await self._world.add_node(name)
            return f"add {name}"
        name = self._chance.choice(names)
        if self._chance.random() < 0.1:
            await self._world.remove_node(name)
            return f"remove {name}"
        state = self._chance.choice((NodeState.READY, NodeState.READY, NodeState.DOWN))
        availability = self._chance.choice((Availability.ACTIVE, *Availability))
        await self._world.change_node(name, state=state, availability=availability)
        return f"{name} {state} {availability}"

    async def kill(self) -> str:
        running = [
            task
            for task in self._world.state.tasks.values()
            if task.status.state == TaskState.RUNNING
        ]
        if not running:
            return "nothing"
        task = self._chance.choice(running)
        await self._world.end(task, self._chance.choice((TaskState.FAILED, TaskState.COMPLETE)))
        return f"kill {task.service_id}.{task.slot}"

    async def leader(self) -> str:
        await self._world.lead()
        return "leader changes"

    async def heal(self) -> None:
        """All nodes are well, and every service is to run something that works."""
        for name in list(self._world.state.nodes):
            await self._world.change_node(
                name, state=NodeState.READY, availability=Availability.ACTIVE
            )
        if not self._world.state.nodes:
            await self._world.add_node("m0")
        calm = UpdateConfig(parallelism=2, failure_action=FailureAction.CONTINUE)
        for name in list(self._world.state.services):
            await self._world.change_spec(name, task_template=template("ok:9"), update_config=calm)

    def _a_service(self) -> Service | None:
        services = list(self._world.state.services.values())
        return self._chance.choice(services) if services else None

    def _template(self) -> TaskSpec:
        restart = RestartPolicy(
            condition=self._chance.choice(list(RestartCondition)),
            delay_seconds=self._chance.choice((None, 0.0, 2.0)),
            max_attempts=self._chance.choice((None, None, 1, 3)),
            window_seconds=self._chance.choice((None, 30.0)),
        )
        return template(
            self._chance.choice(IMAGES), restart=self._chance.choice((None, None, restart))
        )

    def _config(self) -> UpdateConfig | None:
        return self._chance.choice(
            (
                None,
                UpdateConfig(
                    parallelism=self._chance.randint(0, 3),
                    delay_seconds=self._chance.choice((0.0, 3.0)),
                    failure_action=self._chance.choice(list(FailureAction)),
                    max_failure_ratio=self._chance.choice((0.0, 0.5)),
                    order=self._chance.choice(list(UpdateOrder)),
                ),
            )
        )


def _image(of: Service) -> str:
    container = of.spec.task_template.container_spec
    return container.image if container else ""


def wanted_places(of: Service, world: World) -> set[tuple[int, str]]:
    """Where the tasks of a healthy service are."""
    match of.spec.mode:
        case Replicated(replicas=replicas):
            return {(number, "") for number in range(1, replicas + 1)}
        case Global():
            return {(0, name) for name in world.state.nodes}
        case _:
            return set()
