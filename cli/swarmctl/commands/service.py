"""swarmctl service: create, change and look at services."""

from collections.abc import Callable, Iterator
from typing import Any

import click

from cli.swarmctl import service_flags, shown
from cli.swarmctl.client import ApiError, current_client
from cli.swarmctl.commands.events import moment
from cli.swarmctl.filters import filter_option, format_option, query, quiet_option
from cli.swarmctl.log_stream import frames
from cli.swarmctl.now import now
from cli.swarmctl.service_text import pretty_service
from cli.swarmctl.table import show_list, show_objects

_COLUMNS = {
    "ID": "ID",
    "Name": "NAME",
    "Mode": "MODE",
    "Replicas": "REPLICAS",
    "Image": "IMAGE",
    "Ports": "PORTS",
}
_TASK_COLUMNS = {
    "ID": "ID",
    "Name": "NAME",
    "Image": "IMAGE",
    "Node": "NODE",
    "DesiredState": "DESIRED STATE",
    "CurrentState": "CURRENT STATE",
    "Error": "ERROR",
    "Ports": "PORTS",
}
_ERROR_WIDTH = 30


@click.group()
def command() -> None:
    """Handle services."""


# ------------------------------------------------------------------------------ create and update


def _flag(setting: service_flags.Setting) -> click.Option:
    names = ([f"-{setting.short}"] if setting.short else []) + [f"--{setting.flag}"]
    if setting.is_switch:
        return click.Option(names, type=bool, is_flag=False, flag_value=True, help=setting.help)
    kind: Any = click.Choice(setting.choices) if setting.choices else str
    return click.Option(names, type=kind, help=setting.help, metavar=None)


def _collected(flag: str, short: str, text: str) -> click.Option:
    return click.Option([*([f"-{short}"] if short else []), f"--{flag}"], multiple=True, help=text)


