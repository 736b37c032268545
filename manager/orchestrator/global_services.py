"""A global service: one task on each node that qualifies."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from common.model.node import Availability, Node
from common.model.service import Global
from manager.orchestrator.dirty import satisfies_placement
from manager.orchestrator.node_loss import takes_no_tasks
from manager.orchestrator.restart import is_settled
from manager.orchestrator.slots import Slot, by_node
from manager.orchestrator.tend import fill, remove, stop, tend
from manager.orchestrator.update import advance, is_under_way
from manager.orchestrator.view import ServiceView
from manager.store.changes import Change
from manager.store.verdict import NewId, Verdict, soonest

CREATED_PER_LOOK_MAX = 1000
"""Nodes that get a task in one look, so that a look stays short; the next look follows at once."""

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
    slots = by_node(view.tasks)
    verdicts: list[Verdict] = []
    busy: set[tuple[int, str]] = set()
    made = 0
    for node_id in sorted({*view.node_ids, *slots}):
        slot = slots.get(node_id) or Slot(node_id=node_id)
        verdict = _one_node(slot, view, now, new_id)
        if verdict is _NOTHING:
            continue
        verdicts.append(verdict)
        if verdict.changes:
            busy.add(slot.place)
        made += len(verdict.changes)
        if made >= CREATED_PER_LOOK_MAX:
            break
    if view.is_whole and made < CREATED_PER_LOOK_MAX:
        verdicts.append(advance(view, _updatable(slots.values(), view), busy, now, new_id))
    goes_on = made >= CREATED_PER_LOOK_MAX or (made and is_under_way(view.service))
    return Verdict(
        changes=tuple(change for verdict in verdicts for change in verdict.changes),
        look_again_at=soonest(
            now if goes_on else None, *(verdict.look_again_at for verdict in verdicts)
        ),
    )


def _one_node(slot: Slot, view: GlobalView, now: float, new_id: NewId) -> Verdict:
    node = view.nodes.get(slot.node_id)
    if node is None:
        return _of(remove((*slot.past, *slot.wanted)))
    if takes_no_tasks(node) or not satisfies_placement(view.service, node):
        return _of(stop(slot.wanted))
    if slot.wanted:
        verdict = tend(slot, view, now, new_id)
        return verdict if verdict.changes or verdict.look_again_at else _NOTHING
    if is_settled(slot) or node.spec.availability != Availability.ACTIVE:
        return _NOTHING
    return fill(slot, view, now, new_id)


def _of(changes: tuple[Change, ...]) -> Verdict:
    return Verdict(changes=changes) if changes else _NOTHING


def _updatable(slots: Iterable[Slot], view: GlobalView) -> list[Slot]:
    """The slots that an update may touch: a paused node keeps what it has."""
    return [slot for slot in slots if _is_updatable(view.nodes.get(slot.node_id), view)]


def _is_updatable(node: Node | None, view: GlobalView) -> bool:
    return (
        node is not None
        and node.spec.availability == Availability.ACTIVE
        and not takes_no_tasks(node)
        and satisfies_placement(view.service, node)
    )
