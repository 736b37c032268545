"""Waits until a service has converged and shows how it gets there."""

import sys
from typing import Any

import click

from cli.swarmctl.client import Client
from cli.swarmctl.convergence import Look, Verdict, judge
from cli.swarmctl.now import monotonic, sleep

POLL_SECONDS = 0.1
VERIFY_SECONDS = 5.0
"""How long all tasks must run before a service without an update counts as converged (Docker's)."""
BAR_WIDTH = 40
MAX_LINES = 20
"""Beyond so many tasks only the overall line is shown, as Docker does."""


def wait_for_convergence(
    client: Client, service_id: str, *, quiet: bool, rollback_asked: bool = False
) -> None:
    """Returns when the service has converged.

    Raises:
        click.ClickException: it failed, paused or was rolled back; the message says why. Exit code 1.
    """
    screen = None if quiet else _Screen()
    try:
        _follow(client, service_id, screen, rollback_asked=rollback_asked)
    except KeyboardInterrupt:
        click.echo(
            f"Operation continuing in background.\nUse `swarmctl service ps {service_id}` to check progress.",
            err=True,
        )
        raise
    finally:
        if screen is not None:
            screen.close()
    if not quiet:
        click.echo("verify: Service converged")


def _follow(
    client: Client, service_id: str, screen: "_Screen | None", *, rollback_asked: bool
) -> None:
    running_since: float | None = None
    while True:
        look = _look(client, service_id, rollback_asked=rollback_asked)
        moment = monotonic()
        running_since = (running_since or moment) if look.verdict is Verdict.RUNNING else None
        left = (
            VERIFY_SECONDS - (moment - running_since)
            if running_since is not None
            else VERIFY_SECONDS
        )
        if screen is not None:
            screen.show(look, left)
        if look.verdict is Verdict.FAILED:
            raise click.ClickException(look.reason)
        if look.verdict is Verdict.CONVERGED or (running_since is not None and left <= 0):
            return
        sleep(POLL_SECONDS)


def _look(client: Client, service_id: str, *, rollback_asked: bool) -> Look:
    service = client.get(f"/services/{service_id}")
    wanted = f'{{"service":{{"{service_id}":true}},"_up-to-date":{{"true":true}}}}'
    tasks = client.get("/tasks", filters=wanted)
    nodes = 0
    if "Global" in service["Spec"]["Mode"]:
        able = {node["ID"] for node in client.get("/nodes") if node["Status"]["State"] == "ready"}
        nodes = len({task["NodeID"] for task in tasks if task.get("NodeID") in able}) or len(able)
    return judge(service, tasks, nodes, rollback_asked=rollback_asked)


class _Screen:
    """On a terminal the lines are redrawn (rich); elsewhere each change is a new line."""

    def __init__(self) -> None:
        self._last = ""
        self._live: Any = None
        if sys.stdout.isatty():
            from rich.live import Live  # noqa: PLC0415 - slow to load, needed only here

            self._live = Live(auto_refresh=False)
            self._live.start()

    def close(self) -> None:
        """Leaves the last picture standing."""
        if self._live is not None:
            self._live.stop()

    def show(self, look: Look, left: float) -> None:
        """Shows one look."""
        lines = [self._overall(look)]
        if look.wanted <= MAX_LINES and self._live is not None:
            lines += look.states
        if look.verdict is Verdict.RUNNING and self._live is not None:
            lines.append(
                f"verify: Waiting {max(0, round(left))} seconds to verify that tasks are stable..."
            )
        text = "\n".join(lines)
        if text == self._last:
            return
        self._last = text
        if self._live is None:
            click.echo(text)
            return
        from rich.text import Text  # noqa: PLC0415

        self._live.update(Text(text), refresh=True)

    def _overall(self, look: Look) -> str:
        bar = ""
        if self._live is not None and look.wanted:
            full = BAR_WIDTH * min(look.running, look.wanted) // look.wanted
            bar = f" [{'=' * full}{' ' * (BAR_WIDTH - full)}]"
        return f"overall progress: {look.running} out of {look.wanted} tasks{bar}"
