"""What a child says of its set-up: that it is about to execute its program, or why not."""

import os

from worker.runtime.child import SIGNALLED
from worker.runtime.process import READY
from worker.runtime.refusal import SYSTEM, Refusal, decode_refusal

REPORT_MAX = 8192


class Report:
    """The pipe by which a child says that it is about to execute its program, or why not."""

    __slots__ = ("content", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.content = b""

    def read(self) -> bool:
        """Reads what is there; True at the end."""
        while self.fd >= 0:
            try:
                piece = os.read(self.fd, REPORT_MAX)
            except BlockingIOError:
                return False
            self.content = (self.content + piece)[:REPORT_MAX]
            if not piece:
                return True
        return True

    @property
    def has_executed(self) -> bool:
        """True once the end was reached and nothing went wrong before."""
        return self.content == READY or self.born > 0

    @property
    def born(self) -> int:
        """The pid of the process that was made, when another one than the child itself was; else 0."""
        pid = self.content.removeprefix(READY)
        return int(pid) if len(pid) < len(self.content) and pid.isdigit() else 0

    def refusal(self, status: int) -> Refusal:
        """Why it did not, given the status that the child ended with."""
        words = self.content.removeprefix(READY)
        if words:
            return decode_refusal(words)
        code = exit_code(status)
        hint = ": the memory limit is too small" if code == SIGNALLED + 9 else ""
        return Refusal(SYSTEM, f"the container's set-up ended with code {code}{hint}")

    def close(self) -> None:
        """Closes the pipe."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def exit_code(status: int) -> int:
    """0-255, out of what waitpid says; 128 + signal when a signal ended it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNALLED - code
