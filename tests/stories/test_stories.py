"""Every story in this folder, told to a manager's loops in virtual time.

``SWARMD_REWRITE=1 pytest tests/stories`` writes down what is shown now. Read the difference: commit it only when you
understand what caused it and want it so.
"""

import asyncio
import os
from pathlib import Path

import pytest

from tests.stories.telling import Scene, Teller, scenes, written
from tests.support.world import world

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    told = list(scenes(path.read_text()))
    happened = asyncio.run(_happen(told))
    if os.environ.get("SWARMD_REWRITE"):
        path.write_text(written(happened))
    else:
        assert written(happened) == written(told)


async def _happen(told: list[Scene]) -> list[Scene]:
    happened = []
    async with world() as cluster:
        teller = Teller(cluster)
        for scene in told:
            shown = [await teller.do(command) for command in scene.commands]
            happened.append(Scene(scene.lines, "\n".join(part for part in shown if part) or "ok"))
    return happened
