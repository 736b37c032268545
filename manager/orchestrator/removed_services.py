"""Tasks whose service is gone: they are to be removed."""

from collections.abc import Iterable

from common.model.task import Task
from manager.orchestrator.tend import remove
from manager.store.verdict import Verdict


def decide(tasks: Iterable[Task]) -> Verdict:
    """Tells what is left of a deleted service to stop and be forgotten."""
    return Verdict(changes=remove(tasks))
