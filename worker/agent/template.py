"""Docker's placeholders in a task's environment, hostname and mounts: ``{{.Node.Hostname}}`` and its siblings.

Docker expands Go templates here. Of these we take what people write: a field, or ``index .Service.Labels "key"`` for a
key that is no identifier. Everything else is an error that names the placeholder, never an empty string.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec, Driver, Mount, VolumeOptions

EXPANDED_CHARS_MAX: Final = 64 * 1024
"""Characters that one expanded value may have."""
_PLACEHOLDER: Final = re.compile(r"\{\{(.*?)(\}\}|$)", re.DOTALL)
_INDEX: Final = re.compile(r'index \.Service\.Labels "([^"\\]*)"')
_LABELS: Final = ".Service.Labels."


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a placeholder may name."""

    service_id: str = ""
    service_name: str = ""
    service_labels: Mapping[str, str] = field(default_factory=dict)
    node_id: str = ""
    node_hostname: str = ""
    platform_os: str = ""
    platform_architecture: str = ""
    task_id: str = ""
    task_name: str = ""
    task_slot: str = ""


def expand(text: str, facts: Facts, *, chars_max: int = EXPANDED_CHARS_MAX) -> str:
    """Puts facts in place of the placeholders of ``text``.

    Raises:
        InvalidInputError: a placeholder that is not one, or a result that is too long.
    """
    if "{{" not in text:
        return text
    expanded = _PLACEHOLDER.sub(lambda found: _value(found, facts), text)
    if len(expanded) > chars_max:
        raise InvalidInputError(
            f"a template expands to more than {chars_max} characters: {text[:100]}"
        )
    return expanded


def expand_spec(spec: ContainerSpec, facts: Facts) -> ContainerSpec:
    """Expands the fields of a container's spec in which Docker allows placeholders.

    Raises:
        InvalidInputError: as ``expand``, saying where.
    """
    return replace(
        spec,
        env=_each("env", spec.env, facts),
        hostname=_in("hostname", spec.hostname, facts),
        mounts=tuple(_mount(mount, facts) for mount in spec.mounts),
    )


def _mount(mount: Mount, facts: Facts) -> Mount:
    options = mount.volume_options
    return replace(
        mount,
        source=_in("mounts", mount.source, facts),
        target=_in("mounts", mount.target, facts),
        volume_options=options and _volume_options(options, facts),
    )


def _volume_options(options: VolumeOptions, facts: Facts) -> VolumeOptions:
    driver = options.driver_config
    return replace(
        options,
        labels=_values("mounts", options.labels, facts),
        driver_config=driver
        and Driver(name=driver.name, options=_values("mounts", driver.options, facts)),
    )


def _each(where: str, texts: tuple[str, ...], facts: Facts) -> tuple[str, ...]:
    return tuple(_in(where, text, facts) for text in texts)


def _values(where: str, texts: Mapping[str, str], facts: Facts) -> dict[str, str]:
    return {key: _in(where, text, facts) for key, text in texts.items()}


def _in(where: str, text: str, facts: Facts) -> str:
    try:
        return expand(text, facts)
    except InvalidInputError as error:
        raise InvalidInputError(f"expanding {where} failed: {error}") from None


def _value(found: "re.Match[str]", facts: Facts) -> str:
    inner = found[1].strip()
    if not found[2]:
        raise InvalidInputError(f"unclosed placeholder {found[0][:100]!r}")
    by_index = _INDEX.fullmatch(inner)
    if by_index:
        return facts.service_labels.get(by_index[1], "")
    if inner.startswith(_LABELS) and inner.removeprefix(_LABELS).isidentifier():
        return facts.service_labels.get(inner.removeprefix(_LABELS), "")
    known = _known(facts)
    if inner not in known:
        raise InvalidInputError(
            f"unknown placeholder {found[0][:100]!r}",
            hint=f"known are {', '.join(known)} and {_LABELS}NAME",
        )
    return known[inner]


def _known(facts: Facts) -> dict[str, str]:
    return {
        ".Service.ID": facts.service_id,
        ".Service.Name": facts.service_name,
        ".Node.ID": facts.node_id,
        ".Node.Hostname": facts.node_hostname,
        ".Node.Platform.OS": facts.platform_os,
        ".Node.Platform.Architecture": facts.platform_architecture,
        ".Task.ID": facts.task_id,
        ".Task.Name": facts.task_name,
        ".Task.Slot": facts.task_slot,
    }
