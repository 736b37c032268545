from dataclasses import replace

import pytest

from common.errors import InvalidInputError, NotImplementedHereError
from worker.runtime.bundle import Bundle, BundleMount, RootFs
from worker.runtime.oci_runtimes import NAME_MAX, Runtimes

INSTALLED = {"crun": "/usr/bin/crun", "mine": "/opt/mine", "x" * (NAME_MAX + 1): "/x"}


def runtimes(default: str = "") -> Runtimes:
    return Runtimes(default, INSTALLED.get)


PROGRAMS = {
    "nothing asked, ours by default": ("", "", "swarmd", ""),
    "nothing asked, another by default": ("crun", "", "crun", "/usr/bin/crun"),
    "ours, another by default": ("crun", "swarmd", "swarmd", ""),
    "one that is not well known": ("", "mine", "mine", "/opt/mine"),
}


@pytest.mark.parametrize(
    ("default", "asked", "name", "program"), PROGRAMS.values(), ids=list(PROGRAMS)
)
def test_programs(default: str, asked: str, name: str, program: str) -> None:
    found = runtimes(default)
    assert found.settled(asked) == name
    assert found.program(name) == program


@pytest.mark.parametrize("name", ["runc", "../crun", "/usr/bin/crun", "-x", "x" * (NAME_MAX + 1)])
def test_others_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="unknown or invalid runtime name"):
        runtimes().settled(name)


def test_a_default_that_is_not_here_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="runtime name: runc"):
        runtimes("runc").settled("")


BUNDLE = Bundle(
    id="a", rootfs=RootFs(lower=("/l",), upper="/u", work="/w", merged="/m"), argv=("sh",)
)


def test_ours_is_an_init_itself() -> None:
    bundle = replace(BUNDLE, init=True)
    assert runtimes().applied("swarmd", bundle) == bundle


def test_another_is_named_by_its_path() -> None:
    assert runtimes().applied("crun", BUNDLE) == replace(BUNDLE, runtime="/usr/bin/crun")


def test_under_another_the_init_is_a_program_of_the_hosts() -> None:
    with_init = Runtimes("", (INSTALLED | {"catatonit": "/usr/bin/catatonit"}).get)
    assert with_init.applied("crun", replace(BUNDLE, init=True)) == replace(
        BUNDLE,
        runtime="/usr/bin/crun",
        argv=("/sbin/docker-init", "--", "sh"),
        mounts=(
            BundleMount(target="/sbin/docker-init", source="/usr/bin/catatonit", read_only=True),
        ),
    )


def test_without_such_a_program_an_init_is_refused() -> None:
    with pytest.raises(NotImplementedHereError, match="docker-init"):
        runtimes().applied("crun", replace(BUNDLE, init=True))


def test_those_that_are_here_are_told() -> None:
    assert runtimes().known() == {"swarmd": "", "crun": "/usr/bin/crun"}
    assert runtimes("mine").known() == {
        "swarmd": "", "crun": "/usr/bin/crun", "mine": "/opt/mine",
    }  # fmt: skip
