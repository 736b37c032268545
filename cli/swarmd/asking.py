"""Questions to other managers over HTTPS, outside of the replicated log and of sessions."""

import json
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from common.errors import SwarmdError, UnavailableError
from common.pki.identity import MANAGER_NAME

ANSWER_BYTES_MAX: Final = 256 * 1024
OK: Final = 200
MISDIRECTED: Final = 421
"""Answered by a manager that does not lead."""
_TRY_AGAIN: Final = frozenset({429, 500, 502, 503, 504})


class RefusedError(SwarmdError):
    """A manager has answered, and the answer is no; asking again does not help."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class MisdirectedError(UnavailableError):
    """Another manager is to be asked: the one that leads, at ``leader`` ("": nobody knows)."""

    def __init__(self, leader: str) -> None:
        super().__init__(f"the manager that leads is {leader or 'not known'}")
        self.leader = leader


async def ask(
    address: str,
    path: str,
    context: ssl.SSLContext,
    body: Mapping[str, Any] | None = None,
    *,
    seconds_max: float,
) -> bytes:
    """The answer of the manager at ``host:port``; GET without a body, POST with one.

    Raises:
        RefusedError: the answer is no.
        MisdirectedError: the leader is to be asked.
        UnavailableError: nobody answers, or not as a manager does, or it cannot answer now.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds_max)) as session,
            session.request(
                "GET" if body is None else "POST",
                f"https://{address}{path}",
                json=body,
                ssl=context,
                server_hostname=MANAGER_NAME if context.check_hostname else None,
                allow_redirects=False,
            ) as response,
        ):
            answer = await response.content.read(ANSWER_BYTES_MAX)
            status = response.status
    except TimeoutError:
        raise UnavailableError(f"manager {address} does not answer in time") from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise UnavailableError(f"{address} is no manager of this swarm: {error}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise UnavailableError(f"manager {address} cannot be reached: {_told(error)}") from None
    if status == OK:
        return answer
    if status == MISDIRECTED:
        raise MisdirectedError(leader_in(answer))
    said = _message(answer)
    message = said.get("message", "") or f"manager {address} answers with status {status}"
    if status in _TRY_AGAIN:
        raise UnavailableError(message)
    raise RefusedError(status, message)


def _told(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return error.os_error.strerror
    return str(error) or type(error).__name__


def leader_in(answer: bytes | str) -> str:
    """The manager that an answer with status ``MISDIRECTED`` names; "" where it names none."""
    return _message(answer).get("leader", "")


def _message(answer: bytes | str) -> dict[str, str]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
