"""Snapshots: what comes back is what went in, and what is damaged is refused."""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codec import encode
from common.model.cluster import Cluster
from common.model.config import Config
from common.model.node import Node
from common.model.secret import Secret, SecretSpec
from common.model.service import Service, ServiceSpec
from common.model.task import Task
from common.version import VERSION
from manager.store.changes import Create, Delete, Entry, StoredObject
from manager.store.replica import ACCEPTED, Replica
from manager.store.snapshot import (
    BLOB_BYTES_MAX,
    FORMAT,
    Answers,
    Rows,
    SnapshotHead,
    SnapshotUnreadableError,
    unpack_snapshot,
)
from manager.store.watch import Watch, WatchLaggedError
from tests.manager.store.test_apply import HISTORIES, Step, check_indexes, lived
from tests.support.any_model import any_of

KINDS = (Cluster, Node, Service, Task, Secret, Config)
WEB = Service(id="s", spec=ServiceSpec(name="web"))


def replica_of(*objects: StoredObject) -> Replica:
    replica = Replica()
    for index, item in enumerate(objects, 1):
        entry = encode(Entry(at=1.0, changes=(Create(object=item),)))
        assert replica.apply(index, index.to_bytes(16, "big"), entry) == ACCEPTED
    return replica


def restored(parts: Sequence[bytes]) -> Replica:
    replica = Replica()
    replica.restore(parts)()
    return replica


def contents(replica: Replica) -> dict[str, list[tuple[str, StoredObject]]]:
    """Every table in its order."""
    return {
        table: [(item.id, item) for item in items]
        for table, items in replica.state.objects().items()
    }


# --------------------------------------------------------------------------------------- properties


@settings(deadline=None, max_examples=50)
@given(HISTORIES)
def test_what_is_restored_is_what_was_saved(history: list[list[Step]]) -> None:
    replica = Replica()
    for _ in lived(replica, history):
        pass
    other = restored([*replica.snapshot()])
    assert (contents(other), other.state.index) == (contents(replica), replica.state.index)
    check_indexes(other.state)
    assert [*other.snapshot()] == [*replica.snapshot()]


@settings(deadline=None, max_examples=50)
@given(HISTORIES, st.integers(0, 25))
def test_entries_behind_a_snapshot_do_what_they_do_without(
    history: list[list[Step]], saved_after: int
) -> None:
    """Requests that are proposed again included."""
    replica, other = Replica(), Replica()
    entries = [encode(entry) for entry in lived(replica, history)]
    again = [*enumerate(entries, 1), *enumerate(entries, 1)]
    straight = Replica()
    for index, (number, entry) in enumerate(again, 1):
        if index == saved_after:
            other = restored([*other.snapshot()])
        request = number.to_bytes(16, "big")
        assert other.apply(index, request, entry) == straight.apply(index, request, entry)
    assert contents(other) == contents(straight)
    assert [*other.snapshot()] == [*straight.snapshot()]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(*map(any_of, KINDS)), max_size=8))
def test_any_object_comes_back(objects: list[StoredObject]) -> None:
    numbered: list[StoredObject] = []
    for number, item in enumerate(objects):
        numbered.append(numbered_as(f"{number}", item))
    replica = replica_of(*numbered)
    assert contents(restored([*replica.snapshot()])) == contents(replica)


def numbered_as(number: str, item: StoredObject) -> StoredObject:
    """The object with an id, and a name, of its own; a service names nothing that is not there."""
    match item:
        case Service(spec=spec):
            template = replace(spec.task_template, container_spec=None)
            return replace(item, id=number, spec=replace(spec, name=number, task_template=template))
        case Secret(spec=secret):
            return replace(item, id=number, spec=replace(secret, name=number))
        case Config(spec=config):
            return replace(item, id=number, spec=replace(config, name=number))
        case _:
            return replace(item, id=number)


