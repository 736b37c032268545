"""The helper's program: does one piece of work on a container's tree and ends.

A process of its own can be killed, has little memory and few capabilities, and holds up nobody while it waits for a
disk. It stays in the host's mounts: what it loads is never the image's, and it has a container's tree by descriptor.

Its standard input is the length of an order in four bytes, the order, and for PUT an archive. Its output is a line of
JSON, then what was asked for. PUT answers with a second line. What goes wrong after the first line stands on standard
error, and the exit code says so.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import IO, Any, cast

sys.path.append(str(Path(__file__).resolve().parents[2]))

from common.errors import ForbiddenError, InvalidInputError, SwarmdError, SystemFailureError
from worker.images.archive import Meter, bad_archive, entries, plain
from worker.images.limits import DEFAULT_LIMITS
from worker.kernel import syscalls
from worker.kernel.user_namespaces import make_files_as
from worker.runtime.refusal import Refusal
from worker.runtime.users import resolve_user
from worker.trees.extract import Extraction, Extractor, host_ids
from worker.trees.ids import EVERY_ID, id_runs
from worker.trees.opening import Found, find, find_directory, read_text
from worker.trees.order import TreeOrder, Work, decode_order
from worker.trees.pack import Ids, Packer
from worker.trees.path import TreePath, tree_path
from worker.trees.root import Running, below, mounted
from worker.trees.upper import write_changes, write_layer

MEMORY_BYTES_MAX = 1024**3
"""Of address space: what an archive makes its decompressor take is bounded by it."""
_SIGKILL = 9
_MAGIC_BYTES_MAX = 6
_CHOWN, _DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER, _FSETID, _SYS_ADMIN, _SETFCAP = (
    0,
    1,
    2,
    3,
    4,
    21,
    31,
)
_KEPT = (_CHOWN, _DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER, _FSETID, _SETFCAP)


class Helper:
    """One piece of work."""

    def __init__(self, order: TreeOrder, given: IO[bytes], out: IO[bytes]) -> None:
        self._order, self._given, self._out = order, given, out

    def run(self) -> None:
        """Does it."""
        match self._order.work:
            case Work.CHANGES | Work.LAYER:
                self._compare()
            case Work.EXPORT:
                self._export()
            case _:
                self._at_path(tree_path(self._order.path))

    def _say(self, value: dict[str, Any]) -> None:
        self._out.write(json.dumps(value).encode() + b"\n")
        self._out.flush()

    def _compare(self) -> None:
        upper = os.open(self._order.upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        lower = below(self._order)
        _give_up_rights(_SYS_ADMIN)  # the attributes of overlayfs are read with it
        self._say({})
        write = write_changes if self._order.work is Work.CHANGES else write_layer
        write(upper, lower, self._out.write)

    def _export(self) -> None:
        running = Running(self._order.pid) if self._order.pid else None
        root = running.without_mounts() if running else mounted(self._order)
        _give_up_rights()
        self._say({})
        packer = Packer(self._out.write, _ids(running))
        packer.tree(root, "", with_root=False)
        packer.finish()

    def _at_path(self, path: TreePath) -> None:
        running = Running(self._order.pid) if self._order.pid else None
        root = running.root if running else mounted(self._order)
        ids = _ids(running)
        if self._order.work is Work.PUT and ids != Ids():
            # A layer whose owners are mapped takes no files of those that it has no ids for.
            make_files_as(*host_ids(0, 0, ids.users, ids.groups))
        _give_up_rights()
        if self._order.work is Work.PUT:
            self._put(root, path, running)
            return
        found = find(root, path, self._order.container)
        self._say(found.stat.rendered())
        if self._order.work is Work.GET:
            self._get(found, path, _ids(running))

    def _get(self, found: Found, path: TreePath, ids: Ids) -> None:
        packer = Packer(self._out.write, ids)
        if found.is_directory:
            packer.tree(found.descriptor, path.shown)
        else:
            packer.held(found.descriptor, found.status, os.fsencode(path.shown))
        packer.finish()

    def _put(self, root: int, path: TreePath, running: Running | None) -> None:
        directory = find_directory(root, path, self._order.container)
        _check_writable(root, directory)
        ids = _ids(running)
        how = Extraction(
            is_strict=self._order.is_strict,
            owner=self._owner(root, ids),
            users=ids.users,
            groups=ids.groups,
            check=running.check if running else lambda: None,
        )
        self._say({})
        extractor = Extractor(directory, how)
        with bad_archive():
            meter = Meter(
                plain(_rewindable(self._given)),
                bytes_max=DEFAULT_LIMITS.archive_bytes,
                hashed=False,
            )
            for entry in entries(meter, entries_max=DEFAULT_LIMITS.layer_entries):
                extractor.make(entry, meter)
            meter.check_end(marked=False)
        extractor.finish()
        self._say({})

    def _owner(self, root: int, ids: Ids) -> tuple[int, int] | None:
        if not self._order.as_user:
            return None
        passwd, group = (read_text(root, f"/etc/{name}") for name in ("passwd", "group"))
        try:
            user = resolve_user(self._order.as_user, [], passwd, group)
        except Refusal as refusal:
            raise InvalidInputError(refusal.message) from refusal
        return host_ids(user.uid, user.gid, ids.users, ids.groups)


def _ids(running: Running | None) -> Ids:
    if running is None:
        return Ids(users=EVERY_ID, groups=EVERY_ID)
    return Ids(users=id_runs(running.users), groups=id_runs(running.groups))


def _check_writable(root: int, directory: int) -> None:
    """Says in Docker's words what the kernel would say at the first entry only."""
    if not os.fstatvfs(directory).f_flag & os.ST_RDONLY:
        return
    is_root = os.fstat(directory).st_dev == os.fstat(root).st_dev
    raise ForbiddenError(
        "container rootfs is marked read-only" if is_root else "mounted volume is marked read-only"
    )


