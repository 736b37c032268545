"""What stands in the log: one byte of kind, and behind it what that kind says."""

from enum import IntEnum

from manager.raft.configuration import Change, pack_change, unpack_change
from manager.raft.log import REQUEST_ID_BYTES


class CommandKind(IntEnum):
    """First byte of every command, as PySyncObj numbers them."""

    ENTRY = 0
    """Followed by the request's id and the entry."""
    NO_OP = 1
    """With which a leader begins its term."""
    MEMBERSHIP = 2
    """Followed by a change of the members."""


_ENTRY = bytes([CommandKind.ENTRY])
_MEMBERSHIP = bytes([CommandKind.MEMBERSHIP])
_ENTRY_START = len(_ENTRY) + REQUEST_ID_BYTES


def entry_command(request_id: bytes, entry: bytes) -> bytes:
    """The command for an entry."""
    return _ENTRY + request_id + entry


def change_command(change: Change) -> bytes:
    """The command for a change of the members."""
    return _MEMBERSHIP + pack_change(change)


def request_and_entry(command: bytes) -> tuple[bytes, bytes] | None:
    """The request's id and the entry; None when the command is of another kind."""
    if command[0] != CommandKind.ENTRY:
        return None
    return command[len(_ENTRY) : _ENTRY_START], command[_ENTRY_START:]


def change_of(command: bytes) -> Change | None:
    """The change of the members; None when the command is of another kind."""
    return unpack_change(command[1:]) if command[0] == CommandKind.MEMBERSHIP else None
