"""swarmctl service: create, change and look at services."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from cli.swarmctl import service_flags, shown
from cli.swarmctl.client import ApiError, current_client
from cli.swarmctl.command_line import Group, not_yet, without_effect
from cli.swarmctl.commands.events import moment
from cli.swarmctl.filters import filter_option, format_option, query, quiet_option
from cli.swarmctl.flag_options import collected, environment, flag, given_flags
from cli.swarmctl.flag_tables import Spec
from cli.swarmctl.log_output import write_log
from cli.swarmctl.now import now
from cli.swarmctl.service_files import with_ids
from cli.swarmctl.service_logs import NamedLines, NameStyle
from cli.swarmctl.service_text import pretty_service
from cli.swarmctl.table import each, end_with, inspect_each, show_list
from cli.swarmctl.tasks import show_tasks, task_options

_COLUMNS = {
    "ID": "ID",
    "Name": "NAME",
    "Mode": "MODE",
    "Replicas": "REPLICAS",
    "Image": "IMAGE",
    "Ports": "PORTS",
}
_NOT_FOUND = 404
_NO_REGISTRIES = "taken as docker does; no registry is asked yet"


@click.group(cls=Group)
def command() -> None:
    """Handle services."""


# ------------------------------------------------------------------------------ create and update


_NOT_YET = {
    "network": "networks of one's own",
    "credential-spec": "credential specs",
}


def _with_flags(*, creating: bool) -> Callable[[Any], Any]:
    """Adds the flags of the tables to a command."""

    def add(made: click.Command) -> click.Command:
        made.params += [flag(setting) for setting in service_flags.SETTINGS]
        for item in service_flags.COLLECTIONS:
            if creating:
                made.params.append(collected(item.flag, item.short, item.help))
            else:
                made.params.append(
                    collected(f"{item.flag}-add", "", f"add or replace: {item.help}")
                )
                made.params.append(collected(f"{item.flag}-rm", "", f"remove: {item.help}"))
        made.params += [
            collected(item.flag, item.short, item.help) for item in service_flags.APPENDED
        ]
        made.params += [
            without_effect("--with-registry-auth", _NO_REGISTRIES),
            without_effect("--no-resolve-image", _NO_REGISTRIES),
            *(
                not_yet(f"--{flag}{end}", what)
                for flag, what in _NOT_YET.items()
                for end in (("",) if creating or flag == "credential-spec" else ("-add", "-rm"))
            ),
        ]
        made.params.sort(
            key=lambda param: param.opts[-1] if isinstance(param, click.Option) else ""
        )
        return made

    return add


def _spec(make: Callable[[], Spec]) -> Spec:
    try:
        return make()
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _with_ids(spec: Spec) -> Spec:
    def look_up(nouns: str, names: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = current_client().get(f"/{nouns}", **query((), names=names))
        return found

    try:
        return with_ids(spec, look_up)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@_with_flags(creating=True)
@command.command(context_settings={"allow_interspersed_args": False})
@click.argument("image")
@click.argument("args", nargs=-1, metavar="[COMMAND] [ARG...]", type=click.UNPROCESSED)
@click.option("--name", help="the service's name")
@click.option("--mode", type=click.Choice(["replicated", "global", "replicated-job", "global-job"]))
@click.option("--replicas", type=click.IntRange(min=0), help="number of tasks (1)")
@click.option("--max-concurrent", type=click.IntRange(min=0), help="jobs: tasks at a time")
@click.option("--env-file", multiple=True, type=click.File(), help="a file of NAME=value lines")
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
    given = given_flags(options)
    from_files = tuple(line for line in files if line and not line.startswith("#"))
    given["env"] = tuple(map(environment, from_files + tuple(given.get("env", ()))))
    spec = _with_ids(_spec(lambda: service_flags.created(name or "", image, args, given)))
    answer = current_client().post("/services/create", spec)
    _show_warnings(answer)
    click.echo(answer["ID"])
    if not detach:
        _converge(answer["ID"], answer["ID"], quiet=quiet)


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
@click.option("-d", "--detach", is_flag=True, help="do not wait until it has converged")
@click.option("-q", "--quiet", is_flag=True, help="wait without showing progress")
def update(service: str, *, rollback: bool, detach: bool, quiet: bool, **options: Any) -> None:  # noqa: ANN401
    """Update a service; its tasks are replaced as its update settings say."""
    given = given_flags(options)
    if rollback:
        if given:
            raise click.UsageError("other flags may not be combined with --rollback")
        _roll_back(service, detach=detach, quiet=quiet)
        return
    if "env-add" in given:
        given["env-add"] = tuple(map(environment, given["env-add"]))
    found = current_client().get(f"/services/{service}")
    spec = _with_ids(_spec(lambda: service_flags.updated(found["Spec"], given)))
    _update(found, spec, registryAuthFrom="spec")
    click.echo(service)
    if not detach:
        _converge(found["ID"], service, quiet=quiet)


def _update(found: dict[str, Any], spec: Spec, **more: str) -> None:
    version = str(found["Version"]["Index"])
    answer = current_client().post(f"/services/{found['ID']}/update", spec, version=version, **more)
    _show_warnings(answer or {})


def _show_warnings(answer: dict[str, Any]) -> None:
    for warning in answer.get("Warnings") or []:
        click.echo(f"WARNING: {warning}", err=True)


def _converge(service_id: str, name: str, *, quiet: bool, rollback_asked: bool = False) -> None:
    from cli.swarmctl.progress import wait_for_convergence  # noqa: PLC0415 - not needed when detached

    wait_for_convergence(
        current_client(), service_id, name=name, quiet=quiet, rollback_asked=rollback_asked
    )


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
    _update(found, found["Spec"], rollback="previous")
    click.echo(service)
    if not detach:
        _converge(found["ID"], service, quiet=quiet, rollback_asked=True)


@command.command()
@click.argument("targets", nargs=-1, required=True, metavar="SERVICE=REPLICAS...")
@click.option("-d", "--detach", is_flag=True, help="do not wait until they have converged")
def scale(targets: tuple[str, ...], *, detach: bool) -> None:
    """Change the number of tasks of services."""
    wanted = dict(map(_scaling, targets))
    scaled, failed = each(wanted, lambda name: (name, _scale(name, wanted[name])))
    failures = 0
    for name, service_id in [] if detach else scaled:
        try:
            _converge(service_id, name, quiet=False)
        except click.ClickException as error:
            click.echo(f"{name}: {error.message}", err=True)
            failures += 1
    end_with(failed, named=True)
    if failures:
        raise click.exceptions.Exit(1)


def _scale(name: str, replicas: int) -> str:
    found = current_client().get(f"/services/{name}")
    spec = dict(found["Spec"])
    try:
        spec["Mode"] = service_flags.with_replicas(spec, replicas)
    except ValueError:
        raise click.ClickException(f"{name}: scale can only be used with replicated mode") from None
    _update(found, spec)
    click.echo(f"{name} scaled to {replicas}")
    service_id: str = found["ID"]
    return service_id


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
    services.sort(key=lambda item: shown.natural(str(item["Spec"].get("Name", ""))))
    show_list([_row(item) for item in services], _COLUMNS, format_=format_, quiet=quiet)


def _row(service: dict[str, Any]) -> dict[str, str]:
    spec, status = service["Spec"], service.get("ServiceStatus") or {}
    mode = next(iter(spec["Mode"]))
    most = spec["TaskTemplate"].get("Placement", {}).get("MaxReplicas", 0)
    replicas = f"{status.get('RunningTasks', 0)}/{status.get('DesiredTasks', 0)}"
    return {
        "ID": shown.short(service["ID"]),
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
@task_options
def ps(
    services: tuple[str, ...], filters: tuple[str, ...], format_: str | None, **more: bool
) -> None:
    """List the tasks of services."""
    found, failed = each(services, lambda name: current_client().get(f"/services/{name}")["ID"])
    if found:
        show_tasks(query(filters, service=found), format_=format_, **more)
    end_with(failed)


@command.command()
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
@click.option("--pretty", is_flag=True, help="readable text")
def inspect(services: tuple[str, ...], format_: str | None, *, pretty: bool) -> None:
    """Show everything about services."""
    inspect_each(
        services,
        lambda name: current_client().get(f"/services/{name}", insertDefaults="true"),
        format_=format_,
        pretty=(lambda service: pretty_service(service, now())) if pretty else None,
    )


@command.command("rm")
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
def remove(services: tuple[str, ...]) -> None:
    """Remove services; their tasks stop."""
    end_with(each(services, _remove)[1])


def _remove(name: str) -> None:
    current_client().delete(f"/services/{name}")
    click.echo(name)


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
    kind, found = _log_source(name)
    spec = found["Spec"]["TaskTemplate"] if kind == "services" else found["Spec"]
    tty = bool(spec.get("ContainerSpec", {}).get("TTY"))
    plain = more["raw"] or tty
    asked = {"stdout": "1", "stderr": "1", "tail": tail}
    asked |= {"since": moment(since)} if since else {}
    asked |= {key: "1" for key in ("follow", "timestamps") if more[key]}
    asked |= {} if plain else {"details": "1"}
    replicas = found["Spec"].get("Mode", {}).get("Replicated", {}).get("Replicas", 1)
    flags = ("timestamps", "details", "no_resolve", "no_task_ids", "no_trunc")
    style = NameStyle(**{key: more[key] for key in flags}, slot_width=len(str(replicas)))
    line = None if plain else NamedLines(current_client(), style).line
    write_log(current_client().stream(f"/{kind}/{found['ID']}/logs", **asked), tty=tty, line=line)


def _log_source(name: str) -> tuple[str, dict[str, Any]]:
    """The service of that name, else the task of that id."""
    for kind in ("services", "tasks"):
        try:
            return kind, current_client().get(f"/{kind}/{name}")
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
    raise click.ClickException(f"no such task or service: {name}")
