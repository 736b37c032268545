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

from cli.swarmctl.client import ApiError, CannotConnectError, Client
from integration.links import Link, Pair, inside, run

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parent.parent
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


class Host:
    """One host. ``start`` and ``stop`` swarmd as a power user would; ``remove`` leaves nothing."""

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        link: Link | None = None,
        hostname: str | None = None,
        disk_bytes: int | None = None,
    ) -> None:
        """A host beside a client of its own, or at another link; on a small disk of its own, or on the machine's."""
        self.name, self.hostname = name, hostname
        self._link = link or Pair(f"{name}-client", ADDRESS, CLIENT_ADDRESS)
        self.directory = directory
        self.data_root, self.exec_root = directory / "data", directory / "run"
        self.cgroup_parent = f"/{name}"
        self.log = directory / "swarmd.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.options: list[str] = []
        self.program: Sequence[str | Path] = ("-m", "cli.swarmd.main")
        self._disk_bytes = disk_bytes

    @property
    def address(self) -> str:
        """Where others reach it."""
        return self._link.address

    @property
    def client(self) -> str:
        """The namespace that ``from_client`` runs programs in."""
        return self._link.client

    @property
    def socket(self) -> str:
        """Where its API answers."""
        return f"unix://{self.exec_root}/swarmd.sock"

    @property
    def engine(self) -> Client:
        """Calls its API out of this process."""
        return Client(self.socket, {})

    # ------------------------------------------------------------------------------- life

    def make(self) -> None:
        """Makes its disk, its namespace, and its link to others, unless they are there."""
        if self._disk_bytes is not None and not self.data_root.is_mount():
            self.data_root.mkdir(parents=True, exist_ok=True)
            size = f"size={self._disk_bytes}"
            run("mount", "-t", "tmpfs", "-o", size, "swarmd-disk", self.data_root)
        if not Path("/run/netns", self.name).exists():
            run("ip", "netns", "add", self.name)
            run("ip", "-n", self.name, "link", "set", "lo", "up")
            self._link.plug(self.name)

    def start(self) -> None:
        """Starts swarmd and waits until its API answers; boots the host first, should its power have been cut."""
        self.launch()
        self.until_answers()

    def until_answers(self) -> None:
        """Waits until the API of a swarmd that was launched answers."""
        wait_for("swarmd's API", self._answers)

    def launch(self) -> None:
        """Starts swarmd and waits for nothing."""
        self.make()
        command = inside(self.name)
        if self.hostname:
            command += ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.hostname]
        command += [sys.executable, *map(str, self.program)]
        command += ["--data-root", str(self.data_root), "--exec-root", str(self.exec_root)]
        command += ["--cgroup-parent", self.cgroup_parent, "--log-level", "debug", *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env=_environment(),
            )

    def ended(self) -> int:
        """Waits until swarmd has ended by itself; gives its exit code."""
        assert self.process is not None
        code = self.process.wait(timeout=60)
        self.process = None
        return code

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"swarmd ended:\n{self.tail()}"
        try:
            self.engine.get("/version")
        except (CannotConnectError, ApiError):
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends swarmd with a signal; its containers go on."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process = None
        assert code == (0 if number == signal.SIGTERM else -number), (
            f"swarmd ended with {code}:\n{self.tail()}"
        )

    def pause(self) -> None:
        """Stops swarmd as if the machine held its breath; its connections stay open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused swarmd go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def power_cut(self) -> None:
        """Ends swarmd, its supervisor and its containers at once, and forgets what lives in memory only."""
        self._kill_all()
        for path in self._mounts():
            run("umount", "-l", path, check=False)
        shutil.rmtree(self.exec_root, ignore_errors=True)
        self._link.unplug()  # at once: the kernel takes its time to end a namespace
        run("ip", "netns", "del", self.name, check=False)

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
        left = [f"mount {path}" for path in self._mounts()]
        left += [f"cgroup {path}" for path in self._cgroups()]
        links = json.loads(run("ip", "-n", self.name, "-j", "link").stdout)
        left += [f"link {link['ifname']}" for link in links if link["ifname"] not in ("lo", "eth0")]
        left += [f"nft {line}" for line in self.inside("nft", "list", "tables").stdout.splitlines()]
        left += [f"process {pid}: {line}" for pid, line in self._processes()]
        return left

    def _mounts(self) -> list[str]:
        """What is mounted below its directory, the last one first; its disk left out."""
        lines = reversed(Path("/proc/mounts").read_text().splitlines())
        paths = [line.split()[1] for line in lines]
        inside_it = f"{self.directory}/"
        return [
            path for path in paths if path.startswith(inside_it) and path != str(self.data_root)
        ]

    def _cgroups(self) -> list[Path]:
        root = Path("/sys/fs/cgroup")
        parents = [root, *root.iterdir()]
        return [
            path / self.cgroup_parent[1:]
            for path in parents
            if (path / self.cgroup_parent[1:]).is_dir()
        ]

    def _processes(self) -> Iterator[tuple[int, str]]:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.exec_root) in line:
                    yield int(path.parent.name), line

    def erase(self) -> None:
        """Takes every trace of it away, whatever state it is in; also one that another process left behind."""
        self.power_cut()
        if self.data_root.is_mount():
            run("umount", "-l", self.data_root, check=False)
        self._link.erase()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _kill_all(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        for pid, _ in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for group in self._cgroups():
            _empty_cgroup(group)

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
            check=check, cwd=REPOSITORY, input=text, env=_environment(),
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

    def tail(self, lines: int = 60) -> str:
        """The end of swarmd's log."""
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
            if self.log.exists()
            else ""
        )

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


def _environment() -> dict[str, str]:
    """For programs of ours; where Python is told to keep no compiled modules here, it keeps them elsewhere.

    Compiling all of swarmd takes more than a second of a processor, at each start of each host.
    """
    environment = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY)}
    if environment.pop("PYTHONDONTWRITEBYTECODE", ""):
        compiled = Path(tempfile.gettempdir()) / "swarmd-compiled"
        environment.setdefault("PYTHONPYCACHEPREFIX", str(compiled))
    return environment


def _empty_cgroup(group: Path) -> None:
    for directory in sorted(
        [group, *(path for path in group.rglob("*") if path.is_dir())], reverse=True
    ):
        for line in (directory / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)
    end = time.monotonic() + 5
    while group.exists() and time.monotonic() < end:
        for directory in sorted(
            [group, *(path for path in group.rglob("*") if path.is_dir())], reverse=True
        ):
            with contextlib.suppress(OSError):
                directory.rmdir()
        time.sleep(0.02)
