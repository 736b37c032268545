"""Names and options of volumes: what may be."""

import re

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import Mount

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


def check_options(mount: Mount) -> None:
    """Refuses drivers and options that there are not.

    Raises:
        NotImplementedHereError: a driver besides "local", or options for it.
    """
    options = mount.volume_options
    driver = options.driver_config if options else None
    if driver is None:
        return
    if driver.name not in ("", "local"):
        raise NotImplementedHereError(
            f'error looking up volume plugin {driver.name}: plugin "{driver.name}" not found'
        )
    if driver.options:
        raise NotImplementedHereError("options of the local volume driver are not available yet")