def test_what_0_1_0_does_not_know_is_only_named_when_there_is_some() -> None:
    secret = Secret(id="x", spec=SecretSpec(name="x", data=b"x"))
    assert list(replica_of(WEB).state.objects()) == ["cluster", "node", "service", "task"]
    assert list(replica_of(WEB, secret).state.objects())[4:] == ["secret"]


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_damage_is_refused_or_does_not_matter(data: st.DataObject) -> None:
    """Whatever bytes come: an error that says so, or a state; nothing else."""
    whole = bytearray(b"".join(replica_of(WEB, Task(id="t"), Node(id="n")).snapshot()))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=3)
    ):
        whole[place] = value
    end = data.draw(st.integers(0, len(whole)))
    with suppress(SnapshotUnreadableError):
        unpack_snapshot([bytes(whole[:end])])


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_hostile_contents_are_refused_or_are_a_state(data: st.DataObject) -> None:
    """Bytes changed before they are packed: neither checksum nor length tells."""
    objects = (WEB, Task(id="t", service_id="s", service_labels={"a": "b"}), Node(id="n"))
    whole = b"".join(replica_of(*objects).snapshot())
    blobs = [bytearray(blob) for blob in unpacked(whole)]
    for _ in range(data.draw(st.integers(1, 4))):
        blob = blobs[data.draw(st.integers(0, len(blobs) - 1))]
        place = data.draw(st.integers(0, len(blob) - 1))
        blob[place] = data.draw(st.integers(0, 255))
    with suppress(SnapshotUnreadableError):
        contents = unpack_snapshot([stream(*map(bytes, blobs))])
        other = Replica()
        other.state.become(contents.state)
        assert b"".join(other.snapshot())


def unpacked(whole: bytes) -> list[bytes]:
    blobs, place = [], len(MAGIC) + 1
    while place < len(whole):
        end = place + 4 + int.from_bytes(whole[place : place + 4], "big")
        blobs.append(zlib.decompress(whole[place + 4 : end]))
        place = end
    return blobs


# ------------------------------------------------------------------------------------------- stories


def test_a_snapshot_is_of_the_moment_at_which_it_was_asked_for() -> None:
    replica = replica_of(WEB)
    taken = replica.snapshot()
    delete = Entry(at=2.0, changes=(Delete(table="service", id="s"),))
    replica.apply(2, b"r" * 16, encode(delete))
    other = restored([*taken])
    assert ([*other.state.services], other.state.index) == (["s"], 1)


def test_parts_are_cut_anywhere() -> None:
    replica = replica_of(WEB, Node(id="n"))
    whole = b"".join(replica.snapshot())
    bytewise = (bytes([byte]) for byte in whole)
    other = Replica()
    other.restore(bytewise)()
    assert contents(other) == contents(replica)


def test_an_object_larger_than_a_part_is_cut() -> None:
    noise = "".join(chr(33 + number * number % 89) + str(number) for number in range(300_000))
    replica = replica_of(Service(id="s", spec=ServiceSpec(name="web", labels={"noise": noise})))
    parts = [*replica.snapshot()]
    assert len(parts) > 1
    assert contents(restored(parts)) == contents(replica)


async def test_watchers_look_at_everything_again() -> None:
    replica = replica_of(WEB)
    parts = [*replica_of(WEB, Node(id="n")).snapshot()]
    async with Watch(replica.watchers) as watch:
        become = replica.restore(parts)
        assert watch.waiting() == []
        state = replica.state
        become()
        with pytest.raises(WatchLaggedError):
            await watch.take()
        assert ([*state.nodes], replica.state) == (["n"], state)
        delete = Entry(at=2.0, changes=(Delete(table="node", id="n"),))
        replica.apply(3, b"r" * 16, encode(delete))
        assert [committed.index for committed in await watch.take()] == [3]


# ------------------------------------------------------------------------------- what cannot be read

MAGIC = b"swarmd state "


def stream(*blobs: object, format_: int = FORMAT) -> bytes:
    packed = [zlib.compress(blob if isinstance(blob, bytes) else encode(blob)) for blob in blobs]
    return (
        MAGIC + bytes([format_]) + b"".join(len(blob).to_bytes(4, "big") + blob for blob in packed)
    )


