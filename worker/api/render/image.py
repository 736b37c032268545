"""Images as ``docker images`` and ``docker image inspect`` expect them."""

from collections.abc import Iterator, Sequence
from typing import Any

from common.engine_json import from_rfc3339, rfc3339
from worker.images.store import Image


def render_image_summary(image: Image) -> dict[str, Any]:
    """An item of ``GET /images/json``."""
    return {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": _tags(image),
        "RepoDigests": [],
        "Created": int(_created(image)),
        "Size": image.stored.size_bytes,
        "SharedSize": -1,
        "Labels": dict(image.config.labels),
        "Containers": -1,
    }


def render_image(image: Image) -> dict[str, Any]:
    """``GET /images/{name}/json``."""
    raw = image.config.raw
    return {
        "Id": image.id,
        "RepoTags": _tags(image),
        "RepoDigests": [],
        "Parent": "",
        "Comment": raw.get("comment") or "",
        "Created": rfc3339(_created(image)),
        "DockerVersion": raw.get("docker_version") or "",
        "Author": raw.get("author") or "",
        "Config": dict(image.config.settings),
        "Architecture": raw.get("architecture") or "",
        "Variant": raw.get("variant") or "",
        "Os": raw.get("os") or "",
        "Size": image.stored.size_bytes,
        "GraphDriver": {"Name": "overlay2", "Data": None},
        "RootFS": {"Type": "layers", "Layers": list(image.config.diff_ids)},
        "Metadata": {"LastTagTime": rfc3339(image.stored.tagged_at)},
    }


def render_history(image: Image, layer_sizes: Sequence[int]) -> list[dict[str, Any]]:
    """``GET /images/{name}/history``: the steps that made it, the latest first."""
    sizes = iter(layer_sizes)
    steps = [_step(item, sizes) for item in _history(image)]
    steps.reverse()
    for place, step in enumerate(steps):
        step["Id"] = image.id if place == 0 else "<missing>"
        step["Tags"] = _tags(image) if place == 0 else None
    return steps


def _history(image: Image) -> list[dict[str, Any]]:
    listed = image.config.raw.get("history")
    steps = listed if isinstance(listed, list) and listed else [{}] * len(image.config.diff_ids)
    return [item for item in steps if isinstance(item, dict)]


def _step(item: dict[str, Any], sizes: Iterator[int]) -> dict[str, Any]:
    return {
        "Created": int(_moment(item.get("created"))),
        "CreatedBy": str(item.get("created_by") or ""),
        "Size": 0 if item.get("empty_layer") else next(sizes, 0),
        "Comment": str(item.get("comment") or ""),
    }


def _tags(image: Image) -> list[str]:
    return [name.familiar for name in image.names if name.tag]


def _created(image: Image) -> float:
    return _moment(image.config.raw.get("created"))


def _moment(text: object) -> float:
    try:
        return from_rfc3339(str(text or ""))
    except ValueError:
        return 0.0
