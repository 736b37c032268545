"""A whole state as bytes and back: what a snapshot of the log holds, and what a saved cluster is restored from.

The bytes are a stream, cut into parts anywhere. It begins with ``_MAGIC`` and a byte of the format's number; then
blobs follow, each its length (4 bytes, big-endian) and a zlib stream of a ``SnapshotHead``, then ``Rows`` for each
table and ``Answers``. Equal states that came about by equal entries have equal bytes.

Packing and unpacking run in a thread beside the event loop. The interpreter is held for one blob at a time, a
millisecond or two: zlib lets go of it.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from common.codec import CodecError, decode, encode
from common.errors import InvalidInputError
from common.model.cluster import Cluster
from common.model.config import Config
from common.model.copy import changed
from common.model.node import Node
from common.model.secret import Secret
from common.model.service import Service
from common.model.task import Task
from common.version import VERSION
from manager.raft.log import ENTRY_BYTES_MAX
from manager.store.changes import StoredObject
from manager.store.state import State
from manager.store.watch import Changed

FORMAT = 1
"""Counts up when a reader of the former format would misread; a new table or field is no reason (``common.codec``)."""
PART_BYTES = 256 * 1024
"""Bytes of a part."""
BLOB_BYTES = 48 * 1024
"""Packed objects gather to this before they are compressed: how long the interpreter is held at a time."""
BLOB_BYTES_MAX = 2 * ENTRY_BYTES_MAX
"""No blob is larger, unpacked: the largest object came in one entry."""
ANSWERS_PER_BLOB = 2_000
_MAGIC = b"swarmd state "
_LENGTH_BYTES = 4
_FAST = 1
"""zlib's level: what repeats are whole specs, and any level finds those."""
_KINDS: Mapping[str, type[StoredObject]] = {
    "cluster": Cluster,
    "node": Node,
    "service": Service,
    "task": Task,
    "secret": Secret,
    "config": Config,
}


class SnapshotUnreadableError(InvalidInputError):
    """The bytes are damaged, or were written by a swarmd that this one does not understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotHead:
    """What a snapshot begins with."""

    index: int
    """Raft index of the last entry in it."""
    written_by: str
    """Version of swarmd."""
    objects: Mapping[str, int] = field(default_factory=dict)
    """Number of objects by table."""
    answers: int = 0
    reign: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some objects of one table, each packed."""

    table: str
    rows: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Some of the requests that are remembered, oldest first, and what each was answered."""

    requests: tuple[bytes, ...]
    answers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A state, and the requests that are remembered with it."""

    state: State
    answered: dict[bytes, bytes]


# ---------------------------------------------------------------------------------------- to bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What stands in a snapshot, copied so that nothing changes it while it is packed."""

    index: int
    reign: int
    objects: Mapping[str, Sequence[StoredObject]]
    """By table."""
    requests: Sequence[bytes]
    answers: Sequence[bytes]
    """Of each request."""


def pack_snapshot(copies: Copies) -> Iterator[bytes]:
    """The parts of a snapshot. To be iterated in a thread."""
    part = bytearray(_MAGIC + bytes([FORMAT]))
    for blob in _blobs(copies):
        part += len(blob).to_bytes(_LENGTH_BYTES, "big") + blob
        while len(part) >= PART_BYTES:
            yield bytes(part[:PART_BYTES])
            del part[:PART_BYTES]
    if part:
        yield bytes(part)


def _blobs(copies: Copies) -> Iterator[bytes]:
    requests, answers = copies.requests, copies.answers
    yield _blob(
        SnapshotHead(
            index=copies.index,
            written_by=VERSION,
            objects={table: len(rows) for table, rows in copies.objects.items()},
            answers=len(requests),
            reign=copies.reign,
        )
    )
    for table, rows in copies.objects.items():
        yield from _tables_blobs(table, rows)
    for start in range(0, len(requests), ANSWERS_PER_BLOB):
        some = slice(start, start + ANSWERS_PER_BLOB)
        yield _blob(Answers(requests=tuple(requests[some]), answers=tuple(answers[some])))


def _tables_blobs(table: str, objects: Sequence[StoredObject]) -> Iterator[bytes]:
    rows: list[bytes] = []
    size = 0
    for item in objects:
        row = encode(item)
        rows.append(row)
        size += len(row)
        if size >= BLOB_BYTES:
            yield _blob(Rows(table=table, rows=tuple(rows)))
            rows, size = [], 0
    if rows:
        yield _blob(Rows(table=table, rows=tuple(rows)))


def _blob(content: SnapshotHead | Rows | Answers) -> bytes:
    return zlib.compress(encode(content), _FAST)


# -------------------------------------------------------------------------------------- from bytes


def unpack_snapshot(parts: Iterable[bytes]) -> Contents:
    """The state that the parts of a snapshot hold, with its indexes. To be called in a thread.

    Raises:
        SnapshotUnreadableError: they are damaged, incomplete or of a format that this swarmd does not know.
    """
    blobs = _read_blobs(parts)
    try:
        return _unpack(blobs)
    except CodecError as error:
        raise SnapshotUnreadableError(f"the snapshot cannot be read: {error}") from error


