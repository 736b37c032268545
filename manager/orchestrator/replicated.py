"""A replicated service: as many slots as it has replicas, each with one task."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice

from common.disconnect import is_leased
from common.model.service import Replicated
from common.model.task import Task, TaskState
from manager.orchestrator.at_rest import slot_of, sort_out
from manager.orchestrator.restart import is_settled
from manager.orchestrator.slots import Slot, has_ended, is_running, slot_with, standing, surplus
from manager.orchestrator.tend import fill, remove, tend
from manager.orchestrator.update import advance, is_under_way
from manager.orchestrator.view import ServiceView
from manager.store.changes import Change
from manager.store.verdict import NewId, Verdict, soonest

CREATED_PER_LOOK_MAX = 500
"""Tasks made in one look, so that a look stays short; the next look follows at once."""
REMOVED_PER_LOOK_MAX = 1000
"""Slots given up in one look."""


@dataclass(frozen=True, slots=True)
class _Slots:
    """The slots of a service by what they may need."""

    resting: dict[int, Task]
    """Those with one task that is as it should be."""
    occupied: dict[int, Slot]
    """The others that count as replicas: also where the work is done, or given up."""
    dead: dict[int, Slot]
    """Those that hold nothing but the past."""

    def __len__(self) -> int:
        return len(self.resting) + len(self.occupied)

    def get(self, number: int) -> Slot:
        """The slot of that number, which counts as a replica."""
        if number in self.occupied:
            return self.occupied[number]
        return Slot(number=number, wanted=(self.resting[number],))

    def __contains__(self, number: int) -> bool:
        return number in self.resting or number in self.occupied


def decide(view: ServiceView, now: float, new_id: NewId) -> Verdict:
    """Which tasks of the service should exist and run."""
    if not isinstance(view.service.spec.mode, Replicated):
        return Verdict()
    slots = _slots(view)
    leaving = _leaving(view)
    missing = view.service.spec.mode.replicas - len(slots)
    excess = _excess(slots, view.service.spec.mode.replicas) if missing < 0 else []
    victims = [slots.get(number) for number in excess[-REMOVED_PER_LOOK_MAX:]]
    filled = list(islice(_free(slots, leaving), min(max(missing, 0), CREATED_PER_LOOK_MAX)))
    is_cut = missing > len(filled) or len(excess) > len(victims)
    given_up = set(excess)
    kept = [slot for number, slot in sorted(slots.occupied.items()) if number not in given_up]
    fills = [fill(slot, view, now, new_id) for slot in filled]
    tended = {slot.place: tend(slot, view, now, new_id) for slot in kept}
    busy = {place for place, verdict in tended.items() if verdict.changes}
    forgotten = [] if is_cut else [slot for slot in slots.dead.values() if slot not in filled]
    goes_on = is_cut or (busy and is_under_way(view.service))
    verdicts = [*fills, *tended.values(), advance(view, kept, busy, now, new_id)]
    return Verdict(
        changes=(*_removal((*victims, *forgotten)), *(c for v in verdicts for c in v.changes)),
        look_again_at=soonest(now if goes_on else None, *(v.look_again_at for v in verdicts)),
    )


def decide_some(view: ServiceView, now: float, new_id: NewId) -> Verdict:
    """What the slots whose tasks are shown need by themselves: neither their number nor an update is looked at."""
    slots = _slots(view)
    verdicts = [tend(slot, view, now, new_id) for _, slot in sorted(slots.occupied.items())]
    return Verdict(
        changes=tuple(change for verdict in verdicts for change in verdict.changes),
        look_again_at=soonest(
            now if slots.dead else None, *(verdict.look_again_at for verdict in verdicts)
        ),
    )


def _slots(view: ServiceView) -> _Slots:
    resting, others = sort_out(view.tasks, view, slot_of)
    leaving = _leaving(view)
    occupied: dict[int, Slot] = {}
    dead: dict[int, Slot] = {}
    for number, tasks in others.items():
        slot = slot_with(tasks, number=number)
        if number in leaving:
            slot = replace(slot, leaving=leaving[number])
        (occupied if slot.wanted or is_settled(slot) else dead)[number] = slot
    return _Slots(resting, occupied, dead)


def _excess(slots: _Slots, replicas: int) -> list[int]:
    resting = (
        (not is_running(task), number, task.node_id) for number, task in slots.resting.items()
    )
    return surplus((*resting, *map(standing, slots.occupied.values())), replicas)


def _free(slots: _Slots, leaving: Mapping[int, tuple[Task, ...]]) -> Iterator[Slot]:
    """Slots to fill, lowest number first; one with a past keeps it."""
    for number in count(1):
        if number not in slots:
            slot = slots.dead.get(number) or Slot(number=number, leaving=leaving.get(number, ()))
            yield slot


def _leaving(view: ServiceView) -> dict[int, tuple[Task, ...]]:
    """Tasks with a lease that are to be removed and may still run, by slot: scaled down, and soon up again."""
    found: dict[int, tuple[Task, ...]] = {}
    for task in view.tasks:
        if task.desired_state == TaskState.REMOVE and is_leased(task) and not has_ended(task):
            found[task.slot] = (*found.get(task.slot, ()), task)
    return found


def _removal(slots: Iterable[Slot]) -> tuple[Change, ...]:
    return tuple(change for slot in slots for change in remove((*slot.past, *slot.wanted)))
