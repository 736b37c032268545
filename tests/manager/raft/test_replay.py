import pytest

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
from manager.raft.replay import Replay


def entries(first: int, last: int, term: int = 1) -> list[Item]:
    return [EntryItem(index, term, b"") for index in range(first, last + 1)]


def kept(first: int, last: int, term: int = 1) -> list[LogEntry]:
    return [(b"", index, term) for index in range(first, last + 1)]


def replayed(*items: Item) -> Replay:
    replay = Replay()
    for item in items:
        replay.take(item, "log-1")
    return replay


LOGS: dict[str, tuple[list[Item], Position, list[LogEntry]]] = {
    "a new log": ([Begins(NOWHERE)], NOWHERE, []),
    "entries one after the other": ([Begins(NOWHERE), *entries(1, 3)], NOWHERE, kept(1, 3)),
    "an entry takes the place of those from it on": (
        [Begins(NOWHERE), *entries(1, 5), *entries(3, 3, 2)],
        NOWHERE,
        [*kept(1, 2), *kept(3, 3, 2)],
    ),
    "the segments before are gone": (
        [Follows(Position(7, 2)), *entries(8, 9, 2)],
        Position(7, 2),
        kept(8, 9, 2),
    ),
    "the next segment goes on": (
        [Begins(NOWHERE), *entries(1, 3), Follows(Position(3, 1)), *entries(4, 4)],
        NOWHERE,
        kept(1, 4),
    ),
    "the next segment was begun after a cut": (
        [Begins(NOWHERE), *entries(1, 3), Follows(Position(1, 1))],
        NOWHERE,
        kept(1, 1),
    ),
    "a cut reaches before the first segment that is left": (
        [Follows(Position(7, 2)), *entries(8, 9, 2), *entries(5, 6, 3)],
        Position(5, 3),
        kept(6, 6, 3),
    ),
    "a segment begun after such a cut": (
        [Follows(Position(7, 2)), *entries(8, 9, 2), Follows(Position(4, 1)), *entries(5, 6, 3)],
        Position(4, 1),
        kept(5, 6, 3),
    ),
    "a snapshot was installed": (
        [Begins(NOWHERE), *entries(1, 3), Begins(Position(9, 2)), *entries(10, 11, 2)],
        Position(9, 2),
        kept(10, 11, 2),
    ),
}


@pytest.mark.parametrize(("items", "before", "found"), LOGS.values(), ids=LOGS)
def test_reads(items: list[Item], before: Position, found: list[LogEntry]) -> None:
    replay = replayed(*items)
    assert (replay.before, replay.entries) == (before, found)


CONTRADICTIONS: dict[str, tuple[list[Item], str]] = {
    "a gap": (
        [Begins(NOWHERE), *entries(1, 1), *entries(3, 3)],
        "log-1 holds entry 3 after entry 1",
    ),
    "entries of which nobody says where they belong": (entries(1, 1), "log-1 holds entry 1 after"),
    "a segment behind the end of the one before": (
        [Begins(NOWHERE), *entries(1, 3), Follows(Position(4, 1))],
        "goes on behind entry 4 of term 1, which is not in the log",
    ),
    "a segment behind something else": (
        [Begins(NOWHERE), *entries(1, 3), Follows(Position(3, 2))],
        "goes on behind entry 3 of term 2, which is not in the log",
    ),
}


@pytest.mark.parametrize(("items", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_refuses(items: list[Item], message: str) -> None:
    with pytest.raises(JournalDamagedError, match=message):
        replayed(*items)


LOG: list[Item] = [Follows(Position(4, 1)), *entries(5, 9, 2), HardState(3, 6, "me")]
OVER: dict[str, tuple[Position, Begins | Follows, Position, int, int]] = {
    "a snapshot within the log: what it covers stays for members that lag": (
        Position(7, 2),
        Follows(Position(9, 2)),
        Position(4, 1),
        9,
        7,
    ),
    "a snapshot of the log's beginning": (
        Position(4, 1),
        Follows(Position(9, 2)),
        Position(4, 1),
        9,
        6,
    ),
    "a snapshot of all": (Position(9, 2), Follows(Position(9, 2)), Position(4, 1), 9, 9),
    "an installed snapshot behind the log": (
        Position(20, 5),
        Begins(Position(20, 5)),
        Position(20, 5),
        20,
        20,
    ),
    "an installed snapshot in the place of other entries": (
        Position(8, 5),
        Begins(Position(8, 5)),
        Position(8, 5),
        8,
        8,
    ),
}


@pytest.mark.parametrize(("snapshot", "start", "before", "end", "commit"), OVER.values(), ids=OVER)
def test_in_accord_with(
    snapshot: Position, start: Begins | Follows, before: Position, end: int, commit: int
) -> None:
    replay = replayed(*LOG)
    assert replay.over(snapshot) == start
    assert (replay.before, replay.end.index) == (before, end)
    assert replay.state == HardState(3, commit, "me")


def test_a_missing_snapshot_is_refused() -> None:
    with pytest.raises(JournalDamagedError, match="behind entry 4, but there is no snapshot"):
        replayed(*LOG).over(NOWHERE)


def test_a_gap_behind_the_snapshot_is_refused() -> None:
    with pytest.raises(
        JournalDamagedError, match="behind entry 4, but the snapshot ends with entry 3"
    ):
        replayed(*LOG).over(Position(3, 1))


def test_a_log_that_ends_before_what_was_committed_is_refused() -> None:
    with pytest.raises(JournalDamagedError, match="ends with entry 9, but says that entry 12"):
        replayed(*LOG, HardState(3, 12, "me")).over(Position(7, 2))
