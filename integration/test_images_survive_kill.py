"""kill -9 at any moment of loading and removing images: what is there afterwards is whole, and nothing else is."""

import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.events import EventLog
from worker.images.store import ImageStore

ROUNDS = 12
FILES = 40
WRITER = textwrap.dedent(
    """
    import asyncio, sys
    from common.clock import SystemClock
    from common.events import EventLog
    from tests.support.archives import chunks, docker_archive, file, tar
    from worker.images.limits import DEFAULT_LIMITS
    from worker.images.shelf import Shelf
    from worker.images.store import ImageStore

    BASE = tar(*(file(f"base/{n}", b"base" * 500) for n in range(%(files)d)))

    async def main(root):
        clock = SystemClock()
        # A killed process loses nothing that is not flushed; the disk's pace does not matter here.
        shelf = Shelf(root, DEFAULT_LIMITS, flush=lambda _: None)
        store = ImageStore(root, clock, EventLog(clock), shelf=shelf)
        await store.open()
        print("ready", flush=True)
        number = 0
        while True:
            number += 1
            top = tar(*(file(f"top/{n}", b"%%d" %% number * 500) for n in range(%(files)d)))
            await store.load(chunks(docker_archive([BASE, top], tags=[f"web:{number %% 3}"])))
            for image in store.all()[4:]:
                await store.remove(image.id, force=True, is_running=lambda _: False)

    asyncio.run(main(sys.argv[1]))
    """
) % {"files": FILES}


async def check(root: Path) -> int:
    clock = SystemClock()
    store = ImageStore(str(root), clock, EventLog(clock))
    await store.open()
    needed = set()
    for image in store.all():
        needed |= {layer.removeprefix("sha256:") for layer in image.stored.layers}
        top, base = (Path(layer) for layer in store.resolve(image.id).layers)
        assert len(list((base / "base").iterdir())) == FILES
        contents = {path.read_bytes() for path in (top / "top").iterdir()}
        assert len(contents) == 1
        assert contents != {b""}
    assert {path.name for path in (root / "layers").iterdir()} == needed
    assert list((root / "tmp").iterdir()) == []
    return len(store.all())


def interrupt(root: Path, seconds: float) -> None:
    """Runs the writer and kills it so long after it said that it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        try:
            writer.wait(seconds)
        except subprocess.TimeoutExpired:
            writer.kill()
        else:
            pytest.fail("the writer ended by itself")


async def test_killed_at_any_moment(tmp_path: Path) -> None:
    chance, found = random.Random(7), 0
    for _ in range(ROUNDS):
        interrupt(tmp_path / "images", chance.uniform(0.0, 1.5))
        found = max(found, await check(tmp_path / "images"))
    assert found
