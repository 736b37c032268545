import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from common.clock import SystemClock
from common.model.service import Service, ServiceSpec
from manager.raft.links import NoLinks
from manager.raft.peers import Peer
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.storage import Storage
from manager.raft.surroundings import Surroundings
from manager.store.changes import Create, Delete
from manager.store.replica import Replica
from manager.store.store import Store

KILLS = 5
ACKNOWLEDGED_PER_LIFE = 40
CHILD_SECONDS_MAX = 30

WRITER = """
    import asyncio, random, sys
    from pathlib import Path
    from common.clock import SystemClock
    from common.model.service import Service, ServiceSpec
    from manager.raft.links import NoLinks
    from manager.raft.peers import Peer
    from manager.raft.replicated_log import ReplicatedLog
    from manager.raft.storage import Storage
    from manager.raft.surroundings import Surroundings
    from manager.store.changes import Create
    from manager.store.replica import Replica
    from manager.store.store import Store

    async def main(directory, life):
        replica, clock, chance = Replica(), SystemClock(), random.SystemRandom()
        me = Peer(member_id="me", node_id="me", address="")
        around = Surroundings(me=me, machine=replica, links=NoLinks(), clock=clock, chance=chance)
        log = ReplicatedLog(Storage.at(Path(directory)), around)
        await log.start(bootstrap=True)
        await log.until_leader()
        store = Store(replica, log, clock, chance)

        async def write(writer):
            for number in range(10_000):
                name = f"s{life}-{writer}-{number}"
                await store.propose([Create(object=Service(id=name, spec=ServiceSpec(name=name)))])
                print(name, flush=True)

        async with asyncio.TaskGroup() as group:
            for writer in range(8):
                group.create_task(write(writer))

    asyncio.run(main(*sys.argv[1:]))
"""


async def opened(directory: Path) -> tuple[Store, ReplicatedLog]:
    replica, clock, chance = Replica(), SystemClock(), random.Random(1)
    me = Peer(member_id="me", node_id="me", address="")
    around = Surroundings(me=me, machine=replica, links=NoLinks(), clock=clock, chance=chance)
    log = ReplicatedLog(Storage.at(directory), around)
    await log.start(bootstrap=True)
    await log.until_leader()
    return Store(replica, log, clock, chance), log


async def test_a_store_finds_everything_again(tmp_path: Path) -> None:
    store, log = await opened(tmp_path / "raft")
    for name in ("web", "db"):
        await store.propose([Create(object=Service(id=name, spec=ServiceSpec(name=name)))])
    await store.propose([Delete(table="service", id="db")])
    await log.stop()
    again, log = await opened(tmp_path / "raft")
    await log.stop()
    assert again.state.services == store.state.services
    assert list(again.state.services) == ["web"]


async def test_kill_minus_nine_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    directory = tmp_path / "raft"
    acknowledged: set[str] = set()
    for life in range(KILLS):
        acknowledged |= acknowledged_until_killed(directory, life)
    store, log = await opened(directory)
    await log.stop()
    assert acknowledged - set(store.state.services) == set()
    assert len(acknowledged) >= KILLS * ACKNOWLEDGED_PER_LIFE


def acknowledged_until_killed(directory: Path, life: int) -> set[str]:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(directory), str(life)]
    with subprocess.Popen(
        ["timeout", "--signal=KILL", str(CHILD_SECONDS_MAX), *command],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    ) as child:
        assert child.stdout is not None
        names = [child.stdout.readline().strip() for _ in range(ACKNOWLEDGED_PER_LIFE)]
        os.killpg(child.pid, signal.SIGKILL)  # a session of its own: the writer and its timeout
        names += child.stdout.read().split("\n")[:-1]
    return {name for name in names if name}
