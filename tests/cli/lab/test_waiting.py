import pytest
from typing_extensions import override

from cli.lab.waiting import Stopwatch, TooLateError, wait_for


class Still(Stopwatch):
    def __init__(self) -> None:
        self.now = 0.0

    @override
    def read(self) -> float:
        return self.now

    @override
    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_gives_what_there_is_to_see() -> None:
    watch = Still()
    assert wait_for("it", lambda: "seen" if watch.now > 3 else "", seconds=5, stopwatch=watch) == "seen"  # fmt: skip


def test_says_what_did_not_come_about() -> None:
    with pytest.raises(TooLateError, match="waited 5 s for all to be Ready; last seen: 0"):
        wait_for("all to be Ready", lambda: 0, seconds=5, stopwatch=Still())
