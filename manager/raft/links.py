"""Links between members: messages to and from the others, whatever carries them."""

from collections.abc import Callable, Mapping
from typing import Protocol

from manager.raft.messages import Message

LINK_BUFFER_BYTES_MAX = 16 * 1024 * 1024
"""What waits to be sent on one link; beyond it a message is refused, and raft sends it again later."""


class Links(Protocol):
    """Every method is called in the event loop's thread and never blocks. A link keeps the order of its messages.

    The replication stands every loss, delay, repetition and disorder of messages; they only cost time.
    """

    def start(
        self, receive: Callable[[str, Message], None], changed: Callable[[str], None]
    ) -> None:
        """From now on gives what comes in to ``receive(member_id, message)``.

        ``changed(member_id)`` tells that the link to a member came or went (``is_connected`` says which). Neither is
        called from within another method of this class.
        """
        ...

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        """Whom to dial: member id to ``host:port``. Links that others make are heard whatever this says."""
        ...

    def send(self, member_id: str, message: Message) -> bool:
        """Sends; False: there is no link, or its buffer is full, and the message is gone."""
        ...

    def is_connected(self, member_id: str) -> bool:
        """Whether there is a link."""
        ...

    async def stop(self) -> None:
        """Closes every link; nothing is received any more."""
        ...


class NoLinks:
    """Links of a member that is alone."""

    def start(
        self, receive: Callable[[str, Message], None], changed: Callable[[str], None]
    ) -> None:
        """Nothing ever comes in."""

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        """Nobody is dialled."""

    def send(self, member_id: str, message: Message) -> bool:  # noqa: ARG002
        """There is nobody."""
        return False

    def is_connected(self, member_id: str) -> bool:  # noqa: ARG002
        """There is nobody."""
        return False

    async def stop(self) -> None:
        """There is nothing to close."""
