"""The peers of the runtime's benchmark: OCI runtimes run by hand, in a process that is told what to do.

    python -m integration.bench.oci_peer DIRECTORY

The process sees only those control group hierarchies that our own runtime uses, for crun refuses a hybrid machine. A
container is what Docker makes it by default (our own ``oci_config``), but for its root, which is a plain directory:
that spares the runtimes the overlay that our own side has to mount.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from integration.bench.told import obey
from worker.kernel import syscalls
from worker.kernel.cgroups import open_cgroups
from worker.runtime.bundle import Bundle, RootFs
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.oci_config import Surroundings, oci_config
from worker.runtime.oci_json import to_json
from worker.runtime.oci_seccomp import seccomp_rules
from worker.runtime.oci_tree import show_hierarchies
from worker.runtime.order_of import start_order
from worker.runtime.users import User

PARENT = "/swarmd-bench-peers"


class Peers:
    """Runs commands of runtimes, and says how long they took."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seccomp: dict[str, Any] = {}

    async def do(self, what: str, program: str, name: str, *words: Any) -> dict[str, Any]:
        """One command: ``run`` to the end, ``start`` in the background, ``exec`` to the end, ``delete``."""
        match what:
            case "run":
                return self._timed(program, "run", "--bundle", self._bundle(name, words), name)
            case "start":
                bundle = self._bundle(name, words)
                return self._timed(program, "run", "--detach", "--bundle", bundle, name)
            case "exec":
                return self._timed(program, "exec", name, *words)
            case _:
                return self._timed(program, "delete", "--force", name)

    def _timed(self, program: str, *arguments: str) -> dict[str, Any]:
        command = [program, "--root", str(self._directory / Path(program).name), *arguments]
        null = os.open("/dev/null", os.O_RDWR)
        streams = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1)]
        begun = time.perf_counter()
        pid = os.posix_spawn(program, command, dict(os.environ), file_actions=streams)
        _, status = os.waitpid(pid, 0)
        seconds = time.perf_counter() - begun
        os.close(null)
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            raise subprocess.CalledProcessError(code, command)
        return {"seconds": seconds}

    def _bundle(self, name: str, argv: tuple[Any, ...]) -> str:
        """The directory of a container's bundle."""
        home = self._directory / name
        home.mkdir(exist_ok=True)
        root = str(self._directory / "base")
        bundle = Bundle(
            id=name,
            rootfs=RootFs(lower=(root,), upper="/", work="/", merged=root),
            argv=tuple(map(str, argv)),
            capabilities=DEFAULT_CAPABILITIES,
            seccomp_rules=seccomp_rules("", DEFAULT_CAPABILITIES),
        )
        around = Surroundings(
            root=root,
            user=User(0, 0, [], "/root"),
            cgroup_path=f"{PARENT}/{name}",
            cgroup_bind="",
            mounts=[],
            nofile=(1024, 1024),
        )
        config = oci_config(start_order(bundle), around)
        del config["annotations"]  # A filter that is compiled already: by hand nobody has one.
        (home / "config.json").write_text(to_json(config))
        return str(home)


def main() -> None:
    """Serves."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    show_hierarchies(open_cgroups(PARENT).shown)
    asyncio.run(obey(Peers(Path(sys.argv[1])).do))


if __name__ == "__main__":
    main()
