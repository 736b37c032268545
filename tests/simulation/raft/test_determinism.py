"""A seed is the whole run: the same again in this process, and in another one in which sets have another order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.raft.profiles import profile_of
from tests.simulation.raft.run import Run

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("seed", [0, 2])
def test_a_seed_repeats_its_run_whatever_the_order_of_sets(seed: int) -> None:
    digest = Run(seed, profile_of(seed)).go().digest
    assert Run(seed, profile_of(seed)).go().digest == digest
    for hash_seed in ("1", "77"):
        elsewhere = subprocess.run(
            [sys.executable, "-m", "tests.simulation.raft.sweep", f"{seed}:{seed + 1}", "--digest"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        assert elsewhere.stdout.split()[0] == digest
