import errno
import random
from collections.abc import Callable

import pytest

from common.errors import SystemFailureError, TooLargeError
from manager.raft.log import SNAPSHOT_PART_BYTES_MAX
from manager.raft.records import NOWHERE, JournalDamagedError, Position
from manager.raft.seal import Seal
from manager.raft.snapshot_file import SnapshotDamagedError, SnapshotMeta
from manager.raft.snapshots import SnapshotGoneError, Snapshots
from tests.support.power_loss import Disk

SEAL = Seal(b"k" * 32)
PARTS = [b"first", b"", b"third" * 100]
NAME = "snapshot-0000000000000007"


@pytest.fixture
def disk() -> Disk:
    return Disk(random.Random(1), "/raft")


def loaded(disk: Disk, seal: Seal = SEAL) -> Snapshots:
    return Snapshots.load(disk.directory(), seal)


def written(
    snapshots: Snapshots, index: int = 7, parts: list[bytes] = PARTS, configuration: bytes = b"abc"
) -> SnapshotMeta:
    with snapshots.create(index, 2, configuration) as writer:
        for part in parts:
            writer.add(part)
        return writer.finish()


def test_there_is_none_at_first(disk: Disk) -> None:
    snapshots = loaded(disk)
    assert (snapshots.latest, snapshots.position) == (None, NOWHERE)


def test_what_was_written_is_read_again_in_any_order(disk: Disk) -> None:
    meta = written(loaded(disk))
    assert (meta.index, meta.term, meta.configuration) == (7, 2, b"abc")
    assert (meta.parts, meta.size_bytes) == (3, 505)
    snapshots = loaded(disk)
    assert (snapshots.latest, snapshots.position) == (meta, Position(7, 2))
    with snapshots.open(meta) as reader:
        assert list(reader) == PARTS
        assert [reader.part(number) for number in (2, 0, 1, 2)] == [PARTS[n] for n in (2, 0, 1, 2)]
        for number in (-1, 3):
            with pytest.raises(IndexError, match=rf"part {number} of 3"):
                reader.part(number)


def test_a_snapshot_of_nothing(disk: Disk) -> None:
    meta = written(loaded(disk), parts=[], configuration=b"")
    with loaded(disk).open(meta) as reader:
        assert list(reader) == []


def test_nothing_stands_there_in_clear(disk: Disk) -> None:
    written(loaded(disk), parts=[b"secret" * 20], configuration=b"members" * 20)
    assert b"secret" not in disk.content(NAME)
    assert b"members" not in disk.content(NAME)


def test_the_digest_is_the_same_with_another_key_and_tells_everything_apart(disk: Disk) -> None:
    digest = written(loaded(disk)).digest
    other = Disk(random.Random(1))
    assert written(Snapshots.load(other.directory(), Seal(b"K" * 32))).digest == digest
    for parts, configuration in (
        ([b"firs", b"t", b"third" * 100], b"abc"),
        ([*PARTS, b""], b"abc"),
        (PARTS, b"abd"),
    ):
        fresh = Disk(random.Random(1))
        assert written(loaded(fresh), 7, parts, configuration).digest != digest
    assert written(loaded(Disk(random.Random(1))), 8).digest != digest


def test_it_counts_only_once_it_is_whole(disk: Disk) -> None:
    snapshots = loaded(disk)
    writer = snapshots.create(7, 2, b"")
    writer.add(b"x")
    assert (writer.parts, snapshots.latest) == (1, None)
    assert disk.names() == [NAME + ".1.new"]
    writer.abort()
    writer.abort()
    assert disk.names() == []
    with pytest.raises(ValueError, match="the snapshot is finished"):
        writer.add(b"y")


def test_one_that_is_left_is_thrown_away(disk: Disk) -> None:
    with loaded(disk).create(7, 2, b"") as writer:
        writer.add(b"x")
    assert disk.names() == []


def test_what_an_interrupted_one_left_is_removed_at_the_start(disk: Disk) -> None:
    loaded(disk).create(7, 2, b"").add(b"x")
    disk.put("log-0000000000000001.new", b"not ours")
    assert loaded(disk).latest is None
    assert disk.names() == ["log-0000000000000001.new"]


def test_a_newer_one_takes_the_place_of_the_older(disk: Disk) -> None:
    snapshots = loaded(disk)
    old = written(snapshots, 5)
    reader = snapshots.open(old)
    new = written(snapshots, 7)
    assert disk.names() == [NAME]
    assert snapshots.latest == new
    assert list(reader) == PARTS  # who reads may go on
    reader.close()
    with pytest.raises(SnapshotGoneError, match="the snapshot of entry 5 is gone"):
        snapshots.open(old)


def test_one_that_was_overtaken_is_dropped(disk: Disk) -> None:
    snapshots = loaded(disk)
    own = snapshots.create(5, 2, b"")
    received = written(snapshots, 7)
    assert own.finish() == received
    assert (disk.names(), snapshots.latest) == ([NAME], received)
    with pytest.raises(ValueError, match="a snapshot of entry 5, and there is one of"):
        snapshots.create(5, 2, b"")


def test_another_one_of_the_same_entry(disk: Disk) -> None:
    snapshots = loaded(disk)
    first = written(snapshots)
    second = written(snapshots, parts=[b"other"])
    with pytest.raises(SnapshotGoneError, match="another one by now"):
        snapshots.open(first)
    assert loaded(disk).latest == second


def test_older_ones_that_are_still_there_are_removed_at_the_start(disk: Disk) -> None:
    written(loaded(disk), 5)
    older = disk.content("snapshot-0000000000000005")
    written(loaded(disk), 7)
    disk.put("snapshot-0000000000000005", older)
    assert loaded(disk).position == Position(7, 2)
    assert disk.names() == [NAME]


