"""A follower's side of replication: takes the leader's entries, and acknowledges what is durable of them."""

import logging
from collections.abc import Sequence

from manager.raft.elections import Elections
from manager.raft.log import LogEntry
from manager.raft.member import BrokenPromiseError, Member, Role
from manager.raft.messages import Append, Appended

_log = logging.getLogger("swarmd.raft.following")


class Following:
    """What this member does for the leader of its term."""

    def __init__(self, member: Member, elections: Elections) -> None:
        self._member, self._around, self._elections = member, member.around, elections
        self._term = 0
        """The term that what follows belongs to."""
        self._match = 0
        """Up to here this log agrees with the leader's."""
        self._acknowledged = 0
        self.round = 0
        """The latest round heard."""

    def obey(self, sender: str, term: int) -> bool:
        """Takes the sender for the leader of ``term``; False: its time is over, and it is told so.

        Raises:
            BrokenPromiseError: two lead in one term.
        """
        member = self._member
        if term < member.term:
            self._around.links.send(
                sender, Appended(term=member.term, match=0, round=0, rejected=1)
            )
            return False
        if term == member.term and (
            member.leads or (member.leader not in (None, sender) and member.role is Role.FOLLOWER)
        ):
            raise BrokenPromiseError(f"{sender} and {member.leader} both lead in term {term}")
        if term > member.term or member.leader != sender:
            member.follow(term, sender)
        if self._term != term:
            self._term, self._match, self._acknowledged, self.round = term, 0, 0, 0
        self._elections.heard_leader()
        return True

    def on_append(self, append: Append) -> None:
        """Takes entries, or a heartbeat, of the leader."""
        grown = append.round > self.round
        self.round = max(self.round, append.round)
        agrees_at = self._where_it_agrees(append)
        if agrees_at is not None:
            self._say(match=agrees_at, rejected=append.previous_index + 1)
            return
        if not self._take(append.entries, append.previous_index):
            return
        match = append.previous_index + len(append.entries)
        self._member.commit_through(min(append.commit, match))
        self._match = max(self._match, match)
        if grown or not append.entries or self._member.journal.durable >= match:
            self._acknowledge()

    def _where_it_agrees(self, append: Append) -> int | None:
        """None when the log holds the entry before the new ones; else where it may agree."""
        journal, commit = self._member.journal, self._member.commit
        previous = append.previous_index
        if previous > journal.last_index:
            return journal.last_index
        if previous <= max(commit, journal.before.index):
            return None  # what is committed stands in the log of every later leader
        term = journal.term_of(previous)
        if term == append.previous_term:
            return None
        place = previous - 1
        while place > commit and journal.term_of(place) == term:
            place -= 1
        return place

    def _take(self, entries: Sequence[LogEntry], previous: int) -> bool:
        """Adds what is not here yet, in the place of what contradicts it."""
        member, journal, rules = self._member, self._member.journal, self._around.rules
        index = previous
        for command, entry_index, term in entries:
            index += 1
            if entry_index != index:
                _log.error("entries out of order", extra={"index": entry_index, "expected": index})
                return False
            if index <= journal.before.index:
                continue
            if index <= journal.last_index:
                if not rules.is_conflict(own_term=journal.term_of(index), term=term):
                    continue
                member.cut_from(index)
            member.take(command, index, term)
        return True

    def written(self) -> None:
        """More is durable: acknowledges it."""
        member = self._member
        is_followed = member.role is Role.FOLLOWER and self._term == member.term
        if is_followed and self._durable_match() > self._acknowledged:
            self._acknowledge()

    def installed(self, index: int) -> None:
        """A snapshot of the leader's stands in the place of the log up to ``index``."""
        self._match = max(self._match, index)
        self._acknowledge()

    def _durable_match(self) -> int:
        return self._around.rules.acknowledged_index(
            match=self._match, durable=self._member.journal.durable
        )

    def _acknowledge(self) -> None:
        self._acknowledged = max(self._acknowledged, self._durable_match())
        self._say(match=self._durable_match(), rejected=0)

    def _say(self, *, match: int, rejected: int) -> None:
        if self._member.leader is not None:
            self._around.links.send(
                self._member.leader,
                Appended(term=self._member.term, match=match, round=self.round, rejected=rejected),
            )
