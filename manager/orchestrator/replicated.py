"""A replicated service: as many slots as it has replicas, each with one task."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, islice

from common.model.service import Replicated
from manager.orchestrator.restart import is_settled
from manager.orchestrator.slots import Slot, by_number, surplus
from manager.orchestrator.tend import fill, remove, tend
from manager.orchestrator.update import advance, is_under_way
from manager.orchestrator.view import ServiceView
from manager.store.changes import Change
from manager.store.verdict import NewId, Verdict, soonest

CREATED_PER_LOOK_MAX = 1000
"""Tasks made in one look, so that a look stays short; the next look follows at once."""


def decide(view: ServiceView, now: float, new_id: NewId) -> Verdict:
    """Which tasks of the service should exist and run."""
    if not isinstance(view.service.spec.mode, Replicated):
        return Verdict()
    replicas = view.service.spec.mode.replicas
    occupied, dead = _occupied_and_dead(by_number(view.tasks))
    missing = replicas - len(occupied)
    victims = surplus(occupied.values(), replicas) if missing < 0 else []
    given_up = {slot.number for slot in victims}
    kept = [occupied[number] for number in sorted(occupied) if number not in given_up]
    filled = list(islice(_free_slots(occupied, dead), min(max(missing, 0), CREATED_PER_LOOK_MAX)))
    forgotten = (
        [slot for slot in dead.values() if slot not in filled] if missing <= len(filled) else []
    )
    verdicts = [fill(slot, view, now, new_id) for slot in filled]
    tended = {slot.place: tend(slot, view, now, new_id) for slot in kept}
    verdicts += [verdict for verdict in tended.values() if verdict.changes or verdict.look_again_at]
    busy = {place for place, verdict in tended.items() if verdict.changes}
    verdicts.append(advance(view, kept, busy, now, new_id))
    goes_on = missing > len(filled) or (busy and is_under_way(view.service))
    return _merged(verdicts, _removal(victims, forgotten), now if goes_on else None)


def _occupied_and_dead(slots: Mapping[int, Slot]) -> tuple[dict[int, Slot], dict[int, Slot]]:
    """Slots that count as replicas, and those that hold nothing but the past.

    A slot whose last task ended and must not be restarted counts: its work is done, or given up.
    """
    occupied: dict[int, Slot] = {}
    dead: dict[int, Slot] = {}
    for number, slot in slots.items():
        (occupied if slot.wanted or is_settled(slot) else dead)[number] = slot
    return occupied, dead


def _free_slots(occupied: Mapping[int, Slot], dead: Mapping[int, Slot]) -> Iterator[Slot]:
    """Slots to fill, lowest number first; one with a past keeps it."""
    for number in count(1):
        if number not in occupied:
            yield dead.get(number) or Slot(number=number)


def _removal(victims: Iterable[Slot], forgotten: Iterable[Slot]) -> tuple[Change, ...]:
    return tuple(
        change for slot in (*victims, *forgotten) for change in remove((*slot.past, *slot.wanted))
    )


def _merged(verdicts: list[Verdict], removal: tuple[Change, ...], at: float | None) -> Verdict:
    changes = tuple(change for verdict in verdicts for change in verdict.changes)
    return Verdict(
        changes=(*removal, *changes),
        look_again_at=soonest(at, *(verdict.look_again_at for verdict in verdicts)),
    )
