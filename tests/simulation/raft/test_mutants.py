"""Each safety rule kept and switched off: what was held against it notices."""

import re

import pytest

from tests.simulation.raft.mutants import MUTANTS, Mutant
from tests.simulation.raft.profiles import PROFILES
from tests.simulation.raft.run import Run
from tests.simulation.raft.scenarios import MEMBERS, SCENARIOS
from tests.simulation.raft.stage import Stage
from tests.simulation.raft.virtual_time import SimulationError
from tests.simulation.raft.world import Mutation


def play(name: str, mutation: Mutation | None = None, seed: int = 0) -> None:
    SCENARIOS[name](Stage(MEMBERS.get(name, 3), mutation, seed))


@pytest.mark.parametrize("name", SCENARIOS)
def test_with_the_rules_kept_a_scenario_ends_well(name: str) -> None:
    play(name)


def caught(mutant: Mutant) -> str:
    """What is said of it; empty: nobody noticed."""
    profiles = {profile.name: profile for profile in PROFILES}
    for seed in range(mutant.seeds):
        try:
            if mutant.scenario:
                play(mutant.scenario, mutant.mutation, seed)
            else:
                Run(seed, profiles[mutant.profile], mutant.mutation).go()
        except SimulationError as error:
            return str(error)
    return ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_rule_that_is_switched_off_is_missed(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.patch(monkeypatch)
    what = caught(mutant)
    assert what, f"nobody notices: {mutant.name}"
    assert re.search(mutant.says, what), what
