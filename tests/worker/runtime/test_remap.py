from pathlib import Path

import pytest

from common.errors import InvalidInputError
from worker.runtime.bundle import IdMapping
from worker.runtime.remap import (
    RANGES_MAX,
    Range,
    Remap,
    free_range,
    mappings_of,
    parse_ranges,
    remap_of,
)


def mapped(*ranges: tuple[int, int, int]) -> tuple[IdMapping, ...]:
    return tuple(IdMapping(container_id=a, host_id=b, size=c) for a, b, c in ranges)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "subuid", tmp_path / "subgid"


def test_nothing_is_asked_for(files: tuple[Path, Path]) -> None:
    assert remap_of("", *files) is None


def test_the_default_is_the_first_free_range(files: tuple[Path, Path]) -> None:
    files[0].write_text("alice:100000:65536\nbob:165536:65536\n")
    assert remap_of("default", *files) == Remap(
        uids=mapped((0, 231072, 65536)), gids=mapped((0, 231072, 65536))
    )


def test_the_default_is_what_the_administrator_gave_it(files: tuple[Path, Path]) -> None:
    for path, first in zip(files, (500_000, 600_000), strict=True):
        path.write_text(f"swarmd:{first}:1000\n")
    assert remap_of("default", *files) == Remap(
        uids=mapped((0, 500_000, 1000)), gids=mapped((0, 600_000, 1000))
    )


@pytest.mark.parametrize("setting", ["daemon", "1", "daemon:daemon", "1:1"])
def test_a_user_by_name_or_number(files: tuple[Path, Path], setting: str) -> None:
    files[0].write_text("daemon:200000:65536\n")
    files[1].write_text("1:300000:65536\n")
    assert remap_of(setting, *files) == Remap(
        uids=mapped((0, 200_000, 65536)), gids=mapped((0, 300_000, 65536))
    )


REFUSED = {
    "nobody": ("no-such-user", "no user 'no-such-user'"),
    "no such group": ("daemon:no-such-group", "no group 'no-such-group'"),
    "no range": ("daemon", "no range of user ids"),
}


@pytest.mark.parametrize(("setting", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(files: tuple[Path, Path], setting: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        remap_of(setting, *files)


def test_ranges_are_read_and_noise_is_left_out() -> None:
    text = "a:1:2\n# a comment\n\nb:x:2\nc:1\n a:9:1 \n"
    assert parse_ranges(text) == (
        Range(owner="a", first=1, size=2),
        Range(owner="a", first=9, size=1),
    )


def test_ranges_of_one_owner_follow_each_other_inside() -> None:
    ranges = parse_ranges("a:1000:10\nb:2000:10\na:3000:5\na:0:7\na:4294967290:10\n")
    assert mappings_of(ranges, {"a"}) == mapped((0, 1000, 10), (10, 3000, 5))


FREE = {
    "nothing is taken": ([], 100_000),
    "below it": ([(1000, 10)], 100_000),
    "room before the first": ([(165_536, 65_536)], 100_000),
    "no room before the first": ([(165_535, 65_536)], 231_071),
    "a gap that is too small": ([(100_000, 10), (165_545, 10)], 165_555),
    "overlapping": ([(100_000, 200_000), (150_000, 10)], 300_000),
}


@pytest.mark.parametrize(("taken", "first"), FREE.values(), ids=FREE)
def test_free_ranges(taken: list[tuple[int, int]], first: int) -> None:
    ranges = [Range(owner="x", first=begin, size=size) for begin, size in taken]
    assert free_range(ranges) == mapped((0, first, 65_536))


def test_no_range_is_free() -> None:
    with pytest.raises(InvalidInputError, match="no range of ids is free"):
        free_range([Range(owner="x", first=0, size=(1 << 32) - 1)])


def test_the_longest_map_fits_the_kernels_page() -> None:
    ranges = [Range(owner="x", first=4_000_000_000, size=1_000_000)] * (RANGES_MAX + 1)
    lines = [f"{one.container_id} {one.host_id} {one.size}" for one in mappings_of(ranges, {"x"})]
    assert len(lines) == RANGES_MAX
    assert len("\n".join(lines)) < 4096
