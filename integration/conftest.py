"""Integration tests act on the kernel: they need root, and say so instead of failing one by one."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.host import Host
from integration.runtime_world import make_root, make_runtime, make_world

__all__ = ["make_root", "make_runtime", "make_world"]
"""Fixtures of the runtime's tests."""

_numbers = itertools.count(1)


def pytest_collection_modifyitems() -> None:
    if os.geteuid() != 0:
        pytest.exit(
            "integration tests need root: they make namespaces, mounts and cgroups", returncode=2
        )


def make_host(*options: str) -> Host:
    """A new host with a running swarmd, which is given these options besides the usual ones."""
    name = f"swarmd-t{os.getpid()}-{next(_numbers)}"
    made = Host(name, Path(tempfile.mkdtemp(prefix=f"{name}-")))
    made.options = [*made.options, *options]
    try:
        made.make()
        made.start()
    except BaseException:
        made.erase()
        raise
    return made


@pytest.fixture
def bare_host() -> Iterator[Host]:
    """A host that is in no swarm."""
    host = make_host()
    yield host
    host.remove()


@contextmanager
def lone_host(*options: str) -> Iterator[Host]:
    """A new host with the image hello:1, in no swarm; its containers are taken away in the end."""
    made = make_host(*options)
    try:
        made.import_hello("1")
        yield made
        made.docker("rm", "-f", "-v", *made.docker("ps", "-aq").stdout.split(), check=False)
    except BaseException:
        made.erase()
        raise
    made.remove()


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """Such a host for the tests of a module."""
    with lone_host() as made:
        yield made


def make_swarm() -> Host:
    """A new one-node swarm with the images hello:1 and hello:2."""
    made = make_host()
    try:
        made.init()
        made.import_hello("1", "2")
    except BaseException:
        made.erase()
        raise
    return made


@pytest.fixture
def host() -> Iterator[Host]:
    """A one-node swarm of its own, with the images hello:1 and hello:2."""
    made = make_swarm()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def shared_host() -> Iterator[Host]:
    """The same, for tests that leave it as they found it."""
    made = make_swarm()
    yield made
    made.remove()
