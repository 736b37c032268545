"""How a test's host is joined to a client of its own; and programs, whose failure is the test's."""

import subprocess
from pathlib import Path
from typing import Any

from cli.lab.programs import COMMAND_SECONDS_MAX, inside, namespaces

__all__ = ["Pair", "inside", "namespaces", "run"]


def run(*command: str | Path, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and gives what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS_MAX,
        **more,
    )
    assert not check or done.returncode == 0, (
        f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done


class Pair:
    """A client of the host's own, at the other end of a veth pair."""

    def __init__(self, client: str, address: str, client_address: str) -> None:
        self.client, self.address, self._client_address = client, address, client_address

    def plug(self, namespace: str) -> None:
        """Makes the client's namespace unless it is there, and the link."""
        if not Path("/run/netns", self.client).exists():
            run("ip", "netns", "add", self.client)
            run("ip", "-n", self.client, "link", "set", "lo", "up")
        run(
            "ip", "-n", namespace, "link", "add", "eth0", "type", "veth",
            "peer", "name", "eth0", "netns", self.client,
        )  # fmt: skip
        for name, address in ((namespace, self.address), (self.client, self._client_address)):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", self.client, "route", "add", "default", "via", self.address)

    def unplug(self) -> None:
        """Removes the link; the client stays."""
        run("ip", "-n", self.client, "link", "del", "eth0", check=False)

    def erase(self) -> None:
        """Removes the client."""
        run("ip", "netns", "del", self.client, check=False)
