"""A host whose local engine may be killed and started again, over machinery that only says so."""

from pathlib import Path
from typing import Any

from common.events import EventLog
from common.health_probes import ProbeTarget
from common.model.container_spec import ContainerSpec
from tests.support.fake_clock import FakeClock
from tests.support.fake_machinery import FakeImages, FakeNetworks, FakeRuntime, FakeVolumes
from tests.support.fake_ports import FakePorts
from worker.containers.engine import LocalEngine, Surroundings
from worker.containers.record import Container, ContainerConfig, HostOptions, RestartPolicy
from worker.containers.workshop import Machinery
from worker.images.resolved import ResolvedImage
from worker.runtime.bundle import ExecResult

IMAGE = ResolvedImage(id="sha256:" + "a" * 64, layers=("/layers/1",), cmd=("serve",))


class Machine:
    """A host whose engine may be killed and started again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock()
        self.runtime = FakeRuntime(self.clock)
        self.images = FakeImages({"web:1": IMAGE})
        self.networks, self.volumes = FakeNetworks(), FakeVolumes()
        self.ports = FakePorts()
        self.network_probes: list[tuple[int, ProbeTarget]] = []
        self.events = EventLog(self.clock)
        self._drawn = 0

    def new_id(self) -> str:
        self._drawn += 1
        return f"{self._drawn:064x}"

    def engine(self) -> LocalEngine:
        machinery = Machinery(
            runtime=self.runtime,
            images=self.images,
            networks=self.networks,
            volumes=self.volumes,
            ports=self.ports,
            network_probe=self.probe,
        )
        around = Surroundings(clock=self.clock, events=self.events, new_id=self.new_id)
        return LocalEngine(str(self.root / "data"), str(self.root / "exec"), machinery, around)

    async def probe(self, pid: int, target: ProbeTarget, _seconds: float) -> ExecResult:
        self.network_probes.append((pid, target))
        return ExecResult(code=0, output=b"")

    def told(self) -> list[str]:
        return [event.action for event in self.events.past(0, 10**12) if event.type == "container"]

    def directories(self) -> list[str]:
        return sorted(path.name for path in (self.root / "data/containers").iterdir())

    def directory(self, container: Container) -> Path:
        return self.root / "data/containers" / container.id

    def reboot(self) -> None:
        """All processes are gone, and nobody knows how they ended."""
        self.runtime.bundles.clear()
        self.runtime.pids.clear()
        self.runtime.exits.clear()
        self.runtime.frozen.clear()
        self.networks.attached.clear()


def plain(name: str = "web", **host: Any) -> ContainerConfig:
    """A container that is nobody's task."""
    return ContainerConfig(name=name, spec=ContainerSpec(image="web:1"), host=HostOptions(**host))


def restarting(policy: str, *, retries: int = 0, **host: Any) -> ContainerConfig:
    """One with a restart policy."""
    restart = RestartPolicy(name=policy, maximum_retry_count=retries)
    return plain(restart=restart, **host)
