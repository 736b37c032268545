"""Has a service converged? A pure judgement of one look at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

GIVE_UP_AFTER_ATTEMPTS = 3
"""A slot whose task failed this often, with none that runs, will not converge by waiting."""
_ACTIVE = ("new", "pending", "assigned", "accepted", "preparing", "ready", "starting")
_FAILED = ("failed", "rejected", "orphaned")
_HOPEFUL = ("running", "complete", "starting")
_SHORT_ID = 12

Task = Mapping[str, Any]


class Verdict(Enum):
    """What a look says."""

    WAITING = "waiting"
    RUNNING = "running"
    """All tasks run; still to be watched for a while."""
    CONVERGED = "converged"
    STUCK = "stuck"
    """A slot failed and nothing is under way in it: failed, if it stays so (a replacement may be being made)."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a service."""

    verdict: Verdict
    wanted: int
    running: int
    states: tuple[str, ...] = ()
    """A line for each slot: "1/3: starting"."""
    troubles: tuple[str, ...] = ()
    """Those of the lines that name an error."""
    reason: str = ""
    """Why it failed, or what the update says."""
    rolling_back: bool = False


def judge(
    service: Mapping[str, Any],
    tasks: Sequence[Task],
    nodes: int,
    *,
    rollback_asked: bool = False,
) -> Look:
    """Judges a service by its tasks of the current version (``_up-to-date``).

    Args:
        service: As ``GET /services/{id}`` gives it.
        tasks: As ``GET /tasks`` gives them.
        nodes: Nodes that a global service covers.
        rollback_asked: Whether ending rolled back is what the user wanted.
    """
    slots = _by_slot(tasks)
    replicated = service["Spec"]["Mode"].get("Replicated")
    wanted = int(replicated.get("Replicas", 1)) if replicated is not None else nodes
    running = sum(any(_runs(task) for task in slot) for slot in slots.values())
    update = service.get("UpdateStatus") or {}
    is_done = running >= wanted and sum(map(_runs, tasks)) <= wanted
    verdict, reason = _verdict(
        update, _Slots(slots), is_done=is_done, rollback_asked=rollback_asked
    )
    latest = sorted((_latest(slot) for slot in slots.values()), key=_slot_key)
    states = {_state_line(task, wanted): task for task in latest}
    return Look(
        verdict=verdict,
        wanted=wanted,
        running=running,
        states=tuple(states),
        troubles=tuple(line for line, task in states.items() if _error(task)),
        reason=reason or str(update.get("Message", "")),
        rolling_back=str(update.get("State", "")).startswith("rollback"),
    )


_ENDED_BADLY = {
    "paused": "service update paused",
    "rollback_paused": "service rollback paused",
    "rollback_completed": "service rolled back",
}


def _verdict(
    update: Mapping[str, Any], slots: "_Slots", *, is_done: bool, rollback_asked: bool
) -> tuple[Verdict, str]:
    state, message = update.get("State") or "", str(update.get("Message", ""))
    if state == "rollback_completed" and rollback_asked:
        state = "completed"
    if state in ("updating", "rollback_started"):
        return Verdict.WAITING, ""
    if state in ("", "completed"):
        if is_done:
            return (Verdict.CONVERGED if state else Verdict.RUNNING), ""
        return slots.without_hope()
    failure = last_failure(slots.tasks())
    reason = f"{_ENDED_BADLY.get(state, f'unknown state {state!r} of the update')}: {message}"
    return Verdict.FAILED, f"{reason}: {failure}" if failure else reason


class _Slots:
    """The tasks by slot."""

    def __init__(self, slots: Mapping[str, Sequence[Task]]) -> None:
        self._slots = slots

    def tasks(self) -> list[Task]:
        """All of them."""
        return [task for slot in self._slots.values() for task in slot]

    def without_hope(self) -> tuple[Verdict, str]:
        """FAILED or STUCK with the reason of a slot that waiting does not help; else WAITING."""
        stuck = ""
        for slot in self._slots.values():
            states = [task["Status"]["State"] for task in slot]
            failed = [task for task in slot if task["Status"]["State"] in _FAILED]
            if not failed or any(state in _HOPEFUL for state in states):
                continue
            reason = f"{_why(_latest(failed))} ({len(failed)} attempt{'s' * (len(failed) > 1)})"
            if len(failed) >= GIVE_UP_AFTER_ATTEMPTS:
                return Verdict.FAILED, reason
            if not any(state in _ACTIVE for state in states):
                stuck = stuck or reason
        return (Verdict.STUCK, stuck) if stuck else (Verdict.WAITING, "")


def last_failure(tasks: Sequence[Task]) -> str:
    """Why the newest of the tasks that failed did so; empty when none did.

    After a rollback the tasks of the current version are sound: the reason stands on those of the version given up.
    """
    failed = [task for task in tasks if task["Status"]["State"] in _FAILED]
    return _why(_latest(failed)) if failed else ""


def _by_slot(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    slots: dict[str, list[Task]] = {}
    for task in tasks:
        slots.setdefault(str(task.get("Slot") or task.get("NodeID", "")), []).append(task)
    return slots


def _latest(tasks: Sequence[Task]) -> Task:
    return max(tasks, key=lambda task: str(task["CreatedAt"]))


def _runs(task: Task) -> bool:
    return bool(task["Status"]["State"] == "running" and task["DesiredState"] == "running")


def _why(task: Task) -> str:
    status = task["Status"]
    return str(status.get("Err") or status.get("Message") or status["State"])


def _slot_key(task: Task) -> tuple[int, str]:
    return int(task.get("Slot") or 0), str(task.get("NodeID", ""))


def _error(task: Task) -> str:
    return "" if task["Status"]["State"] == "running" else str(task["Status"].get("Err", ""))


def _state_line(task: Task, wanted: int) -> str:
    name = (
        f"{task['Slot']}/{wanted}" if task.get("Slot") else str(task.get("NodeID", ""))[:_SHORT_ID]
    )
    error = _error(task)
    return f"{name}: {task['Status']['State']}" + (f" ({error})" if error else "")
