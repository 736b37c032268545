"""Gives committed entries to the state machine, in order, for a bounded time in each turn."""

import logging
from collections.abc import Callable

from manager.raft.commands import change_of, request_and_entry
from manager.raft.making import Making
from manager.raft.member import Member
from manager.raft.waiting import Waiting

TURN_SECONDS_MAX = 0.01
"""How long entries are applied before the event loop gets its turn again."""

_log = logging.getLogger("swarmd.raft")


class Applying:
    """What is committed and not yet applied."""

    def __init__(self, member: Member, waiting: Waiting, making: Making) -> None:
        self._member, self._around = member, member.around
        self._waiting, self._making = waiting, making
        self.was_removed = False
        """Whether this member learnt that it was removed for ever."""

    def apply_what_is_committed(self, again: Callable[[], None]) -> None:
        """Applies, and asks for another turn when there is more than one turn's worth."""
        clock, member, entry_of = self._around.clock, self._member, self._member.journal.entry
        first, commit = member.applied + 1, member.commit
        if first > commit:
            return
        turn_over = clock.monotonic() + TURN_SECONDS_MAX
        for index in range(first, commit + 1):
            command = entry_of(index)[0]
            answer = self._answer_of(command, index)
            member.applied_through(index)
            self._waiting.applied(index, answer)
            if clock.monotonic() > turn_over:
                again()
                break

    def _answer_of(self, command: bytes, index: int) -> bytes:
        self._making.bytes_since += len(command)
        request = request_and_entry(command)
        if request is None:
            if change_of(command) is not None:
                self.notice_removal()
            return b""
        try:
            return self._around.machine.apply(index, *request)
        except Exception as error:
            error.add_note(f"while applying entry {index}")
            raise

    def notice_removal(self) -> None:
        """Looks whether this member was removed by what is committed."""
        member = self._member
        if self._around.me.member_id in member.configurations.at(member.commit).removed:
            self.told_removed()

    def told_removed(self) -> None:
        """This member was removed for ever: says so, once, when this turn is over."""
        if not self.was_removed:
            self.was_removed = True
            _log.warning("this manager was removed from the swarm")
            self._around.on_removed()