class _Rewindable:
    """Standard input, whose first bytes can be read twice."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._again, self._first = source, b"", b""

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        again, self._again = self._again[:size], self._again[size:]
        data = again or self._source.read(size)
        if len(self._first) < _MAGIC_BYTES_MAX:
            self._first += data
        return data

    def seek(self, _position: int) -> int:
        """Goes back to the beginning, which only little has been read of."""
        self._again = self._first
        return 0

    @staticmethod
    def seekable() -> bool:
        """For those who would skip."""
        return False


def _rewindable(source: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", _Rewindable(source))


def _give_up_rights(*more: int) -> None:
    """What the rest of the work needs is little; none of it starts a program."""
    mask = sum(1 << number for number in (*_KEPT, *more))
    syscalls.set_capabilities(effective=mask, permitted=mask, inheritable=0)
    syscalls.set_no_new_privileges()


def main() -> int:
    """Reads the order and does it; gives the exit code."""
    syscalls.make_undumpable()
    syscalls.die_with_parent(_SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    os.umask(0)
    given, out = sys.stdin.buffer, sys.stdout.buffer
    size = int.from_bytes(given.read(4), "big")
    try:
        Helper(decode_order(given.read(size)), given, out).run()
        out.flush()
    except BrokenPipeError:  # whoever asked has left
        return 1
    except SwarmdError as error:
        return _fail(error)
    except (OSError, MemoryError, RecursionError) as error:
        return _fail(SystemFailureError(_described(error)))
    return 0


def _described(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return f"the tree or the archive is too much: {type(error).__name__}"


def _fail(error: SwarmdError) -> int:
    known = next(kind for kind in type(error).__mro__ if kind.__module__ == SwarmdError.__module__)
    text = {"error": known.__name__, "message": error.message, "hint": error.hint}
    sys.stderr.write(json.dumps(text))
    return 1


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # what is left in the output's buffer is nobody's
