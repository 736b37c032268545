"""Exit codes of what could not be started, as shells and Docker have them. Pure."""

from common.errors import InvalidInputError, SwarmdError
from worker.runtime.programs import failure_code

UNKNOWN = 128
"""Where not the program is to blame."""


def of_failed_start(error: SwarmdError) -> int:
    """The exit code of a program that did not come to run."""
    return failure_code(error.message) if isinstance(error, InvalidInputError) else UNKNOWN
