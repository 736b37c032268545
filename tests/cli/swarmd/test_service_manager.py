"""swarmd tells the service manager how it fares, and never waits for it."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.swarmd.service_manager import READY, STOPPING, ServiceManager


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5)
        yield listener, address


def test_each_state_is_one_datagram(listener: tuple[socket.socket, str]) -> None:
    receiver, address = listener
    manager = ServiceManager({"NOTIFY_SOCKET": address})
    manager.tell(READY)
    manager.tell(STOPPING)
    assert [receiver.recv(64), receiver.recv(64)] == [b"READY=1", b"STOPPING=1"]


def test_an_abstract_address_is_understood(tmp_path: Path) -> None:
    name = f"swarmd-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        receiver.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).tell(READY)
        assert receiver.recv(64) == b"READY=1"


def test_without_a_service_manager_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({}).tell(READY)
    assert not caplog.records


def test_a_service_manager_that_is_gone_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY)
    assert [record.getMessage() for record in caplog.records] == [
        "the service manager was not told"
    ]


def test_one_that_does_not_read_is_not_waited_for(listener: tuple[socket.socket, str]) -> None:
    _, address = listener
    manager = ServiceManager({"NOTIFY_SOCKET": address})
    for _ in range(2000):  # more than the socket's queue holds
        manager.tell(READY)
