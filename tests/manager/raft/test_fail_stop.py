import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

from manager.raft.disk import open_directory
from manager.raft.fail_stop import EXIT_STATUS
from manager.raft.journal import Journal
from manager.raft.key_file import load_or_create_key
from manager.raft.seal import Seal

JOURNAL_BYTES_MAX = 64 * 1024
CHILD_SECONDS_MAX = 30

PROPOSER = """
    import asyncio, logging, random, sys
    from pathlib import Path
    from common.clock import SystemClock
    from manager.raft.links import NoLinks
    from manager.raft.peers import Peer
    from manager.raft.replicated_log import ReplicatedLog
    from manager.raft.storage import Storage
    from manager.raft.surroundings import Surroundings

    class Machine:
        def apply(self, index, request_id, entry):
            return b""

    async def main(directory):
        around = Surroundings(
            me=Peer(member_id="me", node_id="me", address=""),
            machine=Machine(),
            links=NoLinks(),
            clock=SystemClock(),
            chance=random.Random(1),
        )
        log = ReplicatedLog(Storage.at(Path(directory)), around)
        await log.start(bootstrap=True)
        while True:
            applied = await log.propose(b"x" * 1000, random.randbytes(16))
            print(applied.index, flush=True)

    logging.basicConfig(format="%(levelname)s %(message)s")
    asyncio.run(main(sys.argv[1]))
"""


def test_a_disk_that_takes_no_more_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    directory = tmp_path / "raft"
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROPOSER), str(directory)],
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS_MAX,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (JOURNAL_BYTES_MAX, JOURNAL_BYTES_MAX)
        ),
    )
    assert ended.returncode == EXIT_STATUS
    assert "CRITICAL stopping at once: the journal cannot be written" in ended.stderr
    path = directory / "log-0000000000000001"
    assert ended.stderr.rstrip().endswith(f"OSError: [Errno 27] File too large: '{path}'")
    acknowledged = [int(line) for line in ended.stdout.split()]
    opened = open_directory(directory)
    journal = Journal.open(opened, Seal(load_or_create_key(directory / "key")))
    journal.close()
    opened.close()
    assert len(acknowledged) > 50
    assert journal.last_index >= acknowledged[-1]
