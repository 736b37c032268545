"""What holds for every cluster: deciding again changes nothing, and what must never be."""

from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings

from common.model.node import Node
from common.model.service import Replicated, Service
from common.model.task import Task, TaskState
from manager.orchestrator import constraint_enforcer, global_services, history, replicated
from manager.orchestrator.constraint_enforcer import NodeView
from manager.orchestrator.global_services import GlobalView
from manager.orchestrator.history import HistoryView
from manager.orchestrator.restart import is_settled
from manager.orchestrator.slots import by_number, has_ended
from manager.orchestrator.view import ServiceView
from manager.store.changes import Create, Update
from manager.store.state import State
from manager.store.verdict import NewId, Verdict
from tests.support.builders import NOW, applied, numbered_ids, state_of
from tests.support.clusters import clusters

Cluster = tuple[Service, list[Task], list[Node]]
Decide = Callable[[State], Verdict]
ROUNDS_MAX = 8
EXAMPLES = settings(max_examples=50, deadline=None)


def settled(cluster: Cluster, decide: Decide) -> State:
    """Decides and applies until nothing is left to do; says when that takes more than it should."""
    service, tasks, nodes = cluster
    state = state_of([service, *tasks, *nodes])
    for _ in range(ROUNDS_MAX):
        verdict = decide(state)
        applied(state, verdict.changes)
        again = decide(state)
        if not again.changes:
            assert again.look_again_at is None or again.look_again_at > NOW, "it never rests"
            return state
        expects_more = any(isinstance(change, Update) for change in verdict.changes) or (
            verdict.look_again_at is not None and verdict.look_again_at <= NOW
        )
        assert expects_more, f"decided {verdict}, then {again}"
    raise AssertionError("it never settles")


def deciding(new_id: NewId) -> Decide:
    def decide(state: State) -> Verdict:
        view = ServiceView(
            service=state.services["web"], tasks=state.tasks_of_service("web"), nodes=state.nodes
        )
        return replicated.decide(view, NOW, new_id)

    return decide


def deciding_globally(new_id: NewId) -> Decide:
    def decide(state: State) -> Verdict:
        view = GlobalView(
            service=state.services["web"],
            tasks=state.tasks_of_service("web"),
            nodes=state.nodes,
            node_ids=state.nodes,
            is_whole=True,
        )
        return global_services.decide(view, NOW, new_id)

    return decide


@EXAMPLES
@given(clusters())
def test_a_replicated_service_decided_again_changes_nothing(cluster: Cluster) -> None:
    settled(cluster, deciding(numbered_ids()))


@EXAMPLES
@given(clusters(is_global=True))
def test_a_global_service_decided_again_changes_nothing(cluster: Cluster) -> None:
    settled(cluster, deciding_globally(numbered_ids()))


@EXAMPLES
@given(clusters())
def test_as_many_slots_count_as_there_are_replicas(cluster: Cluster) -> None:
    state = settled(cluster, deciding(numbered_ids()))
    service = state.services["web"]
    assert isinstance(service.spec.mode, Replicated)
    slots = by_number(state.tasks_of_service("web")).values()
    counting = [slot for slot in slots if slot.wanted or is_settled(slot)]
    assert len(counting) == service.spec.mode.replicas


@EXAMPLES
@given(clusters())
def test_no_slot_gets_two_new_tasks_in_one_look(cluster: Cluster) -> None:
    service, tasks, nodes = cluster
    verdict = deciding(numbered_ids())(state_of([service, *tasks, *nodes]))
    made = Counter(
        change.object.slot
        for change in verdict.changes
        if isinstance(change, Create) and isinstance(change.object, Task)
    )
    assert all(count == 1 for count in made.values())


@EXAMPLES
@given(clusters())
def test_at_most_one_new_and_one_old_task_are_wanted_in_a_slot(cluster: Cluster) -> None:
    state = settled(cluster, deciding(numbered_ids()))
    for slot in by_number(state.tasks_of_service("web")).values():
        assert len([task for task in slot.wanted if not has_ended(task)]) <= 2


@EXAMPLES
@given(clusters())
def test_history_decided_again_changes_nothing(cluster: Cluster) -> None:
    def decide(state: State) -> Verdict:
        tasks = state.tasks_of_service("web")
        service = state.services["web"]
        view = HistoryView(service=service, tasks=list(tasks), nodes=state.nodes, limit=2)
        return history.decide(view)

    settled(cluster, decide)


@EXAMPLES
@given(clusters())
def test_history_never_deletes_what_may_still_run(cluster: Cluster) -> None:
    service, tasks, nodes = cluster
    state = state_of([service, *tasks, *nodes])
    view = HistoryView(service=service, tasks=tasks, nodes=state.nodes, limit=0)
    applied(state, history.decide(view).changes)
    for task in tasks:
        if task.id not in state.tasks:
            never_ran = task.status.state < TaskState.ASSIGNED
            its_node_is_gone = task.node_id not in state.nodes
            assert has_ended(task) or never_ran or its_node_is_gone
            assert task.desired_state > TaskState.RUNNING


@EXAMPLES
@given(clusters())
def test_forgetting_does_not_change_what_the_orchestrator_decides(cluster: Cluster) -> None:
    state = settled(cluster, deciding(numbered_ids()))
    view = HistoryView(
        service=state.services["web"],
        tasks=list(state.tasks_of_service("web")),
        nodes=state.nodes,
        limit=1,
    )
    applied(state, history.decide(view).changes)
    assert deciding(numbered_ids("again"))(state).changes == ()


@EXAMPLES
@given(clusters())
def test_enforced_constraints_decided_again_change_nothing(cluster: Cluster) -> None:
    def decide(state: State) -> Verdict:
        changes = [
            change
            for node in state.nodes.values()
            for change in constraint_enforcer.decide(
                NodeView(
                    node=node, tasks=list(state.tasks_of_node(node.id)), services=state.services
                ),
                NOW,
            ).changes
        ]
        return Verdict(changes=tuple(changes))

    settled(cluster, decide)
