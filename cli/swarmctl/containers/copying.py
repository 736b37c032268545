"""swarmctl cp."""

import base64
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, NamedTuple

import click
from typing_extensions import override

from cli.swarmctl import shown
from cli.swarmctl.archives import READ_BYTES, packed, unpack
from cli.swarmctl.client import ApiError, Client
from cli.swarmctl.command_line import NodeCommand
from cli.swarmctl.copy_paths import Place, Plan, absolute, plan, split, split_argument
from cli.swarmctl.whereabouts import on_container

_STAT_HEADER = "X-Docker-Container-Path-Stat"
_GO_DIRECTORY, _GO_LINK = 1 << 31, 1 << 27
_STREAM = "-"


@click.command(cls=NodeCommand)
@click.argument("source", metavar="[CONTAINER:]PATH|-")
@click.argument("target", metavar="[CONTAINER:]PATH|-")
@click.option("-a", "--archive", is_flag=True, help="keep users and groups")
@click.option("-L", "--follow-link", is_flag=True, help="copy what a link at the source leads to")
@click.option("-q", "--quiet", is_flag=True, help="say nothing")
def cp(source: str, target: str, *, archive: bool, follow_link: bool, quiet: bool) -> None:
    """Copy files between a container, or a task's, and here. "-" is a tar archive on standard input or output."""
    from_container, from_path = split_argument(source)
    to_container, to_path = split_argument(target)
    if from_container and to_container:
        raise click.UsageError("copying between containers is not supported")
    if not from_container and not to_container:
        raise click.UsageError("must specify at least one container source")
    if not (from_path and to_path):
        raise click.UsageError("neither path may be empty")
    ways = _Ways(archive=archive, follow=follow_link)
    act = (_from_container if from_container else _to_container)(from_path, to_path, ways)
    count = on_container(from_container or to_container, act)
    if not quiet and sys.stderr.isatty():
        click.echo(f"Successfully copied {shown.size(count, digits=3)} to {target}", err=True)


class _Ways(NamedTuple):
    archive: bool
    follow: bool


_Act = Callable[[Client, str], int]


@contextmanager
def _docker_errors() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from None


# --------------------------------------------------------------------------------- from a container


def _from_container(path: str, target: str, ways: _Ways) -> _Act:
    def act(client: Client, container: str) -> int:
        source = _source_place(client, container, absolute("/", path), follow=ways.follow)
        if target == _STREAM:
            return _to_stdout(client, container, source.path)
        with client.download(f"/containers/{container}/archive", path=source.path) as (
            headers,
            chunks,
        ):
            place = Place(
                path=source.path,
                exists=True,
                is_directory=bool(_stat(headers)["mode"] & _GO_DIRECTORY),
                called=source.called,
            )
            with _docker_errors():
                how = plan(place, _local_target(target))
            return unpack(io.BufferedReader(_Chunks(chunks)), how, with_owners=ways.archive)

    return act


def _source_place(client: Client, container: str, path: str, *, follow: bool) -> Place:
    """What to ask for: with ``-L`` what a link leads to, under the link's name."""
    if follow:
        found = _stat(client.head(f"/containers/{container}/archive", path=path))
        if found["mode"] & _GO_LINK:
            directory, name = split(path)
            return Place(path=absolute(directory, found["linkTarget"]), exists=True, called=name)
    return Place(path=path, exists=True)


def _to_stdout(client: Client, container: str, path: str) -> int:
    if sys.stdout.isatty():
        raise click.ClickException("refusing to write an archive to a terminal")
    count = 0
    with client.download(f"/containers/{container}/archive", path=path) as (_, chunks):
        for chunk in chunks:
            count += sys.stdout.buffer.write(chunk)
    sys.stdout.flush()
    return count


def _local_target(text: str) -> Place:
    path = absolute(os.getcwd(), text)  # noqa: PTH109 - a text
    place = Path(path)
    if place.exists():
        return Place(path=path, exists=True, is_directory=place.is_dir())
    if not Path(split(path)[0]).is_dir():
        raise click.ClickException(
            f'invalid output path: directory "{split(path)[0]}" does not exist'
        )
    if place.is_symlink():  # it leads nowhere yet: what it leads to is made
        return Place(path=str(place.resolve()), exists=False)
    return Place(path=path, exists=False)


class _Chunks(io.RawIOBase):
    """An answer as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


# ----------------------------------------------------------------------------------- to a container


def _to_container(path: str, target: str, ways: _Ways) -> _Act:
    def act(client: Client, container: str) -> int:
        place = _target_place(client, container, absolute("/", target))
        counted = _Counted()
        if path == _STREAM:
            if not place.is_directory:
                raise click.ClickException(
                    f'destination "{container}:{target}" must be a directory'
                )
            content = counted.through(_read(sys.stdin.buffer))
            how = Plan(directory=place.path)
        else:
            source = _local_source(path, follow=ways.follow)
            with _docker_errors():
                how = plan(source, place)
            content = counted.through(packed(Path(source.path), how.new))
        asked = {"path": how.directory, "noOverwriteDirNonDir": "true"}
        client.put(
            f"/containers/{container}/archive",
            content,
            **asked,
            **({"copyUIDGID": "true"} if ways.archive else {}),
        )
        return counted.bytes

    return act


def _local_source(text: str, *, follow: bool) -> Place:
    path = absolute(os.getcwd(), text)  # noqa: PTH109 - a text
    place = Path(path)
    if not place.is_symlink() and not place.exists():
        raise click.ClickException(f"lstat {path}: no such file or directory")
    called = ""
    if place.is_symlink() and (follow or path.endswith("/")):
        called = split(path)[1]
        path = str(place.resolve(strict=True))
    is_directory = Path(path).is_dir() and not Path(path).is_symlink()
    if text.endswith(("/", "/.")) and not is_directory:
        raise click.ClickException("not a directory")
    return Place(path=path, exists=True, is_directory=is_directory, called=called)


def _target_place(client: Client, container: str, path: str) -> Place:
    """What is there in the container; a link is followed once, and the rest of the way by swarmd."""
    found = _looked_at(client, container, path)
    if found is not None and found["mode"] & _GO_LINK:
        path = absolute(split(path)[0], found["linkTarget"])
        found = _looked_at(client, container, path)
    if found is None:
        return Place(path=path, exists=False)
    return Place(path=path, exists=True, is_directory=bool(found["mode"] & _GO_DIRECTORY))


def _looked_at(client: Client, container: str, path: str) -> dict[str, Any] | None:
    try:
        return _stat(client.head(f"/containers/{container}/archive", path=path))
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        client.get(
            f"/containers/{container}/json"
        )  # is it the file that is not there, or the container?
        return None


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(READ_BYTES):
        yield chunk


class _Counted:
    def __init__(self) -> None:
        self.bytes = 0

    def through(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks; their bytes are counted."""
        for chunk in chunks:
            self.bytes += len(chunk)
            yield chunk


def _stat(headers: Any) -> dict[str, Any]:  # noqa: ANN401 - the headers of an answer
    try:
        found: dict[str, Any] = json.loads(base64.b64decode(headers[_STAT_HEADER]))
    except (KeyError, ValueError):
        raise click.ClickException("swarmd's answer does not say what is at that path") from None
    return found
