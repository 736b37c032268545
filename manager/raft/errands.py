"""What a follower asks of the leader for those who use its log, and how the leader answers."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from common.errors import (
    ConflictError,
    NotFoundError,
    NotLeaderError,
    OutcomeUnknownError,
    SwarmdError,
    TooLargeError,
    UnavailableError,
)
from manager.raft.commands import entry_command
from manager.raft.log import Applied, check_size
from manager.raft.membership import Membership
from manager.raft.messages import (
    AskReadIndex,
    AskRemove,
    Forward,
    Forwarded,
    Message,
    ReadIndex,
)
from manager.raft.participant import Participant
from manager.raft.waiting import Outcome

ANSWER_SECONDS_MAX = 5.0
"""How long the leader's answer to a proposal or a question is waited for."""
REMOVAL_SECONDS_MAX = 15.0
ASKED_MAX = 10_000
"""Questions under way at once."""

_FAILURES = {
    kind.__name__: kind
    for kind in (
        NotLeaderError,
        OutcomeUnknownError,
        UnavailableError,
        ConflictError,
        NotFoundError,
        TooLargeError,
    )
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question under way."""

    leader: str
    answer: "asyncio.Future[Any]"
    is_for_leader: bool
    """Whether only who leads can answer it. A removal hands leadership over first, and is answered all the same."""


class Errands:
    """The questions under way, and the answers to others' questions."""

    def __init__(self, participant: Participant, membership: Membership) -> None:
        self._participant, self._membership = participant, membership
        self._around = participant.member.around
        self._numbers = count(self._around.chance.getrandbits(48))
        self._asked: dict[int, _Asked] = {}
        participant.reception.on_errand = self._take
        participant.on_link = self._link_changed
        participant.leadership.on_change = self._leader_changed

    # --------------------------------------------------------------------------------------- asking

    async def forward(
        self, leader: str, request_id: bytes, entry: bytes, index_max: int
    ) -> Applied:
        """Has the leader propose an entry.

        Raises:
            NotLeaderError: nothing was proposed: that one does not lead, or cannot be reached.
            UnavailableError: nothing was proposed: too much is under way.
            OutcomeUnknownError: no answer came.
        """
        number = next(self._numbers)
        message = Forward(number=number, request_id=request_id, entry=entry, index_max=index_max)
        answer: Forwarded = await self._ask(leader, number, message, ANSWER_SECONDS_MAX)
        _raise_failure(answer)
        return Applied(answer.index, answer.answer)

    async def read_index(self, leader: str) -> int:
        """Through where to apply before a read; 0: the one who was asked does not lead.

        Raises:
            NotLeaderError: it cannot be reached.
            OutcomeUnknownError: no answer came.
        """
        number = next(self._numbers)
        answer: ReadIndex = await self._ask(
            leader, number, AskReadIndex(number=number), ANSWER_SECONDS_MAX
        )
        return answer.index

    async def remove(self, leader: str, member_id: str, *, force: bool) -> None:
        """Has the leader remove a member.

        Raises:
            SwarmdError: what the leader answers; see ``Membership.remove``.
        """
        number = next(self._numbers)
        message = AskRemove(number=number, member_id=member_id, force=force)
        answer: Forwarded = await self._ask(leader, number, message, REMOVAL_SECONDS_MAX)
        _raise_failure(answer)

    async def _ask(self, leader: str, number: int, message: Message, seconds: float) -> Any:  # noqa: ANN401
        if len(self._asked) >= ASKED_MAX:
            raise UnavailableError("too many changes are under way", hint="try again")
        if not self._around.links.send(leader, message):
            raise NotLeaderError("the leader cannot be reached")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        for_leader = not isinstance(message, AskRemove)
        self._asked[number] = _Asked(leader, answer, for_leader)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise OutcomeUnknownError("the leader did not answer in time") from None
        finally:
            del self._asked[number]

    def _link_changed(self, peer: str) -> None:
        if not self._around.links.is_connected(peer):
            gone = [asked for asked in self._asked.values() if asked.leader == peer]
            _give_up(gone, "the link to the leader broke before it answered")

    def _leader_changed(self) -> None:
        """One that leads no more may be silent for long while its link still stands."""
        now = self._participant.member.leader
        past = [one for one in self._asked.values() if one.is_for_leader and one.leader != now]
        _give_up(past, "the leader changed before it answered")

    def _answered(self, sender: str, number: int, message: Message) -> None:
        asked = self._asked.get(number)
        if asked is not None and asked.leader == sender and not asked.answer.done():
            asked.answer.set_result(message)

    # ------------------------------------------------------------------------------------ answering

    def _take(self, sender: str, message: Message) -> None:
        match message:
            case Forwarded() | ReadIndex():
                self._answered(sender, message.number, message)
            case Forward():
                self._propose_for(sender, message)
            case AskReadIndex():
                self._read_for(sender, message.number)
            case AskRemove():
                self._remove_for(sender, message)
            case _:
                pass  # every other message is the protocol's own

    def _propose_for(self, sender: str, asked: Forward) -> None:
        try:
            check_size(asked.entry)
            outcome = self._participant.propose(
                entry_command(asked.request_id, asked.entry), asked.index_max
            )
        except SwarmdError as error:
            self._send_failure(sender, asked.number, error)
            return

        def answer(done: Outcome) -> None:
            error = done.exception()
            if error is None:
                applied = done.result()
                self._participant.replication.tell(sender)
                self._around.links.send(
                    sender,
                    Forwarded(number=asked.number, index=applied.index, answer=applied.answer),
                )
            elif isinstance(error, SwarmdError):
                self._send_failure(sender, asked.number, error)

        outcome.add_done_callback(answer)

    def _read_for(self, sender: str, number: int) -> None:
        def answer(index: int) -> None:
            self._participant.replication.tell(sender)
            self._around.links.send(sender, ReadIndex(number=number, index=index))

        if self._participant.member.leads:
            self._participant.reads.ask(answer)
        else:
            self._around.links.send(sender, ReadIndex(number=number, index=0))

    def _remove_for(self, sender: str, asked: AskRemove) -> None:
        async def remove() -> None:
            try:
                await self._membership.remove(asked.member_id, force=asked.force)
            except SwarmdError as error:
                self._send_failure(sender, asked.number, error)
            else:
                self._around.links.send(sender, Forwarded(number=asked.number))

        self._participant.spawn(remove())

    def _send_failure(self, sender: str, number: int, error: SwarmdError) -> None:
        kind = next(k for k in type(error).__mro__ if k.__name__ in _FAILURES or k is SwarmdError)
        name = kind.__name__ if kind is not SwarmdError else UnavailableError.__name__
        self._around.links.send(sender, Forwarded(number=number, failure=name, text=error.message))


def _give_up(questions: Iterable[_Asked], why: str) -> None:
    for asked in questions:
        if not asked.answer.done():
            asked.answer.set_exception(OutcomeUnknownError(why))


def _raise_failure(answer: Forwarded) -> None:
    if answer.failure:
        raise _FAILURES.get(answer.failure, UnavailableError)(answer.text)
