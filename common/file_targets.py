"""Where a secret or config appears in its container: pure, the same for managers and nodes."""

import posixpath

SECRETS_DIRECTORY = "/run/secrets"
CONFIGS_DIRECTORY = "/"
TARGET_CHARACTERS_MAX = 1024
FILES_BYTES_MAX = 4 * 1024 * 1024
"""Bytes of all secrets and configs of one container, as they were created."""
_DIRECTORIES = {"secret": SECRETS_DIRECTORY, "config": CONFIGS_DIRECTORY}


class FileTargetError(ValueError):
    """The target cannot be a file's place."""


def target_path(kind: str, name: str) -> str:
    """The absolute path in the container of what is to be called ``name``.

    A relative name lies in ``/run/secrets`` for a secret, in ``/`` for a config, as in Docker.

    Raises:
        FileTargetError: it names no file, or leaves its directory.
    """
    if len(name) > TARGET_CHARACTERS_MAX:
        raise FileTargetError(f"a target has at most {TARGET_CHARACTERS_MAX} characters")
    if "\0" in name or name.endswith("/"):
        raise FileTargetError(f"the target {name!r} is no file's name")
    parts = name.split("/")
    if ".." in parts:
        raise FileTargetError(f"the target {name!r} must not contain '..'")
    path = posixpath.normpath(posixpath.join(_DIRECTORIES[kind], name))
    if path.strip("/") == "" or path == SECRETS_DIRECTORY:
        raise FileTargetError(f"the target {name!r} is no file's name")
    return "/" + path.lstrip("/")
