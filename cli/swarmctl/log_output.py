"""Writes a stream of logs to stdout and stderr as it comes."""

from collections.abc import Callable, Iterable

import click

from cli.swarmctl.log_stream import StreamError, frames

_STDERR = 2


def write_log(
    chunks: Iterable[bytes], *, tty: bool, line: Callable[[bytes], bytes] | None = None
) -> None:
    """Writes what a log endpoint answers; ``line`` turns each line into what is shown.

    Args:
        chunks: The answer as it comes.
        tty: Whether the containers have a terminal: their output is one stream without frames.
        line: None: lines are shown as they are.

    Raises:
        click.ClickException: the stream is broken, or swarmd says that reading failed.
    """
    if tty:
        for chunk in chunks:
            click.echo(chunk, nl=False)
        return
    try:
        for channel, data in frames(chunks):
            click.echo(line(data) if line else data, nl=False, err=channel == _STDERR)
    except StreamError as error:
        raise click.ClickException(str(error)) from None
