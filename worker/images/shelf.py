"""Images on disk: layers by their digest, configs by theirs, and one index that says what exists.

The index is the truth. Layers and configs come before it and go after it, so that a crash at any point leaves either
the old state or the new one, and some garbage that the next start removes.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from common.codec import decode, encode
from common.errors import SwarmdError, SystemFailureError
from common.files import replace_durably, sync_directory
from worker.images.archive import BadArchiveError
from worker.images.garbage import garbage
from worker.images.limits import Limits
from worker.images.unpack import Unpacked, unpack
from worker.kernel.paths import sync_filesystem
from worker.kernel.trees import remove_tree

log = logging.getLogger("swarmd.images")

_SHA256 = "sha256:"
_FILES = "fs"
_SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image that this node has."""

    id: str
    layers: tuple[str, ...]
    """Diff ids, lowest first."""
    size_bytes: int
    added_at: float
    tagged_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """All images and their names."""

    images: Mapping[str, StoredImage] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    """Full reference ("docker.io/library/web:1") to image id."""


class Workspace:
    """A directory where layers are prepared; nothing in it counts until ``Shelf.publish``."""

    def __init__(self, path: str, limits: Limits) -> None:
        self.path, self._limits = path, limits
        self.layers: dict[str, int] = {}

    def unpack(self, source: IO[bytes], *, expected: str) -> Unpacked:
        """Extracts a layer; ``expected`` is its diff id, or "" when nothing says it.

        Raises:
            BadArchiveError: damaged, dangerous, too large, or not the layer that was expected.
        """
        place = Path(tempfile.mkdtemp(dir=self.path))
        (place / _FILES).mkdir()
        found = unpack(source, str(place / _FILES), self._limits, marked_end=not expected)
        if expected and found.diff_id != expected:
            raise BadArchiveError(
                f"invalid archive: a layer has the digest {found.diff_id}, its image's config says {expected}"
            )
        place.chmod(0o755)
        (place / _SIZE).write_text(str(found.size_bytes))
        target = Path(self.path, _hex(found.diff_id))
        if target.exists():
            remove_tree(str(place))
        else:
            place.rename(target)
        self.layers[found.diff_id] = found.size_bytes
        return found


class Shelf:
    """The directory of all images. Its methods block: call them in a thread."""

    def __init__(
        self, root: str, limits: Limits, *, flush: Callable[[str], None] = sync_filesystem
    ) -> None:
        self._root, self._limits, self._flush = Path(root), limits, flush
        self._layers, self._configs = self._root / "layers", self._root / "configs"
        self._tmp, self._index = self._root / "tmp", self._root / "index"

    def open(self) -> Index:
        """Makes what is missing, removes what a crash left behind, and reads the index.

        Raises:
            SystemFailureError: the index cannot be read.
        """
        for directory in (self._layers, self._configs, self._tmp, self.empty_layer):
            directory.mkdir(parents=True, exist_ok=True)
        for leftover in self._tmp.iterdir():
            remove_tree(str(leftover))
        index = self._read_index()
        whole = {key: image for key, image in index.images.items() if self._is_whole(image)}
        for lost in index.images.keys() - whole.keys():
            log.error("image lost a layer or its config and is forgotten", extra={"image": lost})
        names = {name: key for name, key in index.names.items() if key in whole}
        index = Index(images=whole, names=names)
        self.sweep(index)
        return index

    @property
    def empty_layer(self) -> Path:
        """A directory with nothing in it, for images without layers."""
        return self._root / "empty"

    def _read_index(self) -> Index:
        try:
            return decode(Index, self._index.read_bytes())
        except FileNotFoundError:
            return Index()
        except SwarmdError as error:
            raise SystemFailureError(
                f"the index of images {self._index} is damaged: {error}",
                hint="move it away to start without images",
            ) from error

    def _is_whole(self, image: StoredImage) -> bool:
        return self._config_path(image.id).exists() and all(map(self.has_layer, image.layers))

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """A workspace that is removed in the end."""
        path = tempfile.mkdtemp(dir=self._tmp)
        try:
            yield Workspace(path, self._limits)
        finally:
            remove_tree(path)

    def has_layer(self, diff_id: str) -> bool:
        """Whether a layer is here already."""
        return (self._layers / _hex(diff_id)).is_dir()

    def layer_path(self, diff_id: str) -> str:
        """The directory of a layer's files."""
        return str(self._layers / _hex(diff_id) / _FILES)

    def layer_size(self, diff_id: str) -> int:
        """Bytes of a layer's regular files."""
        return int((self._layers / _hex(diff_id) / _SIZE).read_text())

    def config_json(self, image_id: str) -> bytes:
        """An image's config as it was digested."""
        return self._config_path(image_id).read_bytes()

    def _config_path(self, image_id: str) -> Path:
        return self._configs / _hex(image_id)

    def publish(self, workspace: Workspace, configs: Mapping[str, bytes]) -> None:
        """Moves a workspace's layers and these configs to where they stay; they count once an index names them."""
        for image_id, data in configs.items():
            assert image_id == f"{_SHA256}{hashlib.sha256(data).hexdigest()}"  # noqa: S101 - our own mistake
            if not self._config_path(image_id).exists():
                Path(workspace.path, "config").write_bytes(data)
                Path(workspace.path, "config").rename(self._config_path(image_id))
        self._flush(workspace.path)
        for diff_id in workspace.layers:
            if not self.has_layer(diff_id):  # another archive brought it meanwhile
                Path(workspace.path, _hex(diff_id)).rename(self._layers / _hex(diff_id))
        for directory in (self._layers, self._configs):
            sync_directory(directory)

    def write_index(self, index: Index) -> None:
        """Replaces the index, on disk when this returns."""
        replace_durably(self._index, encode(index))

    def sweep(self, index: Index, arriving: frozenset[str] = frozenset()) -> None:
        """Removes layers and configs that no image of the index needs."""
        found = garbage(
            layers_present=[_SHA256 + path.name for path in self._layers.iterdir()],
            configs_present=[_SHA256 + path.name for path in self._configs.iterdir()],
            images=[(image.id, image.layers) for image in index.images.values()],
            layers_arriving=arriving,
        )
        for image_id in found.configs:
            self._config_path(image_id).unlink(missing_ok=True)
        for diff_id in found.layers:
            with self.workspace() as grave:
                (self._layers / _hex(diff_id)).rename(Path(grave.path, "layer"))


def _hex(digest: str) -> str:
    return digest.removeprefix(_SHA256)