def head(answers: int = 0, **objects: int) -> SnapshotHead:
    return SnapshotHead(index=5, written_by="9.9", objects=objects, answers=answers)


def rows(*objects: StoredObject) -> Rows:
    table = type(objects[0]).__name__.lower()
    return Rows(table=table, rows=tuple(map(encode, objects)))


TWICE = (WEB, replace(WEB, id="s2", spec=ServiceSpec(name="Web")))
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "this is no snapshot of swarmd's state"),
    "another file": (b"PK\x03\x04" * 9, "this is no snapshot of swarmd's state"),
    "another format": (
        stream(head(), format_=7),
        (
            f"the snapshot is of format 7, and this swarmd ({VERSION}) reads format {FORMAT} "
            "(use the version of swarmd that wrote it)"
        ),
    ),
    "no head": (stream(), "the snapshot is incomplete: its end is missing"),
    "a table that is not known": (
        stream(head(dream=1)),
        "the snapshot holds a table dream that is not known here (it was written by swarmd 9.9)",
    ),
    "fewer objects than it says": (
        stream(head(node=2), rows(Node(id="n"))),
        "the snapshot is incomplete: its end is missing",
    ),
    "more objects than it says": (
        stream(head(node=1), rows(Node(id="n"), Node(id="m"))),
        "the snapshot is damaged: it does not hold as many of table node as it says",
    ),
    "another table in its place": (
        stream(head(task=1), rows(Node(id="n"))),
        "the snapshot is damaged: it does not hold as many of table task as it says",
    ),
    "an object of another class": (
        stream(head(task=1), Rows(table="task", rows=(encode(Node(id="n")),))),
        "the snapshot cannot be read: expected a Task, found a Node",
    ),
    "an object twice": (
        stream(head(node=2), rows(Node(id="n"), Node(id="n"))),
        "the snapshot is damaged: n is in it twice",
    ),
    "a name twice": (
        stream(head(service=2), rows(*TWICE)),
        "the snapshot is damaged: s2 is in it twice",
    ),
    "fewer than none": (
        stream(head(node=-1)),
        "the snapshot is damaged: its head counts below zero",
    ),
    "requests without answers": (
        stream(head(answers=2), Answers(requests=(b"1", b"2"), answers=(b"",))),
        "the snapshot is damaged: requests without answers",
    ),
    "no end to its requests": (
        stream(head(answers=2), *[Answers(requests=(b"1",), answers=(b"",))] * 3),
        "the snapshot is damaged: requests without answers",
    ),
    "something behind its end": (
        stream(head(), b"more"),
        "the snapshot is damaged: something follows its end",
    ),
    "a length that cannot be": (
        stream(head())[:14] + b"\xff" * 9,
        "the snapshot is damaged: a length in it cannot be",
    ),
    "a blob that grows out of all bounds": (
        stream(bytes(BLOB_BYTES_MAX + 1)),
        "the snapshot is damaged: a blob in it is not whole",
    ),
    "a blob cut short": (
        stream(head())[:-1],
        "the snapshot is incomplete: its end is missing",
    ),
    "no zlib": (
        MAGIC + bytes([FORMAT]) + b"\x00\x00\x00\x04abcd",
        "the snapshot is damaged: Error -3 while decompressing data: incorrect header check",
    ),
}


@pytest.mark.parametrize(("data", "expected"), UNREADABLE.values(), ids=UNREADABLE)
def test_says_why_it_cannot_be_read(data: bytes, expected: str) -> None:
    with pytest.raises(SnapshotUnreadableError) as caught:
        unpack_snapshot([data])
    assert str(caught.value) == expected


def test_what_cannot_be_read_changes_nothing() -> None:
    replica = replica_of(WEB)
    before = [*replica.snapshot()]
    with pytest.raises(SnapshotUnreadableError):
        replica.restore([before[0][:-1]])
    assert [*replica.snapshot()] == before
