"""Reading rotated logs: the tail, the bounds, and following through rotation to the end."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.engine_json import rfc3339
from tests.support.fake_clock import FakeClock, settle
from worker.containers import log_files
from worker.containers.log_lines import LogQuery, LogRecord
from worker.containers.logs import LogReader
from worker.runtime.bundle import LogOptions


def line(number: int, *, stream: str = "stdout", ending: str = "\n") -> str:
    entry = {"log": f"{number}{ending}", "stream": stream, "time": rfc3339(1000.0 + number)}
    return json.dumps(entry) + "\n"


def write(root: Path, *files: list[int]) -> str:
    """Files oldest first; the last is the newest."""
    for age, numbers in enumerate(reversed(files)):
        name = f"log.{age}" if age else "log"
        (root / name).write_text("".join(map(line, numbers)))
    return str(root / "log")


async def read(path: str, **query: object) -> list[int]:
    wanted = LogQuery(**query)  # type: ignore[arg-type]
    reader = LogReader(LogOptions(path=path), wanted, FakeClock(), has_ended=lambda: True)
    return [int(record.data) async for record in reader.read()]


CASES: dict[str, tuple[list[list[int]], dict[str, object], list[int]]] = {
    "everything, oldest first, over all files": ([[1, 2], [3], [4, 5]], {}, [1, 2, 3, 4, 5]),
    "the tail within the newest file": ([[1, 2], [3, 4, 5]], {"tail": 2}, [4, 5]),
    "the tail that reaches into older files": ([[1, 2], [3], [4]], {"tail": 3}, [2, 3, 4]),
    "a tail longer than the log": ([[1], [2]], {"tail": 99}, [1, 2]),
    "no tail at all": ([[1], [2]], {"tail": 0}, []),
    "since a moment, which counts": ([[1, 2], [3]], {"since": 1002.0}, [2, 3]),
    "until a moment, which counts": ([[1, 2], [3]], {"until": 1002.0}, [1, 2]),
    "the tail of what is before until": ([[1, 2], [3]], {"until": 1002.0, "tail": 1}, [2]),
    "a stream that said nothing": ([[1, 2]], {"stdout": False}, []),
    "an empty log": ([[]], {"tail": 5}, []),
    "follow of what has ended": ([[1], [2]], {"follow": True}, [1, 2]),
}


@pytest.mark.parametrize("name", CASES)
async def test_reads(tmp_path: Path, name: str) -> None:
    files, query, expected = CASES[name]

    assert await read(write(tmp_path, *files), **query) == expected


async def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert await read(str(tmp_path / "log")) == []


async def test_the_tail_counts_lines_of_the_wanted_stream(tmp_path: Path) -> None:
    text = "".join(line(n, stream="stderr" if n % 3 else "stdout") for n in range(9))
    (tmp_path / "log").write_text(text)

    assert await read(str(tmp_path / "log"), tail=2, stderr=False) == [3, 6]


async def test_damage_and_a_line_half_written_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line(1) + "damage\n" + line(2) + '{"log":"3')

    assert await read(str(tmp_path / "log"), tail=2) == [1, 2]


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    tail=st.integers(0, 200),
    block=st.integers(1, 300),
)
async def test_the_tail_is_the_end_of_the_whole_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], tail: int, block: int
) -> None:
    root = tmp_path_factory.mktemp("logs")
    numbers = iter(range(1000))
    files = [[next(numbers) for _ in range(count)] for count in counts]
    everything = [number for file in files for number in file]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "BLOCK_BYTES", block)
        found = await read(write(root, *files), tail=tail)

    assert found == everything[len(everything) - min(tail, len(everything)) :]


class Follower:
    """A reader that follows in the background, under a clock of the test's own."""

    def __init__(self, path: Path, **query: object) -> None:
        self.clock, self.path, self.ended = FakeClock(), path, False
        self.seen: list[int] = []
        wanted = LogQuery(follow=True, **query)  # type: ignore[arg-type]
        options = LogOptions(path=str(path))
        self.reader = LogReader(options, wanted, self.clock, has_ended=lambda: self.ended)

    async def run(self) -> None:
        async for record in self.reader.read():
            self.seen.append(int(record.data))

    def say(self, *numbers: int) -> None:
        with self.path.open("a") as file:
            file.write("".join(map(line, numbers)))

    def rotate(self, keep: int = 2) -> None:
        for age in range(keep - 1, 0, -1):
            older = self.path.with_name(f"log.{age}")
            if older.exists():
                older.rename(self.path.with_name(f"log.{age + 1}"))
        self.path.rename(self.path.with_name("log.1"))
        self.path.touch()


async def test_following_goes_on_through_rotations_to_the_end(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "log")
    async with asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await follower.clock.advance(1)  # the container has not started: no file
        follower.say(1)
        await follower.clock.advance(1)
        follower.say(2)
        follower.rotate()
        follower.say(3)
        await follower.clock.advance(1)
        assert follower.seen == [1, 2, 3]
        follower.say(4)
        follower.rotate()
        follower.say(5)
        follower.rotate()
        follower.say(6)
        await follower.clock.advance(1)
        assert follower.seen == [1, 2, 3, 4, 5, 6]
        follower.say(7)
        follower.ended = True
        await follower.clock.advance(1)
    assert follower.seen == [1, 2, 3, 4, 5, 6, 7]


async def test_following_a_log_of_one_file_survives_its_truncation(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "log", tail=0)
    follower.say(1, 2)
    async with asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await settle()
        (tmp_path / "log").write_text(line(3))
        await follower.clock.advance(1)
        follower.ended = True
        await follower.clock.advance(1)
    assert follower.seen == [3]


async def test_a_line_in_two_writes_is_one_line(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "log")
    whole = line(12)
    async with asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        (tmp_path / "log").write_text(whole[:9])
        await follower.clock.advance(1)
        assert follower.seen == []
        (tmp_path / "log").write_text(whole)
        follower.ended = True
        await follower.clock.advance(1)
    assert follower.seen == [12]


async def test_a_local_log_is_read_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "container.log"
    path.write_bytes(
        b"1000000000000 o \xff\0\n"
        b"half of a line that the machine's end cut off\n"
        b"1001500000000 E no newline\n"
        b"1002000000000 o  \n"
    )
    options = LogOptions(path=str(path), driver="local")
    reader = LogReader(options, LogQuery(tail=3), FakeClock(), has_ended=lambda: True)
    assert [record async for record in reader.read()] == [
        LogRecord(stream="stdout", at=1000.0, data=b"\xff\0\n"),
        LogRecord(stream="stderr", at=1001.5, data=b"no newline"),
        LogRecord(stream="stdout", at=1002.0, data=b" \n"),
    ]
