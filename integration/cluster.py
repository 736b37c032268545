"""The lab's hosts for tests: each with a swarmd that is the test's own child; and what else may befall them.

with lab("demo", hosts=("m1", "m2", "m3")) as cluster:
    cluster.start()
    cluster.form(managers=("m1", "m2", "m3"))
    cluster.cut("m1", from_="m2", one_way=True)
"""

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from cli.lab import cluster
from cli.lab.links import Switch
from integration.host import Host

NETWORK = "10.124.0.0/24"


class Cluster(cluster.Cluster[Host]):
    """Hosts by name. Whatever is done to them, ``erase`` takes every trace away."""

    def __init__(
        self,
        name: str,
        directory: Path,
        hosts: Sequence[str],
        *,
        disk_bytes: int | None = None,
    ) -> None:
        """Hosts that are not there before ``make``; each on a small disk of its own when ``disk_bytes`` is given."""
        self.name, self.directory = name, directory
        switch = Switch(name, NETWORK)
        made = {
            host: Host(
                f"{name}-{host}",
                directory / host,
                link=switch.port(number, host),
                hostname=host,
                disk_bytes=disk_bytes,
            )
            for number, host in enumerate(hosts, 1)
        }
        super().__init__(switch, made)

    @property
    def running(self) -> dict[str, Host]:
        """The hosts on which a swarmd runs."""
        return {name: host for name, host in self.hosts.items() if host.process is not None}

    @override
    def erase(self) -> None:
        """Takes every trace away, also of a cluster that another process left behind."""
        super().erase()
        shutil.rmtree(self.directory, ignore_errors=True)

    @override
    def _nodes(self, host: Host) -> list[dict[str, Any]]:
        return super()._nodes(host) if host.process is not None else []

    # -------------------------------------------------------------------- what may befall them

    def kill(self, name: str) -> None:
        """Ends swarmd with SIGKILL; its containers go on."""
        self.hosts[name].stop(signal.SIGKILL)

    def kill_all(self) -> None:
        """Ends every swarmd with SIGKILL, all at once."""
        running = [host.process for host in self.hosts.values() if host.process is not None]
        for process in running:
            process.kill()
        for host in self.hosts.values():
            if host.process is not None:
                host.process.wait()
                host.process = None

    def stop(self, name: str) -> None:
        """Ends swarmd in order; its containers go on."""
        self.hosts[name].stop()

    def fill_disk(self, name: str) -> None:
        """Leaves no byte free on a host's disk (one with ``disk_bytes``)."""
        self.hosts[name].fill_disk()

    def free_disk(self, name: str) -> None:
        """Gives the space back."""
        self.hosts[name].free_disk()

    def tails(self, lines: int = 30) -> str:
        """The ends of all logs, for whoever reads of a failure."""
        return "".join(f"---- {name}:\n{host.tail(lines)}\n" for name, host in self.hosts.items())


@contextlib.contextmanager
def lab(name: str, hosts: Sequence[str], *, disk_bytes: int | None = None) -> Iterator[Cluster]:
    """Made hosts for as long as the context lasts; after a failure their logs are shown."""
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    cluster = Cluster(name, directory, hosts, disk_bytes=disk_bytes)
    try:
        cluster.make()
        yield cluster
    except BaseException:
        print(cluster.tails(), file=sys.stderr)
        raise
    finally:
        cluster.erase()
