"""Where CDI specifications lie, and their content: JSON or YAML, read anew for each container that wants devices."""

import json
import os
from pathlib import Path

import yaml

from worker.runtime.cdi import CdiError, Registry, Specification, read_specification, registry_of

DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
"""The later one is the more important."""
FILES_MAX = 256
"""Specifications in one directory."""
FILE_BYTES_MAX = 1 << 20
_SUFFIXES = frozenset({".json", ".yaml", ".yml"})


def read_registry(directories: tuple[str, ...] = DIRECTORIES) -> Registry:
    """Reads all that there is; a file that cannot be read is among the registry's problems."""
    found: list[Specification] = []
    problems: list[str] = []
    for priority, directory in enumerate(directories):
        for path in _files(Path(directory), problems):
            try:
                found.append(read_specification(_content(path), str(path), priority))
            except (CdiError, OSError) as error:
                problems.append(str(error))
    return registry_of(found, problems)


def _files(directory: Path, problems: list[str]) -> list[Path]:
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    paths = [directory / name for name in names if Path(name).suffix in _SUFFIXES]
    if len(paths) > FILES_MAX:
        problems.append(f"{directory}: only the first {FILES_MAX} of {len(paths)} files are read")
    return paths[:FILES_MAX]


def _content(path: Path) -> object:
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise CdiError(f"{path}: longer than {FILE_BYTES_MAX} bytes")
    try:
        if path.suffix == ".json":
            return json.loads(data)
        return yaml.safe_load(data)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise CdiError(f"{path}: {error}") from error
