"""What a container has changed, told from its writable layer and the layers below it."""

import json
import os
from pathlib import Path

import pytest

from worker.trees.upper import write_changes, write_layer

OURS = ("hosts", "hostname", "resolv.conf")


class Layers:
    """A writable layer above an image's tree."""

    def __init__(self, root: Path) -> None:
        self.upper, self.lower = root / "upper", root / "lower"
        self.upper.mkdir()
        self.lower.mkdir()

    def image_has(self, path: str, content: str = "of the image") -> None:
        _put(self.lower / path, content)

    def started(self, *, without: tuple[str, ...] = ()) -> None:
        """What a start leaves behind: empty files below the mounts of our own ones."""
        for name in OURS:
            if name not in without:
                _put(self.upper / "etc" / name, "")

    def writes(self, path: str, content: str = "of the container") -> None:
        _put(self.upper / path, content)

    def said(self) -> dict[str, int]:
        written = self._run(write_changes)
        return {one["Path"]: one["Kind"] for one in json.loads(written)}

    def layer(self) -> bytes:
        return self._run(write_layer)

    def _run(self, work: object) -> bytes:
        pieces: list[bytes] = []
        upper, lower = (os.open(path, os.O_RDONLY) for path in (self.upper, self.lower))
        try:
            assert callable(work)
            work(upper, lower, pieces.append)
        finally:
            os.close(upper)
            os.close(lower)
        return b"".join(pieces)


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


def _put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_a_container_that_changes_nothing_has_changed_nothing(layers: Layers) -> None:
    layers.image_has("etc/passwd")
    layers.started()

    assert layers.said() == {}
    assert b"etc" not in layers.layer()


def test_the_same_in_an_image_without_that_directory(layers: Layers) -> None:
    layers.started()

    assert layers.said() == {}


def test_a_file_beside_ours_is_told_with_its_directory(layers: Layers) -> None:
    layers.image_has("etc/passwd")
    layers.started()
    layers.writes("etc/new")
    layers.writes("etc/passwd")

    assert layers.said() == {"/etc": 0, "/etc/new": 1, "/etc/passwd": 0}


def test_another_mode_of_the_directory_is_told(layers: Layers) -> None:
    layers.image_has("etc/passwd")
    layers.started()
    (layers.upper / "etc").chmod(0o700)

    assert layers.said() == {"/etc": 0}


def test_a_file_of_the_image_that_has_our_name_counts(layers: Layers) -> None:
    layers.image_has("etc/hosts")
    layers.started(without=("hosts",))
    assert layers.said() == {}

    layers.writes("etc/hosts", "")
    assert layers.said() == {"/etc": 0, "/etc/hosts": 0}


def test_an_empty_directory_of_that_name_is_the_containers(layers: Layers) -> None:
    (layers.upper / "etc").mkdir()

    assert layers.said() == {"/etc": 1}
