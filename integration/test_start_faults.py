"""A start that is cut off at some step leaves nothing, and the next one works. The whole sweep is a part of chaos."""

import shutil

import pytest

from integration.host import Host
from integration.start_faults import faulty

STEPS = (1, 2, 4, 8, 16, 32, 64)
"""The later ones lie further apart; ``./test.sh chaos --only starts`` takes them all."""
OF_A_RUNTIME = {
    "child": (30,),
    "parent": (5, 60),
    "runtime": (1, 3),
    "above": (2,),
}
"""In a start by crun: its maker, the supervisor at the maker's steps, crun, the supervisor while crun is at work."""


def test_nothing_is_left_of_a_start_whose_supervisor_or_first_process_is_killed(host: Host) -> None:
    with faulty(host) as faults:
        assert faults.sweep("supervisor", STEPS) >= 4
        assert faults.sweep("child", STEPS) >= 6


def test_nothing_is_left_of_a_start_whose_swarmd_is_killed(host: Host) -> None:
    with faulty(host) as faults:
        assert faults.sweep("swarmd", STEPS) >= 5


@pytest.mark.skipif(shutil.which("crun") is None, reason="crun is not here")
def test_nothing_is_left_of_a_start_that_a_runtime_makes(host: Host) -> None:
    with faulty(host, "crun") as faults:
        for who, steps in OF_A_RUNTIME.items():
            assert faults.sweep(who, steps) == len(steps), who
