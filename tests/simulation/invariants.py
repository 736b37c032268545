"""What must hold once a cluster has settled."""

from collections import Counter

from common.model.cluster import DEFAULT_TASK_HISTORY
from common.model.service import Replicated, UpdateState
from common.model.task import Task, TaskState
from tests.simulation.actions import wanted_places
from tests.support.world import World

TERMINAL = (None, UpdateState.COMPLETED, UpdateState.ROLLBACK_COMPLETED)


def check_settled(world: World) -> None:
    """Every service runs what it should, and nothing else does."""
    state = world.state
    for service in state.services.values():
        status = service.update_status.state if service.update_status else None
        assert status in TERMINAL, f"{service.id} is {status}"
        running = Counter(map(_place, _running(world, service.id)))
        if isinstance(service.spec.mode, Replicated):
            assert sum(running.values()) == service.spec.mode.replicas, f"{service.id}: {running}"
        else:
            assert set(running) == wanted_places(service, world), f"{service.id}: {running}"
        assert all(count == 1 for count in running.values()), f"{service.id}: {running}"
        _check_history(world, service.id)
    for task in state.tasks.values():
        assert task.service_id in state.services, f"{task.id} outlives its service"
        waits = task.status.state < TaskState.RUNNING and task.desired_state <= TaskState.RUNNING
        assert not waits, f"{task.id} still waits: {task.status}"


def _running(world: World, service_id: str) -> list[Task]:
    return [
        task
        for task in world.state.tasks_of_service(service_id)
        if task.status.state == TaskState.RUNNING
    ]


def _place(task: Task) -> tuple[int, str]:
    return (task.slot, "") if task.slot else (0, task.node_id)


def _check_history(world: World, service_id: str) -> None:
    kept = Counter(map(_place, world.state.tasks_of_service(service_id)))
    assert all(count <= DEFAULT_TASK_HISTORY for count in kept.values()), f"{service_id}: {kept}"
