"""The node's images: archives in, layers ready for overlayfs out."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from common.clock import Clock
from common.engine_json import rfc3339
from common.errors import ConflictError, InvalidInputError, NotFoundError
from common.events import EventLog
from worker.images.archive import BadArchiveError, bad_archive, is_compressed, plain
from worker.images.changes import settings_of
from worker.images.committed import committed_config
from worker.images.config import ImageConfig, parse_config
from worker.images.limits import DEFAULT_LIMITS, EXTRACT_CHUNK_BYTES, Limits
from worker.images.manifest import ArchivedImage, architecture, read_images
from worker.images.reference import Reference, id_prefix, is_digest, parse_reference
from worker.images.removal import Removed, Usage, removal_of
from worker.images.resolved import ResolvedImage
from worker.images.shelf import Index, Shelf, StoredImage, Workspace
from worker.images.spool import in_thread, spool

ARCHIVES_AT_A_TIME = 2
"""Archives read at the same time; further ones wait."""
SHORT_ID_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image as it is listed and inspected."""

    stored: StoredImage
    config: ImageConfig
    names: tuple[Reference, ...]
    containers: int
    """How many containers are made from it."""

    @property
    def id(self) -> str:
        """Digest of its config."""
        return self.stored.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An image that came with an archive."""

    id: str
    names: tuple[Reference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune has taken away."""

    removed: tuple[Removed, ...] = ()
    bytes_freed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """An image to be made of another and what a container has changed."""

    parent_id: str
    settings: dict[str, Any]
    """The "config" part of its config."""
    name: Reference | None = None
    author: str = ""
    comment: str = ""
    created_by: str = ""


