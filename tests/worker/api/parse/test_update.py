"""``POST /containers/{id}/update``."""

from typing import Any

import pytest

from common.engine_json import parse
from common.errors import InvalidInputError, NotImplementedHereError, SwarmdError
from worker.api.parse.resources import update_of
from worker.api.parse.wire import WireUpdate
from worker.containers.record import RestartPolicy
from worker.containers.updating import ContainerUpdate

MB = 1024 * 1024


def update(**body: Any) -> ContainerUpdate:
    return update_of(parse(WireUpdate, body, "config"), cpus=2)


def test_zero_and_empty_leave_things_as_they_are() -> None:
    body = {"Memory": 0, "CpuShares": 0, "CpusetCpus": "", "RestartPolicy": {"Name": ""}}
    assert update(**body) == ContainerUpdate()


def test_what_docker_update_sends() -> None:
    assert update(
        Memory=64 * MB,
        MemorySwap=128 * MB,
        MemoryReservation=32 * MB,
        NanoCpus=10**9,
        CpuShares=5,
        CpusetCpus="0,1",
        CpusetMems="0",
        BlkioWeight=10,
        PidsLimit=-1,
        RestartPolicy={"Name": "always"},
    ) == ContainerUpdate(
        memory_bytes=64 * MB,
        memory_swap_bytes=128 * MB,
        memory_reservation_bytes=32 * MB,
        nano_cpus=10**9,
        cpu_shares=5,
        cpuset_cpus="0,1",
        cpuset_mems="0",
        blkio_weight=10,
        pids=-1,
        restart=RestartPolicy(name="always"),
    )


def test_the_swap_alone_belongs_to_the_limit_that_there_is() -> None:
    assert update(MemorySwap=128 * MB) == ContainerUpdate(memory_swap_bytes=128 * MB)


REFUSED: dict[str, tuple[dict[str, Any], type[SwarmdError]]] = {
    "Minimum memory limit allowed is 6MB": ({"Memory": 5}, InvalidInputError),
    "Conflicting options": ({"NanoCpus": 10**9, "CpuPeriod": 1000}, InvalidInputError),
    "Devices of a container that exists cannot be changed": (
        {"Devices": [{"PathOnHost": "/dev/fuse"}]},
        NotImplementedHereError,
    ),
    "Ulimits of a container that exists cannot be changed": (
        {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}]},
        NotImplementedHereError,
    ),
    "HostConfig.CgroupParent is not available": ({"CgroupParent": "/x"}, NotImplementedHereError),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refuses(words: str) -> None:
    body, kind = REFUSED[words]
    with pytest.raises(kind, match=words):
        update(**body)
