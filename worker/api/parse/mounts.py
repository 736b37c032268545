"""Binds, mounts, volumes and tmpfs of a create request: what is to be found where in the container. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import (
    BindOptions,
    Mount,
    MountType,
    TmpfsOptions,
    VolumeOptions,
)
from worker.api.parse.wire import WireCreate, WireMount
from worker.containers.record import Container
from worker.containers.tmpfs import tmpfs_plan

Find = Callable[[str], Container]
_PROPAGATIONS: Final = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_LABELS: Final = frozenset({"z", "Z"})
_CONSISTENCIES: Final = frozenset({"cached", "consistent", "default", "delegated"})
_SIZE: Final = re.compile(r"(\d{1,15})([kmgt]?)b?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_MODE_MAX: Final = 0o7777
_FROM_PARTS_MAX: Final = 2


def mounts_of(wire: WireCreate, find: Find) -> tuple[Mount, ...]:
    """Everything that is mounted: what is asked for goes over what another container lends.

    Raises:
        InvalidInputError: it cannot be, in Docker's words.
        SwarmdError: what ``find`` raises.
        NotImplementedHereError: it could be, but not here.
    """
    host = wire.host_config
    _check_driver(host.volume_driver)
    asked = [
        *(bind_of(text) for text in host.binds),
        *(mount_of(mount) for mount in host.mounts),
        *(tmpfs_of(target, text) for target, text in host.tmpfs.items()),
    ]
    _refuse_twice(asked)
    lent = [mount for text in host.volumes_from for mount in _lent_by(text, find)]
    anonymous = [_anonymous(target) for target in wire.volumes]
    return tuple(_first_of_each([*asked, *lent, *anonymous]))


def _first_of_each(mounts: Sequence[Mount]) -> list[Mount]:
    found: dict[str, Mount] = {}
    for mount in mounts:
        found.setdefault(_place(mount.target), mount)
    return list(found.values())


def _refuse_twice(mounts: Sequence[Mount]) -> None:
    seen = set()
    for mount in mounts:
        if (place := _place(mount.target)) in seen:
            raise InvalidInputError(f"Duplicate mount point: {mount.target}")
        seen.add(place)


def _place(target: str) -> str:
    return target.rstrip("/")


def _check_driver(name: str) -> None:
    if name not in ("", "local"):
        raise InvalidInputError(
            f'error looking up volume plugin {name}: plugin "{name}" not found',
            hint="the only driver is local",
        )


# ------------------------------------------------------------------------------------------- binds


def bind_of(text: str) -> Mount:
    """One of ``Binds``: "/of/host:/in/container:ro", "volume:/data", "/data".

    Raises:
        InvalidInputError: it is none, in Docker's words.
    """
    parts = text.split(":")
    match parts:
        case [target] if target:
            return _anonymous(target)
        case [source, target] if source and target:
            return _bound(text, source, target, "")
        case [source, target, mode] if source and target:
            return _bound(text, source, target, mode)
        case _:
            raise InvalidInputError(f"invalid volume specification: '{text}'")


def _anonymous(target: str) -> Mount:
    if not target.startswith("/"):
        raise InvalidInputError(f"invalid mount path: '{target}' mount path must be absolute")
    return Mount(type=MountType.VOLUME, target=target)


def _bound(text: str, source: str, target: str, mode: str) -> Mount:
    words = [word for word in mode.split(",") if word]
    if not target.startswith("/"):
        raise InvalidInputError(
            f"invalid volume specification: '{text}': invalid mount path: '{target}' "
            "mount path must be absolute"
        )
    is_bind = source.startswith("/")
    _check_mode(words, mode, is_bind=is_bind)
    read_only = "ro" in words
    if is_bind:
        propagation = next((word for word in words if word in _PROPAGATIONS), "")
        options = BindOptions(propagation=propagation, create_mountpoint=True)
        return Mount(
            type=MountType.BIND,
            source=source,
            target=target,
            read_only=read_only,
            bind_options=options,
        )
    return Mount(
        type=MountType.VOLUME,
        source=source,
        target=target,
        read_only=read_only,
        volume_options=VolumeOptions(no_copy=True) if "nocopy" in words else None,
    )


def _check_mode(words: Sequence[str], mode: str, *, is_bind: bool) -> None:
    """At most one word of each kind; a propagation is a bind's, and nocopy a volume's."""
    groups: list[frozenset[str]] = [frozenset({"ro", "rw"}), _LABELS, _CONSISTENCIES]
    groups.append(_PROPAGATIONS if is_bind else frozenset({"nocopy"}))
    counts = [sum(word in group for word in words) for group in groups]
    if sum(counts) != len(words) or any(count > 1 for count in counts):
        raise InvalidInputError(f"invalid mode: {mode}")


def _lent_by(text: str, find: Find) -> list[Mount]:
    """What "container:ro" of ``VolumesFrom`` means now: that container's binds and volumes."""
    parts = text.split(":")
    mode = parts[1] if len(parts) == _FROM_PARTS_MAX else "rw"
    if not parts[0] or len(parts) > _FROM_PARTS_MAX:
        raise InvalidInputError(f"invalid volumes-from specification: {text}")
    if mode not in ("ro", "rw", "z", "Z"):
        raise InvalidInputError(f"invalid mode for volumes-from: {mode}")
    lender = find(parts[0])
    as_asked = {mount.target: mount for mount in lender.config.spec.mounts}
    return [
        replace(
            as_asked.get(point.destination, Mount()),
            type=MountType(point.type),
            source=point.name or point.source,
            target=point.destination,
            read_only=point.read_only or mode == "ro",
        )
        for point in lender.mounts
        if point.type in ("bind", "volume")
    ]


