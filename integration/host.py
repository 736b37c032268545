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
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

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


def run(*command: str | Path, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and gives what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **more,
    )
    assert not check or done.returncode == 0, (
        f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done


class Host:
    """One host. ``start`` and ``stop`` swarmd as a power user would; ``remove`` leaves nothing."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.client = name, f"{name}-client"
        self.directory = directory
        self.data_root, self.exec_root = directory / "data", directory / "run"
        self.cgroup_parent = f"/{name}"
        self.log = directory / "swarmd.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.options: list[str] = []
        self.program: Sequence[str | Path] = ("-m", "cli.swarmd.main")

    @property
    def socket(self) -> str:
        """Where its API answers."""
        return f"unix://{self.exec_root}/swarmd.sock"

    # ------------------------------------------------------------------------------- life

    def make(self) -> None:
        """Makes the namespaces and the link between them."""
        run("ip", "netns", "add", self.name)
        run("ip", "netns", "add", self.client)
        run(
            "ip",
            "-n",
            self.name,
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.client,
        )
        for namespace, address in ((self.name, ADDRESS), (self.client, CLIENT_ADDRESS)):
            run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", namespace, "link", "set", "eth0", "up")
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.client, "route", "add", "default", "via", ADDRESS)

    def start(self) -> None:
        """Starts swarmd and waits until its API answers."""
        self.launch()
        wait_for("swarmd's API", self._answers)

    def launch(self) -> None:
        """Starts swarmd and waits for nothing."""
        command = [*self._inside(self.name), sys.executable, *map(str, self.program)]
        command += ["--data-root", str(self.data_root), "--exec-root", str(self.exec_root)]
        command += ["--cgroup-parent", self.cgroup_parent, "--log-level", "debug", *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
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
        return self.ctl("version", check=False).returncode == 0

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends swarmd with a signal; its containers go on."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process = None
        assert code == (0 if number == signal.SIGTERM else -number), (
            f"swarmd ended with {code}:\n{self.tail()}"
        )

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
            self._force_away()

    def leftovers(self) -> list[str]:
        """Mounts, cgroups, links, tables and processes that this host's swarmd made and that are still there."""
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        left = [f"mount {path}" for path in mounts if path.startswith(str(self.directory))]
        left += [f"cgroup {path}" for path in self._cgroups()]
        links = json.loads(run("ip", "-n", self.name, "-j", "link").stdout)
        left += [f"link {link['ifname']}" for link in links if link["ifname"] not in ("lo", "eth0")]
        left += [f"nft {line}" for line in self.inside("nft", "list", "tables").stdout.splitlines()]
        left += [f"process {pid}: {line}" for pid, line in self._processes()]
        return left

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

    def _force_away(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for pid, _ in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for group in self._cgroups():
            _empty_cgroup(group)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(str(self.directory)):
                run("umount", "-l", line.split()[1], check=False)
        for namespace in (self.name, self.client):
            run("ip", "netns", "del", namespace, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    # -------------------------------------------------------------------------------- use

    @staticmethod
    def _inside(namespace: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{namespace}", "--"]

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a program in the host's network."""
        return run(*self._inside(self.name), *command, check=check)

    def from_client(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a program in the client's network."""
        return run(*self._inside(self.client), *command, check=check)

    def ctl(
        self, *arguments: str, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs swarmctl."""
        return run(
            sys.executable, "-m", "cli.swarmctl.main", "-H", self.socket, *arguments,
            check=check, cwd=REPOSITORY, input=text,
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
        self.ctl("swarm", "init", "--advertise-addr", ADDRESS)

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
            "curl", "-sS", "-m", "5", f"http://{ADDRESS}:{port}/", check=check
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
        command = [*self._inside(self.client), sys.executable, "-m", "integration.load"]
        process = subprocess.Popen(
            [*command, ADDRESS, str(port), str(connections)],
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
