"""The two layouts of archives of images; OCI's with indexes and digests."""

import gzip
import io
import json
from typing import Any

import pytest

from tests.support.archives import digest, docker_archive, file, symlink, tar
from worker.images.archive import BadArchiveError
from worker.images.limits import DEFAULT_LIMITS
from worker.images.manifest import ArchivedImage, architecture, read_images

LAYER = tar(file("a"))
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


class Layout:
    """An OCI layout in the making."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def add(self, data: bytes, **more: Any) -> dict[str, Any]:
        self.blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data), **more}

    def image(self, **more: Any) -> dict[str, Any]:
        config = {"rootfs": {"type": "layers", "diff_ids": [digest(LAYER)]}, "os": "linux"}
        manifest = {
            "config": self.add(json.dumps(config).encode()),
            "layers": [self.add(gzip.compress(LAYER, mtime=0))],
        }
        return self.add(json.dumps(manifest).encode(), **more)

    def index(self, *descriptors: dict[str, Any]) -> bytes:
        return json.dumps({"mediaType": INDEX_TYPE, "manifests": list(descriptors)}).encode()

    def archive(self, *descriptors: dict[str, Any]) -> bytes:
        blobs = (file(f"blobs/{key.replace(':', '/')}", data) for key, data in self.blobs.items())
        return tar(*blobs, file("index.json", self.index(*descriptors)))


def read(archive: bytes) -> list[ArchivedImage]:
    return read_images(io.BytesIO(archive), DEFAULT_LIMITS)


def names(archive: bytes) -> list[list[str]]:
    return [[name.familiar for name in image.names] for image in read(archive)]


def test_an_oci_layout_with_a_name() -> None:
    layout = Layout()
    named = layout.image(annotations={"org.opencontainers.image.ref.name": "web:1"})

    assert names(layout.archive(named)) == [["web:1"]]


def test_of_several_platforms_the_machines_own_is_taken() -> None:
    layout = Layout()
    other = layout.image(platform={"os": "linux", "architecture": "other"})
    own = layout.image(platform={"os": "linux", "architecture": architecture()})
    nested = layout.add(layout.index(other, own), mediaType=INDEX_TYPE)

    assert len(read(layout.archive(nested))) == 1


FAULTS = {
    "a blob of another digest": "another digest",
    "a missing blob": "is missing",
    "no image for this machine": "no image for this machine",
    "indexes within indexes": "indexes within indexes",
    "a digest that is a path": "is not a sha256 digest",
}


@pytest.mark.parametrize("name", FAULTS)
def test_refuses_a_layout_with(name: str) -> None:
    layout = Layout()
    image = layout.image()
    match name:
        case "a blob of another digest":
            layout.blobs[image["digest"]] += b" "
        case "a missing blob":
            del layout.blobs[image["digest"]]
        case "no image for this machine":
            other = layout.image(platform={"os": "plan9", "architecture": "x"})
            image = layout.add(layout.index(other), mediaType=INDEX_TYPE)
        case "indexes within indexes":
            for _ in range(6):
                image = layout.add(layout.index(image), mediaType=INDEX_TYPE)
        case _:
            image = {"digest": "sha256:../../etc/passwd"}

    with pytest.raises(BadArchiveError, match=FAULTS[name]):
        read(layout.archive(image))


def test_layers_may_be_links_to_others_as_docker_once_wrote_them() -> None:
    image = json.dumps({"rootfs": {"diff_ids": [digest(LAYER)] * 2}}).encode()
    manifest = json.dumps([{"Config": "c", "Layers": ["1/layer.tar", "2/layer.tar"]}]).encode()
    linked = symlink("2/layer.tar", "../1/layer.tar")

    found = read(
        tar(file("c", image), file("1/layer.tar", LAYER), linked, file("manifest.json", manifest))
    )

    assert found[0].layers[0] == found[0].layers[1]


def test_every_prefix_of_an_archive_is_refused() -> None:
    whole = docker_archive([LAYER])
    content_end = len(whole.rstrip(b"\0"))

    for cut in range(0, content_end, 97):
        with pytest.raises(BadArchiveError):
            read(whole[:cut])
