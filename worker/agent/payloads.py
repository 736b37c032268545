"""Pure: the files that a task's container gets, out of the secrets and configs that a manager sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from common.errors import InvalidInputError
from common.file_targets import FileTargetError, target_path
from common.model.config import Config
from common.model.container_spec import (
    ConfigReference,
    ContainerSpec,
    FileTarget,
    SecretReference,
)
from common.model.secret import Secret
from worker.agent.template import Facts, expand
from worker.containers.files import ContainerFile

PERMISSIONS = 0o777
"""Of a mode only these bits count: no file of ours changes who runs it."""
TEMPLATE_CHARS_MAX = 2 * 1024 * 1024
"""Characters that the data of a template may expand to."""
Payload = Secret | Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Payloads:
    """What this node was given."""

    secrets: Mapping[str, Secret] = field(default_factory=dict)
    configs: Mapping[str, Config] = field(default_factory=dict)
    is_told: bool = False
    """Whether a manager has told this agent everything: what is missing now does not exist."""

    def has_or_never_will(self, spec: ContainerSpec | None) -> bool:
        """Whether there is nothing to wait for: all that a container names is here, or some of it is gone for good."""
        return self.is_told or spec is None or not list(self._missing(spec))

    def files_of(self, spec: ContainerSpec, facts: Facts) -> tuple[ContainerFile, ...]:
        """The files of a container.

        Raises:
            InvalidInputError: something that it names does not exist, or cannot become a file.
        """
        missing = list(self._missing(spec))
        if missing:
            raise InvalidInputError(f"{missing[0]} not found")
        return (
            *(
                _file("secret", item.secret_name, item.file, self.secrets[item.secret_id], facts)
                for item in spec.secrets
            ),
            *(
                _file("config", item.config_name, item.file, self.configs[item.config_id], facts)
                for item in spec.configs
            ),
        )

    def _missing(self, spec: ContainerSpec) -> Iterator[str]:
        references: list[SecretReference | ConfigReference] = [*spec.secrets, *spec.configs]
        for reference in references:
            match reference:
                case SecretReference(secret_id=secret_id, secret_name=name):
                    if secret_id not in self.secrets:
                        yield f"secret {name}"
                case ConfigReference(config_id=config_id, config_name=name):
                    if config_id not in self.configs:
                        yield f"config {name}"


def _file(
    kind: str, name: str, target: FileTarget | None, payload: Payload, facts: Facts
) -> ContainerFile:
    wanted = target or FileTarget(name=name)
    try:
        path = target_path(kind, wanted.name)
        uid, gid = int(wanted.uid or "0"), int(wanted.gid or "0")
    except (FileTargetError, ValueError) as error:
        raise InvalidInputError(f"{kind} {name}: {error}") from None
    return ContainerFile(
        path=path,
        data=_content(kind, name, payload, facts),
        uid=uid,
        gid=gid,
        mode=wanted.mode & PERMISSIONS,
    )


def _content(kind: str, name: str, payload: Payload, facts: Facts) -> bytes:
    """The data, its placeholders filled in. What goes wrong is told without the data."""
    if payload.spec.templating is None:
        return payload.spec.data
    if payload.spec.templating.name != "golang":
        driver = payload.spec.templating.name
        raise InvalidInputError(f"{kind} {name}: unknown template driver {driver}")
    try:
        text = payload.spec.data.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{kind} {name}: a template must be UTF-8 text") from None
    try:
        return expand(text, facts, chars_max=TEMPLATE_CHARS_MAX).encode()
    except InvalidInputError as error:
        if kind == "secret":  # its text may stand in the message
            raise InvalidInputError(
                f"secret {name}: a placeholder in it is none, or it grows too large"
            ) from None
        raise InvalidInputError(f"{kind} {name}: {error}") from None
