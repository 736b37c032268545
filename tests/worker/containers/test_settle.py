"""A spec over its image: what runs, with which environment, under which check."""

import pytest

from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec, HealthConfig, Mount, MountType
from worker.containers.record import ContainerConfig
from worker.containers.settle import (
    DEFAULT_PATH,
    argv_of,
    container_of,
    env_of,
    healthcheck_of,
    mounts_of,
)
from worker.containers.signals import signal_number
from worker.images.resolved import ResolvedImage

IMAGE = ResolvedImage(id="sha256:1", layers=("/l",), entrypoint=("/entry",), cmd=("serve", "-f"))

ARGV = {
    "the image's entrypoint and command": (ContainerSpec(), ("/entry", "serve", "-f")),
    "other arguments for the image's entrypoint": (ContainerSpec(args=("x",)), ("/entry", "x")),
    "another command, without the image's arguments": (ContainerSpec(command=("/b",)), ("/b",)),
    "another command with arguments": (ContainerSpec(command=("/b",), args=("x",)), ("/b", "x")),
}


@pytest.mark.parametrize("name", ARGV)
def test_what_runs_is(name: str) -> None:
    spec, expected = ARGV[name]

    assert argv_of(spec, IMAGE) == expected


ENV = {
    "a path and a hostname": ((), (), (f"PATH={DEFAULT_PATH}", "HOSTNAME=h")),
    "the image's path instead": (("PATH=/x",), (), ("PATH=/x", "HOSTNAME=h")),
    "the spec's over the image's": (("A=1", "B=2"), ("A=3",), (f"PATH={DEFAULT_PATH}", "HOSTNAME=h", "A=3", "B=2")),
    "without what the spec names bare": (("A=1",), ("A",), (f"PATH={DEFAULT_PATH}", "HOSTNAME=h")),
    "values with further signs": ((), ("A=b=c",), (f"PATH={DEFAULT_PATH}", "HOSTNAME=h", "A=b=c")),
}  # fmt: skip


@pytest.mark.parametrize("name", ENV)
def test_the_environment_is(name: str) -> None:
    image, spec, expected = ENV[name]

    found = env_of(
        ContainerSpec(env=spec), ResolvedImage(id="i", layers=(), env=image), hostname="h"
    )

    assert found == expected


def check(*test: str, **fields: float) -> HealthConfig:
    return HealthConfig(test=test, **fields)  # type: ignore[arg-type]


FULL = {
    "interval_seconds": 30.0,
    "timeout_seconds": 30.0,
    "retries": 3,
    "start_interval_seconds": 5.0,
}
HEALTH = {
    "none at all": (None, None, None),
    "the image's, with Docker's defaults": (None, check("CMD", "a"), check("CMD", "a", **FULL)),
    "the spec's over the image's": (check("CMD", "b"), check("CMD", "a"), check("CMD", "b", **FULL)),
    "the image's test at the spec's pace": (
        check(interval_seconds=1.0, retries=9),
        check("CMD", "a", timeout_seconds=2.0),
        check("CMD", "a", **{**FULL, "interval_seconds": 1.0, "retries": 9, "timeout_seconds": 2.0}),
    ),
    "none when the spec says so": (check("NONE"), check("CMD", "a"), None),
    "none when the image says so": (None, check("NONE"), None),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTH)
def test_the_healthcheck_is(name: str) -> None:
    spec, image, expected = HEALTH[name]

    assert healthcheck_of(spec, image) == expected


def test_an_image_without_a_command_cannot_be_run_without_one() -> None:
    config = ContainerConfig(name="x", spec=ContainerSpec(image="i"))

    with pytest.raises(InvalidInputError, match="no command specified"):
        container_of(config, ResolvedImage(id="i", layers=()), container_id="a" * 64, now=1.0)


def test_the_images_volumes_are_anonymous_ones_unless_a_mount_covers_them() -> None:
    image = ResolvedImage(id="i", layers=(), volumes=("/data", "/cache"))
    mine = Mount(type=MountType.BIND, source="/srv", target="/data/")

    found = mounts_of(ContainerSpec(mounts=(mine,)), image)

    assert found == (mine, Mount(type=MountType.VOLUME, target="/cache"))


def test_signals_have_names_and_numbers() -> None:
    names = ("SIGTERM", "term", "15", "SIGKILL", "SIGRTMIN+3", "rtmax-1")

    assert [signal_number(name) for name in names] == [15, 15, 15, 9, 37, 63]


@pytest.mark.parametrize("name", ["", "0", "65", "SIGFOO", "SIGTERM+1", "SIGRTMIN+99", "-9"])
def test_other_signals_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid signal"):
        signal_number(name)
