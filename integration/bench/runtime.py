"""What a container costs: to run one, to run a program in one, to log, to keep; beside crun and runc.

``run true`` is from asking to knowing that it has ended: here by the client of our supervisor, layers mounted and the
log written; there by the runtime's own ``run`` on a plain directory. Samples are taken in turn, ours first, in one run.
All are confined as Docker confines by default. ``run true by the API`` is create, start and wait by the Engine API,
beside the dockerd whose socket ``PEER_DOCKER_HOST`` names; without one the row says that it is absent. ``create to
running`` is the Engine API's, all containers at once, each with a network. Memory is the supervisor's growth in
proportional share (PSS): nothing else of ours stays beside it.
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from integration.bench.engine import Engine, wait
from integration.bench.fresh_process import pss_bytes
from integration.bench.oci_peer import PARENT
from integration.bench.rows import QUICK_VARIABLE, Peer, Row, row
from integration.bench.service import (
    IMAGE,
    PEER_SOCKET,
    WAITS_FOR_SIGTERM,
    archive_of_busybox,
)
from integration.bench.told import Told
from integration.host import Host
from worker.kernel.cgroupfs import find_hierarchies
from worker.runtime.bundle import Bundle, LogOptions, RootFs
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.client import RuntimeClient
from worker.runtime.seccomp_programs import seccomp_program

RUNTIMES: Final = ("crun", "runc")
PAIRS, QUICK_PAIRS = 40, 3
MANY, QUICK_MANY = (1, 50, 200), (1, 5)
KEPT, QUICK_KEPT = 50, 5
LOG_LINES, QUICK_LOG_LINES = 500_000, 5_000
AT_ONCE: Final = 8
POLL_SECONDS: Final = 0.002
MIB: Final = 1 << 20
OURS: Final = "/swarmd-bench-runtime"


def measure() -> Iterator[Row]:
    """Every row."""
    quick = bool(os.environ.get(QUICK_VARIABLE))
    directory = Path(tempfile.mkdtemp(prefix="bench-rt-"))
    try:
        _make_root(directory / "base")
        with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
            ours = _Ours(directory, runner)
            stack.callback(ours.close)
            peers = Told("integration.bench.oci_peer", [str(directory)], directory / "peers.log")
            stack.callback(_remove_groups, PARENT)
            stack.callback(peers.kill)
            yield from _in_turn(ours, peers, QUICK_PAIRS if quick else PAIRS)
            yield ours.memory(QUICK_KEPT if quick else KEPT)
            yield ours.log(QUICK_LOG_LINES if quick else LOG_LINES)
    finally:
        shutil.rmtree(directory)
    yield from _engine_rows(QUICK_MANY if quick else MANY, QUICK_PAIRS if quick else PAIRS)


def _in_turn(ours: "_Ours", peers: Told, pairs: int) -> Iterator[Row]:
    programs = {name: path for name in RUNTIMES if (path := shutil.which(name))}

    def run(number: int) -> Iterator[float]:
        yield ours.run(f"r{number}")
        for name, path in programs.items():
            yield peers.ask("run", path, f"r{name}", "true")["seconds"]
            peers.ask("delete", path, f"r{name}")

    def execute(_number: int) -> Iterator[float]:
        yield ours.exec("x")
        for name, path in programs.items():
            yield peers.ask("exec", path, f"x{name}", "true")["seconds"]

    yield from _rows("run true", run, programs, pairs)
    ours.start("x")
    for name, path in programs.items():
        peers.ask("start", path, f"x{name}", "sleep", "1000")
    yield from _rows("exec true", execute, programs, pairs)
    ours.end("x")
    for name, path in programs.items():
        peers.ask("delete", path, f"x{name}")


def _rows(
    name: str, take: Callable[[int], Iterator[float]], peers: Iterable[str], pairs: int
) -> Iterator[Row]:
    """A row beside each peer, of samples that were taken in turn."""
    taken = [list(take(number)) for number in range(pairs + 1)][1:]  # the first finds cold caches
    mine, *others = ([seconds * 1000 for seconds in column] for column in zip(*taken, strict=True))
    if not others:
        yield row("runtime", name, "ms", mine)
    for peer, samples in zip(peers, others, strict=True):
        yield row("runtime", name, "ms", mine, Peer(name=peer, samples=samples))


class _Ours:
    """Our own runtime."""

    def __init__(self, directory: Path, runner: asyncio.Runner) -> None:
        self._directory, self._runner = directory, runner
        self._client = RuntimeClient(directory / "exec", OURS)
        runner.run(self._client.open())

    def close(self) -> None:
        self._runner.run(self._client.shutdown())

    def _bundle(self, name: str, *argv: str) -> Bundle:
        home = self._directory / "ours" / name
        for part in ("upper", "work", "merged"):
            (home / part).mkdir(parents=True, exist_ok=True)
        return Bundle(
            id=name,
            rootfs=RootFs(
                lower=(str(self._directory / "base"),),
                upper=str(home / "upper"),
                work=str(home / "work"),
                merged=str(home / "merged"),
            ),
            argv=argv,
            capabilities=DEFAULT_CAPABILITIES,
            seccomp=seccomp_program("", DEFAULT_CAPABILITIES),
            log=LogOptions(path=str(home / "log")),
        )

    def run(self, name: str) -> float:
        bundle = self._bundle(name, "true")

        async def once() -> float:
            begun = time.perf_counter()
            await self._client.start(bundle)
            await self._client.wait(name)
            seconds = time.perf_counter() - begun
            await self._client.cleanup(name)
            return seconds

        return self._runner.run(once())

    def start(self, name: str) -> None:
        self._runner.run(self._client.start(self._bundle(name, "sleep", "1000")))

    def exec(self, name: str) -> float:
        begun = time.perf_counter()
        self._runner.run(
            self._client.exec(name, ["true"], timeout_seconds=10, output_max_bytes=100)
        )
        return time.perf_counter() - begun

    def end(self, name: str) -> None:
        async def all_of_it() -> None:
            await self._client.kill(name)
            await self._client.wait(name)
            await self._client.cleanup(name)

        self._runner.run(all_of_it())

    def memory(self, count: int) -> Row:
        pid = int((self._directory / "exec/supervisor.pid").read_text())
        before = pss_bytes(pid)
        names = [f"m{number}" for number in range(count)]
        for name in names:
            self.start(name)
        grown = (pss_bytes(pid) - before) / count / MIB
        for name in names:
            self.end(name)
        return row("runtime", "memory per container", "MiB", [grown])

    def log(self, lines: int) -> Row:
        bundle = self._bundle("log", "seq", "1", str(lines))
        quiet = replace(bundle.log, max_bytes=64 * MIB)

        async def once() -> float:
            begun = time.perf_counter()
            await self._client.start(replace(bundle, log=quiet))
            await self._client.wait("log")
            seconds = time.perf_counter() - begun
            await self._client.cleanup("log")
            return seconds

        rates = [lines / self._runner.run(once()) for _ in range(3)]
        return row("runtime", "log throughput", "lines/s", rates)


def _engine_rows(many: tuple[int, ...], pairs: int) -> Iterator[Row]:
    name = f"swarmd-b{os.getpid()}"
    host = Host(name, Path(tempfile.mkdtemp(prefix=f"{name}-")))
    host.options = ["--log-level", "info"]
    try:
        host.make()
        host.start()
        path = host.socket.removeprefix("unix://")
        command = f'CMD ["/bin/sh", "-c", "{WAITS_FOR_SIGTERM}"]'
        with contextlib.closing(Engine(path)) as engine:
            image = engine.import_image(archive_of_busybox(), IMAGE, command)
            yield _beside_docker(engine, image, pairs)
        for count in many:
            yield row(
                "runtime", f"create to running of {count}", "ms", [_start_many(path, image, count)]
            )
    finally:
        host.remove()


def _beside_docker(ours: Engine, image: str, pairs: int) -> Row:
    name, unit = "run true by the API", "ms"
    path = os.environ.get(PEER_SOCKET, "").removeprefix("unix://")
    if not path:
        samples = [_run_by_api(ours, image) for _ in range(pairs + 1)][1:]
        return row("runtime", name, unit, samples, Peer(name="docker", samples=()))
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(contextlib.closing(Engine(path)))
        other = peer.import_image(archive_of_busybox(), IMAGE)
        stack.callback(peer.call, "DELETE", f"/images/{IMAGE}")
        pairs_of = [(_run_by_api(ours, image), _run_by_api(peer, other)) for _ in range(pairs + 1)]
    mine, theirs = zip(*pairs_of[1:], strict=True)
    return row("runtime", name, unit, mine, Peer(name="docker", samples=theirs))


def _run_by_api(engine: Engine, image: str) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    order = {"Image": image, "Cmd": ["/bin/busybox", "true"]}
    made: str = engine.call("POST", "/containers/create", order)["Id"]
    engine.call("POST", f"/containers/{made}/start")
    engine.call("POST", f"/containers/{made}/wait")
    seconds = time.perf_counter() - begun
    engine.call("DELETE", f"/containers/{made}")
    return seconds * 1000


def _start_many(path: str, image: str, count: int) -> float:
    def start(_number: int) -> str:
        with contextlib.closing(Engine(path)) as mine:
            made: str = mine.call("POST", "/containers/create", {"Image": image})["Id"]
            mine.call("POST", f"/containers/{made}/start")
        return made

    with contextlib.closing(Engine(path)) as engine:
        begun = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = list(pool.map(start, range(count)))
        wait(
            "them to run",
            lambda: len(engine.call("GET", "/containers/json")) >= count,
            poll_seconds=POLL_SECONDS,
        )
        seconds = time.perf_counter() - begun
        for one in made:
            engine.call("DELETE", f"/containers/{one}?force=true")
    return seconds * 1000


def _make_root(base: Path) -> None:
    (base / "bin").mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox is not installed"
    shutil.copy(busybox, base / "bin/busybox")
    for applet in ("true", "sleep", "seq", "sh"):
        (base / "bin" / applet).symlink_to("busybox")


def _remove_groups(parent: str) -> None:
    found = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    for place in {*found.controllers.values(), found.unified} - {""}:
        for group in (*Path(f"{place}{parent}").glob("*/"), Path(f"{place}{parent}")):
            with contextlib.suppress(OSError):
                group.rmdir()
