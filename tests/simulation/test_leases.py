"""Tasks with a lease: whatever is cut off, killed or set wrong, two copies never run, and in the end all run.

``SWARMD_SEEDS=1000:2000 pytest tests/simulation/test_leases.py`` runs more seeds than the usual few.
"""

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from common.disconnect import STOP_AFTER_LABEL
from common.model.container_spec import ContainerSpec
from common.model.node import Availability
from common.model.policies import RestartPolicy
from common.model.service import Replicated, Service, ServiceSpec
from common.model.task import Task, TaskSpec
from manager.store.changes import Create, Update
from tests.simulation.leases import LeasedCluster, leased_cluster
from tests.support.fake_clock import settle

SEEDS = "0:4"
ACTIONS = 30
STOP_AFTER_SECONDS, GRACE_SECONDS = 4.0, 2.0
REPLICAS = 2
HEAL_SECONDS = 150.0


def seeds() -> range:
    first, _, end = os.environ.get("SWARMD_SEEDS", SEEDS).partition(":")
    return range(int(first), int(end))


def service(name: str, **labels: str) -> Service:
    template = TaskSpec(
        container_spec=ContainerSpec(image="hello:1", stop_grace_period_seconds=GRACE_SECONDS),
        restart_policy=RestartPolicy(delay_seconds=0.0),
    )
    spec = ServiceSpec(
        name=name, labels=labels, mode=Replicated(replicas=REPLICAS), task_template=template
    )
    return Service(id=name, spec=spec)


class Chaos:
    def __init__(self, cluster: LeasedCluster, chance: random.Random) -> None:
        self._cluster, self._chance = cluster, chance
        self.log: list[str] = []

    async def act(self) -> None:
        name = self._chance.choice(sorted(self._cluster.workers))
        actions = (
            "cut", "cut", "heal", "heal", "lead", "lead_behind", "lead_behind", "forget",
            "kill", "start", "start", "power", "drain", "activate", "update",
        )  # fmt: skip
        what = self._chance.choice(actions)
        self.log.append(f"{self._cluster.clock.now():.2f} {what} {name}")
        await getattr(self, f"_{what}")(name)

    async def _cut(self, name: str) -> None:
        self._cluster.workers[name].cut()

    async def _heal(self, name: str) -> None:
        self._cluster.workers[name].heal()

    async def _lead(self, _name: str) -> None:
        await self._cluster.lead()
        self._cluster.forget_old()

    async def _lead_behind(self, name: str) -> None:
        """The leader is cut off from the other managers, together with a worker that it goes on answering."""
        worker, former = self._cluster.workers[name], self._cluster.leader
        worker.heal()
        await settle()
        await self._cluster.lead()
        worker.old_manager = former

    async def _forget(self, _name: str) -> None:
        self._cluster.forget_old()

    async def _kill(self, name: str) -> None:
        await self._cluster.workers[name].kill()

    async def _start(self, name: str) -> None:
        assert self._cluster.group is not None
        self._cluster.workers[name].start(self._cluster.group)

    async def _power(self, name: str) -> None:
        await self._cluster.workers[name].power_cut()

    async def _drain(self, name: str) -> None:
        await self._set(name, Availability.DRAIN)

    async def _activate(self, name: str) -> None:
        await self._set(name, Availability.ACTIVE)

    async def _set(self, name: str, availability: Availability) -> None:
        node = self._cluster.store.state.nodes[name]
        spec = replace(node.spec, availability=availability)
        await self._cluster.store.propose([Update(object=replace(node, spec=spec))])

    async def _update(self, _name: str) -> None:
        old = self._cluster.store.state.services["one"]
        template = replace(
            old.spec.task_template, force_update=old.spec.task_template.force_update + 1
        )
        spec = replace(old.spec, task_template=template)
        new = replace(old, spec=spec, previous_spec=old.spec, update_status=None)
        await self._cluster.store.propose([Update(object=new)])

    async def heal(self) -> None:
        for name, worker in self._cluster.workers.items():
            worker.heal()
            await self._start(name)
            await self._activate(name)


def _shown(task: Task) -> str:
    return (
        f"{task.service_name}.{task.slot} {task.node_id or '-'} {task.desired_state.name} "
        f"{task.status.state.name} made {task.created_at:.0f} {task.status.err}"
    )


async def run(seed: int, directory: Path) -> LeasedCluster:
    chance = random.Random(seed)
    async with leased_cluster(seed, directory) as cluster:
        cluster.checked = {"one"}
        leased = service("one", **{STOP_AFTER_LABEL: f"{STOP_AFTER_SECONDS:g}s"})
        await cluster.store.propose([Create(object=leased)])
        await cluster.store.propose([Create(object=service("web"))])
        await cluster.clock.advance(5)
        chaos = Chaos(cluster, chance)
        for _ in range(ACTIONS):
            await cluster.clock.advance(chance.choice((0.1, 1.0, 3.0, 6.0, 15.0)))
            await chaos.act()
            if cluster.worst:
                break
        if not cluster.worst:
            await chaos.heal()
            await cluster.clock.advance(HEAL_SECONDS)
            expected = {(name, str(slot)) for name in ("one", "web") for slot in (1, 2)}
            copies = cluster.copies()
            told = "\n".join([*chaos.log, *map(_shown, cluster.store.state.tasks.values())])
            assert set(copies) == expected, f"seed {seed}: {copies}\n{told}"
            assert all(len(names) == 1 for names in copies.values()), (
                f"seed {seed}: {copies}\n{told}"
            )
        cluster.worst = cluster.worst and f"seed {seed}: {cluster.worst}\n" + "\n".join(chaos.log)
    return cluster


@pytest.mark.parametrize("seed", seeds())
async def test_two_copies_of_a_task_with_a_lease_never_run(seed: int, tmp_path: Path) -> None:
    cluster = await run(seed, tmp_path)
    assert not cluster.worst, cluster.worst
