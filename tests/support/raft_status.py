"""How members see themselves, in tests that say only what matters to them."""

from dataclasses import replace

from manager.raft.peers import Peer, RaftStatus


def status_of(me: Peer, **fields: object) -> RaftStatus:
    """A follower that knows of no leader, the only member of a log of one entry, with ``fields`` laid over it."""
    status = RaftStatus(
        me=me,
        members=(me,),
        leader=None,
        is_leader=False,
        reachable=frozenset(),
        term=1,
        last_index=1,
        commit=1,
        applied=1,
        snapshot=0,
        removed=frozenset(),
    )
    return replace(status, **fields)  # type: ignore[arg-type] # they are checked where they are used
