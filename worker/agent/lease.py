"""How long this node's tasks may still run without a manager, and since when it has had none.

The moment is written down, so that an agent that is begun again knows it. The file counts only for the start of the
machine that it was written in: after another one nothing runs any more, and the lease is over until a manager answers.
It is replaced without a sync, since a machine that crashes starts anew.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.clock import BootClock
from common.codec import CodecError, decode, encode
from common.disconnect import stop_after_seconds, stop_grace_seconds
from common.files import NEW_SUFFIX
from common.model.task import Task

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether a lease has run out: also soon after the machine was suspended."""
LATE_SECONDS: Final = 1.0
"""How much later than the agent the supervisor stops a task, should the agent not be there to do it."""
KILL_LATE_SECONDS: Final = 3.0
"""The same for the kill after the grace: the agent drains ports first."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """When a manager last answered."""

    boot_id: str
    at: float


def lease_file(memory: Path) -> Path:
    """Where it is written down: beside the agent's memory."""
    return memory.with_name("last-answer")


class Lease:
    """The moment from which this node's leases count."""

    def __init__(self, file: Path, clock: BootClock) -> None:
        self._file, self._clock = file, clock
        self._boot_id = ""
        self._contact: float | None = None
        self._written: float | None = None
        self._complained = False
        self.before_renewal: Callable[[], None] = lambda: None
        """Called before the moment moves on: what ran out while everything was frozen is not renewed."""

    def load(self) -> None:
        """Takes up what an earlier agent wrote in this start of the machine.

        Raises:
            OSError: the file is there and cannot be read.
        """
        self._boot_id = self._clock.boot_id()
        self._contact = self._written = None
        try:
            known = decode(Answered, self._file.read_bytes())
        except FileNotFoundError:
            return
        except CodecError as error:
            _log.warning("when a manager last answered is not known any more: %s", error)
            return
        if known.boot_id == self._boot_id and known.at <= self._clock.seconds():
            self._contact = self._written = known.at

    def moment(self) -> float:
        """Now, for ``renew`` once what is sent now was answered."""
        return self._clock.seconds()

    def renew(self, sent_at: float) -> None:
        """A manager that leads answered what was sent at that moment. What is over by now stays so."""
        if self._contact is None or sent_at > self._contact:
            self.before_renewal()
            self._contact = sent_at

    def save(self) -> None:
        """Writes the moment down. On a full disk a later agent knows an earlier one, and stops its tasks sooner."""
        if self._contact is None or self._contact == self._written:
            return
        answered = Answered(boot_id=self._boot_id, at=self._contact)
        fresh = self._file.with_name(self._file.name + NEW_SUFFIX)
        try:
            fresh.write_bytes(encode(answered))
            fresh.replace(self._file)
        except OSError:
            if not self._complained:
                _log.exception("when a manager last answered cannot be written down")
            self._complained = True
            return
        self._written, self._complained = self._contact, False

    def left_seconds(self, task: Task | None) -> float | None:
        """How long the task may still run if no manager answers; less than 0: it is over. None: for ever."""
        after = stop_after_seconds(task.service_labels) if task is not None else None
        if after is None:
            return None
        if self._contact is None:
            return -float("inf")
        return self._contact + after - self._clock.seconds()

    def limits(self, task: Task | None) -> tuple[float, float] | None:
        """When the supervisor is to stop and to kill the task if it hears nothing more; None: never."""
        after = stop_after_seconds(task.service_labels) if task is not None else None
        if task is None or after is None or self._contact is None:
            return None
        ends = self._contact + after
        grace = stop_grace_seconds(task.spec.container_spec)
        return ends + LATE_SECONDS, ends + grace + KILL_LATE_SECONDS

    def is_over(self, task: Task | None) -> bool:
        """Whether the task must not run."""
        left = self.left_seconds(task)
        return left is not None and left <= 0

    def grace_seconds(self, task: Task | None, grace: float) -> float:
        """What is left of a stop's grace: it ends no later than a grace after the lease, however late it begins."""
        left = self.left_seconds(task)
        if task is None or left is None or left > 0:
            return grace
        return max(0.0, min(grace, left + stop_grace_seconds(task.spec.container_spec)))
