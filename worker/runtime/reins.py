"""Holding containers that run back: standing still, going on, and other limits. The supervisor's part of it."""

from worker.kernel.cgroupfs import Limits
from worker.runtime import wire
from worker.runtime.refusal import CONFLICT, NOT_FOUND, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from worker.kernel.cgroupfs import Cgroups
    from worker.runtime.connections import Request, Verb


class Reins:
    """The verbs; the kernel keeps what they did, so that they need no memory."""

    def __init__(self, cgroups: "Cgroups", check_running: "Callable[[str], object]") -> None:
        self._cgroups = cgroups
        self._check_running = check_running
        """Raises a refusal for a container that does not run."""

    def verbs(self) -> "dict[str, Verb]":
        """What clients can ask for."""
        return {wire.PAUSE: self._pause, wire.RESUME: self._resume, wire.LIMIT: self._limit}

    def _pause(self, request: "Request", container_id: "Any") -> None:  # noqa: ANN401 - from the wire
        """Answers whether all stand still by now: the client asks again."""
        self._check_running(container_id)
        request.answer(self._cgroups.freeze(container_id))

    def _resume(self, request: "Request", container_id: "Any") -> None:  # noqa: ANN401
        self._check_running(container_id)
        self._cgroups.thaw(container_id)
        request.answer()

    def _limit(self, request: "Request", arguments: "Any") -> None:  # noqa: ANN401
        container_id, limits = arguments
        self._check_running(container_id)
        try:
            self._cgroups.update(container_id, Limits(limits))
        except FileNotFoundError as error:
            if self._cgroups.processes(container_id):
                raise
            raise Refusal(NOT_FOUND, f"container {container_id} is not running") from error
        request.answer()

    def check_moving(self, container_id: str) -> None:
        """A process that were started among frozen ones would not come to run.

        Raises:
            Refusal: the container is paused.
        """
        if self._cgroups.is_frozen(container_id):
            words = f"container {container_id} is paused, unpause the container before exec"
            raise Refusal(CONFLICT, words)
