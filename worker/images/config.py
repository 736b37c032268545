"""An image's config: the JSON whose digest is the image's id."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.engine_json import parse
from common.errors import InvalidInputError
from common.model.container_spec import HealthConfig
from worker.images.archive import BadArchiveError
from worker.images.reference import is_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What a config says; ``raw`` and ``settings`` are kept as they were for those who show them."""

    diff_ids: tuple[str, ...]
    """Digests of the uncompressed layers, lowest first."""
    raw: Mapping[str, Any]
    settings: Mapping[str, Any]
    """The part called "config": Docker's names."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    """"80/tcp"."""
    labels: Mapping[str, str]
    healthcheck: HealthConfig | None = None


def parse_config(data: bytes, *, layers_max: int) -> ImageConfig:
    """Reads an image's config.

    Raises:
        BadArchiveError: it is not one.
    """
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadArchiveError(f"invalid image config: not JSON ({error})") from error
    root = _object(raw, "the config")
    settings = _object(root.get("config") or {}, "config")
    diff_ids = _strings(_object(root.get("rootfs"), "rootfs").get("diff_ids"), "rootfs.diff_ids")
    if len(diff_ids) > layers_max:
        raise BadArchiveError(f"the image has more than {layers_max} layers")
    if not all(map(is_digest, diff_ids)):
        raise BadArchiveError("invalid image config: rootfs.diff_ids are not sha256 digests")
    return ImageConfig(
        diff_ids=diff_ids,
        raw=root,
        settings=settings,
        entrypoint=_strings(settings.get("Entrypoint"), "Entrypoint"),
        cmd=_strings(settings.get("Cmd"), "Cmd"),
        env=_strings(settings.get("Env"), "Env"),
        working_dir=_string(settings, "WorkingDir"),
        user=_string(settings, "User"),
        stop_signal=_string(settings, "StopSignal"),
        volumes=tuple(sorted(_object(settings.get("Volumes") or {}, "Volumes"))),
        exposed_ports=tuple(sorted(_object(settings.get("ExposedPorts") or {}, "ExposedPorts"))),
        labels=_labels(settings),
        healthcheck=_healthcheck(settings.get("Healthcheck")),
    )


def _object(raw: object, what: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise BadArchiveError(f"invalid image config: {what} is not an object")
    return raw


def _string(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key) or ""
    if not isinstance(value, str):
        raise BadArchiveError(f"invalid image config: {key} is not a string")
    return value


def _strings(raw: object, what: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    if (
        isinstance(raw, Sequence)
        and not isinstance(raw, str)
        and all(isinstance(item, str) for item in raw)
    ):
        return tuple(raw)
    raise BadArchiveError(f"invalid image config: {what} is not a list of strings")


def _labels(settings: Mapping[str, Any]) -> Mapping[str, str]:
    labels = _object(settings.get("Labels") or {}, "Labels")
    if not all(isinstance(value, str) for value in labels.values()):
        raise BadArchiveError("invalid image config: Labels are not strings")
    return labels


def _healthcheck(raw: object) -> HealthConfig | None:
    if raw is None:
        return None
    try:
        return parse(HealthConfig, raw, "Healthcheck")
    except InvalidInputError as error:
        raise BadArchiveError(f"invalid image config: {error.message}") from error
