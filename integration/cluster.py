"""Hosts on this machine, each with a swarmd of its own, joined by a switch; and what may befall them.

```
 namespace NAME ── br0 10.124.0.254, the clients' place
     │ m1            │ m2            │ w1        ports of the bridge, named like the hosts
 NAME-m1          NAME-m2         NAME-w1        a namespace, directories, a cgroup parent, a host name each
   10.124.0.1       10.124.0.2      10.124.0.3
```

    with lab("demo", hosts=("m1", "m2", "m3")) as cluster:
        cluster.start()
        cluster.form(managers=("m1", "m2", "m3"))
        cluster.cut("m1", from_="m2", one_way=True)

Nothing of it touches the machine's own network. The unix socket of each host answers whatever befalls the network.
"""

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cli.swarmctl.client import ApiError, CannotConnectError
from integration.host import Host, wait_for
from integration.links import Switch

NETWORK = "10.124.0.0/24"
SWARM_PORT = 2377
LEADER_SECONDS_MAX = 30.0


class Cluster:
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
        self._switch = Switch(name, NETWORK)
        self.hosts = {
            host: Host(
                f"{name}-{host}",
                directory / host,
                link=self._switch.port(number, host),
                hostname=host,
                disk_bytes=disk_bytes,
            )
            for number, host in enumerate(hosts, 1)
        }

    def __getitem__(self, name: str) -> Host:
        """The host of that name."""
        return self.hosts[name]

    @property
    def running(self) -> dict[str, Host]:
        """The hosts on which a swarmd runs."""
        return {name: host for name, host in self.hosts.items() if host.process is not None}

    # ------------------------------------------------------------------------------- life

    def make(self) -> None:
        """Makes the switch and the hosts; no swarmd runs yet."""
        self._switch.make()
        for host in self.hosts.values():
            host.directory.mkdir(parents=True, exist_ok=True)
            host.make()

    def start(self, *names: str) -> None:
        """Starts swarmd on these hosts, or on all, side by side; returns once all answer."""
        started = [self.hosts[name] for name in names or self.hosts]
        for host in started:
            host.launch()
        for host in started:
            host.until_answers()

    def erase(self) -> None:
        """Takes every trace away, also of a cluster that another process left behind."""
        for host in self.hosts.values():
            host.erase()
        self._switch.erase()
        shutil.rmtree(self.directory, ignore_errors=True)

    # ---------------------------------------------------------------------------- as swarm

    def form(self, managers: Sequence[str], workers: Sequence[str] = ()) -> None:
        """Makes one swarm of them, on the first manager; returns once all are Ready."""
        first = self.hosts[managers[0]]
        first.init()
        for role, names in (("manager", managers[1:]), ("worker", workers)):
            if names:
                token = first.ctl("swarm", "join-token", "-q", role).stdout.strip()
                for name in names:
                    self.join(name, token, first)
        wanted = len(managers) + len(workers)
        wait_for("all nodes to be Ready", lambda: self._ready(first) == wanted)

    def join(self, name: str, token: str, through: Host) -> None:
        """Joins a host to the swarm that ``through`` manages."""
        host = self.hosts[name]
        host.ctl(
            "swarm", "join", "--advertise-addr", host.address, "--token", token,
            f"{through.address}:{SWARM_PORT}",
        )  # fmt: skip

    @staticmethod
    def _ready(host: Host) -> int:
        return sum(node["Status"]["State"] == "ready" for node in host.engine.get("/nodes"))

    def leader(self, among: Sequence[str] | None = None) -> str:
        """The name of the manager that leads, as one of these, or of all, knows it; waits until there is one."""
        return wait_for(
            "a leader", lambda: self._leader(among or tuple(self.hosts)), seconds=LEADER_SECONDS_MAX
        )

    def _leader(self, among: Sequence[str]) -> str:
        for name in among:
            with contextlib.suppress(ApiError, CannotConnectError, OSError):
                for node in self._nodes(self.hosts[name]):
                    if node.get("ManagerStatus", {}).get("Leader"):
                        return str(node["Description"]["Hostname"])
        return ""

    @staticmethod
    def _nodes(host: Host) -> list[dict[str, Any]]:
        if host.process is None:
            return []
        nodes: list[dict[str, Any]] = host.engine.get("/nodes")
        return nodes

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

    def power_cut(self, name: str) -> None:
        """Ends the whole host; ``start`` boots it again."""
        self.hosts[name].power_cut()

    def pause(self, name: str) -> None:
        """Stops swarmd as if the machine held its breath."""
        self.hosts[name].pause()

    def resume(self, name: str) -> None:
        """Lets it go on."""
        self.hosts[name].resume()

    def cut(self, name: str, *, from_: str | None = None, one_way: bool = False) -> None:
        """Cuts a host off: from another or from all. One way: it still hears them, but they do not hear it."""
        self._switch.cut(name, from_=from_, one_way=one_way)

    def heal(self) -> None:
        """Undoes every cut."""
        self._switch.heal()

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
