"""Logs on any manager: read from the nodes where this one leads, and through the leader where it does not."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Never

from common.protocol.messages import LogLine
from manager.logs.broker import LogBroker, Selection
from manager.logs.remote import RemoteLogs


class ClusterLogs:
    """What the API reads logs from, for as long as ``run`` runs."""

    def __init__(self, leads: Callable[[], bool], broker: LogBroker, remote: RemoteLogs) -> None:
        self._leads, self._broker, self._remote = leads, broker, remote

    async def run(self) -> Never:
        """Serves the connections that readers need."""
        await self._remote.run()

    def read(self, task_ids: Sequence[str], selection: Selection) -> AsyncGenerator[LogLine, None]:
        """Yields the lines of some tasks as they come; see ``LogBroker.read``.

        Raises:
            NotLeaderError: the leader has changed meanwhile; who asks again gets more.
            NoLeaderError: no manager leads.
            UnavailableError: lines are missing, and why.
        """
        if self._leads():
            return self._broker.read(task_ids, selection)
        return self._remote.read(task_ids, selection)
