"""The end of a manager that can no longer keep its promises."""

import logging
import os
from collections.abc import Callable

EXIT_STATUS = 70
"""EX_SOFTWARE of sysexits(3)."""

_log = logging.getLogger("swarmd.raft")

FailStop = Callable[[str, BaseException], None]
"""Called with what went wrong; does not come back in production."""


def stop_process(reason: str, error: BaseException) -> None:
    """Ends the process at once, without another acknowledgement; containers go on running."""
    _log.critical("stopping at once: %s", reason, exc_info=error)
    logging.shutdown()
    os._exit(EXIT_STATUS)
