"""Starts a process in a container and stays with it to its end."""

import os
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click
from typing_extensions import override

from cli.swarmctl import terminal
from cli.swarmctl.client import ApiError, CannotConnectError, Client
from cli.swarmctl.conversation import End, FarProcess, Manner, converse, prepared
from cli.swarmctl.log_stream import StreamError
from common.engine_api.detach_keys import detach_sequence
from common.errors import InvalidInputError

NOT_RUN, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""Exit codes of docker's: swarmd refuses, the command cannot be run, there is no such command."""
_NO_SUCH_COMMAND = ("executable file not found", "no such file or directory")
_NO_SUCH_RIGHT = ("permission denied", "is a directory", "exec format error")


class PlainError(click.ClickException):
    """Told as docker tells it, without a word before."""

    @override
    def show(self, file: Any = None) -> None:
        click.echo(self.message, err=True)


class LeftAloneError(PlainError):
    """The keys that detach were typed: as docker, attach and exec say so and exit 1, run and start exit 0."""

    def __init__(self) -> None:
        super().__init__("read escape sequence")


class WaitingFailedError(click.ClickException):
    """The process went on without us, as far as anyone knows."""

    exit_code = NOT_RUN


def code_of_refusal(text: str) -> int:
    """The exit code for a start that swarmd refuses."""
    text = text.lower()
    if any(words in text for words in _NO_SUCH_COMMAND):
        return NOT_FOUND
    return NOT_EXECUTABLE if any(words in text for words in _NO_SUCH_RIGHT) else NOT_RUN


def manner(
    *, tty: bool, stdin: bool, detach_keys: str | None = None, sig_proxy: bool = False
) -> Manner:
    """How to talk with a process.

    Raises:
        click.ClickException: it is to have our terminal and there is none, or keys that do not exist.
    """
    descriptor = _standard_input() if stdin else None
    if tty and descriptor is not None and not os.isatty(descriptor):
        raise PlainError("the input device is not a TTY")
    try:
        keys = detach_sequence(detach_keys or "")
    except InvalidInputError as error:
        raise click.ClickException(str(error)) from None
    return Manner(tty=tty, stdin=descriptor, keys=keys, sig_proxy=sig_proxy and not tty)


def _standard_input() -> int:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or none
        return os.open(os.devnull, os.O_RDONLY)


def console_size() -> list[int] | None:
    """Rows and columns of our terminal."""
    try:
        found = terminal.size(sys.stdout.fileno())
    except (OSError, ValueError):
        return None
    return list(found) if found else None


def attach_query(*, stdin: bool, stdout: bool, stderr: bool, keys: str | None) -> dict[str, str]:
    """The query string of an attach."""
    given = {"stream": True, "stdin": stdin, "stdout": stdout, "stderr": stderr}
    asked = {name: "1" for name, wanted in given.items() if wanted}
    return asked | ({"detachKeys": keys} if keys else {})


def stay_with(
    client: Client,
    container: str,
    how: Manner,
    query: dict[str, str],
    *,
    condition: str = "",
    begin: Callable[[], Any] = lambda: None,
) -> int:
    """Attaches to a container, begins what is to begin, and gives the exit code.

    Raises:
        ApiError: swarmd refuses.
        LeftAloneError: the user leaves it alone.
        WaitingFailedError: the container's end cannot be learnt.
    """
    path = f"/containers/{container}"
    wanted = {"condition": condition} if condition else {}
    with closing(client.converse(f"{path}/attach", **query)) as duplex:  # noqa: SIM117 - in this order
        with client.promised(f"{path}/wait", **wanted) as ended, prepared(how):
            begin()
            if talk(lambda: converse(duplex, how, FarProcess(client, path))) is End.DETACHED:
                raise LeftAloneError
            return exit_code(ended)


def talk(conversation: Callable[[], End]) -> End:
    """A conversation whose stream must be whole.

    Raises:
        click.ClickException: it is not.
    """
    try:
        return conversation()
    except StreamError as error:
        raise click.ClickException(str(error)) from None


def exit_code(ended: Callable[[], Any]) -> int:
    """What a container's end says, once it has come.

    Raises:
        WaitingFailedError: it cannot be learnt.
    """
    try:
        answer = ended() or {}
    except (ApiError, CannotConnectError) as error:
        raise WaitingFailedError(f"error waiting for container: {error}") from None
    failure = (answer.get("Error") or {}).get("Message")
    if failure:
        raise WaitingFailedError(str(failure))
    if "StatusCode" not in answer:
        raise WaitingFailedError("error waiting for container: swarmd went away")
    return int(answer["StatusCode"])
