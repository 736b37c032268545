"""What the items of a log say, read in their order, and what a snapshot beside them makes of it. Pure."""

from dataclasses import dataclass, field

from manager.raft.log import LogEntry
from manager.raft.records import (
    NOWHERE,
    Begins,
    EntryItem,
    Follows,
    HardState,
    Item,
    JournalDamagedError,
    Position,
)


@dataclass(slots=True)
class Replay:
    """A log while it is read: without a gap from behind ``before`` on, and the hard state."""

    before: Position = NOWHERE
    entries: list[LogEntry] = field(default_factory=list)
    state: HardState = field(default_factory=HardState)
    is_begun: bool = False

    @property
    def end(self) -> Position:
        """The log's end."""
        return Position(*self.entries[-1][1:]) if self.entries else self.before

    def take(self, item: Item, name: str) -> None:
        """Takes the next item in, which stands in the file of that name.

        Raises:
            JournalDamagedError: it contradicts what was before.
        """
        match item:
            case HardState():
                self.state = item
            case EntryItem():
                self._take_entry(item, name)
            case Begins(position):
                self.before, self.is_begun = position, True
                self.entries.clear()
            case Follows(position):
                self._follow(position, name)

    def over(self, snapshot: Position) -> Begins | Follows:
        """Puts the log in accord with a snapshot of the state (``NOWHERE``: there is none); says how it goes on.

        Entries that the snapshot covers stay, for members that lag. A log that ends before the snapshot, or holds
        something else at its place, is void: it was to be thrown away when the snapshot was installed.

        Raises:
            JournalDamagedError: something is missing between them.
        """
        if self.before.index > snapshot.index:
            raise JournalDamagedError(
                f"the log begins behind entry {self.before.index}, "
                + (
                    f"but the snapshot ends with entry {snapshot.index}"
                    if snapshot.index
                    else "but there is no snapshot of what was before"
                ),
                hint="a snapshot or a part of the log is missing: restore it, or remove this manager from the swarm "
                "and let it join anew",
            )
        if self.end.index < snapshot.index or self._term_of(snapshot.index) != snapshot.term:
            self.before = snapshot
            self.entries.clear()
            start: Begins | Follows = Begins(snapshot)
        else:
            start = Follows(self.end)
        self._check_commit(snapshot)
        return start

    def _take_entry(self, item: EntryItem, name: str) -> None:
        if item.index > self.end.index + 1 or not self.is_begun:
            raise JournalDamagedError(
                f"{name} holds entry {item.index} after entry {self.end.index}"
            )
        if item.index <= self.before.index:
            # The log had been cut there. Of what was before, only a snapshot knows, which holds this entry, too.
            self.before = Position(item.index, item.term)
            self.entries.clear()
            return
        del self.entries[item.index - self.before.index - 1 :]
        self.entries.append((item.command, item.index, item.term))

    def _follow(self, position: Position, name: str) -> None:
        if not self.is_begun:
            self.before, self.is_begun = position, True
            return
        if position.index < self.before.index:  # the log had been cut there
            self.before = position
            self.entries.clear()
            return
        if position.index > self.end.index or self._term_of(position.index) != position.term:
            raise JournalDamagedError(
                f"{name} goes on behind entry {position.index} of term {position.term}, "
                f"which is not in the log before it"
            )
        del self.entries[position.index - self.before.index :]

    def _term_of(self, index: int) -> int:
        return (
            self.entries[index - self.before.index - 1][2]
            if index > self.before.index
            else self.before.term
        )

    def _check_commit(self, snapshot: Position) -> None:
        commit = max(self.state.commit, snapshot.index)
        if commit > self.end.index:
            raise JournalDamagedError(
                f"the log ends with entry {self.end.index}, but says that entry {commit} was committed"
            )
        self.state = HardState(self.state.term, commit, self.state.vote)
