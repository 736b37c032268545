"""How lists and objects are shown: Docker's columns, ``--format`` and ``-q``."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from cli.swarmctl.template import TemplateError, render

Row = Mapping[str, str]
GAP = 3


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
            click.echo(json.dumps(dict(row), separators=(",", ":"), ensure_ascii=False))
    elif format_ in (None, "", "table"):
        show_table([list(columns.values()), *([row[name] for name in columns] for row in rows)])
    else:
        _show_template(rows, columns, str(format_))


def _show_template(rows: Sequence[Row], columns: Mapping[str, str], template: str) -> None:
    table = template.startswith("table ")
    text = (
        (template.removeprefix("table ") if table else template)
        .replace("\\t", "\t")
        .replace("\\n", "\n")
    )
    headings = {
        name: columns.get(name, _heading(name)) for row in rows[:1] for name in row
    } or dict(columns)
    try:
        lines = [render(text, {**row, "__strict__": True}) for row in rows]
        head = [render(text, headings)] if table else []
    except TemplateError as error:
        raise click.UsageError(str(error)) from None
    if table:
        show_table([line.split("\t") for line in head + lines])
        return
    for line in lines:
        click.echo(line)


def _heading(name: str) -> str:
    return "".join(
        f" {c}" if c.isupper() and i and not name[i - 1].isupper() else c
        for i, c in enumerate(name)
    ).upper()


def show_table(lines: Sequence[Sequence[str]]) -> None:
    """Prints lines in columns as wide as they need."""
    widths = [max(map(len, column)) + GAP for column in zip(*lines, strict=True)] if lines else []
    for line in lines:
        click.echo(
            "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def show_objects(
    objects: Sequence[Any], *, format_: str | None, pretty: Callable[[Any], str] | None = None
) -> None:
    """Prints what ``inspect`` found: JSON, a template for each, or readable text."""
    if pretty is not None and not format_:
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
