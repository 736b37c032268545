import pytest

from manager.raft.making import is_due
from manager.raft.settings import RaftSettings

SETTINGS = RaftSettings(snapshot_entries=100, snapshot_bytes=1000)
DUE = {
    "nothing new": (0, 0, 0, False),
    "a little": (99, 999, 0, False),
    "enough entries": (100, 100, 0, True),
    "enough bytes": (1, 1000, 0, True),
    "enough entries beside a snapshot that is not much larger": (100, 250, 1000, True),
    "few bytes beside a large snapshot": (100, 249, 1000, False),
    "four times as many entries": (400, 1, 10**9, True),
    "four times as many bytes": (1, 4000, 10**9, True),
}


@pytest.mark.parametrize(("entries", "size", "last", "expected"), DUE.values(), ids=DUE.keys())
def test_when_a_snapshot_is_due(entries: int, size: int, last: int, expected: bool) -> None:
    assert is_due(entries, size, last, SETTINGS) is expected
