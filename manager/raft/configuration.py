"""Who the members are: a value, what changes it, and how it came to be along the log."""

from bisect import bisect_right
from dataclasses import dataclass, replace

from common.codec import decode, encode, tagged
from common.errors import ConflictError, NotFoundError
from manager.raft.peers import Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The members at some place in the log, and the ids that may never be members again."""

    members: tuple[Peer, ...] = ()
    """In the order of their ids."""
    removed: frozenset[str] = frozenset()
    removed_nodes: frozenset[str] = frozenset()
    """The nodes of members that were removed and have no other member since: their certificates may still be valid."""

    @property
    def ids(self) -> frozenset[str]:
        """The members' ids."""
        return frozenset(peer.member_id for peer in self.members)

    def peer(self, member_id: str) -> Peer | None:
        """The member of that id."""
        return next((peer for peer in self.members if peer.member_id == member_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMember:
    """One more member; one that is there already gets another address."""

    peer: Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMember:
    """One member less, for ever."""

    member_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlyMember:
    """This one alone: a new cluster, or a new one forced out of what is left of an old one."""

    peer: Peer


Change = AddMember | RemoveMember | OnlyMember

tagged(AddMember, RemoveMember, OnlyMember)


def changed(configuration: Configuration, change: Change) -> Configuration:
    """The configuration after a change; a change that changes nothing leaves it alone."""
    match change:
        case AddMember(peer=peer):
            others = [m for m in configuration.members if m.member_id != peer.member_id]
            return replace(
                configuration,
                members=tuple(sorted([*others, peer])),
                removed_nodes=configuration.removed_nodes - {peer.node_id},
            )
        case RemoveMember(member_id=member_id):
            left = tuple(m for m in configuration.members if m.member_id != member_id)
            return Configuration(
                members=left,
                removed=configuration.removed | {member_id},
                removed_nodes=_without_member(configuration, left),
            )
        case OnlyMember(peer=peer):
            gone = configuration.ids - {peer.member_id}
            # Its own removal may stand before this in the log of a survivor, never committed by those who are gone.
            removed = (configuration.removed | gone) - {peer.member_id}
            return Configuration(
                members=(peer,),
                removed=removed,
                removed_nodes=_without_member(configuration, (peer,)),
            )


def _without_member(before: Configuration, left: "tuple[Peer, ...]") -> frozenset[str]:
    """The nodes that have, or had, members which are not among those that are left."""
    nodes = before.removed_nodes | {member.node_id for member in before.members}
    return nodes - {member.node_id for member in left}


def check_addition(configuration: Configuration, peer: Peer, *, may_return: bool) -> None:
    """Refuses a member that cannot be added.

    Raises:
        ConflictError: its id was removed, or is another node's, or its node has another member.
    """
    if not may_return:
        raise ConflictError(
            f"manager {peer.member_id} was removed from the swarm", hint="join with a new id"
        )
    known = configuration.peer(peer.member_id)
    if known is not None and known.node_id != peer.node_id:
        raise ConflictError(f"manager {peer.member_id} is on another node: {known.node_id}")
    for member in configuration.members:
        if member.node_id == peer.node_id and member.member_id != peer.member_id:
            raise ConflictError(
                f"node {peer.node_id} is a manager already, as {member.member_id}",
                hint="remove that one first",
            )


def check_removal(configuration: Configuration, member_id: str) -> None:
    """Refuses to remove who is no member, or the last one.

    Raises:
        NotFoundError: there is no such member.
        ConflictError: nobody would be left.
    """
    if configuration.peer(member_id) is None:
        raise NotFoundError(f"manager {member_id} not found")
    if len(configuration.members) == 1:
        raise ConflictError("the last manager of a swarm cannot be removed from it")


def pack_configuration(configuration: Configuration) -> bytes:
    """A configuration as bytes, for a snapshot."""
    return encode(configuration)


def unpack_configuration(data: bytes) -> Configuration:
    """The configuration that ``pack_configuration`` made bytes of."""
    return decode(Configuration, data)


def pack_change(change: Change) -> bytes:
    """A change as bytes, for the log."""
    return encode(change)


def unpack_change(data: bytes) -> Change:
    """The change that ``pack_change`` made bytes of."""
    change: Change = decode(Change, data)  # type: ignore[arg-type] # a union is a type for the codec
    return change


class Configurations:
    """What holds from which entry on: the latest in the log counts, committed or not; cutting the log reverses it."""

    def __init__(self, index: int = 0, configuration: Configuration | None = None) -> None:
        """``configuration`` holds from ``index`` on, which a snapshot has."""
        self._indexes = [index]
        self._configurations = [configuration or Configuration()]

    @property
    def latest(self) -> Configuration:
        """What holds at the end of the log."""
        return self._configurations[-1]

    @property
    def latest_index(self) -> int:
        """Since which entry the latest one holds."""
        return self._indexes[-1]

    def at(self, index: int) -> Configuration:
        """What holds at an entry."""
        return self._configurations[max(bisect_right(self._indexes, index) - 1, 0)]

    def note(self, index: int, change: Change) -> None:
        """Takes in the change that entry ``index``, the last one, makes."""
        self._indexes.append(index)
        self._configurations.append(changed(self.latest, change))

    def cut_from(self, index: int) -> None:
        """Forgets the changes from an entry on."""
        while len(self._indexes) > 1 and self._indexes[-1] >= index:
            self._indexes.pop()
            self._configurations.pop()

    def compact(self, through: int) -> None:
        """Forgets what was before the one that holds at ``through``."""
        first = max(bisect_right(self._indexes, through) - 1, 0)
        del self._indexes[:first], self._configurations[:first]
