"""``swarmctl secret`` and ``swarmctl config``: alike but for what is shown of their data."""

import base64
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.swarmctl import arguments, shown
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Group
from cli.swarmctl.filters import filter_option, format_option, query, quiet_option
from cli.swarmctl.now import now
from cli.swarmctl.table import each, end_with, inspect_each, show_list

READ_BYTES_MAX = 1024 * 1024
"""Bytes taken of a file: more than swarmd takes, so that it can say so."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """What is different for secrets and configs."""

    word: str
    columns: Mapping[str, str]
    pretty: Callable[[Json], str]
    has_drivers: bool = False


def group(noun: Noun) -> click.Group:
    """The group of one noun's commands."""

    @click.group(name=noun.word, cls=Group, help=f"Handle {noun.word}s.")
    def command() -> None:
        pass

    for made in (_create(noun), _list(noun), _inspect(noun), _remove(noun)):
        command.add_command(made)
    return command


def _create(noun: Noun) -> click.Command:
    def create(name: str, file: str | None, label: tuple[str, ...], **more: str | None) -> None:
        driver = more.get("driver")
        if (file is None) is (driver is None):
            raise click.UsageError(
                f"the {noun.word}'s data comes from one file"
                if driver is None
                else f"a {noun.word} of a driver has no file"
            )
        spec: Json = {"Name": name, "Labels": _labels(label)}
        if file is not None:
            spec["Data"] = base64.b64encode(_read(file)).decode()
        if driver is not None:
            spec["Driver"] = {"Name": driver}
        if more["template_driver"]:
            spec["Templating"] = {"Name": more["template_driver"]}
        click.echo(current_client().post(f"/{noun.word}s/create", spec)["ID"])

    made = Group.command_class(
        "create",
        callback=create,
        help=f"Create a {noun.word} from a file, or from standard input (-).",
        params=[
            click.Argument(["name"], metavar=noun.word.upper()),
            click.Argument(["file"], required=False, metavar="[FILE|-]"),
            click.Option(["-l", "--label"], multiple=True, metavar="KEY[=VALUE]", help="a label"),
            click.Option(["--template-driver"], help="fills in placeholders: golang"),
        ],
    )
    if noun.has_drivers:
        made.params.append(click.Option(["-d", "--driver"], help="where its data is kept"))
    return made


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    try:
        return dict(map(arguments.key_value, texts))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--label") from None


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(READ_BYTES_MAX)
    with Path(file).open("rb") as opened:
        return opened.read(READ_BYTES_MAX)


def _list(noun: Noun) -> click.Command:
    @click.command("ls", cls=Group.command_class, help=f"List {noun.word}s.")
    @filter_option()
    @format_option()
    @quiet_option()
    def list_all(filters: tuple[str, ...], format_: str | None, *, quiet: bool) -> None:
        found = current_client().get(f"/{noun.word}s", **query(filters))
        found.sort(key=lambda item: shown.natural(str(item["Spec"]["Name"])))
        rows = [_row(item, now()) for item in found]
        show_list(rows, noun.columns, format_=format_, quiet=quiet)

    return list_all


def _row(item: Json, at: float) -> dict[str, str]:
    spec = item["Spec"]
    labels = spec.get("Labels") or {}
    return {
        "ID": item["ID"],
        "Name": spec["Name"],
        "Driver": (spec.get("Driver") or {}).get("Name", ""),
        "CreatedAt": shown.ago(item["CreatedAt"], at),
        "UpdatedAt": shown.ago(item["UpdatedAt"], at),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
    }


def _inspect(noun: Noun) -> click.Command:
    @click.command("inspect", cls=Group.command_class, help=f"Show everything about {noun.word}s.")
    @click.argument("names", nargs=-1, required=True, metavar=f"{noun.word.upper()}...")
    @click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
    @click.option("--pretty", is_flag=True, help="readable text")
    def inspect(names: tuple[str, ...], format_: str | None, *, pretty: bool) -> None:
        inspect_each(
            names,
            lambda name: current_client().get(f"/{noun.word}s/{name}"),
            format_=format_,
            pretty=noun.pretty if pretty else None,
        )

    return inspect


def _remove(noun: Noun) -> click.Command:
    @click.command("rm", cls=Group.command_class, help=f"Remove {noun.word}s that no service uses.")
    @click.argument("names", nargs=-1, required=True, metavar=f"{noun.word.upper()}...")
    def remove(names: tuple[str, ...]) -> None:
        def act(name: str) -> None:
            current_client().delete(f"/{noun.word}s/{name}")
            click.echo(name)

        end_with(each(names, act)[1])

    return remove


def head_lines(item: Json) -> list[str]:
    """How readable text begins: id, name and labels."""
    spec = item["Spec"]
    lines = [f"ID:\t\t\t{item['ID']}", f"Name:\t\t\t{spec['Name']}"]
    if spec.get("Labels"):
        lines.append("Labels:")
        lines += [
            f" - {key}={value}" if value else f" - {key}"
            for key, value in sorted(spec["Labels"].items())
        ]
    return lines


def time_lines(item: Json) -> list[str]:
    """When it was made and changed, as readable text."""
    return [f"Created at:\t\t{item['CreatedAt']}", f"Updated at:\t\t{item['UpdatedAt']}"]
