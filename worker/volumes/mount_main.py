"""The program that mounts a volume's content: reads what to do as JSON, does it, or says in a line why it could not.

It runs by itself, so that a server that does not answer holds up nothing else, and can be killed.
"""

import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from worker.kernel.syscalls import MS_BIND, MS_REC, MS_REMOUNT, mount, umount


def main() -> int:
    """Does what standard input says."""
    order = json.load(sys.stdin)
    flags, directory = order["flags"], order["directory"]
    try:
        mount(order["device"], directory, order["kind"], flags, order["data"])
    except OSError as error:
        return _say(error)
    try:
        if flags & MS_BIND and flags & ~(
            MS_BIND | MS_REC
        ):  # a bind takes its attributes afterwards
            mount("", directory, "", (flags | MS_REMOUNT) & ~MS_REC)
        if order["propagation"]:
            mount("", directory, "", order["propagation"])
    except OSError as error:
        umount(directory)
        return _say(error)
    return 0


def _say(error: OSError) -> int:
    reason = os.strerror(error.errno or 0)
    print(reason[:1].lower() + reason[1:], file=sys.stderr)  # noqa: T201 - its answer
    return 1


if __name__ == "__main__":
    sys.exit(main())
