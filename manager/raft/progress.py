"""What a leader knows of one follower, and how much it may send: no clock of its own, nothing is sent here."""

from collections import deque
from enum import Enum, auto

from manager.raft.settings import RaftSettings


class Stage(Enum):
    """How a follower is fed."""

    PROBING = auto()
    """Where its log agrees is looked for: one message at a time."""
    STREAMING = auto()
    """It is known: entries are sent ahead of their acknowledgements, within bounds."""
    SNAPSHOT = auto()
    """It needs entries that are no longer in the log, and gets a snapshot first."""


class Progress:
    """One follower, as far as its answers tell."""

    def __init__(self, next_index: int, now: float) -> None:
        self.is_voter = False
        """False: one that is being fed before it is added, or one that has just been removed."""
        self.stage = Stage.PROBING
        self.match = 0
        """Everything up to here is durable there and agrees."""
        self.next = next_index
        """The next entry to send."""
        self.round = 0
        """The latest round that it answered."""
        self.heard_at = now
        """When it answered last."""
        self.sent_at = float("-inf")
        """When something was sent to it last."""
        self.told_round = 0
        self.told_commit = 0
        """What it was told last."""
        self.waits_for_answer = False
        """While probing: a probe is under way."""
        self._flights: deque[tuple[int, int]] = deque()
        self._flying_bytes = 0

    def may_send(self, settings: RaftSettings) -> bool:
        """Whether more entries may be sent now."""
        match self.stage:
            case Stage.PROBING:
                return not self.waits_for_answer
            case Stage.STREAMING:
                return (
                    self._flying_bytes < settings.in_flight_bytes_max
                    and self.next - self.match <= settings.in_flight_entries_max
                )
            case Stage.SNAPSHOT:
                return False

    def sent(self, last: int, size: int) -> None:
        """Entries up to ``last`` were sent, of ``size`` bytes."""
        if self.stage is Stage.STREAMING:
            self.next = last + 1
            self._flights.append((last, size))
            self._flying_bytes += size
        else:
            self.waits_for_answer = True

    def acknowledged(self, match: int) -> bool:
        """Takes in that everything up to ``match`` is there; gives whether that is news."""
        while self._flights and self._flights[0][0] <= match:
            self._flying_bytes -= self._flights.popleft()[1]
        news = match > self.match or self.stage is Stage.PROBING
        self.match = max(self.match, match)
        if self.stage is Stage.PROBING:
            self._begin(Stage.STREAMING, self.match + 1)
        elif self.stage is Stage.STREAMING:
            self.next = max(self.next, self.match + 1)
        return news

    def rejected(self, previous: int, hint: int) -> bool:
        """Takes in that ``previous`` was not found there; gives whether that is news, and no late answer."""
        late = (
            previous <= self.match
            if self.stage is Stage.STREAMING
            else self.stage is Stage.SNAPSHOT or previous != self.next - 1
        )
        if not late:
            self.probe(min(hint, previous - 1) + 1)
        return not late

    def probe(self, next_index: int | None = None) -> None:
        """Begins to look for where the logs agree: nothing that was sent can be relied on."""
        wanted = self.match + 1 if next_index is None else next_index
        self._begin(Stage.PROBING, max(wanted, self.match + 1))

    def await_snapshot(self) -> None:
        """What it needs is only in a snapshot."""
        self._begin(Stage.SNAPSHOT, self.next)

    def _begin(self, stage: Stage, next_index: int) -> None:
        self.stage, self.next = stage, next_index
        self.waits_for_answer = False
        self._flights.clear()
        self._flying_bytes = 0
