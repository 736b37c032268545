"""swarmctl exec."""

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from cli.swarmctl.client import ApiError, Client
from cli.swarmctl.command_line import NodeCommand
from cli.swarmctl.containers.joining import (
    NOT_RUN,
    LeftAloneError,
    code_of_refusal,
    console_size,
    manner,
    talk,
)
from cli.swarmctl.conversation import End, FarProcess, Manner, converse, prepared
from cli.swarmctl.flag_options import environment
from cli.swarmctl.whereabouts import on_container


@click.command(cls=NodeCommand, context_settings={"allow_interspersed_args": False})
@click.argument("name", metavar="CONTAINER|TASK")
@click.argument(
    "command", nargs=-1, required=True, metavar="COMMAND [ARG...]", type=click.UNPROCESSED
)
@click.option("-d", "--detach", is_flag=True, help="leave it alone")
@click.option("--detach-keys", metavar="KEYS", help="what leaves it alone (ctrl-p,ctrl-q)")
@click.option("-e", "--env", multiple=True, help="an environment variable, NAME=value")
@click.option("--env-file", multiple=True, help="a file of NAME=value lines")
@click.option("-i", "--interactive", is_flag=True, help="give it our input")
@click.option("--privileged", is_flag=True, help="with all rights of the host's root")
@click.option("-t", "--tty", is_flag=True, help="give it a terminal")
@click.option("-u", "--user", default="", help="user or uid, with :group")
@click.option("-w", "--workdir", default="", help="its working directory")
def exec_(name: str, command: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - the options above
    """Run a command in a container that runs, on this node or, as a task, on any. Exits with its exit code."""
    detached = bool(given["detach"])
    how = manner(
        tty=bool(given["tty"]),
        stdin=bool(given["interactive"]) and not detached,
        detach_keys=given["detach_keys"],
    )
    body = _body(command, given)
    client, made = on_container(
        name, lambda client, at: (client, client.post(f"/containers/{at}/exec", body)["Id"])
    )
    if detached:
        client.post(f"/exec/{made}/start", {"Detach": True, "Tty": how.tty})
        return
    raise click.exceptions.Exit(_run(client, made, how))


def _body(command: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    lines = [
        line.strip() for file in given["env_file"] for line in Path(file).read_text().splitlines()
    ]
    from_files = [line for line in lines if line and not line.startswith("#")]
    attached = not given["detach"]
    body: dict[str, Any] = {
        "AttachStdin": bool(given["interactive"]) and attached,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Tty": bool(given["tty"]),
        "Privileged": bool(given["privileged"]),
        "User": given["user"],
        "WorkingDir": given["workdir"],
        "Env": [environment(item) for item in (*from_files, *given["env"])],
        "Cmd": list(command),
    }
    if given["detach_keys"]:
        body["DetachKeys"] = given["detach_keys"]
    size = console_size() if given["tty"] else None
    return body | ({"ConsoleSize": size} if size else {})


def _run(client: Client, made: str, how: Manner) -> int:
    body: dict[str, Any] = {"Detach": False, "Tty": how.tty}
    size = console_size() if how.tty else None
    if size:
        body["ConsoleSize"] = size
    try:
        duplex = client.converse(f"/exec/{made}/start", body)
    except ApiError as error:
        click.echo(f"Error response from daemon: {error}", err=True)
        code = code_of_refusal(str(error))
        return 1 if code == NOT_RUN else code
    with closing(duplex), prepared(how):
        if talk(lambda: converse(duplex, how, FarProcess(client, f"/exec/{made}"))) is End.DETACHED:
            raise LeftAloneError
    return int(client.get(f"/exec/{made}/json").get("ExitCode") or 0)