class ImageStore:
    """Names, configs and layers. ``open`` comes first; one store per directory."""

    def __init__(
        self,
        root: str,
        clock: Clock,
        events: EventLog,
        *,
        limits: Limits = DEFAULT_LIMITS,
        shelf: Shelf | None = None,
    ) -> None:
        self._clock, self._events, self._limits = clock, events, limits
        self._shelf = shelf or Shelf(root, limits)
        self._index = Index()
        self._configs: dict[str, ImageConfig] = {}
        self._held: dict[str, str] = {}  # container id -> image id
        self._arriving: dict[object, frozenset[str]] = {}  # an archive being read -> its layers
        self._reading = asyncio.Semaphore(ARCHIVES_AT_A_TIME)
        self._writing = asyncio.Lock()  # one change of the index at a time

    async def open(self) -> None:
        """Reads what is on disk and removes what a crash left half done.

        Raises:
            SystemFailureError: the disk or what is on it is damaged.
        """
        self._index = await in_thread(self._shelf.open)
        configs = {key: await in_thread(self._shelf.config_json, key) for key in self._index.images}
        self._configs = {
            key: parse_config(data, layers_max=self._limits.layers) for key, data in configs.items()
        }

    # ------------------------------------------------------------------------------- reading

    def resolve(self, reference: str) -> ResolvedImage:
        """Finds an image by name:tag, name@digest or id.

        Raises:
            NotFoundError: "No such image: x:1".
        """
        stored = self._find(reference)
        config = self._configs[stored.id]
        layers = tuple(self._shelf.layer_path(layer) for layer in reversed(stored.layers))
        return ResolvedImage(
            id=stored.id,
            layers=layers or (str(self._shelf.empty_layer),),
            entrypoint=config.entrypoint,
            cmd=config.cmd,
            env=config.env,
            working_dir=config.working_dir,
            user=config.user,
            stop_signal=config.stop_signal,
            volumes=config.volumes,
            healthcheck=config.healthcheck,
            labels=config.labels,
            exposed_ports=config.exposed_ports,
        )

    def all(self) -> Sequence[Image]:
        """All images, the newest first."""
        newest_first = sorted(
            self._index.images.values(), key=lambda image: (-image.added_at, image.id)
        )
        names: dict[str, list[str]] = {}
        for name, image_id in sorted(self._index.names.items()):
            names.setdefault(image_id, []).append(name)
        return [self._view(stored, names.get(stored.id, ())) for stored in newest_first]

    def inspect(self, reference: str) -> Image:
        """One image.

        Raises:
            NotFoundError: "No such image: x:1".
        """
        stored = self._find(reference)
        return self._view(stored, self._names_of(stored.id))

    def _view(self, stored: StoredImage, names: Iterable[str]) -> Image:
        return Image(
            stored=stored,
            config=self._configs[stored.id],
            names=tuple(map(parse_reference, names)),
            containers=sum(held == stored.id for held in self._held.values()),
        )

    def layer_sizes(self, image_id: str) -> Sequence[int]:
        """Bytes in each layer of an image, lowest first."""
        return [self._shelf.layer_size(layer) for layer in self._index.images[image_id].layers]

    def _names_of(self, image_id: str) -> list[str]:
        return sorted(name for name, key in self._index.names.items() if key == image_id)

    def _find(self, text: str) -> StoredImage:
        if is_digest(text) and text in self._index.images:
            return self._index.images[text]
        name = _reference_or_none(text)
        if name is not None:
            image_id = self._index.names.get(str(name.tagged())) or self._by_digest(name)
            if image_id is not None:
                return self._index.images[image_id]
        prefix = id_prefix(text)
        matching = (
            [key for key in self._index.images if key[7:].startswith(prefix)] if prefix else []
        )
        if len(matching) == 1:
            return self._index.images[matching[0]]
        if matching:
            raise InvalidInputError(f"image id {text} is ambiguous", hint="give more digits")
        raise NotFoundError(f"No such image: {name.tagged().familiar if name else text}")

    def _by_digest(self, name: Reference) -> str | None:
        """``web:1@sha256:…`` names the image with that id, if ``web`` names it too."""
        image = self._index.images.get(name.digest) if name.digest else None
        if image is None:
            return None
        same = (parse_reference(known) for known in self._names_of(image.id))
        return image.id if any(n.familiar_name == name.familiar_name for n in same) else None

    # -------------------------------------------------------------------------------- in use

    def hold(self, image_id: str, container_id: str) -> None:
        """Keeps an image from being removed while a container is made from it."""
        self._held[container_id] = image_id

    def release(self, container_id: str) -> None:
        """Ends what ``hold`` began."""
        self._held.pop(container_id, None)

    # ------------------------------------------------------------------------------ bringing

    async def load(self, chunks: AsyncIterator[bytes]) -> Sequence[Loaded]:
        """Takes the images of a ``docker save`` or OCI archive; all of them or none.

        Raises:
            InvalidInputError: damaged, dangerous or too large; nothing was changed.
            SystemFailureError: the disk said no; nothing was changed.
        """
        async with self._reading, self._spooled(chunks) as workspace:
            images = await in_thread(self._read_archive, workspace)
            wanted = frozenset(layer for image in images for layer in image.config.diff_ids)
            async with self._arrival(wanted):
                await in_thread(self._unpack_all, workspace, images)
                async with self._writing:
                    await self._publish(
                        workspace,
                        {image.id: (image.config, image.config_json) for image in images},
                        {str(name): image.id for image in images for name in image.names},
                    )
        loaded = [Loaded(id=image.id, names=image.names) for image in images]
        for image in loaded:
            self._tell("load", image.id, image.names[0].familiar if image.names else image.id)
        return loaded

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        *,
        name: Reference | None,
        changes: Sequence[str] = (),
        message: str = "",
    ) -> str:
        """Makes a one-layer image out of the tar of a root file system; gives its id.

        Raises:
            InvalidInputError: a change that cannot be, or a tar that is damaged, dangerous or too large; nothing was
                changed.
            SystemFailureError: the disk said no; nothing was changed.
        """
        settings = settings_of(changes)
        if name is not None and name.digest:
            raise InvalidInputError("cannot import digest reference")
        async with self._reading, self._spooled(chunks) as workspace:
            diff_id = await in_thread(_unpack_one, workspace)
            config_json = _imported_config(diff_id, settings, message, rfc3339(self._clock.now()))
            config = parse_config(config_json, layers_max=self._limits.layers)
            image_id = f"sha256:{hashlib.sha256(config_json).hexdigest()}"
            names = {str(name.tagged()): image_id} if name else {}
            async with self._writing:
                await self._publish(workspace, {image_id: (config, config_json)}, names)
        self._tell("import", image_id, name.tagged().familiar if name else image_id)
        return image_id

    async def commit(self, chunks: AsyncIterator[bytes], wanted: Commit) -> str:
        """Makes an image out of another and one more layer, whose archive comes; gives its id.

        Raises:
            NotFoundError: the image that it stands on is not there.
            InvalidInputError: a config, name or layer that cannot be; nothing was changed.
            SystemFailureError: the disk said no; nothing was changed.
        """
        if wanted.name is not None and wanted.name.digest:
            raise InvalidInputError("refusing to create a tag with a digest reference")
        below = self._find(wanted.parent_id)
        if len(below.layers) >= self._limits.layers:
            raise InvalidInputError(f"max depth exceeded: {self._limits.layers} layers")
        raw = self._configs[below.id].raw
        async with (
            self._reading,
            self._spooled(chunks) as workspace,
            self._arrival(frozenset(below.layers)),
        ):
            diff_id = await in_thread(_unpack_one, workspace)
            config_json = committed_config(
                raw,
                settings=wanted.settings,
                diff_ids=(*below.layers, diff_id),
                author=wanted.author,
                comment=wanted.comment,
                created_by=wanted.created_by,
                now=rfc3339(self._clock.now()),
            )
            config = parse_config(config_json, layers_max=self._limits.layers)
            image_id = f"sha256:{hashlib.sha256(config_json).hexdigest()}"
            names = {str(wanted.name.tagged()): image_id} if wanted.name else {}
            async with self._writing:
                await self._publish(workspace, {image_id: (config, config_json)}, names)
        if wanted.name is not None:
            self._tell("tag", image_id, wanted.name.tagged().familiar)
        return image_id

    @asynccontextmanager
    async def _spooled(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Workspace]:
        """A workspace with the archive in it, removed in the end."""
        manager = self._shelf.workspace()
        workspace = await in_thread(manager.__enter__)
        try:
            await spool(chunks, _archive_of(workspace), bytes_max=self._limits.archive_bytes)
            yield workspace
        finally:
            await in_thread(partial(manager.__exit__, None, None, None))

    @asynccontextmanager
    async def _arrival(self, layers: frozenset[str]) -> AsyncIterator[None]:
        """Keeps layers from being swept until an index names them; begins between two sweeps, not within one."""
        token = object()
        async with self._writing:
            self._arriving[token] = layers
        try:
            yield
        finally:
            del self._arriving[token]

    def _read_archive(self, workspace: Workspace) -> Sequence[ArchivedImage]:
        archive = _archive_of(workspace)
        with archive.open("rb") as file, bad_archive():
            if is_compressed(file.read(6)):
                file.seek(0)
                _decompress(plain(file), archive, self._limits.archive_bytes)
        with archive.open("rb") as file, bad_archive():
            return read_images(file, self._limits)

    def _unpack_all(self, workspace: Workspace, images: Sequence[ArchivedImage]) -> None:
        with _archive_of(workspace).open("rb") as file:
            for image in images:
                for diff_id, blob in zip(image.config.diff_ids, image.layers, strict=True):
                    if diff_id not in workspace.layers and not self._shelf.has_layer(diff_id):
                        workspace.unpack(blob.open(file), expected=diff_id)

    async def _publish(
        self,
        workspace: Workspace,
        images: dict[str, tuple[ImageConfig, bytes]],
        names: dict[str, str],
    ) -> None:
        """Makes layers, configs and at last the index permanent. The caller holds ``_writing``."""
        now = self._clock.now()

        def commit() -> Index:
            self._shelf.publish(workspace, {key: data for key, (_, data) in images.items()})
            stored = dict(self._index.images)
            for key, (config, _) in images.items():
                size = sum(map(self._shelf.layer_size, config.diff_ids))
                old = stored.get(key)
                stored[key] = StoredImage(
                    id=key,
                    layers=config.diff_ids,
                    size_bytes=size,
                    added_at=old.added_at if old else now,
                    tagged_at=now if key in names.values() else 0.0,
                )
            index = Index(images=stored, names={**self._index.names, **names})
            self._shelf.write_index(index)
            return index

        self._index = await in_thread(commit)
        self._configs.update({key: config for key, (config, _) in images.items()})

    # ------------------------------------------------------------------------------- changing

    async def tag(self, reference: str, name: Reference) -> None:
        """Gives an image one more name; a name that another image had moves to this one.

        Raises:
            NotFoundError: "No such image: x:1".
            InvalidInputError: the name has a digest.
        """
        if name.digest:
            raise InvalidInputError("refusing to create a tag with a digest reference")
        async with self._writing:
            stored = replace(self._find(reference), tagged_at=self._clock.now())
            await self._replace_index(
                Index(
                    images={**self._index.images, stored.id: stored},
                    names={**self._index.names, str(name.tagged()): stored.id},
                )
            )
        self._tell("tag", stored.id, name.tagged().familiar)

    async def remove(
        self, reference: str, *, force: bool, is_running: Callable[[str], bool]
    ) -> Sequence[Removed]:
        """Takes a name away and, with the last one, the image. ``is_running`` says it of a container.

        Raises:
            NotFoundError: "No such image: x:1".
            ConflictError: a container is made from it, or it has several names and no force was asked.
        """
        async with self._writing:
            stored = self._find(reference)
            prefix = id_prefix(reference)
            by_id = prefix is not None and stored.id[7:].startswith(prefix)
            name = None if by_id else _reference_or_none(reference)
            users = sorted(key for key, held in self._held.items() if held == stored.id)
            verdict = removal_of(
                image_id=stored.id,
                reference=reference,
                name=str(name.tagged()) if name else "",
                names=self._names_of(stored.id),
                users=[Usage(container_id=key, running=is_running(key)) for key in users],
                force=force,
            )
            if isinstance(verdict, str):
                raise ConflictError(verdict)
            await self._forget(stored, verdict)
        for item in verdict:
            self._tell("untag" if item.untagged else "delete", stored.id, stored.id)
        return verdict

    async def prune(self, wanted: Callable[[Image], bool]) -> Pruned:
        """Removes those of the wanted images that no container is made from, with all their names.

        Raises:
            SystemFailureError: the disk said no; some may be gone.
        """
        removed: list[Removed] = []
        sizes = dict[str, int]()
        for image in self.all():
            if image.containers or not wanted(image):
                continue
            layers = zip(image.stored.layers, self.layer_sizes(image.id), strict=True)
            try:
                removed += await self.remove(image.id, force=True, is_running=lambda _: False)
            except (NotFoundError, ConflictError):  # it is gone, or in use since just now
                continue
            sizes |= layers
        left = {layer for stored in self._index.images.values() for layer in stored.layers}
        freed = sum(size for layer, size in sizes.items() if layer not in left)
        self._events.tell("image", "prune", "", {"reclaimed": str(freed)})
        return Pruned(removed=tuple(removed), bytes_freed=freed)

    async def _forget(self, stored: StoredImage, removed: Sequence[Removed]) -> None:
        gone = {str(parse_reference(item.untagged)) for item in removed if item.untagged}
        names = {name: key for name, key in self._index.names.items() if name not in gone}
        images = dict(self._index.images)
        if any(item.deleted for item in removed):
            del images[stored.id]
        await self._replace_index(Index(images=images, names=names))
        if stored.id not in images:
            del self._configs[stored.id]
            arriving = frozenset(layer for layers in self._arriving.values() for layer in layers)
            await in_thread(self._shelf.sweep, self._index, arriving)

    async def _replace_index(self, index: Index) -> None:
        await in_thread(self._shelf.write_index, index)
        self._index = index

    def _tell(self, action: str, image_id: str, name: str) -> None:
        self._events.tell("image", action, image_id, {"name": name})


# ------------------------------------------------------------------------------- in a thread


def _archive_of(workspace: Workspace) -> Path:
    return Path(workspace.path, "archive")


def _decompress(source: IO[bytes], archive: Path, bytes_max: int) -> None:
    """Replaces a compressed archive by its content."""
    expanded, total = archive.with_suffix(".plain"), 0
    with expanded.open("xb") as out:
        while chunk := source.read(EXTRACT_CHUNK_BYTES):
            total += len(chunk)
            if total > bytes_max:
                raise BadArchiveError(f"the archive holds more than {bytes_max} bytes")
            out.write(chunk)
    expanded.rename(archive)


def _unpack_one(workspace: Workspace) -> str:
    with _archive_of(workspace).open("rb") as file:
        return workspace.unpack(file, expected="").diff_id


def _imported_config(diff_id: str, settings: dict[str, object], message: str, now: str) -> bytes:
    comment = message or "Imported from -"
    return json.dumps(
        {
            "architecture": architecture(),
            "comment": comment,
            "config": settings,
            "created": now,
            "history": [{"created": now, "comment": comment}],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    ).encode()


def _reference_or_none(text: str) -> Reference | None:
    try:
        return parse_reference(text)
    except InvalidInputError:
        return None
