"""Reads that know everything committed before them: the read index.

A leader notes what is committed when a read is asked for, then asks everyone whether it still leads, by a new round in
its next messages. Once a majority has answered that round, no one else can have been elected, and so committed
anything, before the read was asked for. No clock has a part in this.
"""

from collections import deque
from collections.abc import Callable

from manager.raft.member import Member
from manager.raft.replication import Replication

Answer = Callable[[int], None]
"""Told the index through which to apply before reading; 0: this member does not lead any more."""


class Reads:
    """The reads that wait for a round."""

    def __init__(self, member: Member, replication: Replication) -> None:
        self._member, self._rules, self._replication = member, member.around.rules, replication
        self._new: list[tuple[int, Answer]] = []
        self._waiting: deque[tuple[int, int, Answer]] = deque()

    def ask(self, answer: Answer) -> None:
        """Answers once it is sure that this member led when it was asked."""
        index = self._rules.read_index(
            commit=self._member.commit, first_of_term=self._member.first_of_term
        )
        self._new.append((index, answer))

    def begin_round(self) -> None:
        """All reads that came since the last turn share one round."""
        if self._new:
            self._replication.round += 1
            begun = self._replication.round
            self._waiting.extend((begun, index, answer) for index, answer in self._new)
            self._new.clear()

    def answer_what_is_sure(self) -> None:
        """Answers the reads whose round a majority answered."""
        if not self._waiting:
            return
        round_agreed = self._replication.round_agreed()
        while self._waiting and self._rules.may_answer_read(
            round_agreed=round_agreed, round_begun=self._waiting[0][0]
        ):
            _, index, answer = self._waiting.popleft()
            answer(index)

    def end(self) -> None:
        """This member does not lead any more."""
        ended = [*(answer for _, _, answer in self._waiting), *(answer for _, answer in self._new)]
        self._waiting.clear()
        self._new.clear()
        for answer in ended:
            answer(0)
