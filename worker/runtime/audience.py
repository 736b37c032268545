"""Who is attached to a container: clients that get copies of what it writes, and whose input it reads.

What a client has not taken yet waits in a bounded buffer. While one is full, the container's output is not read, so
that nothing is lost; a client that takes nothing for a long time is cut off, so that it cannot hold the container up
for ever.
"""

from worker.runtime.attached import Attached
from worker.runtime.eventloop import EventLoop
from worker.runtime.refusal import UNAVAILABLE, Refusal
from worker.runtime.wire import END, FrameReader, encode_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from worker.runtime.standard_input import Input

MEMBERS_MAX = 16
"""Attached to one container."""


class Audience:
    """All who are attached to one container, or wait for it to be started."""

    __slots__ = ("_input", "is_open", "log", "loop", "members", "on_relief", "on_size")

    def __init__(self, loop: EventLoop, log: "Callable[[str], None]") -> None:
        self.loop = loop
        self.log = log
        self.members: list[Attached] = []
        self.is_open = False
        """Whether the container runs."""
        self.on_relief: Callable[[], None] | None = None
        """Called when no member is full any more."""
        self.on_size: Callable[[int, int], None] | None = None
        self._input: Input | None = None

    @property
    def is_full(self) -> bool:
        """Whether somebody has so much to take that the container should wait."""
        return any(member.is_full for member in self.members)

    def open(self, standard_input: "Input | None") -> None:
        """The container runs."""
        self.is_open = True
        self._input = standard_input
        if standard_input is not None:
            standard_input.relief = self._listen
        self._listen()

    def restore(self, words: "Any") -> None:  # noqa: ANN401 - from marshal
        """Takes in a client that was attached to another supervisor, as ``Attached.words`` gave it."""
        fd, (with_input, with_output, is_hung_up), outgoing, rest = words
        reader = FrameReader(rest)
        member = Attached(fd, reader, self, with_input=with_input, with_output=with_output)
        self.admit(member)
        member.resume(outgoing, is_hung_up=is_hung_up)

    def check_room(self) -> None:
        """Makes room for one more; who is gone, but has left input, makes room first.

        Raises:
            Refusal: too many are attached.
        """
        if len(self.members) >= MEMBERS_MAX:
            for member in [one for one in self.members if one.is_hung_up]:
                member.close()
        if len(self.members) >= MEMBERS_MAX:
            raise Refusal(UNAVAILABLE, f"{MEMBERS_MAX} are attached to the container already")

    def admit(self, member: Attached) -> None:
        """Takes a client in."""
        self.members.append(member)
        member.listen(reads=self._takes_input)

    def tell(self, stream: int, piece: bytes) -> None:
        """Gives everybody a piece of output."""
        frame = encode_frame((stream, piece))
        for member in list(self.members):
            if member.with_output:
                member.send(frame)

    def end_output(self) -> None:
        """No more output comes, though the container goes on."""
        frame = encode_frame((END, b""))
        for member in list(self.members):
            member.send(frame)

    def finish(self) -> None:
        """The container has ended, or was never started."""
        self.is_open = False
        self.on_relief = self.on_size = None
        if self._input is not None:
            self._input.relief = None
            self._input = None
        for member in list(self.members):
            member.finish()

    @property
    def _takes_input(self) -> bool:
        return self.is_open and (self._input is None or not self._input.is_full)

    def _listen(self) -> None:
        for member in list(self.members):
            member.listen(reads=self._takes_input)

    def write(self, piece: bytes) -> None:
        """Input from a member."""
        if self._input is not None:
            self._input.write(piece)
            if self._input.is_full:
                self._listen()

    def end_input(self) -> None:
        """A member says that no more input comes."""
        if self._input is not None:
            self._input.end()

    def resize(self, rows: int, columns: int) -> None:
        """A member says how large its terminal is."""
        if self.on_size is not None:
            self.on_size(rows, columns)

    def relieve(self) -> None:
        """A member has taken something, or is gone."""
        if self.on_relief is not None and not self.is_full:
            self.on_relief()

    def leave(self, member: Attached) -> None:
        """A member is gone."""
        if member in self.members:
            self.members.remove(member)
        if member.with_input and self._input is not None and self._input.ends_with_first:
            self._input.end()
        self.relieve()
