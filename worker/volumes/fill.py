"""Copies what an image has at a path into a new volume."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from worker.kernel.overlay import mount_overlay
from worker.kernel.paths import open_in_root
from worker.kernel.private_mounts import in_private_mounts

COPY_SECONDS_MAX = 3600
_FOUND = os.O_PATH | os.O_DIRECTORY


def fill(layers: Sequence[str], target: str, directory: str) -> bool:
    """Copies the directory ``target`` of these layers (topmost first) into ``directory``, owner and modes included.

    Says whether there was one. Blocks.

    Raises:
        OSError: the kernel or the disk refused; the directory may hold a part.
    """
    path = target.strip("/").encode()
    if not any(_has(layer, path) for layer in layers):
        return False
    workspace = Path(mkdtemp(prefix=".fill-", dir=Path(directory).parent))
    try:
        return in_private_mounts(lambda: _copy(layers, path, directory, workspace))
    finally:
        for leftover in ("merged", "empty"):
            with suppress(FileNotFoundError):
                (workspace / leftover).rmdir()
        workspace.rmdir()


def _has(layer: str, path: bytes) -> bool:
    root = os.open(layer, _FOUND)
    try:
        os.close(open_in_root(root, path, _FOUND))
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(root)


def _copy(layers: Sequence[str], path: bytes, directory: str, workspace: Path) -> bool:
    merged, empty = workspace / "merged", workspace / "empty"
    merged.mkdir()
    empty.mkdir()
    mount_overlay([*layers, str(empty)], str(merged))
    root = os.open(merged, _FOUND)
    try:
        source = open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    finally:
        os.close(root)
    try:
        done = subprocess.run(
            ["cp", "-a", f"/proc/self/fd/{source}/.", directory],
            pass_fds=(source,),
            timeout=COPY_SECONDS_MAX,
            capture_output=True,
            check=False,
        )
    finally:
        os.close(source)
    if done.returncode != 0:
        raise OSError(5, f"filling a volume: {done.stderr.decode(errors='replace').strip()}")
    return True
