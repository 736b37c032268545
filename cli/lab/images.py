"""The images that each host of a lab has: ``hello:1``, ``hello:2`` (as examples/hello) and ``busybox:latest``.

Built from the machine's own busybox, without a registry.
"""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from common.engine_client import ApiError, Client, messages
from common.errors import SystemFailureError

_HEALTHCHECK = (
    "HEALTHCHECK --interval=1s --timeout=2s --start-interval=200ms --start-period=5s "
    "CMD wget -q -O /dev/null http://127.0.0.1/"
)
HELLO_CHANGES = ('CMD ["/serve"]', _HEALTHCHECK)
IMAGES: Mapping[str, Sequence[str]] = {
    "hello:1": ("ENV VERSION=1", *HELLO_CHANGES),
    "hello:2": ("ENV VERSION=2", *HELLO_CHANGES),
    "busybox:latest": ('CMD ["sh"]',),
}
"""Name and what makes an image of the archive of files."""
_SERVE = Path(__file__).with_name("serve")
_MADE_AT = 1767225600
"""Of each file, so that the same files are the same image: the first moment of 2026."""
_LIST_SECONDS_MAX = 10
_DIRECTORIES = {"bin": 0o755, "etc": 0o755, "tmp": 0o1777, "www": 0o755}
_FILES = {"etc/group": "root:x:0:\n", "etc/passwd": "root:x:0:0:root:/:/bin/sh\n"}


def archive() -> bytes:
    """Busybox, its applets and the script that serves a page, as a tar archive of a file system.

    Raises:
        SystemFailureError: there is no busybox, or it does not run.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemFailureError("busybox is missing", hint="apt-get install busybox-static")
    try:
        program = Path(busybox).read_bytes()
        listed = subprocess.run(
            [busybox, "--list"],
            capture_output=True, text=True, check=True, timeout=_LIST_SECONDS_MAX, process_group=0,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise SystemFailureError(f"cannot use {busybox}: {error}") from error
    return pack(program, listed.stdout.split(), _SERVE.read_bytes())


def pack(program: bytes, applets: Sequence[str], serve: bytes) -> bytes:
    """The archive of these files."""
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in _DIRECTORIES.items():
            _add(tar, name, mode, kind=tarfile.DIRTYPE)
        _add(tar, "bin/busybox", 0o755, program)
        for name in applets:
            if name != "busybox":
                _add(tar, f"bin/{name}", 0o777, kind=tarfile.SYMTYPE, link="busybox")
        for name, text in _FILES.items():
            _add(tar, name, 0o644, text.encode())
        _add(tar, "serve", 0o755, serve)
    return kept.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    mode: int,
    data: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
) -> None:
    item = tarfile.TarInfo(f"./{name}")
    item.mode, item.type, item.linkname = mode, kind, link
    item.size, item.mtime = len(data), _MADE_AT
    tar.addfile(item, io.BytesIO(data))


def import_all(engine: Client, files: bytes) -> None:
    """Makes all images of the archive on a host.

    Raises:
        ApiError, CannotConnectError: the host refuses, or is away.
    """
    for name, changes in IMAGES.items():
        given = {"fromSrc": "-", "repo": name, "changes": "\n".join(changes)}
        until_done(engine, "/images/create", io.BytesIO(files), **given)


def load(engine: Client, path: Path) -> None:
    """Loads images from an archive on a host.

    Raises:
        OSError: the file cannot be read.
        ApiError, CannotConnectError: the host refuses, or is away.
    """
    with path.open("rb") as file:
        until_done(engine, "/images/load", file, quiet="1")


def until_done(engine: Client, path: str, body: IO[bytes], **query: str) -> None:
    """Sends a file and reads what comes of it; what goes wrong on the way comes as one of the messages."""
    for item in messages(engine.upload(path, body, **query)):
        if "error" in item:
            raise ApiError(500, str(item["error"]))
