"""Many seeds, told in lines: ``python -m tests.simulation.raft.sweep FIRST:END [PROFILE]``."""

import argparse
import logging
import sys
import time
from collections import Counter
from dataclasses import asdict

from tests.simulation.raft.profiles import PROFILES, profile_of
from tests.simulation.raft.run import Outcome, Run, shrink_segments
from tests.simulation.raft.virtual_time import SimulationError

TELL_EVERY = 20


def main() -> None:
    """Runs the seeds; tells of each failure, and now and then what was done."""
    given = arguments()
    if not given.log:
        logging.disable()
    shrink_segments()
    first, _, end = given.seeds.partition(":")
    totals: Counter[str] = Counter()
    began = time.monotonic()
    for seed in range(int(first), int(end)):
        outcome = run(seed, given.profile, given.story)
        if outcome is None:
            totals["failed"] += 1
            if given.first:
                break
            continue
        if given.digest:
            say(outcome.digest)
            continue
        totals.update(runs=1, entries=outcome.entries, terms=outcome.terms)
        totals.update(asdict(outcome.clients))
        totals.update(asdict(outcome.world))
        if seed % TELL_EVERY == 0:
            say(f"seed {seed}: {dict(totals)} {time.monotonic() - began:.0f} s")
    say(f"{dict(totals)} {time.monotonic() - began:.0f} s")
    sys.exit(1 if totals["failed"] else 0)


def arguments() -> argparse.Namespace:
    """What to run, and what to tell."""
    parser = argparse.ArgumentParser(prog="sweep")
    parser.add_argument("seeds", help="FIRST:END")
    parser.add_argument("profile", nargs="?", help="the profile of all of them")
    parser.add_argument("--story", type=int, default=60, help="lines of a failure's story")
    parser.add_argument("--first", action="store_true", help="end with the first failure")
    parser.add_argument("--digest", action="store_true", help="tell each run's digest only")
    parser.add_argument("--log", action="store_true", help="show what the members log")
    return parser.parse_args()


def run(seed: int, profile_name: str | None, story: int) -> Outcome | None:
    """One seed; None: it failed, and was told of."""
    named = {profile.name: profile for profile in PROFILES}
    profile = named[profile_name] if profile_name else profile_of(seed)
    run = Run(seed, profile)
    try:
        return run.go()
    except SimulationError as error:
        cause = f"{type(error.__cause__).__name__}: {error.__cause__}"
        say(f"seed {seed} ({profile.name}) FAILED: {error} [{cause}]\n{run.world.story(story)}")
        return None


def say(line: str) -> None:
    """Tells at once."""
    print(line, flush=True)  # noqa: T201 - a program


if __name__ == "__main__":
    main()
