"""Walking trees and counting what lies in them."""

import os
from pathlib import Path

import pytest

from worker.kernel import tree_size as size
from worker.kernel import tree_walk
from worker.kernel.tree_removal import remove_tree_beneath
from worker.kernel.tree_size import UNKNOWN, tree_size
from worker.kernel.tree_walk import TooLargeTreeError, open_beneath, walk


def walked(root: Path, skip: bytes = b"") -> list[tuple[bytes, list[bytes]]]:
    descriptor = os.open(root, os.O_PATH)
    found = []
    try:
        for path, _, names in walk(descriptor):
            found.append((path, list(names)))
            if skip in names:
                names.remove(skip)
    finally:
        os.close(descriptor)
    return found


def deep(root: Path, levels: int) -> None:
    """A directory in a directory, further down than one path can say."""
    here = os.open(root, os.O_PATH)
    for _ in range(levels):
        os.mkdir("a-long-name", dir_fd=here)
        below = os.open("a-long-name", os.O_PATH, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_directories_come_before_what_is_in_them_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "b/c").mkdir(parents=True)
    (tmp_path / "b/f").touch()
    (tmp_path / "a").symlink_to("b")

    assert walked(tmp_path) == [(b"", [b"a", b"b"]), (b"b", [b"c", b"f"]), (b"b/c", [])]
    assert walked(tmp_path, skip=b"c") == [(b"", [b"a", b"b"]), (b"b", [b"c", b"f"])]


def test_a_directory_that_became_a_link_is_left_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "secret").mkdir(parents=True)
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    descriptor = os.open(root, os.O_PATH)

    steps = walk(descriptor)
    next(steps)
    (root / "d").rmdir()
    (root / "d").symlink_to(outside)

    assert list(steps) == []
    os.close(descriptor)


def test_a_path_longer_than_the_kernel_takes_is_opened(tmp_path: Path) -> None:
    deep(tmp_path, 600)

    assert len(walked(tmp_path)) == 601


def test_too_deep_and_too_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tree_walk, size):
        monkeypatch.setattr(module, "DEPTH_MAX", 3)
    monkeypatch.setattr(tree_walk, "NAMES_MAX", 2)
    deep(tmp_path, 3)
    assert len(walked(tmp_path)) == 4
    deep(tmp_path / "a-long-name/a-long-name/a-long-name", 1)
    with pytest.raises(TooLargeTreeError, match="too deep"):
        walked(tmp_path)
    assert tree_size(str(tmp_path)) == UNKNOWN
    for name in "xyz":
        (tmp_path / name).touch()
    with pytest.raises(TooLargeTreeError, match="more than 2 names"):
        walked(tmp_path)


def test_open_beneath_follows_no_link_at_all(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("d")
    root = os.open(tmp_path, os.O_PATH)

    with pytest.raises(OSError, match="symbolic links"):
        open_beneath(root, b"l", os.O_RDONLY)
    os.close(open_beneath(root, b"d", os.O_RDONLY))
    os.close(root)


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(bytes(1000))
    (tmp_path / "b").hardlink_to(tmp_path / "d/a")
    (tmp_path / "c").write_bytes(bytes(10))
    (tmp_path / "l").symlink_to("c")

    assert tree_size(str(tmp_path)) == 1010


def test_a_tree_is_removed_however_deep_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/f").touch()
    (tmp_path / "gone/d").mkdir(parents=True)
    (tmp_path / "gone/d/f").touch()
    (tmp_path / "gone/d/l").symlink_to(tmp_path / "kept")
    deep(tmp_path / "gone/d", 1000)
    parent = os.open(tmp_path, os.O_PATH)

    remove_tree_beneath(parent, b"gone")

    os.close(parent)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "kept",
        "kept/f",
    ]


def test_a_link_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "l").symlink_to("kept")
    parent = os.open(tmp_path, os.O_PATH)

    with pytest.raises(OSError, match="Not a directory"):
        remove_tree_beneath(parent, b"l")

    os.close(parent)
    assert (tmp_path / "kept").is_dir()
