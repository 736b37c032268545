"""Who takes part in the replication, and how a member sees itself and the others."""

from dataclasses import dataclass

MEMBER_ID_DIGITS = 16
"""Hexadecimal digits of a member's id."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Peer:
    """One member of the replication: this one or another."""

    member_id: str
    """Fresh at each joining; one that was removed never returns."""
    node_id: str
    """The node on which it runs: the common name of its certificate."""
    address: str
    """Where its cluster listener is reached: ``host:port``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftStatus:
    """How things stand, as one member sees them at one moment."""

    me: Peer
    members: tuple[Peer, ...]
    """The latest configuration in this member's log, in the order of the ids."""
    leader: Peer | None
    """Whom this member follows (itself, when it leads); None: it knows of no leader."""
    is_leader: bool
    """Whether this member leads and has applied everything that was committed before it did."""
    reachable: frozenset[str]
    """Ids of the members that answered lately (seen by the leader), or that there is a link to; always with itself."""
    term: int
    last_index: int
    commit: int
    applied: int
    snapshot: int
    """Index through which the latest snapshot goes; 0: there is none."""
    removed: frozenset[str]
    """Ids that were removed for ever, by what is committed: whoever has one may be told so."""
    is_member: bool = False
    """Whether this member is one by what is committed: its addition cannot be reversed any more."""
    nodes: frozenset[str] = frozenset()
    """The members' nodes, by the latest configuration or by what is committed: whose votes may count."""
    removed_nodes: frozenset[str] = frozenset()
    """Nodes of members that were removed, and that have no other member since."""
