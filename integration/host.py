"""A host of its own on this machine: a network namespace with a client beside it, and a swarmd in it.

```
 namespace <name>-client ──── veth ──── namespace <name>
   10.123.0.2                             10.123.0.1, swarmd, its bridge and containers
```

Nothing of it touches the machine's own network: directories, cgroup parent and namespaces are the host's own.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import override

from cli.lab import host as lab
from cli.lab.links import Link
from cli.lab.programs import REPOSITORY, environment
from integration.links import Pair, inside, run

__all__ = ["ADDRESS", "REPOSITORY", "Host", "Load", "wait_for"]
T = TypeVar("T")
COMPILED = Path(tempfile.gettempdir()) / "swarmd-compiled"
ADDRESS, CLIENT_ADDRESS = "10.123.0.1", "10.123.0.2"
DEADLINE_SECONDS = 30.0
HEALTHCHECK = (
    "HEALTHCHECK --interval=500ms --timeout=2s --start-interval=100ms --start-period=5s "
    "CMD wget -q -O /dev/null http://127.0.0.1/"
)


def wait_for(what: str, look: Callable[[], T], *, seconds: float = DEADLINE_SECONDS) -> T:
    """Looks until there is something true to see; fails, saying what was waited for, at the deadline."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}; last seen: {seen!r}"
        time.sleep(0.02)
    return seen


