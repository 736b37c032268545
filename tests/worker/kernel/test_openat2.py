"""Opening below a root while the machine renames."""

import os
import subprocess
import sys
from pathlib import Path

from worker.kernel import syscalls

ROUNDS = 20_000
RENAMES = "import os\nprint(flush=True)\nwhile True: os.rename('a', 'b'); os.rename('b', 'a')"


def test_renames_elsewhere_do_not_make_a_path_fail(tmp_path: Path) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "elsewhere/a").mkdir(parents=True)
    command = [sys.executable, "-c", RENAMES]
    path = "/".join(["a/.."] * 20)
    with subprocess.Popen(command, cwd=tmp_path / "elsewhere", stdout=subprocess.PIPE) as renaming:
        assert renaming.stdout is not None
        renaming.stdout.readline()
        root = os.open(tmp_path / "root", os.O_PATH)
        try:
            for _ in range(ROUNDS):
                os.close(syscalls.openat2(root, path, os.O_PATH, syscalls.RESOLVE_IN_ROOT))
        finally:
            os.close(root)
            renaming.kill()
