"""How a cluster begins, done to the log of one member before it runs; each step durable before it returns."""

from collections.abc import Iterable

from common.errors import ConflictError
from manager.raft.commands import change_command
from manager.raft.configuration import (
    Configuration,
    OnlyMember,
    pack_configuration,
)
from manager.raft.peers import Peer
from manager.raft.storage import Opened


def found(opened: Opened, me: Peer) -> None:
    """Makes an empty log that of a new cluster of one member; one that is not empty is left as it is."""
    journal = opened.journal
    if journal.last_index == 0:
        journal.set_term(1, me.member_id)
        journal.add(change_command(OnlyMember(peer=me)), 1, 1)
        _commit_all(opened)


def found_anew(opened: Opened, me: Peer) -> None:
    """Makes of the log of a member of an old cluster that of a new one, which begins with all that it holds.

    The others are removed for ever, in a later term than any that this member has heard of.
    """
    journal = opened.journal
    term = max(journal.hard_state.term, journal.last_term) + 1
    journal.set_term(term, me.member_id)
    journal.add(change_command(OnlyMember(peer=me)), journal.last_index + 1, term)
    _commit_all(opened)


def found_from(opened: Opened, me: Peer, index: int, parts: Iterable[bytes]) -> None:
    """Makes an empty log that of a new cluster whose state is that of a snapshot.

    Raises:
        ConflictError: the log is not empty.
    """
    if opened.journal.last_index or opened.snapshots.latest is not None:
        raise ConflictError("there is a log already; a snapshot is restored into a new cluster")
    alone = pack_configuration(Configuration(members=(me,)))
    with opened.snapshots.create(index, 1, alone) as writer:
        for part in parts:
            writer.add(part)
        writer.finish()
    opened.journal.restart_after(index, 1)
    opened.journal.set_term(1, me.member_id)
    opened.journal.flush()


def _commit_all(opened: Opened) -> None:
    journal = opened.journal
    journal.set_commit(journal.last_index)
    journal.note_commit()
    journal.flush()
