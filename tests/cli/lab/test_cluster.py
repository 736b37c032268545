import threading
from collections.abc import Callable, Iterable

import pytest

from cli.lab.cluster import Cluster
from cli.lab.host import Host
from cli.lab.links import Switch


class Bare(Cluster[Host]):
    def __init__(self) -> None:
        super().__init__(Switch("x", "10.124.0.0/24"), {})

    def do(self, acts: Iterable[Callable[[], object]]) -> None:
        self._side_by_side(acts)


def test_does_it_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)
    Bare().do([together.wait] * 3)


def test_the_first_that_fails_ends_the_others() -> None:
    cluster, end = Bare(), threading.Event()
    cluster.break_off = end.set

    def fail() -> None:
        raise ValueError("said why")

    with pytest.raises(ValueError, match="said why"):
        cluster.do([lambda: end.wait(10), fail])
    assert end.is_set()


def test_nothing_to_do_is_done() -> None:
    Bare().do([])