def _unpack(blobs: Iterator[bytes]) -> Contents:
    head = _head(blobs)
    state, share = State(), _Sharing()
    for table, count in head.objects.items():
        kind = _KINDS.get(table)
        if kind is None:
            raise SnapshotUnreadableError(
                f"the snapshot holds a table {table} that is not known here",
                hint=f"it was written by swarmd {head.written_by}",
            )
        _fill(state, kind, _rows(blobs, table, count), share)
    answered = _answered(blobs, head.answers)
    if next(blobs, None) is not None:
        raise SnapshotUnreadableError("the snapshot is damaged: something follows its end")
    state.index, state.reign = head.index, head.reign
    return Contents(state=state, answered=answered)


def _head(blobs: Iterator[bytes]) -> SnapshotHead:
    head = decode(SnapshotHead, _next(blobs))
    if head.index < 0 or head.answers < 0 or min(head.objects.values(), default=0) < 0:
        raise SnapshotUnreadableError("the snapshot is damaged: its head counts below zero")
    return head


def _rows(blobs: Iterator[bytes], table: str, count: int) -> Iterator[Sequence[bytes]]:
    while count > 0:
        found = decode(Rows, _next(blobs))
        count -= len(found.rows)
        if found.table != table or count < 0 or not found.rows:
            raise SnapshotUnreadableError(
                f"the snapshot is damaged: it does not hold as many of table {table} as it says"
            )
        yield found.rows


def _fill(
    state: State,
    kind: type[StoredObject],
    batches: Iterable[Sequence[bytes]],
    share: "_Sharing",
) -> None:
    known: set[str] = set()
    for rows in batches:
        for row in rows:
            item = share.of(decode(kind, row))
            if item.id in known or _is_named_twice(state, item):
                raise SnapshotUnreadableError(f"the snapshot is damaged: {item.id} is in it twice")
            known.add(item.id)
            state.put(item.version, (Changed(None, item),))


def _is_named_twice(state: State, item: StoredObject) -> bool:
    match item:
        case Service(spec=spec):
            return state.service_holding_name(spec.name) is not None
        case Secret(spec=spec):
            return state.secret_holding_name(spec.name) is not None
        case Config(spec=spec):
            return state.config_holding_name(spec.name) is not None
        case _:
            return False


def _answered(blobs: Iterator[bytes], count: int) -> dict[bytes, bytes]:
    answered: dict[bytes, bytes] = {}
    while len(answered) < count:
        found = decode(Answers, _next(blobs))
        before = len(answered)
        answered.update(zip(found.requests, found.answers, strict=False))
        if len(found.answers) != len(found.requests) or len(answered) == before:
            raise SnapshotUnreadableError("the snapshot is damaged: requests without answers")
    if len(answered) != count:
        raise SnapshotUnreadableError(
            "the snapshot is damaged: it holds more requests than it says"
        )
    return answered


def _next(blobs: Iterator[bytes]) -> bytes:
    blob = next(blobs, None)
    if blob is None:
        raise SnapshotUnreadableError("the snapshot is incomplete: its end is missing")
    return blob


def _read_blobs(parts: Iterable[bytes]) -> Iterator[bytes]:
    stream = _Stream(parts)
    _check_format(stream.take(len(_MAGIC) + 1))
    while start := stream.take(_LENGTH_BYTES):
        length = int.from_bytes(start, "big")
        if len(start) < _LENGTH_BYTES or length > BLOB_BYTES_MAX:
            raise SnapshotUnreadableError("the snapshot is damaged: a length in it cannot be")
        blob = stream.take(length)
        if len(blob) < length:
            raise SnapshotUnreadableError("the snapshot is incomplete: its end is missing")
        yield _unzip(blob)


def _check_format(start: bytes) -> None:
    if start[: len(_MAGIC)] != _MAGIC or len(start) == len(_MAGIC):
        raise SnapshotUnreadableError("this is no snapshot of swarmd's state")
    if start[-1] != FORMAT:
        raise SnapshotUnreadableError(
            f"the snapshot is of format {start[-1]}, and this swarmd ({VERSION}) reads format {FORMAT}",
            hint="use the version of swarmd that wrote it",
        )


def _unzip(blob: bytes) -> bytes:
    unzipper = zlib.decompressobj()
    try:
        content = unzipper.decompress(blob, BLOB_BYTES_MAX)
    except zlib.error as error:
        raise SnapshotUnreadableError(f"the snapshot is damaged: {error}") from error
    if not unzipper.eof or unzipper.unused_data:
        raise SnapshotUnreadableError("the snapshot is damaged: a blob in it is not whole")
    return content


class _Stream:
    """Bytes out of parts, without holding more than is asked for and one part."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._buffer = bytearray()

    def take(self, count: int) -> bytes:
        """The next bytes; fewer at the end."""
        while len(self._buffer) < count:
            part = next(self._parts, None)
            if part is None:
                break
            self._buffer += part
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken


class _Sharing:
    """Lets objects share what is equal in them, as they did when each entry was applied."""

    def __init__(self) -> None:
        self._known: dict[object, object] = {}
        self._labels: dict[str, Mapping[str, str]] = {}

    def of(self, item: StoredObject) -> StoredObject:
        """The object, or an equal one that takes less."""
        if not isinstance(item, Task):
            return item
        return changed(
            item,
            service_id=self._one(item.service_id),
            service_name=self._one(item.service_name),
            node_id=self._one(item.node_id),
            service_labels=self._labels_of(item),
            status=item.status if item.status.container_status else self._one(item.status),
        )

    def _labels_of(self, task: Task) -> Mapping[str, str]:
        last = self._labels.get(task.service_id)
        if last != task.service_labels:
            self._labels[task.service_id] = last = task.service_labels
        return last

    def _one(self, value: object) -> object:
        return self._known.setdefault(value, value)
