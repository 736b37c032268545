"""Has a service converged? A pure judgement of one look at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

GIVE_UP_AFTER_ATTEMPTS = 3
"""A slot whose task failed this often, with none that ever ran, will not converge by waiting."""
_ACTIVE = ("new", "pending", "assigned", "accepted", "preparing", "ready", "starting")
_FAILED = ("failed", "rejected", "orphaned")


class Verdict(Enum):
    """What a look says."""

    WAITING = "waiting"
    RUNNING = "running"
    """All tasks run; still to be watched for a while."""
    CONVERGED = "converged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a service."""

    verdict: Verdict
    wanted: int
    running: int
    states: tuple[str, ...] = ()
    """A line for each slot: "1/3: starting"."""
    reason: str = ""
    """Why it failed, or what the update says."""


def judge(
    service: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
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
    latest = [max(slot, key=lambda task: str(task["CreatedAt"])) for slot in slots.values()]
    running = sum(any(_runs(task) for task in slot) for slot in slots.values())
    failure = _failure(slots)
    update = service.get("UpdateStatus") or {}
    verdict, reason = _update_verdict(update, rollback_asked=rollback_asked)
    extra = sum(_runs(task) for task in tasks) > wanted
    if verdict is None:
        done = running >= wanted and not extra
        verdict = (
            Verdict.RUNNING
            if done
            else Verdict.FAILED
            if failure and running < wanted
            else Verdict.WAITING
        )
        reason = failure if verdict is Verdict.FAILED else ""
    elif verdict is Verdict.CONVERGED and running < wanted:
        verdict = Verdict.FAILED if failure else Verdict.WAITING
        reason = failure
    elif verdict is Verdict.FAILED and failure:
        reason = f"{reason}: {failure}" if failure not in reason else reason
    states = tuple(_state_line(task, wanted) for task in sorted(latest, key=_slot_key))
    return Look(
        verdict=verdict,
        wanted=wanted,
        running=running,
        states=states,
        reason=reason or _message(update),
    )


_UPDATE_VERDICTS: dict[str, tuple[Verdict, str]] = {
    "updating": (Verdict.WAITING, ""),
    "rollback_started": (Verdict.WAITING, ""),
    "completed": (Verdict.CONVERGED, ""),
    "paused": (Verdict.FAILED, "service update paused: "),
    "rollback_paused": (Verdict.FAILED, "service rollback paused: "),
    "rollback_completed": (Verdict.FAILED, "service rolled back: "),
}


def _update_verdict(
    update: Mapping[str, Any], *, rollback_asked: bool
) -> tuple[Verdict | None, str]:
    state, message = update.get("State"), _message(update)
    if not state:
        return None, ""
    if state == "rollback_completed" and rollback_asked:
        return Verdict.CONVERGED, message
    verdict, prefix = _UPDATE_VERDICTS.get(
        state, (Verdict.FAILED, f"unknown state {state!r} of the update: ")
    )
    return verdict, prefix + message


def _message(update: Mapping[str, Any]) -> str:
    return str(update.get("Message", ""))


def _by_slot(tasks: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    slots: dict[str, list[Mapping[str, Any]]] = {}
    for task in tasks:
        slots.setdefault(str(task.get("Slot") or task.get("NodeID", "")), []).append(task)
    return slots


def _runs(task: Mapping[str, Any]) -> bool:
    return bool(task["Status"]["State"] == "running" and task["DesiredState"] == "running")


def _failure(slots: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The reason of a slot that will not come up by waiting, or nothing."""
    for slot in slots.values():
        failed = [task for task in slot if task["Status"]["State"] in _FAILED]
        hopeful = [
            task for task in slot if task["Status"]["State"] in ("running", "complete", "starting")
        ]
        waiting = [task for task in slot if task["Status"]["State"] in _ACTIVE]
        if failed and not hopeful and (len(failed) >= GIVE_UP_AFTER_ATTEMPTS or not waiting):
            last = max(failed, key=lambda task: str(task["CreatedAt"]))
            error = last["Status"].get("Err") or last["Status"].get("Message", "")
            return f"{error} ({len(failed)} attempt{'s' if len(failed) > 1 else ''})"
    return ""


def _slot_key(task: Mapping[str, Any]) -> tuple[int, str]:
    return int(task.get("Slot") or 0), str(task.get("NodeID", ""))


def _state_line(task: Mapping[str, Any], wanted: int) -> str:
    name = f"{task['Slot']}/{wanted}" if task.get("Slot") else str(task.get("NodeID", ""))[:12]
    status = task["Status"]
    error = status.get("Err", "")
    return f"{name}: {status['State']}" + (
        f" ({error})" if error and status["State"] != "running" else ""
    )
