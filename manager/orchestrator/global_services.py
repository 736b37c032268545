"""A global service: one task on each node that qualifies."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from common.model.node import Availability, Node, NodeState
from common.model.service import Global
from manager.orchestrator.at_rest import node_of, sort_out
from manager.orchestrator.dirty import satisfies_placement
from manager.orchestrator.restart import is_settled
from manager.orchestrator.slots import Slot, slot_with
from manager.orchestrator.tend import fill, remove, stop, tend
from manager.orchestrator.update import advance, is_under_way
from manager.orchestrator.view import ServiceView
from manager.store.verdict import NewId, Verdict, soonest

CHANGED_PER_LOOK_MAX = 500
"""Nodes for which something is decided in one look, so that a look stays short; the next look follows at once."""

_NOTHING = Verdict()


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalView(ServiceView):
    """A global service with its tasks on all nodes, or on one."""

    node_ids: Collection[str]
    """The nodes looked at; ``tasks`` holds the service's tasks there."""
    is_whole: bool
    """All nodes are looked at: only then an update can take its next step."""


def decide(view: GlobalView, now: float, new_id: NewId) -> Verdict:
    """Which tasks of the service should exist and run on the nodes looked at."""
    if not isinstance(view.service.spec.mode, Global):
        return _NOTHING
    slots = _slots(view)
    verdicts: list[Verdict] = []
    busy: set[tuple[int, str]] = set()
    for _, slot in sorted(slots.items()):
        verdict = _one_node(slot, view, now, new_id)
        verdicts.append(verdict)
        if verdict.changes:
            busy.add(slot.place)
        if len(busy) >= CHANGED_PER_LOOK_MAX:
            break
    is_cut = len(busy) >= CHANGED_PER_LOOK_MAX
    if view.is_whole and not is_cut:
        verdicts.append(advance(view, _updatable(slots.values(), view), busy, now, new_id))
    goes_on = is_cut or (busy and is_under_way(view.service))
    return Verdict(
        changes=tuple(change for verdict in verdicts for change in verdict.changes),
        look_again_at=soonest(
            now if goes_on else None, *(verdict.look_again_at for verdict in verdicts)
        ),
    )


def _slots(view: GlobalView) -> dict[str, Slot]:
    """The nodes on which there may be something to do, with what they hold."""
    resting, others = sort_out(view.tasks, view, node_of)
    slots = {node_id: slot_with(tasks, node_id=node_id) for node_id, tasks in others.items()}
    for node_id, node in ((each, view.nodes.get(each)) for each in view.node_ids):
        task = resting.get(node_id)
        if node_id in slots or node is None:
            continue
        if task is None and _takes(node, view):
            slots[node_id] = Slot(node_id=node_id)
        elif task is not None and not satisfies_placement(view.service, node):
            slots[node_id] = slot_with([task], node_id=node_id)
    return slots


def _takes(node: Node, view: GlobalView) -> bool:
    """Whether the node is to get a task: a paused one keeps what it has, and gets nothing new."""
    return (
        node.spec.availability == Availability.ACTIVE
        and node.status.state != NodeState.DOWN
        and satisfies_placement(view.service, node)
    )


def _one_node(slot: Slot, view: GlobalView, now: float, new_id: NewId) -> Verdict:
    node = view.nodes.get(slot.node_id)
    if node is None:
        return Verdict(changes=remove((*slot.past, *slot.wanted)))
    if node.spec.availability == Availability.DRAIN or not satisfies_placement(view.service, node):
        return Verdict(changes=stop(slot.wanted))
    if node.status.state == NodeState.DOWN:
        return _NOTHING  # what runs there may go on, and nothing can be started
    if slot.wanted:
        return tend(slot, view, now, new_id)
    if is_settled(slot) or not _takes(node, view):
        return _NOTHING
    return fill(slot, view, now, new_id)


def _updatable(slots: Iterable[Slot], view: GlobalView) -> list[Slot]:
    """The slots that an update may touch."""
    nodes = ((slot, view.nodes.get(slot.node_id)) for slot in slots)
    return [slot for slot, node in nodes if node is not None and _takes(node, view)]