def _with_flags(*, creating: bool) -> Callable[[Any], Any]:
    """Adds the flags of the tables to a command."""

    def add(made: click.Command) -> click.Command:
        made.params += [_flag(setting) for setting in service_flags.SETTINGS]
        for item in service_flags.COLLECTIONS:
            if creating:
                made.params.append(_collected(item.flag, item.short, item.help))
            else:
                made.params.append(
                    _collected(f"{item.flag}-add", "", f"add or replace: {item.help}")
                )
                made.params.append(_collected(f"{item.flag}-rm", "", f"remove: {item.help}"))
        made.params += [
            _collected(item.flag, item.short, item.help) for item in service_flags.APPENDED
        ]
        made.params.sort(
            key=lambda param: param.opts[-1] if isinstance(param, click.Option) else ""
        )
        return made

    return add


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, by the names of the flag tables."""
    return {
        name.replace("_", "-"): value for name, value in options.items() if value not in (None, ())
    }


def _spec(make: Callable[[], service_flags.Spec]) -> service_flags.Spec:
    try:
        return make()
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@_with_flags(creating=True)
@command.command(context_settings={"allow_interspersed_args": False})
@click.argument("image")
@click.argument("args", nargs=-1, metavar="[COMMAND] [ARG...]", type=click.UNPROCESSED)
@click.option("--name", help="the service's name")
@click.option("--mode", type=click.Choice(["replicated", "global", "replicated-job", "global-job"]))
@click.option("--replicas", type=click.IntRange(min=0), help="number of tasks (1)")
@click.option("--max-concurrent", type=click.IntRange(min=0), help="jobs: tasks at a time")
@click.option("--env-file", multiple=True, type=click.File(), help="a file of NAME=value lines")
@click.option(
    "--no-resolve-image",
    is_flag=True,
    expose_value=False,
    help="ask no registry (none is ever asked)",
)
@click.option("-d", "--detach", is_flag=True, help="do not wait until it has converged")
@click.option("-q", "--quiet", is_flag=True, help="wait without showing progress")
def create(
    image: str,
    args: tuple[str, ...],
    *,
    name: str | None,
    detach: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401 - click passes the flags of the tables by name
) -> None:
    """Create a service."""
    files = [line.strip() for file in options.pop("env_file") for line in file]
    given = _given(options)
    from_files = tuple(line for line in files if line and not line.startswith("#"))
    given["env"] = tuple(map(_environment, from_files + tuple(given.get("env", ()))))
    spec = _spec(lambda: service_flags.created(name or "", image, args, given))
    answer = current_client().post("/services/create", spec)
    _show_warnings(answer)
    click.echo(answer["ID"])
    if not detach:
        _converge(answer["ID"], quiet=quiet)


@_with_flags(creating=False)
@command.command()
@click.argument("service")
@click.option("--image", help="the image of its tasks")
@click.option("--args", help="the arguments of its command")
@click.option("--replicas", type=click.IntRange(min=0), help="number of tasks")
@click.option(
    "--force", is_flag=True, default=None, help="replace its tasks though nothing changed"
)
@click.option("--rollback", is_flag=True, help="return to the former spec")
@click.option(
    "--no-resolve-image",
    is_flag=True,
    expose_value=False,
    help="ask no registry (none is ever asked)",
)
@click.option("-d", "--detach", is_flag=True, help="do not wait until it has converged")
@click.option("-q", "--quiet", is_flag=True, help="wait without showing progress")
def update(service: str, *, rollback: bool, detach: bool, quiet: bool, **options: Any) -> None:  # noqa: ANN401
    """Update a service; its tasks are replaced as its update settings say."""
    given = _given(options)
    if rollback:
        if given:
            raise click.UsageError("other flags may not be combined with --rollback")
        _roll_back(service, detach=detach, quiet=quiet)
        return
    if "env-add" in given:
        given["env-add"] = tuple(map(_environment, given["env-add"]))
    found = current_client().get(f"/services/{service}")
    spec = _spec(lambda: service_flags.updated(found["Spec"], given))
    _update(found, spec, detach=detach, quiet=quiet)


def _update(found: dict[str, Any], spec: service_flags.Spec, *, detach: bool, quiet: bool) -> None:
    version = str(found["Version"]["Index"])
    answer = current_client().post(
        f"/services/{found['ID']}/update", spec, version=version, registryAuthFrom="spec"
    )
    _show_warnings(answer or {})
    click.echo(found["Spec"].get("Name", found["ID"]))
    if not detach:
        _converge(found["ID"], quiet=quiet)


def _environment(item: str) -> str:
    """``NAME`` alone takes the value that this process has."""
    import os  # noqa: PLC0415 - kept beside its one use

    return item if "=" in item else f"{item}={os.environ[item]}" if item in os.environ else item


def _show_warnings(answer: dict[str, Any]) -> None:
    for warning in answer.get("Warnings") or []:
        click.echo(f"WARNING: {warning}", err=True)


def _converge(service_id: str, *, quiet: bool, rollback_asked: bool = False) -> None:
    from cli.swarmctl.progress import wait_for_convergence  # noqa: PLC0415 - not needed when detached

    wait_for_convergence(current_client(), service_id, quiet=quiet, rollback_asked=rollback_asked)


@command.command()
@click.argument("service")
@click.option("-d", "--detach", is_flag=True, help="do not wait until it has converged")
@click.option("-q", "--quiet", is_flag=True, help="wait without showing progress")
def rollback(service: str, *, detach: bool, quiet: bool) -> None:
    """Return a service to its former spec."""
    _roll_back(service, detach=detach, quiet=quiet)


def _roll_back(service: str, *, detach: bool, quiet: bool) -> None:
    found = current_client().get(f"/services/{service}")
    if not found.get("PreviousSpec"):
        raise click.ClickException(f"service {service} has no former spec to return to")
    version = str(found["Version"]["Index"])
    current_client().post(
        f"/services/{found['ID']}/update", found["Spec"], version=version, rollback="previous"
    )
    click.echo(found["Spec"].get("Name", found["ID"]))
    if not detach:
        _converge(found["ID"], quiet=quiet, rollback_asked=True)


@command.command()
@click.argument("targets", nargs=-1, required=True, metavar="SERVICE=REPLICAS...")
@click.option("-d", "--detach", is_flag=True, help="do not wait until they have converged")
def scale(targets: tuple[str, ...], *, detach: bool) -> None:
    """Change the number of tasks of services."""
    wanted = [_scaling(text) for text in targets]
    scaled: list[str] = []
    for name, replicas in wanted:
        found = current_client().get(f"/services/{name}")
        spec = dict(found["Spec"])
        try:
            spec["Mode"] = service_flags.with_replicas(spec, replicas)
        except ValueError:
            raise click.ClickException(
                f"{name}: scale can only be used with replicated mode"
            ) from None
        version = str(found["Version"]["Index"])
        current_client().post(f"/services/{found['ID']}/update", spec, version=version)
        click.echo(f"{name} scaled to {replicas}")
        scaled.append(found["ID"])
    for service_id in [] if detach else scaled:
        _converge(service_id, quiet=False)


def _scaling(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    if not name or not number.isdigit():
        raise click.UsageError(f"invalid scale specifier {text!r}: use service=replicas")
    return name, int(number)


# ------------------------------------------------------------------------------------------- look


@command.command("ls")
@filter_option()
@format_option()
@quiet_option()
def list_services(filters: tuple[str, ...], format_: str | None, *, quiet: bool) -> None:
    """List services."""
    services = current_client().get("/services", status="true", **query(filters))
    rows = [
        _row(item) for item in sorted(services, key=lambda item: str(item["Spec"].get("Name", "")))
    ]
    columns = {"ShortID" if key == "ID" else key: text for key, text in _COLUMNS.items()}
    show_list(rows, columns, format_=format_, quiet=quiet)


def _row(service: dict[str, Any]) -> dict[str, str]:
    spec, status = service["Spec"], service.get("ServiceStatus") or {}
    mode = next(iter(spec["Mode"]))
    most = spec["TaskTemplate"].get("Placement", {}).get("MaxReplicas", 0)
    replicas = f"{status.get('RunningTasks', 0)}/{status.get('DesiredTasks', 0)}"
    return {
        "ID": service["ID"],
        "ShortID": shown.short(service["ID"]),
        "Name": spec.get("Name", ""),
        "Mode": {"ReplicatedJob": "replicated job", "GlobalJob": "global job"}.get(
            mode, mode.lower()
        ),
        "Replicas": f"{replicas} (max {most} per node)" if most else replicas,
        "Image": spec["TaskTemplate"].get("ContainerSpec", {}).get("Image", "").partition("@")[0],
        "Ports": shown.ports(service.get("Endpoint", {}).get("Ports") or []),
    }


@command.command()
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
@filter_option()
@format_option()
@quiet_option()
@click.option("--no-trunc", is_flag=True, help="whole ids and errors")
@click.option("--no-resolve", is_flag=True, help="ids instead of names")
def ps(
    services: tuple[str, ...], filters: tuple[str, ...], format_: str | None, **more: bool
) -> None:
    """List the tasks of services."""
    found = {
        item["ID"]: item
        for item in (current_client().get(f"/services/{name}") for name in services)
    }
    tasks = current_client().get("/tasks", **query(filters, service=list(found)))
    nodes = (
        {} if more["no_resolve"] else {item["ID"]: item for item in current_client().get("/nodes")}
    )
    tasks.sort(key=lambda task: str(task["CreatedAt"]), reverse=True)
    tasks.sort(
        key=lambda task: (
            task["ServiceID"],
            task.get("Slot", 0),
            task.get("NodeID", "") * (not task.get("Slot")),
        )
    )
    rows: list[dict[str, str]] = []
    former = ""
    for task in tasks:
        row = _task_row(task, found[task["ServiceID"]], nodes, **more)
        rows.append(
            row
            | {
                "Name": f"\\_ {row['Name']}"
                if row["Name"] == former and not more["quiet"]
                else row["Name"]
            }
        )
        former = row["Name"]
    show_list(rows, _TASK_COLUMNS, format_=format_, quiet=more["quiet"])


def _global_slot(task: dict[str, Any]) -> str:
    return "" if task.get("Slot") else str(task.get("NodeID", ""))


def _task_row(
    task: dict[str, Any], service: dict[str, Any], nodes: dict[str, Any], **more: bool
) -> dict[str, str]:
    status, node_id = task["Status"], task.get("NodeID", "")
    slot = task.get("Slot") or node_id
    owner = task["ServiceID"] if more["no_resolve"] else service["Spec"].get("Name", "")
    error = status.get("Err", "")
    ports = (status.get("PortStatus") or {}).get("Ports") or []
    return {
        "ID": shown.short(task["ID"], whole=more["no_trunc"]),
        "Name": f"{owner}.{slot}",
        "Image": task["Spec"].get("ContainerSpec", {}).get("Image", "").partition("@")[0],
        "Node": nodes.get(node_id, {}).get("Description", {}).get("Hostname", node_id),
        "DesiredState": task["DesiredState"].title(),
        "CurrentState": f"{status['State'].title()} {shown.ago(status['Timestamp'], now()).lower()}",
        "Error": shown.cut(f'"{error}"' if error else "", _ERROR_WIDTH, whole=more["no_trunc"]),
        "Ports": shown.ports(ports, mode="host"),
    }


@command.command()
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
@click.option("--pretty", is_flag=True, help="readable text")
def inspect(services: tuple[str, ...], format_: str | None, *, pretty: bool) -> None:
    """Show everything about services."""
    found = [current_client().get(f"/services/{name}", insertDefaults="true") for name in services]
    show_objects(found, format_=format_, pretty=pretty_service if pretty else None)


@command.command("rm")
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
def remove(services: tuple[str, ...]) -> None:
    """Remove services; their tasks stop."""
    failed = False
    for name in services:
        try:
            current_client().delete(f"/services/{name}")
            click.echo(name)
        except ApiError as error:
            click.echo(f"Error response from daemon: {error}", err=True)
            failed = True
    if failed:
        raise click.exceptions.Exit(1)


# ------------------------------------------------------------------------------------------- logs


@command.command()
@click.argument("name", metavar="SERVICE|TASK")
@click.option("-f", "--follow", is_flag=True, help="go on with new lines")
@click.option("-n", "--tail", default="all", metavar="N", help="only the last lines (all)")
@click.option("--since", help="from then on: a time, or a duration back, as 10m")
@click.option("-t", "--timestamps", is_flag=True, help="with the time of each line")
@click.option("--raw", is_flag=True, help="the lines alone")
@click.option("--no-task-ids", is_flag=True, help="slots without the task's id")
@click.option("--no-trunc", is_flag=True, help="whole ids")
@click.option("--no-resolve", is_flag=True, help="ids instead of names")
@click.option("--details", is_flag=True, help="with the labels that the log driver adds")
def logs(name: str, *, tail: str, since: str | None, **more: bool) -> None:
    """Show what the tasks of a service wrote."""
    path, tty = _log_source(name)
    asked = {"stdout": "1", "stderr": "1", "tail": tail}
    asked |= {"since": moment(since)} if since else {}
    asked |= {key: "1" for key in ("follow", "timestamps") if more[key]}
    asked |= {} if more["raw"] or tty else {"details": "1"}
    stream = current_client().stream(path, **asked)
    names = _Names(**more)
    for channel, data in ((1, chunk) for chunk in stream) if tty else frames(stream):
        text = data if more["raw"] or tty else names.line(data, timestamps=more["timestamps"])
        click.echo(text, nl=False, err=channel == 2)  # noqa: PLR2004 - stderr


def _log_source(name: str) -> tuple[str, bool]:
    try:
        found = current_client().get(f"/services/{name}")
        return f"/services/{name}/logs", found["Spec"]["TaskTemplate"].get("ContainerSpec", {}).get(
            "TTY", False
        )
    except ApiError as error:
        if error.status != 404:  # noqa: PLR2004 - not found
            raise
    try:
        task = current_client().get(f"/tasks/{name}")
    except ApiError as error:
        raise click.ClickException(f"no such service or task: {name}") from error
    return f"/tasks/{name}/logs", task["Spec"].get("ContainerSpec", {}).get("TTY", False)


class _Names:
    """Turns the details of a line (``key=value,…``) into "web.1.id@host    | "."""

    def __init__(self, **more: bool) -> None:
        self._more = more
        self._known: dict[str, str] = {}

    def line(self, data: bytes, *, timestamps: bool) -> bytes:
        """One line with its task's name before it."""
        parts = data.split(b" ", 2 if timestamps else 1)
        details = dict(item.split("=", 1) for item in parts[-2].decode().split(",") if "=" in item)
        stamp = parts[0] + b" " if timestamps else b""
        shown_details = parts[-2] + b" " if self._more["details"] else b""
        return stamp + f"{self._name(details)}    | ".encode() + shown_details + parts[-1]

    def _name(self, details: dict[str, str]) -> str:
        task_id = details.get("com.docker.swarm.task.id", "")
        if task_id not in self._known:
            self._known[task_id] = "".join(self._resolve(task_id, details))
        return self._known[task_id]

    def _resolve(self, task_id: str, details: dict[str, str]) -> Iterator[str]:
        node = details.get("com.docker.swarm.node.id", "")
        service = details.get("com.docker.swarm.service.id", "")
        slot = ""
        if not self._more["no_resolve"]:
            try:
                task = current_client().get(f"/tasks/{task_id}")
                slot = str(task.get("Slot") or node)
                service = current_client().get(f"/services/{service}")["Spec"]["Name"]
                node = current_client().get(f"/nodes/{node}")["Description"]["Hostname"]
            except ApiError:
                slot = ""  # gone meanwhile: the ids still tell it apart
        yield f"{service}.{slot}" if slot else service
        if not self._more["no_task_ids"]:
            yield f".{shown.short(task_id, whole=self._more['no_trunc'])}"
        yield f"@{node}"