class Host(lab.Host):
    """One host of the lab whose swarmd is a child of the test. ``remove`` leaves nothing, and checks that."""

    program: Sequence[str | Path] = ("-m", "cli.swarmd.main")

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        link: Link | None = None,
        hostname: str = "",
        disk_bytes: int | None = None,
    ) -> None:
        """A host beside a client of its own, or at another link; on a small disk of its own, or on the machine's."""
        places = lab.Places(
            data_root=directory / "data",
            exec_root=directory / "run",
            log=directory / "swarmd.log",
            cgroup_parent=f"/{name}",
            compiled=COMPILED,
        )
        link = link or Pair(f"{name}-client", ADDRESS, CLIENT_ADDRESS)
        super().__init__(name, places, link, hostname=hostname)
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self._disk_bytes = disk_bytes

    # ------------------------------------------------------------------------------- life

    @override
    def make(self) -> None:
        """Makes its disk, too."""
        if self._disk_bytes is not None and not self.data_root.is_mount():
            self.data_root.mkdir(parents=True, exist_ok=True)
            size = f"size={self._disk_bytes}"
            run("mount", "-t", "tmpfs", "-o", size, "swarmd-disk", self.data_root)
        super().make()

    @override
    def launch(self) -> None:
        """Starts swarmd and waits for nothing."""
        self.make()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env=environment(COMPILED),
            )

    @override
    def command(self) -> list[str]:
        """Tells all, too, unless an option says otherwise: the last one counts."""
        self_options, self.options = self.options, ["--log-level", "debug", *self.options]
        try:
            return super().command()
        finally:
            self.options = self_options

    @override
    def is_alive(self) -> bool:
        """Whether the swarmd that was started runs."""
        return self.process is not None and self.process.poll() is None

    def ended(self) -> int:
        """Waits until swarmd has ended by itself; gives its exit code."""
        assert self.process is not None
        code = self.process.wait(timeout=60)
        self.process = None
        return code

    @override
    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends swarmd with a signal; its containers go on."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process = None
        assert code == (0 if number == signal.SIGTERM else -number), (
            f"swarmd ended with {code}:\n{self.tail()}"
        )

    @override
    def pause(self) -> None:
        """Stops swarmd as if the machine held its breath; its connections stay open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    @override
    def resume(self) -> None:
        """Lets a paused swarmd go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @override
    def power_cut(self) -> None:
        """Ends swarmd, its supervisor and its containers at once, and forgets what lives in memory only."""
        super().power_cut()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def fill_disk(self) -> None:
        """Leaves no byte free on its own disk."""
        assert self._disk_bytes is not None, "this host has no disk of its own"
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(64 * 1024)):
                pass
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(512)):
                pass

    def free_disk(self) -> None:
        """Gives back what ``fill_disk`` took."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.data_root / "ballast"

    def remove(self) -> None:
        """Leaves the swarm, stops swarmd, takes the namespaces away, and checks that nothing is left."""
        try:
            if self.process is None or self.process.poll() is not None:
                self.start()
            if self.ctl("info", "--format", "{{.Swarm.LocalNodeState}}").stdout.strip() == "active":
                self.ctl("swarm", "leave", "--force")
            self.stop()
            left = self.leftovers()
            assert not left, f"left behind: {left}\n{self.tail()}"
        finally:
            self.erase()

    def leftovers(self) -> list[str]:
        """Mounts, cgroups, links, tables and processes that this host's swarmd made and that are still there."""
        left = [f"mount {path}" for path in self.mounts()]
        left += [f"cgroup {path}" for path in self.cgroups()]
        links = json.loads(run("ip", "-n", self.name, "-j", "link").stdout)
        left += [f"link {link['ifname']}" for link in links if link["ifname"] not in ("lo", "eth0")]
        left += [f"nft {line}" for line in self.inside("nft", "list", "tables").stdout.splitlines()]
        left += [f"process {pid}: {line}" for pid, line in self.processes()]
        return left

    @override
    def erase(self) -> None:
        """Takes every trace of it away, whatever state it is in; also one that another process left behind."""
        self.power_cut()
        if self.data_root.is_mount():
            run("umount", "-l", self.data_root, check=False)
        super().erase()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -------------------------------------------------------------------------------- use

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a program in the host's network."""
        return run(*inside(self.name), *command, check=check)

    def from_client(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a program in the client's network."""
        return run(*inside(self.client), *command, check=check)

    def ctl(
        self, *arguments: str, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs swarmctl."""
        return run(
            sys.executable, "-m", "cli.swarmctl.main", "-H", self.socket, *arguments,
            check=check, cwd=REPOSITORY, input=text, env=environment(COMPILED),
        )  # fmt: skip

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs the real docker command line."""
        return run(
            "docker",
            *arguments,
            check=check,
            env={"DOCKER_HOST": self.socket, "PATH": os.environ["PATH"]},
        )

    def init(self) -> None:
        """Makes a swarm of this one host."""
        self.ctl("swarm", "init", "--advertise-addr", self.address)

    def import_hello(self, *versions: str) -> None:
        """Builds the example's images and imports them."""
        archive = self.directory / "hello.tar"
        with archive.open("wb") as file:
            subprocess.run([REPOSITORY / "examples/hello/build.sh"], stdout=file, check=True)
        for version in versions:
            self.ctl(
                "image", "import", "--change", 'CMD ["/serve"]', "--change", f"ENV VERSION={version}",
                "--change", HEALTHCHECK, str(archive), f"hello:{version}",
            )  # fmt: skip

    def create_hello(self, *arguments: str, version: str = "1") -> None:
        """Deploys the example's service and waits until it has converged."""
        self.ctl(
            "service", "create", "--name", "hello", "--detach", "--publish", "8080:80",
            "--env", "REPLICA={{.Task.Slot}}", "--update-order", "start-first",
            "--restart-delay", "100ms", *arguments, f"hello:{version}",
        )  # fmt: skip
        self.wait_running("hello")

    def wait_running(self, service: str, *, seconds: float = DEADLINE_SECONDS) -> None:
        """Waits until as many tasks run as are wanted."""

        def all_run() -> bool:
            state = self.ctl(
                "service", "ls", "--filter", f"name={service}", "--format", "{{.Replicas}}"
            ).stdout
            running, _, wanted = state.strip().partition("/")
            return running == wanted != ""

        wait_for(f"all tasks of {service}", all_run, seconds=seconds)

    def tasks(self, service: str, *filters: str) -> list[dict[str, Any]]:
        """The service's tasks as the API gives them."""
        wanted = {"service": [service]}
        for item in filters:
            key, _, value = item.partition("=")
            wanted.setdefault(key, []).append(value)
        found: list[dict[str, Any]] = self.api(
            "GET", f"/tasks?filters={json.dumps(wanted, separators=(',', ':'))}"
        )
        return found

    def running(self, service: str) -> list[dict[str, Any]]:
        """Its tasks that run and should."""
        return [
            task
            for task in self.tasks(service, "desired-state=running")
            if task["Status"]["State"] == "running"
        ]

    def api(self, method: str, path: str, *more: str) -> Any:
        """Calls the API with curl."""
        socket = self.socket.removeprefix("unix://")
        done = run(
            "curl",
            "-sS",
            "-g",
            "--unix-socket",
            socket,
            "-X",
            method,
            *more,
            f"http://localhost{path}",
        )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def page(self, port: int = 8080, *, check: bool = True) -> str:
        """Asks the published port from the client."""
        return self.from_client(
            "curl", "-sS", "-m", "5", f"http://{self.address}:{port}/", check=check
        ).stdout.strip()

    @override
    def tail(self, lines: int = 60) -> str:
        """The end of swarmd's log."""
        return super().tail(lines)

    @contextlib.contextmanager
    def load(self, port: int = 8080, *, connections: int = 4) -> Iterator["Load"]:
        """A steady load on a published port, from the client, for as long as the context lasts."""
        command = [*inside(self.client), sys.executable, "-m", "integration.load"]
        process = subprocess.Popen(
            [*command, self.address, str(port), str(connections)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip
        load = Load()
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "started"
            yield load
        finally:
            out, _ = process.communicate("stop\n", timeout=30)
            load.result = json.loads(out)


class Load:
    """What became of the requests; filled when the load has ended."""

    result: dict[str, Any]

    @property
    def requests(self) -> int:
        """How many were sent."""
        return int(self.result["requests"])

    @property
    def failures(self) -> Sequence[str]:
        """What went wrong."""
        return list(self.result["failures"])
