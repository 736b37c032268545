"""Trees of any depth are removed."""

import os
from pathlib import Path

from worker.kernel.trees import remove_tree


def test_a_tree_deeper_than_any_path_or_recursion(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 20, dir_fd=descriptor)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)

    remove_tree(str(root))

    assert list(tmp_path.iterdir()) == []


def test_names_that_it_uses_itself_may_be_taken(tmp_path: Path) -> None:
    for number in range(1, 4):
        (tmp_path / f"root/.removing-{number}/a/b").mkdir(parents=True)

    remove_tree(str(tmp_path / "root"))

    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed_and_what_is_gone_is_fine(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(kept)

    remove_tree(str(tmp_path / "root"))
    remove_tree(str(tmp_path / "root"))

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