# ------------------------------------------------------------------------------------------ mounts


def mount_of(wire: WireMount) -> Mount:
    """One of ``Mounts``. What is wrong with its source and target is said by the engine, for services alike.

    Raises:
        InvalidInputError: it cannot be, in Docker's words.
        NotImplementedHereError: it could be, but not here.
    """
    try:
        kind = MountType(wire.type)
    except ValueError:
        raise InvalidInputError(
            f'invalid mount config for type "{wire.type}": mount type unknown'
        ) from None
    if wire.cluster_options is not None or wire.image_options is not None:
        raise NotImplementedHereError(f"mounts of type {kind.value} are not available")
    _check_options(wire, kind)
    return Mount(
        type=kind,
        source=wire.source,
        target=wire.target,
        read_only=wire.read_only,
        consistency=wire.consistency,
        bind_options=wire.bind_options,
        volume_options=wire.volume_options,
        tmpfs_options=_checked_tmpfs(wire.tmpfs_options) if wire.tmpfs_options else None,
    )


def _check_options(wire: WireMount, kind: MountType) -> None:
    given = {
        MountType.BIND: ("BindOptions", wire.bind_options),
        MountType.VOLUME: ("VolumeOptions", wire.volume_options),
        MountType.TMPFS: ("TmpfsOptions", wire.tmpfs_options),
    }
    for owner, (name, options) in given.items():
        if options is not None and owner is not kind:
            raise InvalidInputError(
                f'invalid mount config for type "{kind.value}": field {name} must not be specified'
            )
    bind = wire.bind_options
    if bind is None:
        return
    if bind.propagation and bind.propagation not in _PROPAGATIONS:
        raise InvalidInputError(
            f'invalid mount config for type "bind": invalid propagation mode: {bind.propagation}'
        )
    if bind.read_only_force_recursive and bind.propagation not in ("", "rprivate"):
        raise InvalidInputError(
            'invalid mount config for type "bind": BindOptions.ReadOnlyForceRecursive needs "rprivate"'
        )
    if bind.read_only_force_recursive and bind.read_only_non_recursive:
        raise InvalidInputError(
            'invalid mount config for type "bind": BindOptions.ReadOnlyForceRecursive and '
            "BindOptions.ReadOnlyNonRecursive exclude each other"
        )
    if (bind.read_only_force_recursive or bind.read_only_non_recursive) and not wire.read_only:
        raise InvalidInputError(
            'invalid mount config for type "bind": mount must be read-only for its recursion to be chosen'
        )


def _checked_tmpfs(options: TmpfsOptions) -> TmpfsOptions:
    tmpfs_plan("=".join(option) for option in options.options)
    if options.size_bytes < 0:
        raise InvalidInputError(f'invalid mount config for type "tmpfs": size {options.size_bytes}')
    return options


# ------------------------------------------------------------------------------------------- tmpfs


def tmpfs_of(target: str, text: str) -> Mount:
    """One of ``Tmpfs``: a target, and options as of mount(8): "rw,noexec,size=64m,mode=1777".

    Raises:
        InvalidInputError: options that there are not.
    """
    size, mode, read_only, words = 0, 0, False, []
    for word in text.split(","):
        name, _, value = word.partition("=")
        if name == "size":
            size = _bytes_of(value, word)
        elif name == "mode":
            mode = _mode_of(value, word)
        elif word == "ro":
            read_only = True
        else:
            words.append(word)
    tmpfs_plan(words)
    return Mount(
        type=MountType.TMPFS,
        target=target,
        read_only=read_only,
        tmpfs_options=TmpfsOptions(
            size_bytes=size, mode=mode, options=tuple((word,) for word in words if word)
        ),
    )


def _bytes_of(value: str, word: str) -> int:
    found = _SIZE.fullmatch(value)
    if found is None:
        raise InvalidInputError(f"invalid tmpfs option {word!r}")
    return int(found[1]) * _UNITS[found[2].lower()]


def _mode_of(value: str, word: str) -> int:
    if not value or set(value) - set("01234567") or int(value[:12], 8) > _MODE_MAX:
        raise InvalidInputError(f"invalid tmpfs option {word!r}")
    return int(value, 8)
