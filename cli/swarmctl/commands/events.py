"""swarmctl events."""

import json
import time
from typing import Any

import click

from cli.swarmctl import arguments
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Command
from cli.swarmctl.filters import filter_option, format_option, query
from cli.swarmctl.now import now
from cli.swarmctl.template import TemplateError, render


@click.command(cls=Command)
@filter_option()
@format_option()
@click.option("--since", help="from then on: a time, or a duration back, as 10m")
@click.option("--until", help="up to then: a time, or a duration back")
def command(
    filters: tuple[str, ...],
    format_: str | None,
    since: str | None,
    until: str | None,
) -> None:
    """Show what happens, as it happens."""
    times = {key: moment(text) for key, text in (("since", since), ("until", until)) if text}
    pending = b""
    for chunk in current_client().stream("/events", **times, **query(filters)):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                click.echo(_shown(json.loads(line), format_))


def moment(text: str) -> str:
    """Seconds since the epoch of a time (such seconds, a date, RFC 3339; local without a zone) or a duration back."""
    if text.replace(".", "", 1).isdecimal() and text != "0":
        return text
    try:
        return f"{now() - arguments.duration(text) / 1e9:.9f}"
    except ValueError:
        from datetime import datetime  # noqa: PLC0415 - slow to load, rarely needed

        try:
            return f"{datetime.fromisoformat(text).timestamp():.9f}"
        except ValueError:
            raise click.UsageError(
                f"invalid time {text!r}: use a duration back (10m), a date, RFC 3339 or seconds since the epoch"
            ) from None


def _shown(event: dict[str, Any], format_: str | None) -> str:
    if format_ == "json":
        return json.dumps(event, separators=(",", ":"))
    if format_:
        try:
            return render(format_, event)
        except TemplateError as error:
            raise click.UsageError(str(error)) from None
    nano = event.get("timeNano", 0)
    actor = event.get("Actor", {})
    details = ", ".join(
        f"{key}={value}" for key, value in sorted(actor.get("Attributes", {}).items())
    )
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nano // 10**9)) + f".{nano % 10**9:09d}Z"
    return f"{stamp} {event.get('Type')} {event.get('Action')} {actor.get('ID')}" + (
        f" ({details})" if details else ""
    )
