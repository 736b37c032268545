"""swarmd: the daemon."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

import uvloop

from cli.swarmd.daemon import Daemon
from cli.swarmd.options import parse_arguments
from common import descriptors
from common.errors import SwarmdError
from common.garbage import walk_old_objects_rarely
from common.log import set_up_logging

log = logging.getLogger("swarmd")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs until it is told to stop; exits 0 then, and 1 with the reason when it cannot run."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        options, path = parse_arguments(given)
    except SwarmdError as error:
        sys.exit(f"swarmd: {error}")
    if os.geteuid() != 0:
        sys.exit("swarmd: needs root: it makes namespaces, mounts, cgroups and firewall rules")
    set_up_logging(options.log_level)
    os.umask(0o022)
    descriptors.raise_limit()
    walk_old_objects_rarely()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Daemon(options, given, path).run())
    except BaseExceptionGroup as group:
        _fail(_flat(group))
    except Exception as error:  # noqa: BLE001 - told in the log's own form
        _fail([error])


def _fail(reasons: Iterable[BaseException]) -> NoReturn:
    """Says why, the mistakes of our own with where they happened; the last line of the log is the reason."""
    told = list(reasons)
    for reason in told:
        if not isinstance(reason, SwarmdError):
            log.error("something failed that should not", exc_info=reason)
    for reason in told:
        log.critical("swarmd cannot go on", extra={"reason": str(reason) or type(reason).__name__})
    sys.exit(1)


def _flat(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error


if __name__ == "__main__":
    main()
