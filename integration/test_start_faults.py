"""A start that is cut off at some step leaves nothing, and the next one works. The whole sweep is a part of chaos."""

from integration.host import Host
from integration.start_faults import faulty

STEPS = (1, 2, 4, 8, 16, 32, 64)
"""The later ones lie further apart; ``./test.sh chaos --only starts`` takes them all."""


def test_nothing_is_left_of_a_start_whose_supervisor_or_first_process_is_killed(host: Host) -> None:
    with faulty(host) as faults:
        assert faults.sweep("supervisor", STEPS) >= 4
        assert faults.sweep("child", STEPS) >= 6


def test_nothing_is_left_of_a_start_whose_swarmd_is_killed(host: Host) -> None:
    with faulty(host) as faults:
        assert faults.sweep("swarmd", STEPS) >= 5
