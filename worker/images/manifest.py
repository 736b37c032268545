"""What an archive of images holds: ``docker save``'s manifest.json, or an OCI layout's index.json."""

import hashlib
import io
import json
import os
import platform
import posixpath
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from common.errors import InvalidInputError
from worker.images.archive import BadArchiveError, Meter, Window, entries
from worker.images.config import ImageConfig, parse_config
from worker.images.entry import safe_path
from worker.images.limits import Limits
from worker.images.reference import Reference, is_digest, parse_reference

_LINKS_MAX = 8
_NESTED_INDEXES_MAX = 4
_INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
"""What Go calls the machines that Python knows by other names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file in the archive, by its place."""

    offset: int
    size: int

    def open(self, archive: IO[bytes]) -> IO[bytes]:
        """The blob as a file of its own."""
        return cast("IO[bytes]", io.BufferedReader(Window(archive, self.offset, self.size)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedImage:
    """One image of an archive."""

    id: str
    config: ImageConfig
    config_json: bytes
    layers: tuple[Blob, ...]
    """Lowest first, as many as the config has diff ids."""
    names: tuple[Reference, ...]


def architecture() -> str:
    """This machine's architecture in Go's words."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def read_images(file: IO[bytes], limits: Limits) -> list[ArchivedImage]:
    """Lists the images of an uncompressed archive; layers are not read yet.

    Raises:
        BadArchiveError: damaged, or neither of the two layouts.
    """
    contents = _Contents(file, limits)
    if contents.has("manifest.json"):
        found = _from_docker(contents)
    elif contents.has("index.json"):
        found = _from_oci(contents)
    else:
        raise BadArchiveError(
            "invalid archive: it has neither manifest.json nor index.json",
            hint="make it with docker save, or import a root file system as an image",
        )
    if not found:
        raise BadArchiveError("invalid archive: it holds no image for this machine")
    if len(found) > limits.images:
        raise BadArchiveError(f"the archive holds more than {limits.images} images")
    return found


class _Contents:
    """The files of an archive by name."""

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        self._file, self.limits = file, limits
        self._blobs: dict[bytes, Blob] = {}
        self._links: dict[bytes, bytes] = {}
        meter = Meter(file, bytes_max=limits.archive_bytes, hashed=False)
        for member in entries(meter, entries_max=limits.archive_entries):
            self._add(member)
        meter.check_end(marked=True)

    def _add(self, member: tarfile.TarInfo) -> None:
        path = safe_path(member.name)
        if member.isreg():
            self._blobs[path] = Blob(offset=member.offset_data, size=member.size)
        elif member.issym():
            parent, _, _ = os.fsdecode(path).rpartition("/")
            target = posixpath.normpath(posixpath.join(parent, member.linkname))
            self._links[path] = safe_path(target)
        elif member.islnk():
            self._links[path] = safe_path(member.linkname)
        elif not member.isdir():
            raise BadArchiveError(
                f"invalid archive: {member.name!r} is a device node or of an unknown type"
            )

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def _find(self, name: str) -> Blob | None:
        path = safe_path(name)
        for _ in range(_LINKS_MAX):
            if path in self._blobs:
                return self._blobs[path]
            if path not in self._links:
                return None
            path = self._links[path]
        return None

    def blob(self, name: object) -> Blob:
        found = self._find(name) if isinstance(name, str) else None
        if found is None:
            raise BadArchiveError(f"invalid archive: {name!r} is missing")
        return found

    def read(self, name: object) -> bytes:
        blob = self.blob(name)
        if blob.size > self.limits.json_bytes:
            raise BadArchiveError(f"{name!r} is larger than {self.limits.json_bytes} bytes")
        return blob.open(self._file).read(blob.size)

    def json(self, name: object) -> Any:  # noqa: ANN401
        return _json(self.read(name), str(name))

    def digested(self, descriptor: object) -> tuple[bytes, str]:
        """The blob of an OCI descriptor, checked against its digest."""
        digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
        if not isinstance(digest, str) or not is_digest(digest):
            raise BadArchiveError(f"invalid archive: {digest!r} is not a sha256 digest")
        data = self.read(_blob_name(digest))
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise BadArchiveError(f"invalid archive: the content of {digest} has another digest")
        return data, digest


def _json(data: bytes, what: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadArchiveError(f"invalid archive: {what} is not JSON ({error})") from error


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _image(
    config_json: bytes, layers: tuple[Blob, ...], names: tuple[Reference, ...], limits: Limits
) -> ArchivedImage:
    config = parse_config(config_json, layers_max=limits.layers)
    if len(config.diff_ids) != len(layers):
        raise BadArchiveError(
            f"invalid archive: the config names {len(config.diff_ids)} layers, the manifest {len(layers)}"
        )
    image_id = f"sha256:{hashlib.sha256(config_json).hexdigest()}"
    return ArchivedImage(
        id=image_id, config=config, config_json=config_json, layers=layers, names=names
    )


def _name(text: object) -> Reference:
    try:
        return parse_reference(str(text)).tagged()
    except InvalidInputError as error:
        raise BadArchiveError(f"invalid archive: the name {text!r}: {error.message}") from error


# --------------------------------------------------------------------------------- docker save


def _from_docker(contents: _Contents) -> list[ArchivedImage]:
    listed = contents.json("manifest.json")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise BadArchiveError("invalid archive: manifest.json is not a list of objects")
    return [_docker_image(contents, item) for item in listed[: contents.limits.images + 1]]


def _docker_image(contents: _Contents, item: Mapping[str, Any]) -> ArchivedImage:
    layers, tags = item.get("Layers") or [], item.get("RepoTags") or []
    if not isinstance(layers, list) or not isinstance(tags, list):
        raise BadArchiveError("invalid archive: manifest.json names no layers")
    return _image(
        contents.read(item.get("Config")),
        tuple(contents.blob(name) for name in layers[: contents.limits.layers + 1]),
        tuple(map(_name, tags)),
        contents.limits,
    )


# ---------------------------------------------------------------------------------- OCI layout


def _from_oci(contents: _Contents) -> list[ArchivedImage]:
    index = contents.json("index.json")
    images = []
    for descriptor in _descriptors(index, "manifests")[: contents.limits.images + 1]:
        manifest = _platform_manifest(contents, descriptor)
        if manifest is not None:
            images.append(_oci_image(contents, manifest, _oci_names(descriptor)))
    return images


def _descriptors(value: object, key: str) -> list[dict[str, Any]]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise BadArchiveError(f"invalid archive: {key} is not a list of descriptors")
    return found


def _platform_manifest(contents: _Contents, descriptor: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest that a descriptor leads to for this machine, through nested indexes."""
    for _ in range(_NESTED_INDEXES_MAX):
        data, digest = contents.digested(descriptor)
        value = _json(data, digest)
        if not isinstance(value, dict):
            raise BadArchiveError(f"invalid archive: {digest} is not an object")
        if value.get("mediaType", descriptor.get("mediaType")) not in _INDEX_TYPES:
            return value
        fitting = [item for item in _descriptors(value, "manifests") if _fits(item)]
        if not fitting:
            return None
        descriptor = fitting[0]
    raise BadArchiveError("invalid archive: indexes within indexes")


def _fits(descriptor: dict[str, Any]) -> bool:
    wanted = descriptor.get("platform")
    if not isinstance(wanted, dict):
        return True
    return (wanted.get("os"), wanted.get("architecture")) == ("linux", architecture())


def _oci_image(
    contents: _Contents, manifest: dict[str, Any], names: tuple[Reference, ...]
) -> ArchivedImage:
    config_json, _ = contents.digested(manifest.get("config"))
    layers = _descriptors(manifest, "layers")[: contents.limits.layers + 1]
    blobs = tuple(contents.blob(_blob_name(str(layer.get("digest")))) for layer in layers)
    return _image(config_json, blobs, names, contents.limits)


def _oci_names(descriptor: dict[str, Any]) -> tuple[Reference, ...]:
    annotations = descriptor.get("annotations")
    for key in _NAME_ANNOTATIONS if isinstance(annotations, dict) else ():
        text = annotations.get(key) if isinstance(annotations, dict) else None
        if text:
            return (_name(text),)
    return ()
