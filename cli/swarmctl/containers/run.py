"""swarmctl run and create."""

import os
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

from cli.swarmctl import container_flags
from cli.swarmctl.client import ApiError, CannotConnectError, Client, current_client
from cli.swarmctl.command_line import NodeCommand, not_yet, without_effect
from cli.swarmctl.containers.joining import (
    NOT_RUN,
    LeftAloneError,
    attach_query,
    code_of_refusal,
    console_size,
    manner,
    stay_with,
)
from cli.swarmctl.flag_options import collected, collection, environment, flag, given_flags
from cli.swarmctl.flag_tables import Spec

MAX_PROFILE_BYTES = 1024 * 1024
"""Of a seccomp profile that is sent."""


_WINDOWS = ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")


class _WrongError(click.UsageError):
    exit_code = NOT_RUN


def _refused(message: str, code: int, command: str = "") -> click.exceptions.Exit:
    """Tells it as docker does, where help is, too."""
    click.echo(f"swarmctl: {message}", err=True)
    if command:
        click.echo(f"\nRun 'swarmctl {command} --help' for more information", err=True)
    return click.exceptions.Exit(code)


class _Command(NodeCommand):
    """Exits 125 when it is swarmd or the command line that fails, not the container."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _WrongError(error.message, error.ctx) from None

    @override
    def invoke(self, ctx: click.Context) -> Any:
        name = str(self.name)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _WrongError(error.message, error.ctx) from None
        except ApiError as error:
            if name != "run":
                raise
            code = code_of_refusal(str(error))
            raise _refused(f"Error response from daemon: {error}", code, name) from None
        except CannotConnectError as error:
            if name != "run":
                raise
            raise _refused(str(error), NOT_RUN, name) from None


def _with_flags(made: click.Command) -> click.Command:
    made.params += [flag(setting) for setting in container_flags.SETTINGS]
    made.params += [collection(item) for item in container_flags.COLLECTIONS]
    made.params += [
        collected(name, short, text) for name, (short, text) in container_flags.SPECIAL.items()
    ]
    made.params += [
        click.Option([f"--{name}"], help=text)
        for name, text in container_flags.SPECIAL_SETTINGS.items()
    ]
    made.params += [
        click.Option(["--name"], help="its name"),
        click.Option(["--platform"], help="of the image, as linux/amd64"),
        click.Option(
            ["--pull"],
            type=click.Choice(["missing", "never", "always"]),
            default="missing",
            help="always is refused: nothing is pulled yet",
        ),
        click.Option(["--env-file"], multiple=True, help="a file of NAME=value lines"),
        click.Option(["--label-file"], multiple=True, help="a file of key=value lines"),
        without_effect("--disable-content-trust", "taken as docker does; nothing is pulled yet"),
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, help="likewise"),
        not_yet("--use-api-socket", "sockets of swarmd in containers"),
        *(not_yet(f"--{name}", "containers of Windows") for name in _WINDOWS),
    ]
    made.params.sort(key=lambda param: param.opts[-1] if isinstance(param, click.Option) else "")
    return made


_SETTINGS: dict[str, Any] = {
    "allow_interspersed_args": False,
    "help_option_names": ["--help"],  # -h is the host name
}


@_with_flags
@click.command(cls=_Command, context_settings=_SETTINGS)
@click.argument("image")
@click.argument("command", nargs=-1, metavar="[COMMAND] [ARG...]", type=click.UNPROCESSED)
def create(image: str, command: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - flags of the tables
    """Make a container, without starting it."""
    given = _given(options)
    click.echo(_create(current_client(), _body(image, command, given), given))


@_with_flags
@click.command(cls=_Command, context_settings=_SETTINGS)
@click.argument("image")
@click.argument("command", nargs=-1, metavar="[COMMAND] [ARG...]", type=click.UNPROCESSED)
@click.option("-d", "--detach", is_flag=True, default=None, help="leave it alone; show its id")
@click.option("--detach-keys", metavar="KEYS", help="what leaves it alone (ctrl-p,ctrl-q)")
@click.option(
    "--sig-proxy",
    is_flag=True,
    default=True,
    help="send signals on to it (true); not with a terminal",
)
def run(image: str, command: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - flags of the tables
    """Make a container of an image, start it, and stay with it.

    Exits with its exit code; with 125 when swarmd refuses, 126 when the command cannot be run, 127 when
    there is none.
    """
    given = _given(options)
    body = _body(image, command, given)
    client = current_client()
    if given.get("detach"):
        container = _create(client, body, given)
        client.post(f"/containers/{container}/start")
        click.echo(container)
        return
    try:
        raise click.exceptions.Exit(_run(client, body, given))
    except LeftAloneError:
        return


def _run(client: Client, body: Spec, given: dict[str, Any]) -> int:
    how = manner(
        tty=bool(given.get("tty")),
        stdin=bool(body.get("AttachStdin")),
        detach_keys=given.get("detach-keys"),
        sig_proxy=bool(given.get("sig-proxy")),
    )
    size = console_size() if how.tty else None
    if size:
        body["HostConfig"]["ConsoleSize"] = size
    container = _create(client, body, given)
    return stay_with(
        client,
        container,
        how,
        attach_query(
            stdin="AttachStdin" in body,
            stdout="AttachStdout" in body,
            stderr="AttachStderr" in body,
            keys=given.get("detach-keys"),
        ),
        condition="removed" if given.get("rm") else "next-exit",
        begin=lambda: client.post(f"/containers/{container}/start"),
    )


# ----------------------------------------------------------------------------------------- making


def _create(client: Client, body: Spec, given: dict[str, Any]) -> str:
    id_file = Path(given["cidfile"]) if given.get("cidfile") else None
    if id_file and id_file.exists():
        raise click.ClickException(
            f"container ID file found, make sure the other container isn't running or delete {id_file}"
        )
    query = {key: given[key] for key in ("name", "platform") if given.get(key)}
    try:
        answer = client.post("/containers/create", body, **query)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND and "no such image" in str(error).lower():
            raise _not_here(str(body["Image"])) from None
        raise
    for warning in answer.get("Warnings") or []:
        click.echo(f"WARNING: {warning}", err=True)
    if id_file:
        id_file.write_text(answer["Id"])
    return str(answer["Id"])


def _not_here(image: str) -> click.exceptions.Exit:
    tagged = image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
    return _refused(
        f"Unable to find image '{tagged}' locally, and swarmd does not pull images yet.\n"
        "Bring it to this node with `swarmctl image load` or `swarmctl image import`.",
        NOT_RUN,
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given, with the texts of the files that they name."""
    given = given_flags(options)
    if given.get("pull") == "always":
        raise click.UsageError("--pull always: swarmd does not pull images yet")
    lines = _lines(given.pop("env-file", ()))
    given["env"] = tuple(map(environment, (*lines, *given.get("env", ()))))
    given["label"] = (*_lines(given.pop("label-file", ())), *given.get("label", ()))
    given["security-opt"] = tuple(map(_security_option, given.get("security-opt", ())))
    return given


