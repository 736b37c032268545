"""A host with the local engine, for the tests of its parts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.machine import Machine
from worker.containers.engine import LocalEngine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
async def engine(machine: Machine) -> AsyncIterator[LocalEngine]:
    async with machine.engine() as engine:
        yield engine
