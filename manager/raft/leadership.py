"""Who leads, as the users of the log see it: a leader counts once it has applied what was committed before it."""

import asyncio
from collections.abc import Callable

from manager.raft.member import Member


class Leadership:
    """What is known of the leader, and who waits for news of it."""

    def __init__(self, member: Member) -> None:
        self._member, self._around = member, member.around
        self.leads = asyncio.Event()
        """Set while this member leads and has applied everything that was committed before."""
        self.lost_at: float | None = member.around.clock.monotonic()
        """Since when nobody is known to lead; None: somebody is."""
        self.is_handed_over = False
        """While leadership is being handed over nothing is proposed."""
        self.on_change: Callable[[], None] = lambda: None
        """Told, before anyone who waits, that another leads, or nobody any more."""
        self._known: str | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def look(self) -> None:
        """Tells what is new."""
        member = self._member
        if member.leads and member.applied >= member.first_of_term and not self.leads.is_set():
            self.leads.set()
            self._around.on_leadership(True)  # noqa: FBT003 - the callback's one argument
        if member.leader != self._known:
            self._known = member.leader
            self.lost_at = self._around.clock.monotonic() if member.leader is None else None
            self._tell()

    def lost(self) -> None:
        """This member does not lead any more."""
        self.is_handed_over = False
        if self.leads.is_set():
            self.leads.clear()
            self._around.on_leadership(False)  # noqa: FBT003 - the callback's one argument

    def change(self) -> "asyncio.Future[None]":
        """Done when there is another leader, or none any more."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def end(self) -> None:
        """Nothing will be known any more."""
        self.lost()
        self.lost_at = float("-inf")
        self._tell()

    def _tell(self) -> None:
        self.on_change()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
