"""The flags of the tables as click's options, and back."""

import os
from typing import Any

import click

from cli.swarmctl.flag_tables import METAVARS, Collection, Setting


def flag(setting: Setting) -> click.Option:
    """The option of a setting."""
    names = ([f"-{setting.short}"] if setting.short else []) + [f"--{setting.flag}"]
    if setting.is_switch:
        return click.Option(names, is_flag=True, default=None, help=setting.help)
    kind: Any = click.Choice(setting.choices) if setting.choices else str
    return click.Option(names, type=kind, help=setting.help, metavar=METAVARS.get(setting.read))


def collected(name: str, short: str, text: str) -> click.Option:
    """An option that may be given several times."""
    return click.Option([*([f"-{short}"] if short else []), f"--{name}"], multiple=True, help=text)


def collection(item: Collection) -> click.Option:
    """The option of a collection."""
    return collected(item.flag, item.short, item.help)


def given_flags(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, by the names of the flag tables."""
    return {
        name.replace("_", "-"): value for name, value in options.items() if value not in (None, ())
    }


def environment(item: str) -> str:
    """``NAME`` alone takes the value that this process has."""
    return item if "=" in item else f"{item}={os.environ[item]}" if item in os.environ else item
