"""Names of volumes and of directories in them: what may be."""

import re

from common.errors import InvalidInputError

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NAME_LENGTH_MAX = 255


def check_name(name: str) -> None:
    """Refuses a name that is not a volume's.

    Raises:
        InvalidInputError: in the words of Docker.
    """
    if len(name) == 1:
        raise InvalidInputError(
            "volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH_MAX:
        raise InvalidInputError(
            f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" '
            "are allowed. If you intended to pass a host directory, use absolute path"
        )


def subpath_fault(subpath: str) -> str:
    """What is wrong with the directory of a volume that a container wants, "" when nothing is."""
    if subpath.startswith("/") or ".." in subpath.split("/") or "\0" in subpath:
        return "subpath must be a relative path within the volume"
    return ""
