"""The config of an image made of a container: what the container ran with, under what the request says. Pure."""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.images.changes import Settings
from worker.images.config import parse_config

_MERGED = ("Labels", "ExposedPorts", "Volumes")
_OF_A_CONTAINER_ONLY = frozenset(
    {
        "Hostname",
        "Domainname",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "Image",
        "MacAddress",
        "NetworkDisabled",
        "StopTimeout",
    }
)
"""What a request's config may say and no image has."""


def check_settings(raw: object) -> Settings:
    """The config that a request brings; none is an empty one.

    Raises:
        InvalidInputError: it is none.
    """
    if raw is None:
        return {}
    data = json.dumps({"config": raw, "rootfs": {"diff_ids": []}}).encode()
    return dict(parse_config(data, layers_max=0).settings)


def merged_settings(wanted: Mapping[str, Any], base: Mapping[str, Any]) -> Settings:
    """What is wanted, over what there is: variables, labels, ports and volumes are added, the rest is replaced.

    An entrypoint that is wanted stands without the arguments of another.
    """
    result: Settings = copy.deepcopy(dict(base))
    given = {key: value for key, value in wanted.items() if value not in (None, "", [], {})}
    if "Entrypoint" in given:
        result.pop("Cmd", None)
    for key, value in given.items():
        if key in _OF_A_CONTAINER_ONLY:
            continue
        if key == "Env":
            result[key] = _merged_env(value, result.get(key) or ())
        elif key in _MERGED and isinstance(value, dict):
            result[key] = {**(result.get(key) or {}), **value}
        else:
            result[key] = value
    return result


def _merged_env(wanted: Iterable[str], base: Iterable[str]) -> list[str]:
    env = {str(line).partition("=")[0]: str(line) for line in (*base, *wanted)}
    return list(env.values())


def committed_config(  # noqa: PLR0913 - one value each
    parent: Mapping[str, Any],
    *,
    settings: Settings,
    diff_ids: Sequence[str],
    author: str,
    comment: str,
    created_by: str,
    now: str,
) -> bytes:
    """The config: the parent's, one layer and one step further."""
    step = {"created": now, "author": author, "created_by": created_by, "comment": comment}
    listed = parent.get("history")
    known = list(listed) if isinstance(listed, list) else []
    steps = known or [{"created": parent.get("created") or now} for _ in diff_ids[:-1]]
    config = {
        **parent,
        "author": author or parent.get("author") or "",
        "comment": comment,
        "config": settings,
        "created": now,
        "history": [*steps, {key: value for key, value in step.items() if value}],
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }
    return json.dumps(config).encode()