def _lines(files: Sequence[str]) -> list[str]:
    found = []
    for file in files:
        lines = (line.strip() for line in Path(file).read_text().splitlines())
        found += [line for line in lines if line and not line.startswith("#")]
    return found


def _security_option(text: str) -> str:
    """A seccomp profile is sent as its text: swarmd may be elsewhere."""
    key, sign, value = text.partition("=" if "=" in text else ":")
    if key != "seccomp" or not sign or value in ("unconfined", "builtin"):
        return text
    import json  # noqa: PLC0415 - rarely needed

    with Path(value).open("rb") as file:
        profile = file.read(MAX_PROFILE_BYTES + 1)
    if len(profile) > MAX_PROFILE_BYTES:
        raise click.ClickException(f"{value} is larger than {MAX_PROFILE_BYTES} bytes")
    try:
        return f"seccomp={json.dumps(json.loads(profile), separators=(',', ':'))}"
    except ValueError as error:
        raise click.ClickException(
            f"compacting json for seccomp profile ({value}) failed: {error}"
        ) from None


def _body(image: str, command: Sequence[str], given: dict[str, Any]) -> Spec:
    return _said(lambda: container_flags.created(image, command, given, os.getcwd()))  # noqa: PTH109 - a text


def _said(make: Callable[[], Spec]) -> Spec:
    try:
        return make()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
