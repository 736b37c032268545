"""Finds which seed of which profile catches a mutant soonest: ``python -m tests.simulation.raft.hunt [NAME…]``."""

import argparse
import logging
import time

import pytest

from tests.simulation.raft.mutants import MUTANTS, Mutant
from tests.simulation.raft.profiles import PROFILES
from tests.simulation.raft.run import Profile, Run, shrink_segments
from tests.simulation.raft.virtual_time import SimulationError


def main() -> None:
    """Hunts each mutant with each profile; a line for each."""
    parser = argparse.ArgumentParser(prog="hunt")
    parser.add_argument("names", nargs="*", help="parts of mutants' names (all)")
    parser.add_argument("--seeds", type=int, default=15, help="how many for each profile")
    parser.add_argument("--profile", action="append", help="only this one")
    given = parser.parse_args()
    logging.disable()
    shrink_segments()
    for mutant in MUTANTS:
        if given.names and not any(name in mutant.name for name in given.names):
            continue
        for profile in PROFILES:
            if not given.profile or profile.name in given.profile:
                print(hunted(mutant, profile, given.seeds), flush=True)  # noqa: T201 - a program


def hunted(mutant: Mutant, profile: Profile, seeds: int) -> str:
    """The cheapest seed, and how many of them caught it."""
    caught: list[tuple[float, int, str]] = []
    for seed in range(seeds):
        began = time.process_time()
        with pytest.MonkeyPatch.context() as patch:
            mutant.patch(patch)
            try:
                Run(seed, profile, mutant.mutation).go()
            except SimulationError as error:
                caught.append((time.process_time() - began, seed, str(error)[:110]))
    if not caught:
        return f"{mutant.name} | {profile.name} | never in {seeds}"
    seconds, seed, says = min(caught)
    return f"{mutant.name} | {profile.name} | {len(caught)}/{seeds} | seed {seed} in {seconds:.2f} s | {says}"


if __name__ == "__main__":
    main()
