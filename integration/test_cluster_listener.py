"""The cluster listener, in a process of its own, under more connections than it takes."""

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.pki.identity import MANAGER_NAME
from tests.support.pki import files_of
from tests.support.tls_streams import MANAGER, WORKER, client_of

CONNECTIONS = 10_000
DESCRIPTORS = CONNECTIONS + 200
DESCRIPTORS_OF_SERVER = 2048
SECONDS_MAX = 60.0
SERVER = f"""
import asyncio, resource, sys
from aiohttp import web
from common.pki.files import NodeFiles
from manager.listener import Access, ClusterListener, ClusterRoute
from pathlib import Path

resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS_OF_SERVER}, {DESCRIPTORS_OF_SERVER}))

async def say(request, caller):
    return web.Response(text="said")

async def main():
    context = NodeFiles(Path(sys.argv[1])).server_context()
    routes = [ClusterRoute(method="GET", path="/hello", access=Access.NODE, handler=say)]
    async with ClusterListener("127.0.0.1:0", lambda: context, sys.argv[2], routes) as listener:
        print(listener.port, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    files = files_of(tmp_path, MANAGER)
    command = [sys.executable, "-c", SERVER, str(files.certificate.parent), MANAGER.cluster_id]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open(port: int) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        connection.connect(("127.0.0.1", port))
    return connection


def _resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


async def _ask(port: int, directory: Path) -> bytes:
    """As a node at another address than the silent ones."""
    async with asyncio.timeout(SECONDS_MAX):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_of(directory, WORKER), server_hostname=MANAGER_NAME,
            ssl_handshake_timeout=SECONDS_MAX, local_addr=("127.0.0.2", 0),
        )  # fmt: skip
        writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer


def test_ten_thousand_silent_connections_neither_grow_it_nor_keep_a_node_out(
    server: tuple[subprocess.Popen[str], int], many_descriptors: None, tmp_path: Path
) -> None:
    process, port = server
    asyncio.run(_ask(port, tmp_path))
    before = _resident_kib(process.pid)
    most = 0
    with contextlib.ExitStack() as stack:
        begun = time.monotonic()
        for number in range(CONNECTIONS):
            stack.enter_context(_open(port))
            if number % 500 == 0:
                most = max(most, len(list(Path(f"/proc/{process.pid}/fd").iterdir())))
        most = max(most, len(list(Path(f"/proc/{process.pid}/fd").iterdir())))
        answer = asyncio.run(_ask(port, tmp_path))
        seconds = time.monotonic() - begun
        grown = _resident_kib(process.pid) - before
    print(f"{most} descriptors, {grown} KiB more, a node answered after {seconds:.1f} s")
    assert answer.endswith(b"said")
    assert most < DESCRIPTORS_OF_SERVER // 2
    assert grown < 64 * 1024
