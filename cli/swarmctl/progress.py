"""Waits until a service has converged and shows how it gets there."""

import shutil
import sys
from typing import Any

import click

from cli.swarmctl.client import CannotConnectError, Client
from cli.swarmctl.convergence import Look, Verdict, judge, last_failure
from cli.swarmctl.now import Stopwatch

POLL_SECONDS = 0.1
VERIFY_SECONDS = 5.0
"""How long all tasks must run before a service without an update counts as converged (Docker's)."""
STUCK_SECONDS = 2.0
"""How long a failed slot may be without a new task before it counts as given up."""
RECONNECT_SECONDS = 15.0
"""How long swarmd may be away (a restart of it) while we wait."""
BAR_WIDTH, BAR_WIDTH_MIN = 40, 8
MAX_LINES = 20
"""Beyond so many tasks only the overall line and the errors are shown."""


def wait_for_convergence(
    client: Client,
    service_id: str,
    *,
    name: str = "",
    quiet: bool,
    rollback_asked: bool = False,
    stopwatch: Stopwatch | None = None,
) -> None:
    """Returns when the service has converged.

    Raises:
        click.ClickException: it failed, paused or was rolled back; the message says why. Exit code 1.
        CannotConnectError: swarmd is away for longer than a restart takes.
        KeyboardInterrupt: the user does not want to wait any longer, and has been told that the operation goes on.
    """
    screen = None if quiet else _Screen()
    wait = _Wait(client, service_id, screen, stopwatch or Stopwatch(), rollback_asked)
    try:
        wait.follow()
    except KeyboardInterrupt:
        _close(screen)
        _say_that_it_goes_on(name or service_id)
        raise
    except CannotConnectError:
        _close(screen)
        _say_that_it_goes_on(name or service_id)
        raise
    finally:
        _close(screen)
    if not quiet:
        click.echo(f"verify: Service {name or service_id} converged")


def _close(screen: "_Screen | None") -> None:
    if screen is not None:
        screen.close()


def _say_that_it_goes_on(name: str) -> None:
    click.echo(
        f"Operation continuing in background.\nUse `swarmctl service ps {name}` to check progress.",
        err=True,
    )


class _Wait:
    """Looks again and again until there is a verdict."""

    def __init__(
        self,
        client: Client,
        service_id: str,
        screen: "_Screen | None",
        stopwatch: Stopwatch,
        rollback_asked: bool,  # noqa: FBT001 - a private class of this module
    ) -> None:
        self._client, self._id, self._screen = client, service_id, screen
        self._stopwatch, self._rollback_asked = stopwatch, rollback_asked
        self._same: tuple[Verdict | None, float] = (None, 0.0)
        self._last_answer = stopwatch.read()

    def follow(self) -> None:
        """Returns when it has converged; raises when it will not."""
        while True:
            look = self._look()
            if look is not None:
                lasts = self._lasts(look.verdict)
                if self._screen is not None:
                    self._screen.show(look, VERIFY_SECONDS - lasts)
                if look.verdict is Verdict.CONVERGED or (
                    look.verdict is Verdict.RUNNING and lasts >= VERIFY_SECONDS
                ):
                    return
                if look.verdict is Verdict.FAILED or (
                    look.verdict is Verdict.STUCK and lasts >= STUCK_SECONDS
                ):
                    raise click.ClickException(self._reason(look))
            self._stopwatch.sleep(POLL_SECONDS)

    def _lasts(self, verdict: Verdict) -> float:
        """For how long the verdict has been this one."""
        moment = self._stopwatch.read()
        if self._same[0] is not verdict:
            self._same = (verdict, moment)
        return moment - self._same[1]

    def _look(self) -> Look | None:
        """One look, or None while swarmd is away."""
        try:
            service = self._client.get(f"/services/{self._id}")
            tasks = self._tasks('"_up-to-date":{"true":true},')
            look = judge(
                service, tasks, self._nodes(service, tasks), rollback_asked=self._rollback_asked
            )
        except CannotConnectError:
            if self._stopwatch.read() - self._last_answer > RECONNECT_SECONDS:
                raise
            return None
        self._last_answer = self._stopwatch.read()
        return look

    def _tasks(self, more: str = "") -> list[dict[str, Any]]:
        wanted = f'{{{more}"service":{{"{self._id}":true}}}}'
        found: list[dict[str, Any]] = self._client.get("/tasks", filters=wanted)
        return found

    def _nodes(self, service: dict[str, Any], tasks: list[dict[str, Any]]) -> int:
        """How many nodes a global service covers."""
        if "Global" not in service["Spec"]["Mode"]:
            return 0
        nodes = self._client.get("/nodes")
        able = {node["ID"] for node in nodes if node["Status"]["State"] == "ready"}
        return len({task["NodeID"] for task in tasks if task.get("NodeID") in able}) or len(able)

    def _reason(self, look: Look) -> str:
        if look.rolling_back and (failure := last_failure(self._tasks())):
            return look.reason if failure in look.reason else f"{look.reason}: {failure}"
        return look.reason


class _Screen:
    """On a terminal the lines are redrawn (rich); elsewhere each change is a new line."""

    def __init__(self) -> None:
        self._shown: set[str] = set()
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
            self._live = None

    def show(self, look: Look, left: float) -> None:
        """Shows one look; ``left`` is how long the tasks are still watched when all run."""
        if self._live is None:
            self._print(look)
        else:
            self._draw(look, left)

    def _print(self, look: Look) -> None:
        overall = _overall(look)
        if overall != self._last:
            self._last = overall
            click.echo(overall)
        for line in look.troubles:
            if line not in self._shown and len(self._shown) < MAX_LINES:
                self._shown.add(line)
                click.echo(line)

    def _draw(self, look: Look, left: float) -> None:
        lines = [f"rollback: {look.reason}"] if look.rolling_back and look.reason else []
        lines.append(_overall(look) + _bar(look, shutil.get_terminal_size().columns))
        lines += look.states if look.wanted <= MAX_LINES else look.troubles[:MAX_LINES]
        if look.verdict is Verdict.RUNNING:
            lines.append(
                f"verify: Waiting {max(0, round(left))} seconds to verify that tasks are stable..."
            )
        text = "\n".join(lines)
        if text == self._last:
            return
        self._last = text
        from rich.text import Text  # noqa: PLC0415 - slow to load, needed only here

        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


def _overall(look: Look) -> str:
    doing = "rolling back update: " if look.rolling_back else ""
    return f"overall progress: {doing}{look.running} out of {look.wanted} tasks"


def _bar(look: Look, columns: int) -> str:
    width = min(BAR_WIDTH, columns - len(_overall(look)) - len(" []"))
    if width < BAR_WIDTH_MIN or not look.wanted:
        return ""
    full = width * min(look.running, look.wanted) // look.wanted
    return f" [{'=' * full}{' ' * (width - full)}]"
