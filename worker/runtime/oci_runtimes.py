"""Which runtimes make containers here: our own, and OCI runtimes on PATH."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from common.errors import InvalidInputError, NotImplementedHereError
from worker.runtime.bundle import Bundle, BundleMount

OWN: Final = "swarmd"
"""As users call our own."""
WELL_KNOWN: Final = ("crun", "runc", "youki", "runsc", "kata-runtime")
"""Told by ``docker info`` where they are installed; any other on PATH is taken by its name, too."""
INITS: Final = ("docker-init", "catatonit", "tini-static")
"""Static programs that do as the first process what ``--init`` asks for."""
INIT_TARGET: Final = "/sbin/docker-init"
NAME_MAX: Final = 64
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


def find_on_path(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name)


class Runtimes:
    """The runtimes by name."""

    def __init__(
        self, default: str = OWN, find: Callable[[str], str | None] = find_on_path
    ) -> None:
        """``default`` makes the containers that name none."""
        self.default = default or OWN
        self._find = find

    def settled(self, name: str) -> str:
        """The name of the runtime that a container which asks for ``name`` is made by.

        Raises:
            InvalidInputError: there is no such runtime.
        """
        settled = name or self.default
        self.program(settled)
        return settled

    def program(self, name: str) -> str:
        """The path of a runtime's program; "" for our own.

        Raises:
            InvalidInputError: there is no such runtime.
        """
        if name in ("", OWN):
            return ""
        found = self._find(name) if _NAME.fullmatch(name) and len(name) <= NAME_MAX else None
        if found is None:
            raise InvalidInputError(
                f"unknown or invalid runtime name: {name}",
                hint=f"{OWN}, or the name of an OCI runtime on the daemon's PATH, such as crun",
            )
        return found

    def applied(self, name: str, bundle: Bundle) -> Bundle:
        """The bundle for the runtime of that name.

        Ours is an init itself; under another one the container gets a program of the host that is one.

        Raises:
            InvalidInputError: there is no such runtime.
            NotImplementedHereError: the container wants an init, and the host has no program for it.
        """
        program = self.program(name)
        if not program:
            return bundle
        if not bundle.init:
            return replace(bundle, runtime=program)
        init = next(filter(None, map(self._find, INITS)), None)
        if init is None:
            raise NotImplementedHereError(
                f"an init under the runtime {name} needs one of {', '.join(INITS)} on the host"
            )
        mount = BundleMount(target=INIT_TARGET, source=init, read_only=True)
        return replace(
            bundle,
            runtime=program,
            init=False,
            argv=(INIT_TARGET, "--", *bundle.argv),
            mounts=(mount, *bundle.mounts),
        )

    def known(self) -> dict[str, str]:
        """Names and paths of those that are here."""
        names = dict.fromkeys((*WELL_KNOWN, self.default))
        found = {name: self._find(name) for name in names if name != OWN}
        return {OWN: ""} | {name: path for name, path in found.items() if path}
