"""Containers' records: the latest whole one counts, whatever a crash has left behind it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import SystemFailureError
from common.model.container_spec import ContainerSpec
from worker.containers.record import Container, ContainerConfig, ContainerState
from worker.containers.records import FILE_BYTES_MAX, Records

CREATED = Container(
    id="c1",
    config=ContainerConfig(name="web.1", spec=ContainerSpec(image="web")),
    image_id="sha256:1",
    created_at=1.0,
)
RUNNING = replace(CREATED, state=ContainerState.RUNNING, pid=7)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    records = Records(str(tmp_path))
    assert records.open() == []
    records.make(CREATED.id)
    records.write(CREATED)
    return records


def record_file(records: Records) -> Path:
    return records.directory(CREATED.id) / "record"


def test_the_latest_record_counts(records: Records) -> None:
    records.write(RUNNING)

    assert records.open() == [RUNNING]


DAMAGE: dict[str, Callable[[bytes, int], bytes]] = {
    "its head is cut off": lambda data, first: data[: first + 3],
    "its body is cut off": lambda data, _: data[:-1],
    "zeros are all that is left of it": lambda data, first: data[:first] + bytes(len(data) - first),
    "a byte of it is wrong": lambda data, _: data[:-1] + bytes([data[-1] ^ 1]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_record_that_is_not_whole_never_was(records: Records, name: str) -> None:
    first = record_file(records).stat().st_size
    records.write(RUNNING)
    record_file(records).write_bytes(DAMAGE[name](record_file(records).read_bytes(), first))

    assert records.open() == [CREATED]

    records.write(RUNNING)
    assert records.open() == [RUNNING]


def test_a_container_without_a_whole_record_is_half_made(records: Records) -> None:
    record_file(records).write_bytes(record_file(records).read_bytes()[:-1])

    assert records.open() == []
    assert not records.directory(CREATED.id).exists()


def test_the_file_does_not_grow_without_end(records: Records) -> None:
    large = replace(CREATED, error="x" * 10_000)
    sizes = []
    for number in range(100):
        records.write(replace(large, pid=number))
        sizes.append(record_file(records).stat().st_size)

    assert max(sizes) <= FILE_BYTES_MAX
    assert records.open() == [replace(large, pid=99)]


def test_a_container_that_is_gone_cannot_be_recorded(records: Records) -> None:
    records.remove(CREATED.id)

    with pytest.raises(SystemFailureError, match="the disk of containers"):
        records.write(RUNNING)
