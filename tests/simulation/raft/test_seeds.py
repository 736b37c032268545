"""Members of the replicated log in virtual time, from a seed: everything fails, and nothing may be lost.

``SWARMD_SEEDS=1000:2000 pytest tests/simulation/raft`` runs more seeds than the usual; a failing seed repeats its run.
"""

import os

import pytest

from tests.simulation.raft.profiles import profile_of
from tests.simulation.raft.run import Run

SEEDS = "0:32"


def seeds() -> range:
    first, _, end = os.environ.get("SWARMD_SEEDS", SEEDS).partition(":")
    return range(int(first), int(end))


@pytest.mark.parametrize("seed", seeds())
def test_whatever_fails_nothing_acknowledged_is_lost(seed: int) -> None:
    outcome = Run(seed, profile_of(seed)).go()
    assert outcome.clients.acknowledged
