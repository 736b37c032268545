"""``--filter key=value`` into the API's ``filters`` parameter."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Decorator(Protocol):
    def __call__(self, command: _Command, /) -> _Command: ...


def filter_option() -> _Decorator:
    """The ``-f/--filter`` flag of every list."""
    return click.option(
        "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="show only such"
    )


def format_option() -> _Decorator:
    """The ``--format`` flag."""
    return click.option(
        "--format", "format_", metavar="FORMAT", help="table, json or a Go template"
    )


def quiet_option(text: str = "show only ids") -> _Decorator:
    """The ``-q/--quiet`` flag."""
    return click.option("-q", "--quiet", is_flag=True, help=text)


def change_option() -> _Decorator:
    """The ``-c/--change`` flag of what makes an image."""
    return click.option(
        "-c",
        "--change",
        "changes",
        multiple=True,
        help="an instruction of a Dockerfile, as 'CMD [\"/run\"]'",
    )


def query(filters: Sequence[str], **more: Sequence[str]) -> dict[str, str]:
    """The query string's ``filters``, or nothing when there are none."""
    wanted: dict[str, dict[str, bool]] = {
        key: dict.fromkeys(values, True) for key, values in more.items() if values
    }
    for item in filters:
        key, sign, value = item.partition("=")
        if not sign:
            raise click.BadParameter(
                f"invalid filter {item!r}: use key=value", param_hint="--filter"
            )
        wanted.setdefault(key, {})[value] = True
    return {"filters": json.dumps(wanted, separators=(",", ":"))} if wanted else {}
