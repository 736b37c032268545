"""What comes in from the other members, given to the part that it is for."""

from collections.abc import Callable
from typing import Any

from manager.raft.applying import Applying
from manager.raft.elections import Elections
from manager.raft.following import Following
from manager.raft.installing import Installing
from manager.raft.member import Member
from manager.raft.messages import (
    Append,
    Appended,
    AskVote,
    Message,
    Removed,
    SnapshotOffer,
    SnapshotPart,
    SnapshotWanted,
    TakeOver,
    Vote,
)
from manager.raft.replication import Replication


class Reception:
    """Takes every message; those that are not the protocol's own are errands."""

    def __init__(
        self,
        member: Member,
        elections: Elections,
        following: Following,
        replication: Replication,
        installing: Installing,
        applying: Applying,
    ) -> None:
        self._member, self._around = member, member.around
        self._following, self._replication = following, replication
        self._installing, self._applying = installing, applying
        self.on_errand: Callable[[str, Message], None] = lambda _sender, _message: None
        self._handlers: dict[type, Callable[[str, Any], bool | None]] = {
            Append: self._on_append,
            Appended: self._on_appended,
            AskVote: elections.on_ask_vote,
            Vote: elections.on_vote,
            TakeOver: elections.on_take_over,
            SnapshotOffer: self._on_offer,
            SnapshotPart: self._on_part,
            SnapshotWanted: self._on_wanted,
            Removed: self._on_removed,
        }

    def take(self, sender: str, message: Message) -> bool:
        """Takes a message; who was removed for ever is told so instead. Gives whether there is anything to do now.

        There is not after a mere heartbeat and its answer, which are most of what an idle cluster says.
        """
        if self.is_removed(sender):
            self._around.links.send(sender, Removed(member_id=sender))
            return False
        return self._handlers.get(type(message), self.on_errand)(sender, message) is not False

    def is_removed(self, member_id: str) -> bool:
        """Whether that id is removed for ever, by what is committed."""
        member = self._member
        return member_id in member.configurations.at(member.commit).removed

    def _on_append(self, sender: str, append: Append) -> bool:
        member = self._member
        before = member.term, member.leader, member.commit
        if self._following.obey(sender, append.term) and not self._installing.is_restoring:
            self._following.on_append(append)
        return bool(append.entries) or (member.term, member.leader, member.commit) != before

    def _on_appended(self, sender: str, answer: Appended) -> bool:
        is_news = self._observe_term(sender, answer.term)
        return self._replication.on_appended(sender, answer) or is_news

    def _on_offer(self, sender: str, offer: SnapshotOffer) -> None:
        if self._following.obey(sender, offer.term):
            self._installing.on_offer(offer)

    def _on_part(self, sender: str, part: SnapshotPart) -> None:
        if self._following.obey(sender, part.term):
            self._installing.on_part(part)

    def _on_wanted(self, sender: str, wanted: SnapshotWanted) -> None:
        self._observe_term(sender, wanted.term)
        self._replication.on_wanted(sender, wanted)

    def _on_removed(self, sender: str, message: Removed) -> None:
        """Only members are believed: whoever was one, or never was, may not end this one."""
        if sender in self._member.voters and message.member_id == self._around.me.member_id:
            self._applying.told_removed()

    def _observe_term(self, sender: str, term: int) -> bool:
        """When a member is in a later term, this one's is over; gives whether it is."""
        is_over = term > self._member.term and sender in self._member.voters
        if is_over:
            self._member.follow(term, None)
        return is_over
