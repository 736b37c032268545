"""The disk of the tests itself: it must be as bad as a real one can be, and no worse."""

import errno
import random
from collections.abc import Callable

import pytest

from tests.support.power_loss import SECTOR, Disk, LossyDirectory, PowerLostError


def found_after_power_loss(write: Callable[[LossyDirectory], None]) -> set[tuple[str, bytes]]:
    """Every content of every file that may be found."""
    found = set()
    for seed in range(300):
        disk = Disk(random.Random(seed))
        write(disk.directory())
        disk.lose_power()
        found |= {(name, disk.content(name)) for name in disk.names()}
        found |= {("", b"")} if not disk.names() else set()
    return found


def test_what_was_synced_stays() -> None:
    def write(directory: LossyDirectory) -> None:
        file = directory.create("a")
        file.write(b"abc", 0)
        file.sync()
        directory.sync()

    assert found_after_power_loss(write) == {("a", b"abc")}


def test_a_synced_file_without_a_synced_name_may_be_gone() -> None:
    def write(directory: LossyDirectory) -> None:
        file = directory.create("a")
        file.write(b"abc", 0)
        file.sync()

    assert found_after_power_loss(write) == {("a", b"abc"), ("", b"")}


def test_unsynced_sectors_come_and_go_one_by_one() -> None:
    def write(directory: LossyDirectory) -> None:
        file = directory.create("a")
        directory.sync()
        file.write(b"x" * 2 * SECTOR, 0)

    contents = {content for _, content in found_after_power_loss(write)}
    x, zeros = b"x" * SECTOR, bytes(SECTOR)
    assert {b"", x + x, x + zeros, zeros + x, zeros + zeros} <= contents
    assert any(0 < len(content) < SECTOR for content in contents)


def test_names_change_or_not_whatever_becomes_of_others() -> None:
    def write(directory: LossyDirectory) -> None:
        for name in "ab":
            file = directory.create(name)
            file.write(name.encode(), 0)
            file.sync()
        directory.sync()
        directory.rename("a", "c")
        directory.remove("b")

    found = found_after_power_loss(write)
    assert found == {("a", b"a"), ("c", b"a"), ("b", b"b")}


def test_a_kill_loses_nothing_and_makes_nothing_durable() -> None:
    disk = Disk(random.Random(1))
    directory = disk.directory()
    directory.sync()
    file = directory.create("a")
    file.write(b"abc", 0)
    disk.kill()
    with pytest.raises(PowerLostError):
        file.write(b"d", 3)
    assert disk.directory().open("a").read(0, 9) == b"abc"
    found = set()
    for seed in range(20):
        disk = Disk(random.Random(seed))
        disk.directory().create("a")
        disk.kill()
        disk.lose_power()
        found.add(tuple(disk.names()))
    assert found == {(), ("a",)}


@pytest.mark.parametrize("how", ["lose_power_at", "kill_at"])
def test_it_ends_within_the_operation_that_one_says(how: str) -> None:
    disk = Disk(random.Random(1))
    file = disk.directory().create("a")
    setattr(disk, how, disk.operations + 2)
    file.write(b"a", 0)
    with pytest.raises(PowerLostError):
        file.write(b"b", 1)
    with pytest.raises(PowerLostError, match="by a process that has ended"):
        file.sync()


def test_a_full_disk_takes_a_part() -> None:
    disk = Disk(random.Random(1))
    file = disk.directory().create("a")
    disk.bytes_free = 2
    with pytest.raises(OSError, match="No space left") as refused:
        file.write(b"abc", 0)
    assert (refused.value.errno, disk.content("a")) == (errno.ENOSPC, b"ab")
    file.write(b"xy", 0)  # what is there can be written over
    file.truncate(1)
    file.write(b"z", 1)
    assert disk.content("a") == b"xz"


def test_a_disk_that_lies_keeps_nothing() -> None:
    def write(directory: LossyDirectory) -> None:
        directory._disk.syncs = directory._disk.syncs_names = False
        file = directory.create("a")
        file.write(b"abc", 0)
        file.sync()
        directory.sync()

    assert {("", b""), ("a", b""), ("a", b"abc")} <= found_after_power_loss(write)
