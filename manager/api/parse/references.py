"""The secrets and configs that a container names: whether the references are whole, and what they name is there."""

import re
from collections.abc import Iterable, Iterator, Mapping

from common.errors import InvalidInputError
from common.file_targets import FILES_BYTES_MAX, FileTargetError, target_path
from common.model.config import Config
from common.model.container_spec import (
    ConfigReference,
    ContainerSpec,
    FileTarget,
    SecretReference,
)
from common.model.secret import Secret
from manager.store.state import State

REFERENCES_MAX = 512
"""Secrets and configs of one container."""
ID_MAX = 2**32 - 2
"""The highest user or group id."""
MODE_MAX = 0o7777
_NUMBER = re.compile(r"[0-9]{1,10}")
Reference = SecretReference | ConfigReference


def check_references(spec: ContainerSpec) -> None:
    """Refuses references that no container could have.

    Raises:
        InvalidInputError: in Docker's words.
    """
    if len(spec.secrets) + len(spec.configs) > REFERENCES_MAX:
        raise InvalidInputError(
            f"ContainerSpec: more than {REFERENCES_MAX} secrets and configs in one container"
        )
    mounted = {mount.target.rstrip("/") for mount in spec.mounts}
    taken: dict[str, tuple[str, str]] = {}
    references: list[Reference] = [*spec.secrets, *spec.configs]
    for reference in references:
        kind, object_id, name = parts_of(reference)
        if not object_id or not name:
            raise InvalidInputError(f"malformed {kind} reference")
        file = reference.file
        if file is None:
            raise InvalidInputError(f"malformed {kind} reference, no target provided")
        path = _path(kind, file)
        _check_file(kind, name, file)
        if path in taken:
            other, other_name = taken[path]
            kinds = f"{kind} references" if other == kind else "references"
            raise InvalidInputError(
                f"{kinds} '{other_name}' and '{name}' have a conflicting target: '{file.name}'"
            )
        if path in mounted:
            raise InvalidInputError(f"ContainerSpec: duplicate mount point: {path}")
        taken[path] = (kind, name)


def parts_of(reference: Reference) -> tuple[str, str, str]:
    """What it names: the kind, the id and the name."""
    if isinstance(reference, SecretReference):
        return "secret", reference.secret_id, reference.secret_name
    return "config", reference.config_id, reference.config_name


def _path(kind: str, file: FileTarget) -> str:
    if not file.name:
        raise InvalidInputError(
            f"malformed file {kind} reference, invalid target file name provided"
        )
    try:
        return target_path(kind, file.name)
    except FileTargetError as error:
        raise InvalidInputError(f"malformed file {kind} reference: {error}") from None


def _check_file(kind: str, name: str, file: FileTarget) -> None:
    for word, value in (("UID", file.uid), ("GID", file.gid)):
        if not _NUMBER.fullmatch(value) or int(value) > ID_MAX:
            raise InvalidInputError(f"{kind} '{name}': invalid {word} {value!r}: it is a number")
    if not 0 <= file.mode <= MODE_MAX:
        raise InvalidInputError(f"{kind} '{name}': invalid mode {file.mode}")


def check_named_exist(state: State, spec: ContainerSpec | None) -> None:
    """Refuses names of secrets and configs that are not there, and ids that are another's.

    Raises:
        InvalidInputError: in Docker's words; or together they have too many bytes.
    """
    if spec is None:
        return
    for kind, references, table in (
        ("secret", spec.secrets, state.secrets),
        ("config", spec.configs, state.configs),
    ):
        missing = list(_missing(references, table))
        if missing:
            noun = kind if len(missing) == 1 else f"{kind}s"
            raise InvalidInputError(f"{noun} not found: {', '.join(missing)}")
    size = sum(len(state.secrets[item.secret_id].spec.data) for item in spec.secrets)
    size += sum(len(state.configs[item.config_id].spec.data) for item in spec.configs)
    if size > FILES_BYTES_MAX:
        raise InvalidInputError(
            f"ContainerSpec: secrets and configs of {size} bytes, more than {FILES_BYTES_MAX}"
        )


def _missing(
    references: Iterable[Reference], table: Mapping[str, Secret] | Mapping[str, Config]
) -> Iterator[str]:
    for reference in references:
        _, object_id, name = parts_of(reference)
        found = table.get(object_id)
        if found is None or found.spec.name != name:
            yield name
