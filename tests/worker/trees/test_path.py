"""What a path of ``docker cp`` means, and how what it leads to is told."""

import stat

import pytest

from common.errors import InvalidInputError
from worker.trees.path import PathStat, TreePath, go_mode, tree_path

PATHS: dict[str, tuple[str, str, str]] = {
    "/a/b": ("/a", "b", "b"),
    "a/b": ("/a", "b", "b"),
    "/a/b/": ("/a/b", ".", "b"),
    "/a/b/.": ("/a/b", ".", "."),
    "/": ("/", ".", "/"),
    ".": ("/", ".", "/"),
    "//a": ("/", "a", "a"),
    "/../../a": ("/", "a", "a"),
    "/a/../b": ("/", "b", "b"),
}


@pytest.mark.parametrize("asked", PATHS)
def test_tree_path(asked: str) -> None:
    directory, name, shown = PATHS[asked]

    assert tree_path(asked) == TreePath(directory=directory, name=name, shown=shown)


@pytest.mark.parametrize("asked", ["", "a\0b", "x" * 5000])
def test_what_no_path_is(asked: str) -> None:
    with pytest.raises(InvalidInputError):
        tree_path(asked)


MODES: dict[str, tuple[int, int]] = {
    "a file": (stat.S_IFREG | 0o644, 0o644),
    "a directory": (stat.S_IFDIR | 0o755, 1 << 31 | 0o755),
    "a link": (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
    "a terminal": (stat.S_IFCHR | 0o620, 1 << 26 | 1 << 21 | 0o620),
    "set-user-id": (stat.S_IFREG | 0o4755, 1 << 23 | 0o755),
    "a sticky directory": (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
}


@pytest.mark.parametrize("name", MODES)
def test_go_mode(name: str) -> None:
    mode, expected = MODES[name]

    assert go_mode(mode) == expected


def test_a_stat_is_told_in_dockers_names() -> None:
    found = PathStat(name="f", size=3, mode=stat.S_IFREG | 0o600, modified=1.5)

    assert found.rendered() == {
        "name": "f",
        "size": 3,
        "mode": 0o600,
        "mtime": "1970-01-01T00:00:01.500000000Z",
        "linkTarget": "",
    }
