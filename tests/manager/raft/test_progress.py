from collections.abc import Callable

import pytest

from manager.raft.progress import Progress, Stage
from manager.raft.settings import RaftSettings

SETTINGS = RaftSettings(in_flight_bytes_max=100, in_flight_entries_max=10)


def streaming(match: int = 5) -> Progress:
    progress = Progress(match + 1, now=0.0)
    progress.acknowledged(match)
    return progress


def test_it_begins_by_looking_for_where_the_logs_agree_one_message_at_a_time() -> None:
    progress = Progress(8, now=0.0)
    assert (progress.stage, progress.may_send(SETTINGS)) == (Stage.PROBING, True)
    progress.sent(9, 10)
    assert (progress.next, progress.may_send(SETTINGS)) == (8, False)
    progress.acknowledged(7)
    assert (progress.stage, progress.match, progress.next) == (Stage.STREAMING, 7, 8)


def test_entries_are_sent_ahead_of_their_acknowledgements() -> None:
    progress = streaming(5)
    progress.sent(7, 10)
    progress.sent(9, 10)
    assert (progress.match, progress.next, progress.may_send(SETTINGS)) == (5, 10, True)
    progress.acknowledged(9)
    assert (progress.match, progress.next) == (9, 10)


def test_no_more_bytes_are_sent_ahead_than_are_allowed() -> None:
    progress = streaming(5)
    progress.sent(6, 60)
    progress.sent(7, 40)
    assert not progress.may_send(SETTINGS)
    progress.acknowledged(6)
    assert progress.may_send(SETTINGS)


def test_no_more_entries_are_sent_ahead_than_are_allowed() -> None:
    progress = streaming(5)
    progress.sent(15, 1)
    assert not progress.may_send(SETTINGS)
    progress.acknowledged(6)
    assert progress.may_send(SETTINGS)


def test_an_older_acknowledgement_takes_nothing_back() -> None:
    progress = streaming(9)
    progress.acknowledged(4)
    assert (progress.match, progress.next) == (9, 10)


REJECTIONS: dict[str, tuple[Callable[[], Progress], int, int, bool, int]] = {
    "the probe: go back to where it may agree": (lambda: Progress(20, 0.0), 19, 12, True, 13),
    "the probe, and it has less": (lambda: Progress(20, 0.0), 19, 0, True, 1),
    "a hint that leads nowhere: one back at least": (lambda: Progress(20, 0.0), 19, 30, True, 19),
    "an older probe: nothing": (lambda: Progress(20, 0.0), 15, 3, False, 20),
    "something sent ahead was lost: go back": (lambda: streaming(5), 8, 7, True, 8),
    "never behind what was acknowledged": (lambda: streaming(5), 8, 2, True, 6),
    "of something acknowledged since: nothing": (lambda: streaming(5), 5, 2, False, 6),
}


@pytest.mark.parametrize(
    ("begin", "previous", "hint", "news", "expected"), REJECTIONS.values(), ids=REJECTIONS.keys()
)
def test_a_rejection(
    begin: Callable[[], Progress], previous: int, hint: int, news: bool, expected: int
) -> None:
    progress = begin()
    assert progress.rejected(previous, hint) is news
    assert progress.next == expected


def test_after_a_break_nothing_that_was_sent_is_relied_on() -> None:
    progress = streaming(5)
    progress.sent(9, 100)
    progress.probe()
    assert (progress.stage, progress.next, progress.may_send(SETTINGS)) == (Stage.PROBING, 6, True)


def test_entries_wait_while_a_snapshot_is_under_way() -> None:
    progress = Progress(3, now=0.0)
    progress.await_snapshot()
    assert not progress.may_send(SETTINGS)
    assert not progress.rejected(2, 0)
    progress.match = 50
    progress.probe()
    assert (progress.stage, progress.next) == (Stage.PROBING, 51)
