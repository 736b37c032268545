"""One member's state on a disk in memory, with links that only take down what is sent."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from manager.raft.commands import change_command, entry_command
from manager.raft.configuration import AddMember, OnlyMember
from manager.raft.journal import Journal
from manager.raft.log import LogEntry
from manager.raft.member import Member
from manager.raft.messages import Message
from manager.raft.peers import Peer
from manager.raft.rules import Rules
from manager.raft.seal import Seal
from manager.raft.surroundings import Surroundings
from tests.support.fake_clock import FakeClock
from tests.support.power_loss import Disk


def peer(name: str) -> Peer:
    return Peer(member_id=name, node_id=f"node-{name}", address=f"{name}:2377")


def entry(index: int, term: int) -> LogEntry:
    return entry_command(index.to_bytes(16, "big"), b"%d in %d" % (index, term)), index, term


def entries(first: int, *terms: int) -> list[LogEntry]:
    return [entry(first + place, term) for place, term in enumerate(terms)]


class SentLinks:
    """Links that reach everyone and bring nothing back."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []

    def start(
        self, receive: Callable[[str, Message], None], changed: Callable[[str], None]
    ) -> None: ...

    def set_peers(self, addresses: Mapping[str, str]) -> None: ...

    def send(self, member_id: str, message: Message) -> bool:
        self.sent.append((member_id, message))
        return True

    def is_connected(self, member_id: str) -> bool:
        return True

    async def stop(self) -> None: ...


class NoMachine:
    """A state machine that is never asked."""

    def apply(self, index: int, request_id: bytes, entry: bytes) -> bytes:
        raise NotImplementedError

    def snapshot(self) -> Iterator[bytes]:
        raise NotImplementedError

    def restore(self, parts: Iterable[bytes]) -> Callable[[], None]:
        raise NotImplementedError


class LoneMember:
    """Member ``a`` of some, and what it says."""

    def __init__(
        self,
        *names: str,
        terms: Sequence[int] = (),
        term: int = 1,
        vote: str = "",
        commit: int = 0,
        rules: Rules | None = None,
    ) -> None:
        """Its log holds the members' additions, in term 1, and then entries of such terms."""
        self.disk = Disk(random.Random(1))
        self.clock, self.links = FakeClock(), SentLinks()
        journal = Journal.open(self.disk.directory(), Seal(b"k" * 32))
        for place, name in enumerate(names):
            change = OnlyMember(peer=peer(name)) if place == 0 else AddMember(peer=peer(name))
            journal.add(change_command(change), place + 1, 1)
        for command, index, entry_term in entries(len(names) + 1, *terms):
            journal.add(command, index, entry_term)
        journal.set_term(term, vote)
        journal.set_commit(commit)
        journal.flush()
        self.member = Member(
            Surroundings(
                me=peer("a"),
                machine=NoMachine(),
                links=self.links,
                clock=self.clock,
                chance=random.Random(1),
                rules=rules or Rules(),
            ),
            journal,
        )

    def terms(self, first: int = 1) -> list[int]:
        return [term for _, index, term in self.member.journal.entries if index >= first]

    def durable(self) -> tuple[int, str]:
        """Term and vote as they would be found after the power failed now."""
        self.disk.lose_power()
        found = Journal.open(self.disk.directory(), Seal(b"k" * 32)).hard_state
        return found.term, found.vote

    def said(self) -> list[tuple[str, Message]]:
        sent, self.links.sent = self.links.sent, []
        return sent
