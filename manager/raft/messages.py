"""What members say to each other: a closed union of frozen values, and their bytes.

Every message of the protocol carries the sender's term. Bytes are msgpack: ``[kind, field, …]`` in the order of the
definition; fields are only ever appended, with a default.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from common.codec import CodecError, decode, encode, pack_plain, tagged, unpack_plain
from manager.raft.log import ENTRY_BYTES_MAX, LogEntry

FRAME_BYTES_MAX = ENTRY_BYTES_MAX + 64 * 1024
"""The largest message: one entry, whole, with its envelope."""


# ------------------------------------------------------------------------------------------ replication


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Append:
    """The leader's entries behind ``previous_index``; without entries a heartbeat. Known by its identity."""

    term: int
    previous_index: int
    previous_term: int
    commit: int
    round: int
    """Grows within a term; an answer to this or a later round shows that the sender led when the round was begun."""
    entries: tuple[LogEntry, ...] | list[LogEntry] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What is durable here and the same as the leader's log; or, when rejected, where it may agree."""

    term: int
    match: int
    """Everything up to here is durable and agrees. When rejected: try again behind this."""
    round: int
    """The latest round heard."""
    rejected: int = 0
    """The ``previous_index`` that was not found, plus one; 0: nothing was rejected."""


# -------------------------------------------------------------------------------------------- elections


@dataclass(frozen=True, slots=True, kw_only=True)
class AskVote:
    """Asks for a vote in ``term``."""

    term: int
    last_index: int
    last_term: int
    pre: bool = False
    """Only asks whether the vote would be given; nobody's term changes."""
    forced: bool = False
    """The leader itself asked for this election: it is no reason to refuse that one hears a leader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """The answer. A refusal carries the term of who refuses."""

    term: int
    granted: bool
    pre: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """The leader asks a member that has everything to campaign at once."""

    term: int


# -------------------------------------------------------------------------------------------- snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOffer:
    """The leader no longer has the entries that the other one needs, but a snapshot. A heartbeat, too."""

    term: int
    index: int
    """Through which the snapshot goes, and the term of that entry."""
    index_term: int
    parts: int
    size_bytes: int
    digest: bytes
    configuration: bytes
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotWanted:
    """Asks for the parts of an offered snapshot from ``part`` on: all before it are here."""

    term: int
    index: int
    part: int
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPart:
    """One part of a snapshot."""

    term: int
    index: int
    number: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Tells a member that it was removed for ever; also what a link makes of a refusal with status 410."""

    member_id: str


# ------------------------------------------------------------------------- what the log's users pass on


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A proposal made on a follower, for the leader."""

    number: int
    """By which the answer is recognised."""
    request_id: bytes
    entry: bytes
    index_max: int
    """The last place in the log at which a repetition would still be recognised: none is made behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """What became of it: ``index`` and ``answer``, or the reason in ``failure``."""

    number: int
    index: int = 0
    answer: bytes = b""
    failure: str = ""
    """Name of an error of common.errors; empty: none."""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskReadIndex:
    """Asks the leader up to where one must have applied to know everything that is committed now."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadIndex:
    """The answer; 0: the one who was asked does not lead."""

    number: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRemove:
    """Asks the leader to remove a member; it answers with ``Forwarded``."""

    number: int
    member_id: str
    force: bool


Message = (
    Append
    | Appended
    | AskVote
    | Vote
    | TakeOver
    | SnapshotOffer
    | SnapshotWanted
    | SnapshotPart
    | Removed
    | Forward
    | Forwarded
    | AskReadIndex
    | ReadIndex
    | AskRemove
)

tagged(
    Append,
    Appended,
    AskVote,
    Vote,
    TakeOver,
    SnapshotOffer,
    SnapshotWanted,
    SnapshotPart,
    Removed,
    Forward,
    Forwarded,
    AskReadIndex,
    ReadIndex,
    AskRemove,
)


def pack(message: Message) -> bytes:
    """A message as bytes."""
    return _pack_append(message) if type(message) is Append else encode(message)


@lru_cache(maxsize=1)
def _pack_append(append: Append) -> bytes:
    """The hot path: plain values, packed once for all to whom the same message goes."""
    return pack_plain(
        (
            "Append",
            append.term,
            append.previous_index,
            append.previous_term,
            append.commit,
            append.round,
            append.entries,
        )
    )


def unpack(data: bytes) -> Message:
    """The message that ``pack`` made bytes of.

    Raises:
        CodecError: they are not a message.
    """
    if data[2:8] == b"Append" and data[1:2] == _SHORT_TEXT:
        return _unpack_append(data)
    message: Message = decode(Message, data)  # type: ignore[arg-type] # a union is a type for the codec
    return message


_ENTRY_FIELDS = 3
_SHORT_TEXT = b"\xa6"
"""How msgpack begins a text of six bytes."""


def _unpack_append(data: bytes) -> Append:
    match unpack_plain(data):
        case [
            "Append",
            int(term),
            int(previous_index),
            int(previous_term),
            int(commit),
            int(group),
            list(raw),
            *_,
        ]:
            entries = [_entry(item) for item in raw]
        case _:
            raise CodecError("not a valid Append")
    return Append(
        term=term,
        previous_index=previous_index,
        previous_term=previous_term,
        commit=commit,
        round=group,
        entries=entries,
    )


def _entry(raw: Any) -> LogEntry:  # noqa: ANN401 - it is checked here
    if type(raw) is list and len(raw) == _ENTRY_FIELDS:
        command, index, term = raw
        if type(command) is bytes and command and type(index) is int and type(term) is int:
            return command, index, term
    raise CodecError("not a valid entry of an Append")
