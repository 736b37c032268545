"""What the tests of the API's handlers share."""

from collections.abc import AsyncIterator

import pytest

from manager.api import services
from tests.support.api_swarm import ApiSwarm, api_swarm


@pytest.fixture(autouse=True)
def no_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody allocates ports here: waiting for it would be in vain."""
    monkeypatch.setattr(services, "ALLOCATION_WAIT_SECONDS", 0.0)


@pytest.fixture
async def swarm() -> AsyncIterator[ApiSwarm]:
    """A manager."""
    async with api_swarm() as made:
        yield made


@pytest.fixture
async def outside() -> AsyncIterator[ApiSwarm]:
    """A node that is part of no swarm."""
    async with api_swarm(is_manager=False) as made:
        yield made
