"""How lists and objects are shown: Docker's columns, ``--format`` and ``-q``."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click
from typing_extensions import override

from cli.swarmctl.client import ApiError
from cli.swarmctl.template import TemplateError, render

Row = Mapping[str, str | bool | None]
"""The fields that ``--format`` knows; those that begin with ``_`` are only for the default table."""
GAP = 3
WIDTH_MIN = 10
"""Of a column with its gap, as docker's."""


def show_list(
    rows: Sequence[Row],
    columns: Mapping[str, str],
    *,
    format_: str | None,
    quiet: bool = False,
    key: str = "ID",
) -> None:
    """Prints rows as Docker does; ``columns`` maps the fields of the default table to their headings.

    ``format_`` is None or ``table``, ``json``, a template, or ``table TEMPLATE`` (with a heading line).
    """
    if quiet and not format_:
        for row in rows:
            click.echo(row[key])
    elif format_ == "json":
        for row in rows:
            click.echo(render("{{json .}}", {**row, "__strict__": True}))
    elif format_ in (None, "", "table"):
        show_table(
            [list(columns.values()), *([str(row[name]) for name in columns] for row in rows)]
        )
    else:
        _show_template(rows, columns, str(format_))


def _show_template(rows: Sequence[Row], columns: Mapping[str, str], template: str) -> None:
    table = template.startswith("table ")
    text = template.removeprefix("table ") if table else template
    text = text.replace("\\t", "\t").replace("\\n", "\n")
    try:
        lines = [render(text, {**row, "__strict__": True}) for row in rows]
        head = [render(text, _Headings(columns))] if table else []
    except TemplateError as error:
        raise click.UsageError(str(error)) from None
    if table:
        show_table([line.split("\t") for line in head + lines])
        return
    for line in lines:
        click.echo(line)


class _Headings(dict[str, str]):
    """The heading of any field: the default table's, else its name in words."""

    @override
    def get(self, key: str, default: Any = None) -> Any:
        if key == "__strict__":
            return default
        words = "".join(
            f" {c}" if c.isupper() and i and not key[i - 1].isupper() else c
            for i, c in enumerate(key)
        )
        return super().get(key) or super().get(f"_{key}") or words.upper()


def show_table(lines: Sequence[Sequence[str]]) -> None:
    """Prints lines in columns as wide as they need; a line may have fewer cells than others."""
    count = max(map(len, lines), default=0)
    full = [[*line, *[""] * (count - len(line))] for line in lines]
    widths = [
        max(WIDTH_MIN, *(len(cell) + GAP for cell in column)) for column in zip(*full, strict=True)
    ]
    for line in full:
        cells = zip(line, widths, strict=True)
        click.echo("".join(cell.ljust(width) for cell, width in cells).rstrip())


def show_objects(
    objects: Sequence[Any], *, format_: str | None, pretty: Callable[[Any], str] | None = None
) -> None:
    """Prints what ``inspect`` found: JSON, a template for each, or readable text."""
    if pretty is not None and not format_:
        if objects:
            click.echo("\n".join(map(pretty, objects)))
    elif format_ in (None, ""):
        click.echo(json.dumps(objects, indent=4, ensure_ascii=False))
    elif format_ == "json":
        for item in objects:
            click.echo(json.dumps(item, separators=(",", ":"), ensure_ascii=False))
    else:
        try:
            for item in objects:
                click.echo(render(str(format_), item))
        except TemplateError as error:
            raise click.UsageError(str(error)) from None


def inspect_each(
    names: Iterable[str],
    look_up: Callable[[str], Any],
    *,
    format_: str | None,
    pretty: Callable[[Any], str] | None = None,
) -> None:
    """Prints the objects of these names, then what went wrong with the others.

    Raises:
        click.exceptions.Exit: some could not be had; exit code 1.
    """
    found, failed = each(names, look_up)
    show_objects(found, format_=format_, pretty=pretty)
    end_with(failed)


def each(
    names: Iterable[str], act: Callable[[str], Any]
) -> tuple[list[Any], list[tuple[str, ApiError]]]:
    """What came of an act on each name, and the names for which swarmd refused, with the reason."""
    done: list[Any] = []
    failed: list[tuple[str, ApiError]] = []
    for name in names:
        try:
            done.append(act(name))
        except ApiError as error:
            failed.append((name, error))
    return done, failed


def end_with(failed: Sequence[tuple[str, ApiError]], *, named: bool = False) -> None:
    """Says on stderr what failed.

    Raises:
        click.exceptions.Exit: something did; exit code 1.
    """
    for name, error in failed:
        click.echo(f"{name + ': ' if named else ''}Error response from daemon: {error}", err=True)
    if failed:
        raise click.exceptions.Exit(1)
