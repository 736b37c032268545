"""A manager's loops in one process, in virtual time, from a seed: users, failures and leaders come and go.

``SWARMD_SEEDS=1000:2000 pytest tests/simulation`` runs more seeds than the usual few; a failing seed repeats its run.
"""

import os
import random

import pytest

from common.model.task import Task, TaskState
from tests.simulation.actions import Chaos
from tests.simulation.invariants import check_settled
from tests.support.world import steady, world

ACTIONS = 25
SETTLE_SECONDS = 400
"""A stop may take a minute, and slots are updated two at a time."""


def seeds() -> range:
    first, _, end = os.environ.get("SWARMD_SEEDS", "0:12").partition(":")
    return range(int(first), int(end))


class SlowAgents:
    """Agents that take their time, and now and then fail, both drawn from the task's id."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.is_calm = False

    def __call__(self, task: Task, now: float) -> tuple[TaskState | None, float | None]:
        chance = random.Random(f"{self._seed}:{task.id}:{task.status.state}:{task.desired_state}")
        begins = max(task.status.applied_at, task.updated_at)
        ready_at = begins + chance.choice((0.0, 0.0, 0.1, 1.5))
        if task.status.state < TaskState.RUNNING and ready_at > now:
            return None, ready_at
        fails = chance.random() < 0.03 and not self.is_calm
        if (
            fails
            and task.status.state < TaskState.RUNNING
            and task.desired_state < TaskState.SHUTDOWN
        ):
            early = task.status.state < TaskState.STARTING
            return (TaskState.REJECTED if early else TaskState.FAILED), None
        return steady(task, now)


@pytest.mark.parametrize("seed", seeds())
async def test_whatever_happens_the_cluster_settles(seed: int) -> None:
    chance = random.Random(seed)
    agents = SlowAgents(seed)
    async with world(seed=seed, nodes=("m1", "m2", "m3"), behaviour=agents) as cluster:
        chaos = Chaos(cluster, chance)
        await chaos.create()
        for _ in range(ACTIONS):
            await cluster.clock.advance(chance.choice((0.0, 0.3, 2.0, 11.0)))
            await chaos.act()
        agents.is_calm = True
        await chaos.heal()
        await cluster.clock.advance(SETTLE_SECONDS)
        try:
            check_settled(cluster)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n" + "\n".join(chaos.log)) from error
