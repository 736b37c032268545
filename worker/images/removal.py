"""What ``DELETE /images/{name}`` takes away: Docker's rules, as a decision."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.images.reference import parse_reference

_SHORT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A container that is made from the image."""

    container_id: str
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One thing taken away: a name, or the image itself."""

    untagged: str = ""
    deleted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    image_id: str
    reference: str
    name: str
    names: Sequence[str]
    users: Sequence[Usage]
    force: bool


def removal_of(
    *,
    image_id: str,
    reference: str,
    name: str,
    names: Sequence[str],
    users: Sequence[Usage],
    force: bool,
) -> Sequence[Removed] | str:
    """Says what goes, or why nothing may.

    ``name`` is the full name that the request gave, "" when it gave an id. A name that is not the last one just goes.
    """
    request = _Request(
        image_id=image_id, reference=reference, name=name, names=names, users=users, force=force
    )
    return _by_name(request) if name in names else _by_id(request)


def _by_name(request: _Request) -> Sequence[Removed] | str:
    untagged = [Removed(untagged=parse_reference(request.name).familiar)]
    if len(request.names) > 1:
        return untagged
    if not request.users:
        return [*untagged, Removed(deleted=request.image_id)]
    if request.force:
        return untagged  # it stays without a name until its containers are gone
    return (
        f'conflict: unable to remove repository reference "{request.reference}" (must force) - container '
        f"{request.users[0].container_id[:_SHORT]} is using its referenced image {_short(request.image_id)}"
    )


def _by_id(request: _Request) -> Sequence[Removed] | str:
    repositories = {parse_reference(name).familiar_name for name in request.names}
    if len(repositories) > 1 and not request.force:
        return _conflict(request, "must be forced", "image is referenced in multiple repositories")
    users = sorted(request.users, key=lambda user: not user.running)
    if users:
        kind = "running" if users[0].running else "stopped"
        return _conflict(
            request,
            "cannot be forced",
            f"image is being used by {kind} container {users[0].container_id[:_SHORT]}",
        )
    untagged = [Removed(untagged=parse_reference(name).familiar) for name in request.names]
    return [*untagged, Removed(deleted=request.image_id)]


def _conflict(request: _Request, force: str, why: str) -> str:
    return f"conflict: unable to delete {_short(request.image_id)} ({force}) - {why}"


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:_SHORT]
