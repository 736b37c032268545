"""Where ``cp`` puts what, by docker's rules for slashes and directories. Pure.

A path that ends in "/." stands for what is in a directory, not for the directory itself.
"""

import posixpath
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One end of a copy."""

    path: str
    """As the user wrote it, made absolute; a "/" or "/." at its end is kept."""
    exists: bool
    is_directory: bool = False
    called: str = ""
    """Of a source that was reached by a symbolic link: the name that the copy gets; empty: its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an archive of the source is unpacked."""

    directory: str
    """Where."""
    old: str = ""
    """The name at the top of the archive, as it is packed."""
    new: str = ""
    """What it is called where it goes; as ``old`` when it keeps its name."""

    def renamed(self, name: str) -> str:
        """The name of a member of the archive after unpacking; "." for the directory itself."""
        whole = posixpath.normpath(name.lstrip("/") or ".")
        if self.old == ".":
            return posixpath.normpath(posixpath.join(self.new, whole))
        head, slash, rest = whole.partition("/")
        return f"{self.new}{slash}{rest}" if head == self.old else whole


def split_argument(text: str) -> tuple[str, str]:
    """``CONTAINER:path`` into its parts; the container is empty where the path is of this machine."""
    container, colon, path = text.partition(":")
    if text.startswith("/") or not colon or container.startswith("."):
        return "", text
    return container, path


def absolute(directory: str, path: str) -> str:
    """A path from a directory on; a "/" or "/." at its end stays."""
    whole = posixpath.normpath(posixpath.join(directory, path))
    if path.endswith("/.") or path == ".":
        return f"{whole.rstrip('/')}/."
    return f"{whole}/" if path.endswith("/") and whole != "/" else whole


def split(path: str) -> tuple[str, str]:
    """The directory and the name of an entry; the name is "." for what is in a directory."""
    whole = posixpath.normpath(path)
    if whole in ("/", ".") or path.endswith("/."):
        return whole, "."
    return posixpath.dirname(whole) or "/", posixpath.basename(whole)


def plan(source: Place, target: Place) -> Plan:
    """How to unpack the source at the target.

    Raises:
        ValueError: it cannot be; the text is docker's.
    """
    own = split(source.path)[1]
    called = source.called or own
    if target.exists and target.is_directory:
        return Plan(directory=target.path, old=own, new=called)
    if target.exists and source.is_directory:
        raise ValueError("cannot copy directory")
    directory, name = split(target.path)
    if not target.exists and not source.is_directory and target.path.endswith(("/", "/.")):
        raise ValueError("no such directory")
    if target.exists and target.path.endswith(("/", "/.")):
        raise ValueError("not a directory")
    return Plan(directory=directory, old=own, new=name)