def test_one_received_must_be_the_one_that_was_sent(disk: Disk) -> None:
    snapshots = loaded(disk)
    with pytest.raises(SnapshotDamagedError, match="is not the one that was sent"):
        snapshots.create(7, 2, b"").finish(b"other digest")
    assert (disk.names(), snapshots.latest) == ([], None)
    digest = written(loaded(Disk(random.Random(1)))).digest
    with snapshots.create(7, 2, b"abc") as writer:
        for part in PARTS:
            writer.add(part)
        assert writer.finish(digest) == snapshots.latest


def test_everything_is_bounded(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = loaded(disk)
    with pytest.raises(TooLargeError, match="a configuration of"):
        snapshots.create(7, 2, bytes(1024 * 1024 + 1))
    with snapshots.create(7, 2, b"") as writer:
        writer.add(bytes(SNAPSHOT_PART_BYTES_MAX))
        with pytest.raises(TooLargeError, match="part 1 of a snapshot"):
            writer.add(bytes(SNAPSHOT_PART_BYTES_MAX + 1))
        monkeypatch.setattr("manager.raft.snapshots.PARTS_MAX", 1)
        with pytest.raises(TooLargeError, match="part 1 of a snapshot"):
            writer.add(b"")


def test_a_large_one_is_synced_on_its_way(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.raft.snapshots.SYNC_BYTES", 100)
    syncs: list[str] = []

    def note(operation: str, _name: str) -> None:
        if operation == "sync":
            syncs.append(operation)

    disk.refuse = note
    written(loaded(disk), parts=[bytes(60)] * 6)
    assert len(syncs) == 4


# --------------------------------------------------------------------------------------- damage


def flipped(content: bytes, place: int) -> bytes:
    damaged = bytearray(content)
    damaged[place] ^= 1
    return bytes(damaged)


def test_any_flipped_bit_is_refused_with_its_place(disk: Disk) -> None:
    meta = written(loaded(disk))
    whole = disk.content(NAME)
    for place in range(len(whole)):
        disk.put(NAME, flipped(whole, place))
        with pytest.raises(SystemFailureError, match=f"/raft/{NAME} is damaged at byte"):
            list(loaded(disk).open(meta))


def test_any_missing_end_is_refused(disk: Disk) -> None:
    written(loaded(disk))
    whole = disk.content(NAME)
    for size in range(len(whole)):
        disk.put(NAME, whole[:size])
        with pytest.raises(SnapshotDamagedError, match=f"/raft/{NAME} is damaged at byte"):
            loaded(disk)
    assert disk.names() == [NAME]


OTHER_DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "it is no snapshot of this version of swarmd"),
    "something is added": (lambda whole: whole + b"x", "it ends too soon"),
    "something is added inside": (
        lambda whole: whole[:60] + b"x" + whole[60:],
        "its parts do not add up to its size",
    ),
}


@pytest.mark.parametrize(("damage", "message"), OTHER_DAMAGE.values(), ids=OTHER_DAMAGE)
def test_other_damage(disk: Disk, damage: Callable[[bytes], bytes], message: str) -> None:
    written(loaded(disk))
    disk.put(NAME, damage(disk.content(NAME)))
    with pytest.raises(SnapshotDamagedError, match=message):
        loaded(disk)


def test_a_snapshot_under_the_name_of_another_is_refused(disk: Disk) -> None:
    written(loaded(disk))
    disk.put("snapshot-0000000000000009", disk.content(NAME))
    with pytest.raises(SnapshotDamagedError, match="0009 is damaged at byte 0: it is of entry 7"):
        loaded(disk)


def test_a_damaged_newest_one_is_not_passed_over(disk: Disk) -> None:
    written(loaded(disk))
    disk.put("snapshot-0000000000000009", b"damage")
    with pytest.raises(SnapshotDamagedError, match="snapshot-0000000000000009 is damaged"):
        loaded(disk)
    assert NAME in disk.names()


def test_another_key_is_told(disk: Disk) -> None:
    written(loaded(disk))
    with pytest.raises(JournalDamagedError, match="sealed with another key than this manager's"):
        loaded(disk, Seal(b"K" * 32))


# ------------------------------------------------------------------------- a machine that refuses


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "sync_names"])
def test_whatever_the_machine_refuses_reaches_the_member_and_the_old_one_stands(
    disk: Disk, operation: str
) -> None:
    snapshots = loaded(disk)
    old = written(snapshots, 5)
    disk.refuse = lambda what, _: errno.ENOSPC if what == operation else None
    with pytest.raises(OSError, match="No space left"):
        written(snapshots, 7)
    assert snapshots.latest == old
    disk.refuse = lambda _operation, _name: None
    again = loaded(disk)
    assert again.latest is not None
    with again.open(again.latest) as reader:
        assert list(reader) == PARTS


def test_an_old_one_that_cannot_be_removed_is_told(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = loaded(disk)
    written(snapshots, 5)
    disk.refuse = lambda what, _: errno.EIO if what == "remove" else None
    new = written(snapshots, 7)
    assert snapshots.latest == new
    assert "cannot remove an old snapshot" in caplog.text


def test_a_refusal_at_the_start_is_told(disk: Disk) -> None:
    written(loaded(disk))
    disk.refuse = lambda what, _: errno.EIO if what == "read" else None
    with pytest.raises(SystemFailureError, match=r"cannot open the snapshots in /raft: .*Input"):
        loaded(disk)
