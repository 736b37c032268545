"""Asks a container over its own network how it fares: nothing of its image is run."""

import asyncio
import os
import socket

from common.errors import SystemFailureError
from common.health_probes import ProbeTarget
from worker.containers.health import OUTPUT_BYTES_MAX, TIMED_OUT
from worker.kernel.namespaces import visiting
from worker.runtime.bundle import ExecResult

HEAD_BYTES_MAX = 16 * 1024
"""Of an answer; a longer head is no answer."""
HEALTHY_CODES = range(200, 400)
_HEAD_END = b"\r\n\r\n"
_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_FAILED = 1


async def probe_network(pid: int, target: ProbeTarget, timeout_seconds: float) -> ExecResult:
    """Probes the loopback addresses in the network of a process; code 0 is healthy, 1 not, -1 too slow.

    Raises:
        SystemFailureError: its network cannot be entered: the process has just ended.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _probe(pid, target)
    except TimeoutError:
        return ExecResult(code=TIMED_OUT, output=b"")


async def _probe(pid: int, target: ProbeTarget) -> ExecResult:
    reason = b""
    for family, address in _LOOPBACKS:
        opened = _socket_in_network_of(pid, family)
        if opened is None:
            continue
        try:
            await asyncio.get_running_loop().sock_connect(opened, (address, target.port))
            if target.path is None:
                return ExecResult(code=0, output=f"port {target.port} is open".encode())
            return verdict_of(await _ask(opened, target))
        except OSError as error:
            reason = reason or f"port {target.port}: {error.strerror or error}".encode()
        finally:
            opened.close()
    return ExecResult(code=_FAILED, output=reason)


def _socket_in_network_of(pid: int, family: socket.AddressFamily) -> socket.socket | None:
    """None where the network has no such family."""
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SystemFailureError(f"the network of process {pid} cannot be entered") from error
    try:
        with visiting(namespace):
            return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError:
        return None
    finally:
        os.close(namespace)


async def _ask(connected: socket.socket, target: ProbeTarget) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, request_of(target))
    answer = b""
    while _HEAD_END not in answer and len(answer) <= HEAD_BYTES_MAX:
        piece = await loop.sock_recv(connected, HEAD_BYTES_MAX)
        if not piece:
            break
        answer += piece
    return answer


def request_of(target: ProbeTarget) -> bytes:
    """What is sent."""
    lines = (
        f"GET {target.path} HTTP/1.1",
        f"Host: localhost:{target.port}",
        "User-Agent: swarmd-healthcheck",
        "Accept: */*",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def verdict_of(answer: bytes) -> ExecResult:
    """What an answer, or its beginning, means: a status from 200 to 399 is healthy."""
    head, _, body = answer.partition(_HEAD_END)
    status = head.split(b"\r\n", 1)[0]
    words = status.split(b" ", 2)
    is_http = len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit()
    if not is_http:
        return ExecResult(code=_FAILED, output=b"no answer of HTTP: " + status[:OUTPUT_BYTES_MAX])
    code = 0 if int(words[1]) in HEALTHY_CODES else _FAILED
    output = status + (b"\n" + body if body else b"")
    return ExecResult(code=code, output=output[:OUTPUT_BYTES_MAX])
